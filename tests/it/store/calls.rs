//! Calls: recording them twice, late and in any order. For lists of them see `call_lists`.

use std::collections::BTreeSet;

use divert::model::call::{CallRecord, CallStatus, LegRecord};
use divert::model::cause::{CallResult, EndedBy, HangupCause, Outcome};
use divert::model::id::{
    AccountId, BridgeId, CallId, ChannelId, DestinationId, ForwardingFlowId, TrunkId,
};
use divert::model::number::{Caller, CallerKey};
use divert::model::timeline::{Candidate, LimitScope, Step, TimelineEntry, Unroutable, Verdict};
use divert::store::{CallDetail, CallFilter, JournalBody, Record};
use rstest::rstest;
use serde_json::{Value, json};
use strum::VariantNames;

use super::engine::{Engine, TestStore};
use super::{ACCOUNT, NOW, OTHER};

pub fn routing(id: u128) -> CallRecord {
    CallRecord {
        id: CallId::new(id),
        account: ACCOUNT,
        did: "+12025550100".parse().unwrap(),
        caller: Caller { number: "+12025550199".into(), name: "Zoë \"Z\" O'Neill".into() },
        caller_key: Some(CallerKey::kept("12025550199")),
        session: CallId::new(id),
        is_repeat: false,
        flow: Some((ForwardingFlowId::new(1), "support".into())),
        is_test: false,
        status: CallStatus::Routing,
        started_at: NOW,
        answered_at: None,
        ended_at: None,
        talk_ms: 0,
        result: None,
        ended_by: None,
        cause: None,
        channel: ChannelId(format!("1795223735.{id}")),
        bridge: BridgeId(format!("b-{id}")),
    }
}

fn talking(id: u128) -> CallRecord {
    CallRecord { status: CallStatus::Talking, answered_at: Some(NOW.plus_ms(900)), ..routing(id) }
}

pub fn ended(id: u128) -> CallRecord {
    CallRecord {
        status: CallStatus::Ended,
        ended_at: Some(NOW.plus_ms(5_900)),
        talk_ms: 5_000,
        result: Some(CallResult::Answered),
        ended_by: Some(EndedBy::Destination),
        cause: Some(HangupCause::NORMAL),
        ..talking(id)
    }
}

pub fn leg(call: u128, no: u16) -> LegRecord {
    LegRecord {
        call: CallId::new(call),
        no,
        destination: Some(DestinationId::new(7)),
        trunk: Some(TrunkId::new(8)),
        name: "slave-a".into(),
        endpoint: "PJSIP/1001@a".into(),
        started_at: NOW.plus_ms(10),
        ringing_at: None,
        answered_at: None,
        ended_at: None,
        outcome: None,
        cause: None,
        sip_code: None,
    }
}

pub fn ended_leg(call: u128, no: u16) -> LegRecord {
    LegRecord {
        ringing_at: Some(NOW.plus_ms(20)),
        answered_at: Some(NOW.plus_ms(30)),
        ended_at: Some(NOW.plus_ms(40)),
        outcome: Some(Outcome::Answered),
        cause: Some(HangupCause::NORMAL),
        sip_code: Some(200),
        ..leg(call, no)
    }
}

fn entry(seq: u32, step: Step) -> TimelineEntry {
    TimelineEntry { seq, at: NOW.plus_ms(i64::from(seq)), step }
}

pub fn call_of(call: CallRecord) -> Record {
    Record::Call(call)
}

pub fn leg_of(leg: LegRecord) -> Record {
    Record::Leg { account: ACCOUNT, leg }
}

fn step_of(call: u128, entry: TimelineEntry) -> Record {
    Record::Step { account: ACCOUNT, call: CallId::new(call), entry }
}

fn line_of(call: u128, seq: u32, body: &Value) -> Record {
    let body = JournalBody(serde_json::value::to_raw_value(body).unwrap());
    let at = NOW.plus_ms(i64::from(seq));
    Record::Journal { account: ACCOUNT, call: CallId::new(call), seq, at, body }
}

async fn detail(store: &TestStore, id: u128) -> CallDetail {
    store.db.call(ACCOUNT, CallId::new(id)).await.unwrap().unwrap()
}

pub async fn listed(
    store: &TestStore,
    filter: &CallFilter,
    before: Option<CallId>,
    limit: u32,
) -> Vec<CallId> {
    let calls = store.db.calls(ACCOUNT, filter, before, limit).await.unwrap();
    calls.into_iter().map(|call| call.id).collect()
}

