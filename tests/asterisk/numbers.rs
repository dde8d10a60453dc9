//! Numbers arrive byte for byte as the carrier sent them.

use std::time::Duration;

use divert::model::cause::CallResult;

use crate::lab::{Lab, eventually, with_divert};
use crate::sip::{self, Call};
use crate::stage;

/// Letters that Asterisk's dialplan gives a meaning, its names for special extensions, and the
/// longest there may be.
const DIDS: &[&str] = &[
    "TF-123.a+b#c*d_e",
    "_X.",
    "_.",
    "--1",
    "#1#",
    "*98",
    "+12025550100",
    "12025550100",
    "h",
    "i",
    "s",
    "t",
    "T",
    "e",
    "o",
    "a",
    "fax",
    "N",
    "XZN.",
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWX",
    "YZ0123456789_-.*#+",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_character_of_a_did_arrives_as_it_was_sent() {
    let flow = |did: &&str| stage::flow(&format!("of {did}"), did, &["1101"]);
    with_divert(&stage::document(&DIDS.iter().map(flow).collect::<Vec<_>>()), async |lab| {
        let mut wrong = Vec::new();
        for did in DIDS {
            let line = lab.phones.call(&stage::did(did), &stage::ann()).await;
            let gone = line.until_gone(Duration::from_secs(10)).await;
            // The store compares byte for byte.
            let call = lab.divert.call_on(&stage::did(did)).await;
            let (detail, _) = lab.divert.ended(call, Duration::from_secs(5)).await;
            let flow = detail.call.flow.map(|(_, name)| name);
            if flow != Some(format!("of {did}")) || gone.cause != 17 {
                wrong.push(format!("{did}: {gone:?} on {flow:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn capital_letters_make_another_number() {
    let flows =
        vec![stage::flow("small", "tf-a", &["1101"]), stage::flow("big", "TF-A", &["1701"])];
    with_divert(&stage::document(&flows), async |lab| {
        for (did, cause) in [("tf-a", 17), ("TF-A", 1)] {
            let line = lab.phones.call(&stage::did(did), &stage::ann()).await;
            assert_eq!(line.until_gone(Duration::from_secs(10)).await.cause, cause, "{did}");
        }
        // Nobody owns this one: the dialplan's fallback answers.
        let line = lab.phones.call(&stage::did("Tf-a"), &stage::ann()).await;
        line.until_up(Duration::from_secs(5)).await;
        let call = lab.divert.call_on(&stage::did("Tf-a")).await;
        let (detail, _) = lab.divert.ended(call, Duration::from_secs(5)).await;
        assert_eq!(detail.call.result, Some(CallResult::Unrouted));
        assert_eq!(detail.call.flow, None);
        line.hang_up().await;
    })
    .await;
}

/// What a carrier may send that is no DID, as it stands in the request's address: nothing, too much,
/// what means something to a dialplan, and what no number has in it.
const NO_DIDS: &[&str] = &[
    "",
    "123456789012345678901234567890123456789012345678901",
    "1&2",
    "1,2",
    "1,",
    ",1",
    "1;x=2",
    "1?2",
    "1/2",
    "1=2",
    "1(2",
    "1)2",
    "1!2",
    "1'2",
    "1~",
    "a%20b",
    "1%20",
    "%201",
    "1%0A2",
    "1%0D%0AX",
    "1%01",
    "%00",
    "1%222",
    "%221%22",
    "1%252",
    "1%2C2",
    "1%3A2",
    "1%3B2",
    "1%402",
    "1%5C2",
    "1%5C%2C2",
    "1%7C2",
    "1%7D2",
    "1$%7BEXTEN%7D",
    "1$%5B1+1%5D",
    "1%C3%A9",
    "%C3%A9",
    "1%E2%80%AE2",
];

/// What Asterisk's dialplan goes to by itself: a hang-up, no number, a timeout, a wrong number, a fax.
const ASTERISKS_OWN: &[&str] = &["h", "s", "t", "T", "i", "e", "fax"];

fn flows_on(dids: &[&str]) -> serde_json::Value {
    let flow = |did: &&str| stage::flow(&format!("of {did}"), did, &["1101"]);
    stage::document(&dids.iter().map(flow).collect::<Vec<_>>())
}

async fn call(lab: &Lab, user: &str, patience: Duration) -> Option<u16> {
    let from = b"\"Ann\" <sip:+12025550199@carrier.example>";
    sip::call(lab.pbx_sip(), &Call { user, from, headers: b"", patience }).await
}

async fn assert_refused(lab: &Lab, users: &[&str]) {
    let mut wrong = Vec::new();
    for user in users {
        let status = call(lab, user, Duration::from_secs(10)).await;
        if status != Some(404) {
            wrong.push(format!("{user}: {status:?}"));
        }
    }
    assert!(wrong.is_empty(), "not refused with 404:\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_did_is_refused_and_no_call_on_any_number() {
    with_divert(&flows_on(ASTERISKS_OWN), async |lab| {
        assert_refused(lab, NO_DIDS).await;
        // These are numbers like any other where a carrier sends them.
        for did in ASTERISKS_OWN {
            assert_eq!(call(lab, did, Duration::from_secs(10)).await, Some(486), "{did}");
        }
        // The log tells of them in order, so of what came before as well.
        let last = lab.divert.newest(ASTERISKS_OWN.len()).await;
        let (detail, _) = lab.divert.ended(last, Duration::from_secs(5)).await;
        assert_eq!(detail.call.did, stage::did("fax"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_gives_up_at_once_is_no_call_on_the_name_of_a_hang_up() {
    let mut dids = vec![stage::own_did().to_string()];
    dids.extend(ASTERISKS_OWN.iter().map(|&did| did.to_owned()));
    let dids: Vec<&str> = dids.iter().map(String::as_str).collect();
    with_divert(&flows_on(&dids), async |lab| {
        for delay_us in (0..60).map(|step| step * 50) {
            sip::give_up(lab.pbx_sip(), &stage::own_did(), Duration::from_micros(delay_us)).await;
        }
        // After all of them, one that is seen.
        assert_eq!(sip::call_from_ann(lab.pbx_sip(), &stage::did("fax")).await, Some(486));
        let call = lab.divert.call_on(&stage::did("fax")).await;
        lab.divert.ended(call, Duration::from_secs(5)).await;
        let db = lab.divert.db().await;
        for id in lab.divert.calls().await.into_iter().filter(|id| *id != call) {
            let detail =
                db.call(divert::model::objects::account::DEFAULT_ACCOUNT, id).await.unwrap();
            assert_eq!(detail.unwrap().call.did, stage::own_did());
        }
    })
    .await;
}

/// The lines that people copy into a dialplan of their own.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_the_page_refuses_what_is_no_did() {
    let page = include_str!("../../asterisk/README.md");
    let (_, after) = page.split_once("/etc/asterisk/extensions.conf <<'END'\n").unwrap();
    let (example, _) = after.split_once("\nEND\n").unwrap();
    let (before, _) = example.split_once("Gosub(divert-ari").unwrap();
    let section = |line: &str| line.strip_prefix('[').map(|name| name.replace(']', ""));
    let context = before.lines().filter_map(section).next_back().unwrap();
    let did = stage::own_did();
    with_divert(&stage::one(&["1101"]), async |lab| {
        lab.in_asterisk(&format!(
            "cat >/etc/asterisk/extensions.conf <<'END'\n[globals]\n{example}\nEND\n\
             sed -i 's/^context=from-carrier/context={context}/' /etc/asterisk/pjsip.conf\n\
             asterisk -rx 'dialplan reload'; asterisk -rx 'module reload res_pjsip.so'"
        ));
        let now = format!("context                            : {context}\n");
        eventually("Asterisk to read its files", Duration::from_secs(5), async || {
            lab.in_asterisk("asterisk -rx 'pjsip show endpoint carrier'")
                .contains(&now)
                .then_some(())
        })
        .await;
        assert_refused(lab, NO_DIDS).await;
        assert_eq!(call(lab, did.as_str(), Duration::from_secs(10)).await, Some(486));
        lab.divert.newest(1).await;
    })
    .await;
}
