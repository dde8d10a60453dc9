//! `divert replay-day`, from the database to the table.

use std::fs;

use divert::model::account::DEFAULT_ACCOUNT;
use divert::model::call::{CallRecord, CallStatus, LegRecord};
use divert::model::cause::{CallResult, EndedBy, Outcome};
use divert::model::id::{BridgeId, CallId, ChannelId};
use divert::model::number::Caller;
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
    fs::write(dir.path().join("present.yaml"), GOOD.to_owned() + TWO).unwrap();
    with_database(dir.path()).args(["apply", "present.yaml", "--yes"]).assert().success();
    let url = format!("sqlite:{}", dir.path().join("d.sqlite").display());
    Runtime::new().unwrap().block_on(async {
        let db = Db::open(&url).await.unwrap();
        let (configuration, _) = db.configuration(DEFAULT_ACCOUNT).await.unwrap();
        let flow = &configuration.forwarding_flows[0];
        let mut batch = Vec::new();
        for no in 0..4 {
            let id = CallId::new(no);
            let call = CallRecord {
                id,
                account: DEFAULT_ACCOUNT,
                did: "8005550199".parse().unwrap(),
                caller: Caller::default(),
                caller_key: None,
                session: id,
                is_repeat: false,
                flow: Some((flow.id, flow.name.clone())),
                is_test: no == 3,
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
            };
            let leg = LegRecord {
                call: id,
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
            };
            batch.push(Record::Call(call));
            batch.push(Record::Leg { account: DEFAULT_ACCOUNT, leg });
        }
        db.record("n", &batch).await.unwrap();
    });
    dir
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

    Whether Asterisk could reach a trunk's endpoint is not in the log: there every endpoint
    counts as online, and only calls that fail on a trunk keep others off it.
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
fn what_is_wrong_with_the_question_is_told() {
    let dir = world();
    let tell = |args: &[&str]| {
        let mut command = with_database(dir.path());
        command.args(PERIOD).args(args).assert().code(2);
        stderr(&mut command)
    };
    assert!(tell(&["--with", "none.yaml"]).contains("none.yaml"));
    let text = tell(&["--with", "present.yaml", "--flow", "lunar"]);
    assert!(
        text.contains("no forwarding flow is named \"lunar\"") && text.contains("sales"),
        "{text}"
    );
    let mut command = with_database(dir.path());
    command.args(["replay-day", "--from", "2026-11-20T00:00:00Z", "--to", "2026-11-20T00:00:00Z"]);
    command.args(["--with", "present.yaml"]).assert().code(2);
}