#[rstest]
#[tokio::test]
async fn a_call_reads_back_with_all_that_was_recorded(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let verdicts = [
        Verdict::Chosen,
        Verdict::Disabled,
        Verdict::Full { scope: LimitScope::Server, live: 3, max: 3 },
    ];
    let candidates: Vec<Candidate> = verdicts
        .into_iter()
        .map(|verdict| Candidate {
            passed_over: Vec::new(),
            destination: DestinationId::new(7),
            name: "slave-a".into(),
            priority: -100,
            weight: 1_000,
            verdict,
        })
        .collect();
    let timeline = vec![
        entry(0, Step::Adopted),
        entry(1, Step::Unroutable { reason: Unroutable::Mixed, candidates }),
        entry(2, Step::Fallback { what: "the \\u0000 of it".into() }),
    ];
    let legs = vec![ended_leg(1, 1), LegRecord { destination: None, trunk: None, ..leg(1, 2) }];
    let mut batch = vec![call_of(ended(1))];
    batch.extend(legs.iter().rev().cloned().map(leg_of));
    batch.extend(timeline.iter().rev().cloned().map(|entry| step_of(1, entry)));
    store.db.record("n1", &batch).await.unwrap();

    let expected = CallDetail { call: ended(1), node: "n1".into(), legs, timeline };
    assert_eq!(detail(&store, 1).await, expected);
    assert_eq!(store.db.call(ACCOUNT, CallId::new(2)).await.unwrap(), None);

    let nobodys = CallRecord {
        flow: None,
        is_test: true,
        caller_key: None,
        session: CallId::new(1),
        is_repeat: true,
        ..routing(2)
    };
    store.db.record("n1", &[call_of(nobodys.clone())]).await.unwrap();
    assert_eq!(detail(&store, 2).await.call, nobodys);
}

#[rstest]
#[tokio::test]
async fn every_word_of_the_model_is_allowed_by_the_schema(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let mut batch = Vec::new();
    let mut add = |call: CallRecord| {
        let id = CallId::new(u128::try_from(batch.len()).unwrap());
        batch.push(Record::Call(CallRecord { id, ..call }));
    };
    for word in CallStatus::VARIANTS {
        add(CallRecord { status: word.parse().unwrap(), ..ended(0) });
    }
    for word in CallResult::VARIANTS {
        add(CallRecord { result: Some(word.parse().unwrap()), ..ended(0) });
    }
    for word in EndedBy::VARIANTS {
        add(CallRecord { ended_by: Some(word.parse().unwrap()), ..ended(0) });
    }
    for (no, word) in (1..).zip(Outcome::VARIANTS) {
        batch.push(leg_of(LegRecord { outcome: Some(word.parse().unwrap()), ..ended_leg(0, no) }));
    }
    store.db.record("n1", &batch).await.unwrap();
    for record in &batch {
        if let Record::Call(call) = record {
            let found = store.db.call(ACCOUNT, call.id).await.unwrap().unwrap();
            assert_eq!(&found.call, call);
        }
    }
    assert_eq!(detail(&store, 0).await.legs.len(), Outcome::VARIANTS.len());
}

#[rstest]
#[tokio::test]
async fn a_batch_written_twice_changes_nothing(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let batch = [
        call_of(routing(1)),
        leg_of(leg(1, 1)),
        step_of(1, entry(0, Step::Adopted)),
        line_of(1, 0, &json!({"first": true})),
        call_of(talking(1)),
        leg_of(ended_leg(1, 1)),
        step_of(1, entry(1, Step::Adopted)),
        line_of(1, 1, &json!({"second": true})),
        // The same lines again, and other words under a number that is taken.
        line_of(1, 1, &json!({"second": true})),
        line_of(1, 0, &json!({"first": false})),
        step_of(1, entry(0, Step::Fallback { what: "other".into() })),
    ];
    store.db.record("n1", &batch).await.unwrap();
    let before = detail(&store, 1).await;
    let lines = store.db.journal(ACCOUNT, CallId::new(1)).await.unwrap();
    assert_eq!(before.call, talking(1));
    assert_eq!(before.legs, [ended_leg(1, 1)]);
    assert_eq!(before.timeline, [entry(0, Step::Adopted), entry(1, Step::Adopted)]);
    assert_eq!(lines[0].body, json!({"first": true}));

    store.db.record("n1", &batch).await.unwrap();
    // A piece of it, late: what happened since is not undone.
    store.db.record("n1", &batch[..4]).await.unwrap();
    assert_eq!(detail(&store, 1).await, before);
    assert_eq!(store.db.journal(ACCOUNT, CallId::new(1)).await.unwrap(), lines);
    store.db.record("n1", &[]).await.unwrap();
}

