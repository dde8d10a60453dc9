//! The call log, one call, and ending one.

use axum::http::StatusCode;
use divert::api::Scope;
use divert::clock;
use divert::model::call::{CallRecord, CallStatus, LegRecord};
use divert::model::cause::{CallResult, EndedBy, HangupCause, Outcome};
use divert::model::id::{BridgeId, CallId, ChannelId, TrunkId};
use divert::model::number::Caller;
use divert::model::objects::account::DEFAULT_ACCOUNT;
use divert::model::time::Timestamp;
use divert::model::timeline::{Step, TimelineEntry};
use divert::store::Record;
use serde_json::json;

use super::{Ask, World};

pub const START: Timestamp = Timestamp(1_795_269_787_120);

/// Keeps a call in the store and gives its id.
pub async fn record_call(world: &World, edit: impl FnOnce(&mut CallRecord)) -> CallId {
    let id = CallId::new(clock::mint());
    let mut call = CallRecord {
        id,
        account: DEFAULT_ACCOUNT,
        did: "+12025550100".parse().unwrap(),
        caller: Caller { number: "+12025550199".into(), name: "Ada".into() },
        caller_key: None,
        session: id,
        is_repeat: false,
        flow: None,
        is_test: false,
        status: CallStatus::Routing,
        started_at: START,
        answered_at: None,
        ended_at: None,
        talk_ms: 0,
        result: None,
        ended_by: None,
        cause: None,
        channel: ChannelId("1795269787.1".into()),
        bridge: BridgeId("b-1".into()),
    };
    edit(&mut call);
    world.db.record("node-1", &[Record::Call(call)]).await.unwrap();
    id
}

pub fn answered_leg(call: CallId, no: u16) -> LegRecord {
    LegRecord {
        call,
        no,
        destination: None,
        trunk: Some(TrunkId::new(5)),
        name: "slave-a".into(),
        endpoint: "PJSIP/1001@to-slave-a".into(),
        started_at: START.plus_ms(20),
        ringing_at: Some(START.plus_ms(300)),
        answered_at: Some(START.plus_ms(7_400)),
        ended_at: Some(START.plus_ms(31_520)),
        outcome: Some(Outcome::Answered),
        cause: Some(HangupCause::NORMAL),
        sip_code: Some(200),
    }
}

/// Keeps an answered leg of a call.
pub async fn record_leg(world: &World, call: CallId, no: u16) {
    let leg = answered_leg(call, no);
    let record = Record::Leg { account: DEFAULT_ACCOUNT, leg };
    world.db.record("node-1", &[record]).await.unwrap();
}

pub fn ended(call: &mut CallRecord) {
    call.status = CallStatus::Ended;
    call.answered_at = Some(START.plus_ms(7_400));
    call.ended_at = Some(START.plus_ms(31_520));
    call.talk_ms = 24_120;
    call.result = Some(CallResult::Answered);
    call.ended_by = Some(EndedBy::Caller);
    call.cause = Some(HangupCause::NORMAL);
}

