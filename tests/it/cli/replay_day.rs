//! `divert replay-day`, from the database to the table.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use divert::model::call::{CallRecord, CallStatus, LegRecord};
use divert::model::cause::{CallResult, EndedBy, Outcome};
use divert::model::configuration::Configuration;
use divert::model::id::{BridgeId, CallId, ChannelId};
use divert::model::number::Caller;
use divert::model::objects::account::DEFAULT_ACCOUNT;
use divert::model::objects::forwarding_flow::ForwardingFlow;
use divert::model::time::Timestamp;
use divert::store::{Db, Record};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{GOOD, stderr, stdout, with_database};

const TWO: &str = "      - { name: overflow, server: slave-a, did: \"1002\", weight: 0 }\n";
/// 2026-11-20T10:00:00Z.
const TEN: Timestamp = Timestamp(1_795_168_800_000);

/// A database with the flow `sales` and four answered calls at once.
fn world() -> TempDir {
    let dir = TempDir::new().unwrap();
    apply(dir.path(), GOOD.to_owned() + TWO);
    log(dir.path(), "n", |configuration| {
        let flow = &configuration.forwarding_flows[0];
        let call = |no| call(no, Some(flow));
        vec![call(0), call(1), call(2), CallRecord { is_test: true, ..call(3) }]
    });
    dir
}

fn apply(dir: &Path, document: String) {
    fs::write(dir.join("present.yaml"), document).unwrap();
    with_database(dir).args(["apply", "present.yaml", "--yes"]).assert().success();
}

/// A call of a minute, begun at ten.
fn call(no: u128, flow: Option<&ForwardingFlow>) -> CallRecord {
    let id = CallId::new(no);
    CallRecord {
        id,
        account: DEFAULT_ACCOUNT,
        did: "8005550199".parse().unwrap(),
        caller: Caller::default(),
        caller_key: None,
        session: id,
        is_repeat: false,
        flow: flow.map(|flow| (flow.id, flow.name.clone())),
        is_test: false,
        status: CallStatus::Ended,
        started_at: TEN,
        answered_at: Some(TEN.plus_ms(5_000)),
        ended_at: Some(TEN.plus_ms(65_000)),
        talk_ms: 60_000,
        result: Some(CallResult::Answered),
        ended_by: Some(EndedBy::Caller),
        cause: None,
        channel: ChannelId(String::new()),
        bridge: BridgeId(String::new()),
    }
}

/// Writes calls of a node, those of a flow with a leg to its first destination.
fn log(dir: &Path, node: &str, calls: impl FnOnce(&Configuration) -> Vec<CallRecord>) {
    let url = format!("sqlite:{}", dir.join("d.sqlite").display());
    Runtime::new().unwrap().block_on(async {
        let db = Db::open(&url).await.unwrap();
        let (configuration, _) = db.configuration(DEFAULT_ACCOUNT).await.unwrap();
        let mut batch = Vec::new();
        for call in calls(&configuration) {
            let flow = call.flow.as_ref().and_then(|(id, _)| configuration.forwarding_flow(*id));
            let leg = flow.map(|flow| LegRecord {
                call: call.id,
                no: 1,
                destination: Some(flow.destinations[0].id),
                trunk: None,
                name: flow.destinations[0].name.clone(),
                endpoint: String::new(),
                started_at: TEN,
                ringing_at: None,
                answered_at: call.answered_at,
                ended_at: call.ended_at,
                outcome: Some(Outcome::Answered),
                cause: None,
                sip_code: None,
            });
            batch.push(Record::Call(call));
            batch.extend(leg.map(|leg| Record::Leg { account: DEFAULT_ACCOUNT, leg }));
        }
        db.record(node, &batch).await.unwrap();
    });
}

const PERIOD: [&str; 5] =
    ["replay-day", "--from", "2026-11-20T00:00:00Z", "--to", "2026-11-21T00:00:00Z"];