#[rstest]
#[tokio::test]
async fn an_ended_call_is_never_opened_again(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    // In the same batch, and in a later one.
    let out_of_order =
        [call_of(ended(1)), call_of(talking(1)), leg_of(ended_leg(1, 1)), leg_of(leg(1, 1))];
    store.db.record("n1", &out_of_order).await.unwrap();
    store.db.record("n2", &[call_of(talking(1)), leg_of(leg(1, 1))]).await.unwrap();
    let found = detail(&store, 1).await;
    assert_eq!(found.call, ended(1));
    assert_eq!(found.legs, [ended_leg(1, 1)]);
    assert_eq!(found.node, "n1");
    assert!(store.db.open_calls("n2").await.unwrap().is_empty());

    // A better ending is taken.
    let better = CallRecord { talk_ms: 5_001, ..ended(1) };
    store.db.record("n1", &[call_of(better.clone())]).await.unwrap();
    assert_eq!(detail(&store, 1).await.call, better);
}

#[rstest]
#[tokio::test]
async fn a_call_goes_forth_and_back_while_it_is_open(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let ringing = CallRecord { status: CallStatus::Ringing, ..routing(1) };
    for call in [routing(1), ringing.clone(), routing(1), ringing, talking(1), ended(1)] {
        store.db.record("n1", &[call_of(call.clone())]).await.unwrap();
        assert_eq!(detail(&store, 1).await.call, call);
    }
}

#[rstest]
#[tokio::test]
async fn a_node_finds_the_calls_it_left_open(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await.with_other_account().await;
    let theirs = CallRecord { account: OTHER, ..routing(3) };
    let batch = [routing(1), ended(2), theirs.clone(), talking(4)].map(call_of);
    store.db.record("n1", &batch).await.unwrap();
    store.db.record("n2", &[call_of(routing(5))]).await.unwrap();
    assert_eq!(store.db.open_calls("n1").await.unwrap(), [routing(1), theirs, talking(4)]);

    // Taken over by the other node.
    store.db.record("n2", &[call_of(talking(4))]).await.unwrap();
    assert_eq!(store.db.open_calls("n2").await.unwrap(), [talking(4), routing(5)]);
    assert_eq!(store.db.open_calls("n1").await.unwrap().len(), 2);
    assert!(store.db.open_calls("n").await.unwrap().is_empty());
}

#[rstest]
#[tokio::test]
async fn a_node_finds_the_calls_that_a_redial_could_follow(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await.with_other_account().await;
    let at = |id, ms| CallRecord { started_at: NOW.plus_ms(ms), ..ended(id) };
    let theirs = CallRecord { account: OTHER, ..at(4, 5) };
    let old_but_live = CallRecord { started_at: NOW.plus_ms(-1), ..talking(5) };
    let batch = [at(1, -1), at(2, 0), at(3, 9), theirs.clone(), old_but_live.clone()];
    store.db.record("n1", &batch.map(call_of)).await.unwrap();
    store.db.record("n2", &[call_of(at(6, 9))]).await.unwrap();
    let found = store.db.recent_calls("n1", NOW).await.unwrap();
    assert_eq!(found, [at(2, 0), at(3, 9), theirs, old_but_live]);
}

#[rstest]
#[tokio::test]
async fn a_call_with_an_open_leg_is_left_open_too(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let batch = [
        call_of(ended(1)),
        leg_of(ended_leg(1, 1)),
        call_of(ended(2)),
        leg_of(ended_leg(2, 1)),
        leg_of(leg(2, 2)),
        call_of(talking(3)),
        leg_of(leg(3, 1)),
        leg_of(leg(3, 2)),
    ];
    store.db.record("n1", &batch).await.unwrap();
    assert_eq!(store.db.open_calls("n1").await.unwrap(), [ended(2), talking(3)]);
    assert!(store.db.open_calls("n2").await.unwrap().is_empty());
    store.db.record("n1", &[leg_of(ended_leg(2, 2))]).await.unwrap();
    assert_eq!(store.db.open_calls("n1").await.unwrap(), [talking(3)]);
}