#[tokio::test]
async fn a_call_reads_with_its_legs_and_its_timeline() {
    let world = World::new().await;
    let id = record_call(&world, |call| {
        ended(call);
        call.is_test = true;
    })
    .await;
    record_leg(&world, id, 1).await;
    let step = |seq, ms, step| Record::Step {
        account: DEFAULT_ACCOUNT,
        call: id,
        entry: TimelineEntry { seq, at: START.plus_ms(ms), step },
    };
    let answered = Step::Answered { leg: 1, name: "slave-a".into() };
    let batch =
        [step(0, 300, Step::Ringing { leg: 1, name: "slave-a".into() }), step(1, 7_400, answered)];
    world.db.record("node-1", &batch).await.unwrap();

    let answer = world.local(Ask::get(format!("/v1/calls/{id}"))).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.json,
        json!({
            "id": id.to_string(),
            "session": id.to_string(),
            "did": "+12025550100",
            "caller": { "number": "+12025550199", "name": "Ada" },
            "forwarding_flow": null,
            "tags": ["test"],
            "status": "ended",
            "started_at": "2026-11-21T14:03:07.120Z",
            "answered_at": "2026-11-21T14:03:14.520Z",
            "ended_at": "2026-11-21T14:03:38.640Z",
            "duration_sec": 31.52,
            "talk_sec": 24.12,
            "result": "answered",
            "ended_by": "caller",
            "cause": 16,
            "node": "node-1",
            "channel": "1795269787.1",
            "bridge": "b-1",
            "cost": null,
            "legs": [{
                "no": 1,
                "destination": null,
                "trunk": "trk_00000000000000000000000005",
                "name": "slave-a",
                "endpoint": "PJSIP/1001@to-slave-a",
                "started_at": "2026-11-21T14:03:07.140Z",
                "ringing_at": "2026-11-21T14:03:07.420Z",
                "answered_at": "2026-11-21T14:03:14.520Z",
                "ended_at": "2026-11-21T14:03:38.640Z",
                "outcome": "answered",
                "cause": 16,
                "sip_code": 200,
                "cost": null,
            }],
            "timeline": [
                {
                    "seq": 0, "at": "2026-11-21T14:03:07.420Z", "offset_ms": 300,
                    "title": "Ringing", "sentence": "slave-a",
                    "step": { "step": "ringing", "leg": 1, "name": "slave-a" },
                },
                {
                    "seq": 1, "at": "2026-11-21T14:03:14.520Z", "offset_ms": 7_400,
                    "title": "Answered", "sentence": "slave-a",
                    "step": { "step": "answered", "leg": 1, "name": "slave-a" },
                },
            ],
        })
    );
}

#[tokio::test]
async fn pages_follow_each_other_newest_first_without_gap_or_repetition() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(record_call(&world, ended).await.to_string());
    }
    ids.reverse();

    let mut seen = Vec::new();
    let mut path = "/v1/calls?limit=2".to_owned();
    for page in 1.. {
        let answer = world.local(Ask::get(&path)).await;
        let data = answer.json["data"].as_array().unwrap();
        seen.extend(data.iter().map(|call| call["id"].as_str().unwrap().to_owned()));
        assert_eq!(answer.json["has_more"], page < 4, "{}", answer.text);
        let Some(cursor) = answer.json["next_cursor"].as_str() else {
            assert_eq!(page, 4);
            break;
        };
        path = format!("/v1/calls?limit=2&cursor={cursor}");
        // What arrives while somebody pages does not shift the pages.
        record_call(&world, ended).await;
    }
    assert_eq!(seen, ids);
}

