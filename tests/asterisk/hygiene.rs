//! What leaves in an INVITE: number and name of the caller exactly when they are clean, nothing of
//! them that could be taken for a header, nobody's number who withholds it, and no header but ours.

use std::time::Duration;

use serde_json::json;

use crate::lab::{eventually, with_divert};
use crate::sip::{self, Call, Manner, Message, Peer};
use crate::stage;

/// A caller as the carrier sends it, and what the destination is shown: name and number.
struct Case {
    from: &'static [u8],
    headers: &'static [u8],
    shown: &'static str,
    /// Whether the same is asserted (RFC 3325).
    is_asserted: bool,
    /// What the call log tells: number and name.
    logged: (&'static str, &'static str),
}

const PATIENCE: Duration = Duration::from_secs(10);
const ANONYMOUS: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";

/// Names beside a number that is always the same.
const NAMES: &[(&[u8], &str)] = &[
    (b"Ann", "Ann"),
    ("Zoë 東京".as_bytes(), "Zoë 東京"),
    (b"A <sip:evil@x>; &?=%0d%0a", "A <sip:evil@x>; &?=%0d%0a"),
    // Quoted pairs stay what they are, and do not grow.
    (br#"A \"B\" \\ C"#, r#"A \"B\" \\ C"#),
    (br"A\nB\rC", "AnBrC"),
    (b"A\x01\x07\x1b[31m\x7f\tB", "A[31mB"),
    // Line ends of other standards, marks of direction, and bytes that are no text.
    (b"A\xc2\x85B\xe2\x80\xa8C\xe2\x80\xaeD", "ABCD"),
    (b"A\xff\xfeB", "AB"),
    // Nothing that a dialplan could expand.
    (b"${SHELL(id)} $[1+1] $5", "{SHELL(id)} [1+1] $5"),
    (b"A\x07$${X} $$$[1+1]", "A{X} [1+1]"),
    // Asterisk keeps 79 bytes.
    (
        &[b'x'; 200],
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ),
];

const CASES: &[Case] = &[
    Case {
        from: b"<sip:+12025550199@carrier.example>",
        headers: b"",
        shown: "<sip:+12025550199@127.0.0.1>",
        is_asserted: true,
        logged: ("+12025550199", ""),
    },
    Case {
        from: b"\"A\" <sip:+1202%0d%0aX-Evil:1@carrier.example>",
        headers: b"",
        shown: "\"A\" <sip:+1202X-Evil@127.0.0.1>",
        is_asserted: true,
        logged: ("+1202X-Evil", "A"),
    },
    Case {
        from: b"\"A\" <sip:evil;x=1@carrier.example>",
        headers: b"",
        shown: "\"A\" <sip:evil@127.0.0.1>",
        is_asserted: true,
        logged: ("evil", "A"),
    },
    // A name and no number: Asterisk puts its own name there, and asserts nothing.
    Case {
        from: b"\"Ann\" <sip:carrier.example>",
        headers: b"",
        shown: "\"Ann\" <sip:asterisk@127.0.0.1>",
        is_asserted: false,
        logged: ("", "Ann"),
    },
    Case {
        from: b"<sip:carrier.example>",
        headers: b"",
        shown: ANONYMOUS,
        is_asserted: false,
        logged: ("", ""),
    },
    // What the carrier asserts counts, not what the caller says.
    Case {
        from: b"\"Ann\" <sip:1@carrier.example>",
        headers: b"P-Asserted-Identity: \"Bob\" <sip:+12025550198@carrier.example>\r\n",
        shown: "\"Bob\" <sip:+12025550198@127.0.0.1>",
        is_asserted: true,
        logged: ("+12025550198", "Bob"),
    },
    // Withheld, in the three ways of which Asterisk takes note.
    Case {
        from: b"\"Anonymous\" <sip:anonymous@anonymous.invalid>",
        headers: b"P-Asserted-Identity: \"Secret\" <sip:+12025550198@carrier.example>\r\n\
                   Privacy: id\r\n",
        shown: ANONYMOUS,
        is_asserted: false,
        logged: ("", ""),
    },
    Case {
        from: b"\"Anonymous\" <sip:anonymous@anonymous.invalid>",
        headers: b"Remote-Party-ID: \"Secret\" <sip:+12025550198@carrier.example>;\
                   party=calling;privacy=full\r\n",
        shown: ANONYMOUS,
        is_asserted: false,
        logged: ("", ""),
    },
    Case {
        from: b"\"Anonymous\" <sip:anonymous@anonymous.invalid>",
        headers: b"",
        shown: ANONYMOUS,
        is_asserted: false,
        logged: ("", ""),
    },
    // Or said in a way of which Asterisk takes no note.
    Case {
        from: b"\"Ann\" <sip:+12025550199@carrier.example>",
        headers: b"Privacy: id\r\n",
        shown: ANONYMOUS,
        is_asserted: false,
        logged: ("", ""),
    },
    Case {
        from: b"\"Ann\" <sip:+12025550199@carrier.example>",
        headers: b"Privacy: header;user\r\n",
        shown: ANONYMOUS,
        is_asserted: false,
        logged: ("", ""),
    },
    Case {
        from: b"\"Ann\" <sip:+12025550199@carrier.example>",
        headers: b"Privacy: full\r\n",
        shown: ANONYMOUS,
        is_asserted: false,
        logged: ("", ""),
    },
    Case {
        from: b"\"Ann\" <sip:+12025550199@carrier.example>",
        headers: b"P-Asserted-Identity: \"Ann\" <sip:+12025550199@carrier.example>\r\n\
                   Privacy: id;critical\r\n",
        shown: ANONYMOUS,
        is_asserted: false,
        logged: ("", ""),
    },
    Case {
        from: b"\"Anonymous\" <sip:anonymous@anonymous.invalid>",
        headers: b"P-Asserted-Identity: \"Secret\" <sip:+12025550198@carrier.example>\r\n",
        shown: ANONYMOUS,
        is_asserted: false,
        logged: ("", ""),
    },
    Case {
        from: b"<sip:Anonymous@carrier.example>",
        headers: b"P-Asserted-Identity: <sip:+12025550198@carrier.example>\r\n",
        shown: ANONYMOUS,
        is_asserted: false,
        logged: ("", ""),
    },
    Case {
        from: b"<sip:restricted@carrier.example>",
        headers: b"",
        shown: ANONYMOUS,
        is_asserted: false,
        logged: ("", ""),
    },
    // A caller who hides nothing, or nothing of that.
    Case {
        from: b"\"Ann, \\\"A\\\"\" <sip:+12025550199@carrier.example>",
        headers: b"Privacy: none\r\n",
        shown: "\"Ann, \\\"A\\\"\" <sip:+12025550199@127.0.0.1>",
        is_asserted: true,
        logged: ("+12025550199", "Ann, \"A\""),
    },
    Case {
        from: b"\"Ann\" <sip:+12025550199@carrier.example>",
        headers: b"Privacy: session;history\r\n",
        shown: "\"Ann\" <sip:+12025550199@127.0.0.1>",
        is_asserted: true,
        logged: ("+12025550199", "Ann"),
    },
    // Who diverted the call before is nobody's business.
    Case {
        from: b"\"Ann\" <sip:+12025550199@carrier.example>",
        headers: b"Diversion: \"E\x07\x1b\xff\x7fvil\" <sip:+12025550%0a111@x.example>;reason=unconditional;evil=1\r\n",
        shown: "\"Ann\" <sip:+12025550199@127.0.0.1>",
        is_asserted: true,
        logged: ("+12025550199", "Ann"),
    },
    // Headers of strangers stay where they are.
    Case {
        from: b"\"Ann\" <sip:+12025550199@carrier.example>",
        headers: b"X-Divert-Test: 1\r\nX-Divert-Call: evil\r\nX-Evil: 1\r\nSubject: evil\r\n\
                   History-Info: <sip:evil@x>;index=1\r\nUser-to-User: evil\r\n\
                   P-Charge-Info: <sip:evil@x>\r\nCall-Info: <http://evil>\r\nAlert-Info: <http://evil>\r\n\
                   Geolocation: <http://evil>\r\nIdentity: evil\r\n",
        shown: "\"Ann\" <sip:+12025550199@127.0.0.1>",
        is_asserted: true,
        logged: ("+12025550199", "Ann"),
    },
];

/// Never let in by Asterisk's own parser: a line that ends within a name.
const REFUSED: &[&[u8]] = &[
    b"\"A\nX-Evil: 1\" <sip:+12025550199@carrier.example>",
    b"\"A\r\nX-Evil: 1\" <sip:+12025550199@carrier.example>",
    b"\"A\0B\r\n\" <sip:+12025550199@carrier.example>",
];

/// All that may stand in an INVITE of ours.
const HEADERS: &[&str] = &[
    "Allow",
    "CSeq",
    "Call-ID",
    "Contact",
    "Content-Length",
    "Content-Type",
    "From",
    "Max-Forwards",
    "Min-SE",
    "P-Asserted-Identity",
    "Session-Expires",
    "Supported",
    "To",
    "User-Agent",
    "Via",
    "X-Divert-Call",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_is_shown_what_is_clean_and_nothing_else() {
    let peer = Peer::start(Manner::Reject(486)).await;
    with_divert(&stage::to_peer(&peer), async |lab| {
        lab.divert.until_trunk("peer", true).await;
        let mut wrong = Vec::new();
        let mut wanted = 0;
        let mut names = Vec::new();
        for (name, shown) in NAMES {
            let from = [b"\"", *name, b"\" <sip:+12025550199@carrier.example>"].concat();
            names.push((from, format!("\"{shown}\" <sip:+12025550199@127.0.0.1>")));
        }
        let mut rows: Vec<(&[u8], &[u8], &str, bool)> = Vec::new();
        rows.extend(names.iter().map(|(from, shown)| (&from[..], &b""[..], shown.as_str(), true)));
        rows.extend(CASES.iter().map(|one| (one.from, one.headers, one.shown, one.is_asserted)));
        for (from, headers, shown, is_asserted) in rows {
            let user = stage::own_did();
            let call = Call { user: user.as_str(), from, headers, patience: PATIENCE };
            assert_eq!(sip::call(lab.pbx_sip(), &call).await, Some(486));
            let invite = peer.invite(wanted).await;
            wanted += 1;
            let sent = String::from_utf8_lossy(from);
            wrong.extend(faults(&invite).into_iter().map(|fault| format!("{sent}: {fault}")));
            let from = invite.header("From").unwrap_or_default();
            if from.split(";tag=").next() != Some(shown) {
                wrong.push(format!("{sent} was shown as {from}"));
            }
            let asserted = invite.header("P-Asserted-Identity");
            if asserted.as_deref() != is_asserted.then_some(shown) {
                wrong.push(format!("{sent} was asserted as {asserted:?}"));
            }
        }
        let calls = eventually("all calls to be in the log", PATIENCE, async || {
            let calls = lab.divert.get("/v1/calls").await["data"].as_array().cloned()?;
            (calls.len() == wanted).then_some(calls)
        })
        .await;
        for (call, case) in calls.iter().zip(CASES.iter().rev()) {
            let (number, name) = case.logged;
            assert_eq!(call["caller"], json!({ "number": number, "name": name }), "{}", case.shown);
        }
        for from in REFUSED {
            let user = stage::own_did();
            let patience = Duration::from_millis(500);
            let call = Call { user: user.as_str(), from, headers: b"", patience };
            assert_eq!(sip::call(lab.pbx_sip(), &call).await, None);
        }
        assert_eq!(peer.invites().len(), wanted, "a call came of what Asterisk refuses");
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    })
    .await;
}

/// The dialplan in front of divert may have looked the name up somewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_the_dialplan_made_is_cleaned_as_well() {
    let peer = Peer::start(Manner::Reject(486)).await;
    with_divert(&stage::to_peer(&peer), async |lab| {
        lab.divert.until_trunk("peer", true).await;
        let endpoint = format!("Local/{}@from-carrier/n", stage::own_did());
        let names = [("A\r\nX-Evil: 1", "AX-Evil: 1"), ("A\r\nX-Evil: 1$${", "AX-Evil: 1{")];
        for (at, (name, shown)) in names.into_iter().enumerate() {
            let caller = format!("\"{name}\" <+12025550199>");
            let query = [
                ("endpoint", endpoint.as_str()),
                ("context", "nowhere"),
                ("extension", "s"),
                ("callerId", caller.as_str()),
            ];
            lab.pbx.post("/channels", &query, &json!({})).await;
            let invite = peer.invite(at).await;
            assert_eq!(faults(&invite), Vec::<String>::new());
            let from = invite.header("From").unwrap();
            assert!(from.starts_with(&format!("\"{shown}\" <sip:+12025550199@")), "{from}");
        }
    })
    .await;
}

/// What must be in no INVITE, whoever calls.
fn faults(invite: &Message) -> Vec<String> {
    let mut faults = Vec::new();
    let text = String::from_utf8_lossy(invite.head()).into_owned();
    let lines: Vec<&str> = text.split("\r\n").collect();
    let is_bad = |line: &&&str| line.contains(|c: char| c.is_control() || c == '\u{fffd}');
    faults
        .extend(lines.iter().filter(is_bad).map(|line| format!("control characters in {line:?}")));
    let is_foreign = |name: &String| !HEADERS.contains(&name.as_str());
    faults
        .extend(invite.names().into_iter().filter(is_foreign).map(|name| format!("header {name}")));
    let id = invite.header("X-Divert-Call").unwrap_or_default();
    let is_id = id.strip_prefix("call_").is_some_and(|id| {
        id.len() == 26 && id.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    });
    faults.extend((!is_id).then(|| format!("X-Divert-Call: {id}")));
    faults.extend((invite.user() != "1001").then(|| format!("it calls {}", invite.start())));
    faults
}