#[rstest]
#[tokio::test]
async fn a_journal_reads_in_order_however_it_was_written(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let body = |seq: u32| json!({"seq": seq, "nested": {"list": [1, -2, null, "ü\n\\\"", true]}});
    // 200 lines of two calls, shuffled, in batches of odd sizes.
    let mut lines: Vec<Record> = (0..200_u32)
        .map(|at| (at * 77) % 200)
        .map(|at| line_of(u128::from(at % 2), at / 2, &body(at / 2)))
        .collect();
    while !lines.is_empty() {
        let rest = lines.split_off(lines.len().min(83));
        store.db.record("n1", &lines).await.unwrap();
        lines = rest;
    }
    for call in [0, 1] {
        let found = store.db.journal(ACCOUNT, CallId::new(call)).await.unwrap();
        assert_eq!(found.len(), 100);
        for (seq, line) in (0_u32..).zip(&found) {
            assert_eq!((line.seq, line.at), (seq, NOW.plus_ms(i64::from(seq))));
            assert_eq!(line.body, body(seq));
        }
    }
}

#[rstest]
#[tokio::test]
async fn an_odd_character_does_not_cost_a_call_its_record(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let odd = CallRecord { channel: ChannelId("a\0b".into()), ..routing(1) };
    let batch = [
        call_of(odd),
        line_of(1, 0, &json!({"detail": "x\0y"})),
        step_of(1, entry(0, Step::Fallback { what: "\0".into() })),
    ];
    store.db.record("n1", &batch).await.unwrap();
    let found = detail(&store, 1).await;
    assert_eq!(found.call.channel.0, "a\u{fffd}b");
    assert_eq!(found.timeline[0].step, Step::Fallback { what: "\u{fffd}".into() });
    let lines = store.db.journal(ACCOUNT, CallId::new(1)).await.unwrap();
    assert_eq!(lines[0].body, json!({"detail": "x\u{fffd}y"}));
}

#[rstest]
#[tokio::test]
async fn no_account_reads_or_overwrites_the_calls_of_another(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await.with_other_account().await;
    let batch = [
        call_of(routing(1)),
        leg_of(leg(1, 1)),
        step_of(1, entry(0, Step::Adopted)),
        line_of(1, 0, &json!({})),
    ];
    store.db.record("n1", &batch).await.unwrap();
    let before = detail(&store, 1).await;

    let id = CallId::new(1);
    assert_eq!(store.db.call(OTHER, id).await.unwrap(), None);
    assert!(store.db.journal(OTHER, id).await.unwrap().is_empty());
    assert!(store.db.calls(OTHER, &CallFilter::default(), None, 10).await.unwrap().is_empty());

    let foreign = |account: AccountId| {
        [
            Record::Call(CallRecord { account, ..ended(1) }),
            Record::Leg { account, leg: ended_leg(1, 1) },
            Record::Leg { account, leg: ended_leg(1, 2) },
            Record::Step { account, call: id, entry: entry(9, Step::Adopted) },
        ]
    };
    store.db.record("n1", &foreign(OTHER)).await.unwrap();
    assert_eq!(detail(&store, 1).await, before);
}

/// What a busy minute writes: many calls at once, each in several batches, from several writers.
#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_lose_no_row(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let store = engine.store().await;
    let writers: Vec<_> = (0..4_u128)
        .map(|writer| {
            let db = store.db.clone();
            tokio::spawn(async move {
                for from in (0..250).step_by(50) {
                    let ids = || (from..from + 50).map(move |at| writer * 250 + at);
                    let mut first = Vec::new();
                    let mut last = Vec::new();
                    for id in ids() {
                        first.push(call_of(routing(id)));
                        first.push(leg_of(leg(id, 1)));
                        for seq in 0..6 {
                            first.push(line_of(id, seq, &json!({"event": "ringing"})));
                        }
                        last.push(call_of(ended(id)));
                        last.push(leg_of(ended_leg(id, 1)));
                        for seq in 0..3 {
                            last.push(step_of(id, entry(seq, Step::Adopted)));
                        }
                    }
                    db.record("n1", &first).await.unwrap();
                    db.record("n1", &last).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    for (table, rows) in [("call", 1_000), ("leg", 1_000), ("timeline", 3_000), ("journal", 6_000)]
    {
        assert_eq!(store.count(table).await, rows, "{table}");
    }
    assert!(store.db.open_calls("n1").await.unwrap().is_empty());
    let found = listed(&store, &CallFilter::default(), None, 2_000).await;
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), 1_000);
}