#[test]
fn a_draft_is_held_against_the_day_it_would_have_had() {
    let dir = world();
    let draft = GOOD.replace("did: \"1001\" }", "did: \"1001\", max_live: 1 }")
        + &TWO.replace("weight: 0", "max_live: 1");
    fs::write(dir.path().join("draft.yaml"), draft).unwrap();
    let text = stdout(with_database(dir.path()).args(PERIOD).args(["--with", "draft.yaml"]));
    insta::assert_snapshot!(text, @"
    3 calls from 2026-11-20T00:00:00.000Z to 2026-11-21T00:00:00.000Z

    A call that anybody answered is answered wherever it goes, after the same ringing
    and for the same conversation. An attempt that failed fails the same way on its own
    destination. A call nobody answered rings elsewhere in vain, until the ring time is
    over or the caller hangs up as they did. Nothing is remembered from before but live
    calls: wheels, ties and caps begin anew in PRESENT and DRAFT alike. A call that only
    a fallback number answered counts as not taken, in LOGGED too, without its talk and
    cost. Balances are not replayed: in PRESENT and DRAFT no prepaid account runs out.
    Whether Asterisk could reach a trunk's endpoint is not in the log: there every endpoint
    counts as online, and only calls that fail on a trunk keep others off it.

    RESULT     LOGGED  PRESENT  DRAFT  ±
    answered   3       3        2      -1
    abandoned  0       0        0      =
    not taken  0       0        1      +1

    REFUSED   LOGGED  PRESENT  DRAFT  ±
    all full  0       0        1      +1

    CALLS                  LOGGED  PRESENT  DRAFT  ±
    sales / overflow       0       0        1      +1
    sales / slave-a-sales  3       3        1      -2

    ANSWERED               LOGGED  PRESENT  DRAFT  ±
    sales / overflow       0       0        1      +1
    sales / slave-a-sales  3       3        1      -2

    HIGHEST LIVE           LOGGED  PRESENT  DRAFT  ±
    sales / overflow       0       0        1      +1
    sales / slave-a-sales  3       3        1      -2

    TALK                   LOGGED  PRESENT  DRAFT  ±
    sales / overflow       0 ms    0 ms     1:00   +1:00
    sales / slave-a-sales  3:00    3:00     1:00   -2:00
    all                    3:00    3:00     2:00   -1:00
    ");
    let mut json = with_database(dir.path());
    json.args(PERIOD).args(["--with", "draft.yaml", "--json", "--flow", "SALES"]);
    let json: Value = serde_json::from_str(&stdout(&mut json)).unwrap();
    assert_eq!(json["present"]["answered"], 3);
    assert_eq!(json["draft"]["refusals"]["all_full"], 1);
    assert_eq!(json["logged"]["calls"], 3, "the test call is in nothing");
}

#[test]
fn a_draft_like_the_present_changes_nothing() {
    let dir = world();
    let mut command = with_database(dir.path());
    let text = stdout(command.args(PERIOD).args(["--with", "present.yaml"]));
    let rows = text.lines().skip_while(|line| !line.starts_with("RESULT"));
    let rows: Vec<&str> = rows.filter(|line| !line.is_empty() && !line.ends_with('±')).collect();
    assert!(rows.len() > 5 && rows.iter().all(|row| row.ends_with('=')), "{text}");
}

#[test]
fn calls_of_two_masters_stay_apart() {
    let dir = TempDir::new().unwrap();
    let support = "  - name: support\n    master: pbx-2\n    dids: [\"8005550199\"]\n    \
                   destinations:\n      - { name: help, server: slave-a, did: \"1003\" }\n";
    let masters = "servers:\n  - { name: pbx-2, role: master }";
    let present = GOOD.replace("servers:", masters) + support;
    apply(dir.path(), present.clone());
    // On each node, a call of its flow and one from a time when nobody owned the number there.
    for (node, flow, no) in [("a", "sales", 0), ("b", "support", 2), ("b", "support", 4)] {
        log(dir.path(), node, |configuration| {
            let mut flows = configuration.forwarding_flows.iter();
            let flow = flows.find(|one| one.name == flow);
            vec![call(no, flow), call(no + 1, None)]
        });
    }
    let calls = |draft: String| {
        fs::write(dir.path().join("draft.yaml"), draft).unwrap();
        let mut command = with_database(dir.path());
        command.args(PERIOD).args(["--with", "draft.yaml", "--prune", "--json"]);
        let json: Value = serde_json::from_str(&stdout(&mut command)).unwrap();
        let calls = |figures: &Value| {
            let shares = figures["destinations"].as_object().unwrap().values();
            let of = |share: &Value| (share["name"].to_string(), share["calls"].as_u64().unwrap());
            (shares.map(of).collect::<BTreeMap<_, _>>(), figures["not_taken"].as_u64().unwrap())
        };
        (calls(&json["present"]), calls(&json["draft"]))
    };
    let shares = |shares: &[(&str, u64)]| -> BTreeMap<String, u64> {
        shares.iter().map(|(name, calls)| (format!("\"{name}\""), *calls)).collect()
    };
    let both = shares(&[("slave-a-sales", 2), ("help", 4)]);
    let (present, draft) = calls(present);
    assert_eq!((&present.0, &draft.0), (&both, &both));
    assert_eq!((present.1, draft.1), (3, 3), "who was not answered rings in vain");
    // Without the other master its calls are nobody's.
    let (_, draft) = calls(GOOD.to_owned());
    assert_eq!(draft, (shares(&[("slave-a-sales", 2)]), 5));
}

#[test]
fn a_flow_is_known_by_either_name_and_by_its_id_or_the_beginning_of_it() {
    let dir = world();
    let mut id = String::new();
    log(dir.path(), "n", |configuration| {
        id = configuration.forwarding_flows[0].id.to_string();
        Vec::new()
    });
    let renamed = format!("name: solar\n    id: {id}");
    fs::write(dir.path().join("draft.yaml"), GOOD.replace("name: sales", &renamed)).unwrap();
    for wanted in ["sales", "SOLAR", &id, &id[..14], &id["flw_".len()..14]] {
        let mut command = with_database(dir.path());
        command.args(PERIOD).args(["--with", "draft.yaml", "--json", "--flow", wanted]);
        let json: Value = serde_json::from_str(&stdout(&mut command)).unwrap();
        assert_eq!(json["logged"]["calls"], 3, "{wanted}: {json}");
    }
}

#[test]
fn what_is_wrong_with_the_question_is_told() {
    let dir = world();
    let tell = |args: &[&str]| {
        let mut command = with_database(dir.path());
        command.args(PERIOD).args(args).assert().code(2);
        stderr(&mut command)
    };
    assert!(tell(&["--with", "none.yaml"]).contains("none.yaml"));
    let text = tell(&["--with", "present.yaml", "--flow", "lunar"]);
    assert!(text.contains("no forwarding flow \"lunar\"\n  = help: there is \"sales\""), "{text}");
    let mut command = with_database(dir.path());
    command.args(["replay-day", "--from", "2026-11-20T00:00:00Z", "--to", "2026-11-20T00:00:00Z"]);
    command.args(["--with", "present.yaml"]).assert().code(2);
}