#[tokio::test]
async fn filters_select() {
    let world = World::new().await;
    let flow = world.flow().await["id"].as_str().unwrap().to_owned();
    let plain = record_call(&world, ended).await.to_string();
    let test = record_call(&world, |call| {
        ended(call);
        call.is_test = true;
    })
    .await
    .to_string();
    let live = record_call(&world, |call| {
        call.started_at = START.plus_ms(3_600_000);
        call.caller.number = "+1999".into();
    })
    .await
    .to_string();
    let busy = record_call(&world, |call| {
        ended(call);
        call.result = Some(CallResult::Busy);
        call.did = "800".parse().unwrap();
        call.flow = Some((flow.parse().unwrap(), "sales".into()));
    })
    .await
    .to_string();

    for (query, expected) in [
        ("", vec![&busy, &live, &test, &plain]),
        ("test=include", vec![&busy, &live, &test, &plain]),
        ("test=only", vec![&test]),
        ("test=exclude", vec![&busy, &live, &plain]),
        ("live=true", vec![&live]),
        ("live=false", vec![&busy, &test, &plain]),
        ("result=busy", vec![&busy]),
        ("did=800", vec![&busy]),
        ("caller=%2B1999", vec![&live]),
        ("caller=1999", vec![&live]),
        ("did=%2B800", vec![&busy]),
        (&format!("id={}", &live[..26]), vec![&live]),
        (&format!("flow={flow}"), vec![&busy]),
        ("from=2026-11-21T15:00:00Z", vec![&live]),
        ("to=2026-11-21T16:00:00%2B01:00", vec![&busy, &test, &plain]),
        ("test=exclude&result=answered", vec![&plain]),
    ] {
        let answer = world.local(Ask::get(format!("/v1/calls?{query}"))).await;
        let data = answer.json["data"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
        let ids: Vec<&str> = data.iter().map(|call| call["id"].as_str().unwrap()).collect();
        assert_eq!(ids, expected, "{query}");
    }
}

#[tokio::test]
async fn all_faults_of_a_query_are_told_at_once() {
    let world = World::new().await;
    let path = "/v1/calls?limit=0&cursor=x&flow=srv_1&result=great&test=maybe&live=yes&from=today";
    let answer = world.local(Ask::get(path)).await;
    answer.assert_problem(400, "invalid_query");
    assert_eq!(
        answer.faults(),
        [
            ("?cursor", "invalid"),
            ("?flow", "invalid"),
            ("?from", "invalid"),
            ("?limit", "out_of_range"),
            ("?live", "unknown_value"),
            ("?result", "unknown_value"),
            ("?test", "unknown_value"),
        ]
    );
    for limit in ["201", "-1", "many"] {
        let answer = world.local(Ask::get(format!("/v1/calls?limit={limit}"))).await;
        answer.assert_problem(400, "invalid_query");
    }
    // A + that was not escaped arrives as a blank.
    let path = "/v1/calls?caller=+1999&from=2026-11-21T15:00:00+01:00&id=x";
    let answer = world.local(Ask::get(path)).await;
    let faults = [("?caller", "invalid"), ("?from", "invalid"), ("?id", "invalid")];
    assert_eq!(answer.faults(), faults);
    assert_eq!(answer.text.matches("%2B").count(), 2, "{}", answer.text);
    let answer = world.local(Ask::get("/v1/calls?limit=1&limit=2")).await;
    answer.assert_problem(400, "invalid_query");
    assert_eq!(answer.faults(), [("?limit", "repeated")]);
    let answer = world.local(Ask::get("/v1/calls?flow_id=x")).await;
    answer.assert_problem(400, "invalid_query");
    assert_eq!(answer.faults(), [("?flow_id", "unknown_key")]);
}

#[tokio::test]
async fn a_live_call_is_ended_and_one_that_is_over_is_not() {
    let world = World::new().await;
    let live = record_call(&world, |_| {}).await;
    let over = record_call(&world, ended).await;
    let gone = record_call(&world, |_| {}).await;
    // Not in the store yet.
    let fresh = CallId::new(clock::mint());
    world.node.live.lock().unwrap().extend([(DEFAULT_ACCOUNT, live), (DEFAULT_ACCOUNT, fresh)]);

    for id in [live, fresh] {
        let answer = world.local(Ask::post(format!("/v1/calls/{id}/end"))).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    }
    assert_eq!(*world.node.ended.lock().unwrap(), [live, fresh]);
    for id in [over, gone] {
        let answer = world.local(Ask::post(format!("/v1/calls/{id}/end"))).await;
        answer.assert_problem(409, "call_over");
    }
    let nobody = CallId::new(clock::mint());
    let answer = world.local(Ask::post(format!("/v1/calls/{nobody}/end"))).await;
    answer.assert_problem(404, "not_found");
}

#[tokio::test]
async fn a_key_for_test_calls_ends_test_calls_only() {
    let world = World::new().await;
    let key = world.key(&[Scope::CallsTest]).await;
    let real = record_call(&world, |_| {}).await;
    let test = record_call(&world, |call| call.is_test = true).await;
    world.node.live.lock().unwrap().extend([(DEFAULT_ACCOUNT, real), (DEFAULT_ACCOUNT, test)]);
    let end = |id| Ask::post(format!("/v1/calls/{id}/end")).bearer(&key);
    world.keyed(end(real)).await.assert_problem(403, "missing_scope");
    assert_eq!(world.keyed(end(test)).await.status, StatusCode::ACCEPTED);
    assert_eq!(*world.node.ended.lock().unwrap(), [test]);
}
