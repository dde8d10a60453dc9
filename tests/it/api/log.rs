//! Sessions, reports, and both as CSV.

use divert::model::call::{CallRecord, LegRecord};
use divert::model::cause::{CallResult, Outcome};
use divert::model::id::{CallId, DestinationId, ForwardingFlowId};
use divert::model::objects::account::DEFAULT_ACCOUNT;
use divert::model::time::Timestamp;
use divert::store::Record;
use serde_json::{Value, json};

use super::billing::bill;
use super::calls::{START, answered_leg, ended, record_call};
use super::{Ask, World};

/// The lines of a CSV text that no field breaks.
pub fn lines(text: &str) -> Vec<&str> {
    assert!(text.ends_with("\r\n"), "{text}");
    text.trim_end_matches("\r\n").split("\r\n").collect()
}

async fn redials(world: &World) -> Vec<CallId> {
    let first = record_call(world, |call| {
        ended(call);
        (call.result, call.talk_ms) = (Some(CallResult::Busy), 0);
    })
    .await;
    let mut calls = vec![first];
    for at in [60_000, 120_000] {
        let redial = |call: &mut CallRecord| {
            ended(call);
            call.session = first;
            call.started_at = START.plus_ms(at);
            call.ended_at = Some(START.plus_ms(at + 30_000));
            call.is_repeat = at == 120_000;
        };
        calls.push(record_call(world, redial).await);
    }
    calls
}

#[tokio::test]
async fn redials_are_one_row_that_can_be_opened() {
    let world = World::new().await;
    let calls = redials(&world).await;
    let other = record_call(&world, ended).await.to_string();
    let ids: Vec<String> = calls.iter().map(ToString::to_string).collect();

    let answer = world.local(Ask::get("/v1/sessions?limit=1")).await;
    assert_eq!(answer.json["data"][0]["id"], other);
    assert_eq!(answer.json["data"][0]["attempts"], 1);
    let cursor = answer.json["next_cursor"].as_str().unwrap();
    let answer = world.local(Ask::get(format!("/v1/sessions?limit=1&cursor={cursor}"))).await;
    assert_eq!(
        answer.json,
        json!({
            "data": [{
                "id": ids[0],
                "did": "+12025550100",
                "caller": { "number": "+12025550199", "name": "Ada" },
                "forwarding_flow": null,
                "tags": ["repeat"],
                "status": "ended",
                "started_at": "2026-11-21T14:03:07.120Z",
                "ended_at": "2026-11-21T14:05:37.120Z",
                "talk_sec": 48.24,
                "result": "answered",
                "attempts": 3,
                "calls": ids,
            }],
            "next_cursor": null,
            "has_more": false,
        })
    );
    let answer = world.local(Ask::get(format!("/v1/calls?session={}", ids[0]))).await;
    let listed: Vec<&str> = answer.json["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| call["id"].as_str().unwrap())
        .collect();
    assert_eq!(listed, [&ids[2], &ids[1], &ids[0]]);
    assert_eq!(answer.json["data"][0]["tags"], json!(["repeat"]));

    let answer = world.local(Ask::get("/v1/sessions?session=x&test=maybe")).await;
    answer.assert_problem(400, "invalid_query");
    assert_eq!(answer.faults(), [("?session", "unknown_key")]);
}

#[tokio::test]
async fn calls_are_exported_whole_and_no_name_is_a_formula() {
    let world = World::new().await;
    // More than are read at a time.
    for no in 0..1_203 {
        record_call(&world, |call| {
            ended(call);
            call.started_at = START.plus_ms(no);
        })
        .await;
    }
    let answer = world.local(Ask::get("/v1/calls.csv?test=exclude")).await;
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8; header=present");
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"calls.csv\"");
    let all = lines(&answer.text);
    assert_eq!(all.len(), 1_204);
    assert!(all[1].contains("2026-11-21T14:03:08.322Z"), "newest first: {}", all[1]);
    let unique: std::collections::BTreeSet<&str> = all.iter().copied().collect();
    assert_eq!(unique.len(), all.len());

    let id = record_call(&world, |call| {
        ended(call);
        call.caller.name = "=cmd|' /C calc'!A0,\"Zoë\"".to_owned();
        call.did = "-12".parse().unwrap();
        call.flow = Some((ForwardingFlowId::new(1), "@sales".into()));
        call.is_test = true;
        call.is_repeat = true;
    })
    .await;
    let answer = world.local(Ask::get("/v1/calls.csv?test=only")).await;
    let head = "id,session,started_at,answered_at,ended_at,did,caller_number,caller_name,\
        forwarding_flow_id,forwarding_flow,destination_id,destination,status,result,ended_by,cause,\
        duration_sec,talk_sec,cost,currency,tags";
    let row = |number: &str| {
        format!(
            "{id},{id},2026-11-21T14:03:07.120Z,2026-11-21T14:03:14.520Z,2026-11-21T14:03:38.640Z,\
             '-12,{number},\"'=cmd|' /C calc'!A0,\"\"Zoë\"\"\",flw_00000000000000000000000001,\
             '@sales,,,ended,answered,caller,16,31.520,24.120,,,test repeat"
        )
    };
    assert_eq!(lines(&answer.text), [head, &row("+12025550199")]);
    let answer = world.local(Ask::get("/v1/calls.csv?test=only&excel=1")).await;
    assert_eq!(lines(&answer.text), [&format!("\u{feff}{head}"), &row("'+12025550199")]);
    let answer = world.local(Ask::get("/v1/calls.csv?excel=2&from=x&limit=5")).await;
    answer.assert_problem(400, "invalid_query");
    let answer = world.local(Ask::get("/v1/calls.csv?excel=2&from=x")).await;
    assert_eq!(answer.faults(), [("?excel", "unknown_value"), ("?from", "invalid")]);
}

#[tokio::test]
async fn a_report_has_a_row_for_every_day_and_says_what_is_wrong_with_a_question() {
    let world = World::new().await;
    redials(&world).await;
    record_call(&world, |call| {
        ended(call);
        call.is_test = true;
    })
    .await;
    let path = "/v1/reports/calls?by=day&from=2026-11-20T12:00:00Z&to=2026-11-22T00:00:00Z\
        &zone=America/Chicago";
    let answer = world.local(Ask::get(path)).await;
    let row = |from: &str, to: &str, local: &str, figures: [Value; 6], results: Value| {
        let [calls, sessions, answered, rate, talk_sec, minutes] = figures;
        json!({
            "period": { "from": from, "to": to, "local": local },
            "calls": calls, "sessions": sessions, "answered": answered,
            "answered_per_mille": rate, "talk_sec": talk_sec, "talk_minutes": minutes,
            "billed_sec": 0, "costs": [], "results": results,
        })
    };
    let (noon, night, end) =
        ("2026-11-20T12:00:00.000Z", "2026-11-21T06:00:00.000Z", "2026-11-22T00:00:00.000Z");
    let none = [json!(0), json!(0), json!(0), json!(null), json!(0), json!("0.00")];
    let some = [json!(3), json!(1), json!(2), json!(667), json!(48), json!("0.80")];
    assert_eq!(
        answer.json,
        json!({
            "by": "day", "from": noon, "to": end, "zone": "America/Chicago",
            "rows": [
                row(noon, night, "2026-11-20", none, json!({})),
                row(night, end, "2026-11-21", some, json!({ "answered": 2, "busy": 1 })),
            ],
        })
    );
    let answer = world.local(Ask::get(path.replace("calls?", "calls.csv?"))).await;
    assert_eq!(
        lines(&answer.text),
        [
            "period,from,to,id,name,forwarding_flow_id,forwarding_flow,calls,sessions,answered,\
             answered_per_mille,talk_sec,talk_minutes,billed_sec,cost,currency,result_answered,\
             result_unrouted,result_abandoned,result_no_answer,result_busy,result_declined,\
             result_failed,result_no_credit,result_full,result_rate_limited,result_capped,\
             result_closed,result_paused,result_refused_caller",
            &format!("2026-11-20,{noon},{night},,,,,0,0,0,,0,0.00,0,,{}", ",0".repeat(14)),
            &format!(
                "2026-11-21,{night},{end},,,,,3,1,2,667,48,0.80,0,,,2,0,0,0,1{}",
                ",0".repeat(9)
            ),
        ]
    );
    let path = "/v1/reports/calls?by=flow&from=2026-11-20T12:00:00Z\
        &to=2026-11-22T00:00:00Z&test=only";
    let answer = world.local(Ask::get(path)).await;
    assert_eq!(answer.json["rows"][0]["id"], Value::Null);
    assert_eq!(answer.json["rows"][0]["calls"], 1);
    let path = "/v1/reports/calls?by=hour&from=2026-11-01T06:00:00Z&to=2026-11-01T08:00:00Z\
        &zone=America/Chicago";
    let answer = world.local(Ask::get(path)).await;
    let hours: Vec<&str> = answer.json["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["period"]["local"].as_str().unwrap())
        .collect();
    assert_eq!(hours, ["2026-11-01T01:00-05:00", "2026-11-01T01:00-06:00"], "the hour comes twice");

    for (query, faults) in [
        ("by=week&zone=Mars/Base&flow=x&test=include&from=now", 5),
        ("from=2026-11-22T00:00:00Z&to=2026-11-22T00:00:00Z", 1),
        ("by=hour&from=2026-01-01T00:00:00Z&to=2026-06-01T00:00:00Z", 1),
    ] {
        let answer = world.local(Ask::get(format!("/v1/reports/calls?{query}"))).await;
        answer.assert_problem(400, "invalid_query");
        assert_eq!(answer.faults().len(), faults, "{}", answer.text);
    }
}

/// Names are unique only in their flow.
#[tokio::test]
async fn a_report_by_destination_says_of_which_flow_each_is() {
    let world = World::new().await;
    let mut calls = Vec::new();
    for (flow, name) in [(1, "sales"), (2, "=support")] {
        let call = record_call(&world, |call| {
            ended(call);
            call.flow = Some((ForwardingFlowId::new(flow), name.into()));
        })
        .await;
        let leg = |no, destination, outcome| LegRecord {
            destination,
            outcome: Some(outcome),
            name: "desk".into(),
            ..answered_leg(call, no)
        };
        let to = DestinationId::new(flow);
        let missed = [leg(1, Some(to), Outcome::Busy), leg(2, None, Outcome::Answered)];
        for leg in missed {
            let record = Record::Leg { account: DEFAULT_ACCOUNT, leg };
            world.db.record("node-1", &[record]).await.unwrap();
        }
        calls.push(call);
    }
    let path = "/v1/reports/calls?by=destination&from=2026-11-21T00:00:00Z&to=2026-11-22T00:00:00Z";
    let answer = world.local(Ask::get(path)).await;
    let rows = answer.json["rows"].as_array().unwrap();
    let seen: Vec<_> = rows
        .iter()
        .map(|row| (row["id"].as_str(), row["name"].as_str(), row["forwarding_flow"].clone()))
        .collect();
    let flow = |no, name| json!({ "id": ForwardingFlowId::new(no).to_string(), "name": name });
    let [one, two] = [1, 2].map(|no| DestinationId::new(no).to_string());
    let (sales, support) = (flow(1, "sales"), flow(2, "=support"));
    let desk = Some("desk");
    assert_eq!(
        seen,
        [
            (None, None, sales.clone()),
            (Some(&*one), desk, sales),
            (None, None, support.clone()),
            (Some(&*two), desk, support),
        ]
    );
    let answer = world.local(Ask::get(path.replace("calls?", "calls.csv?"))).await;
    let flow = ForwardingFlowId::new(2);
    let line = format!(",,,{two},desk,{flow},'=support,1,1,0,0,0,0.00,0,,,1{}", ",0".repeat(13));
    assert_eq!(lines(&answer.text)[4], line, "{}", answer.text);

    // One destination alone: by day too, and its calls.
    let answer = world.local(Ask::get(format!("{path}&destination={two}"))).await;
    assert_eq!(answer.json["rows"].as_array().unwrap().len(), 1);
    let by_day = path.replace("by=destination", "by=day");
    let answer = world.local(Ask::get(format!("{by_day}&destination={two}"))).await;
    assert_eq!(answer.json["rows"][0]["calls"], 1);
    assert_eq!(answer.json["rows"][0]["answered"], 0, "not there");
    for list in ["calls", "sessions"] {
        let answer = world.local(Ask::get(format!("/v1/{list}?destination={two}"))).await;
        let data = answer.json["data"].as_array().unwrap();
        assert_eq!((data.len(), &data[0]["id"]), (1, &json!(calls[1].to_string())), "{list}");
        let answer = world.local(Ask::get(format!("/v1/{list}?destination=desk"))).await;
        assert_eq!(answer.faults(), [("?destination", "invalid")]);
    }
}

#[tokio::test]
async fn an_exported_call_says_who_answered_and_what_it_cost() {
    let world = World::new().await;
    let call = record_call(&world, ended).await;
    let destination = Some(DestinationId::new(7));
    let busy = LegRecord {
        outcome: Some(Outcome::LostRace),
        name: "loser".into(),
        ..answered_leg(call, 1)
    };
    let answered = LegRecord { destination, name: "-desk".into(), ..answered_leg(call, 2) };
    for leg in [busy, answered] {
        let record = Record::Leg { account: DEFAULT_ACCOUNT, leg };
        world.db.record("node-1", &[record]).await.unwrap();
    }
    for no in [1, 2] {
        bill(&world, call, no, |_| {}).await;
    }
    let answer = world.local(Ask::get("/v1/calls.csv")).await;
    let end = "dst_00000000000000000000000007,'-desk,ended,answered,caller,16,31.520,24.120,\
        0.0276,USD,";
    assert!(lines(&answer.text)[1].ends_with(end), "{}", answer.text);
    let answer = world.local(Ask::get("/v1/calls.csv?destination=dst_00000000000000000000000008"));
    assert_eq!(lines(&answer.await.text).len(), 1);
}

#[tokio::test]
async fn a_report_without_a_period_is_about_the_last_thirty_days_of_the_account() {
    let world = World::new().await;
    let answer = world.local(Ask::get("/v1/reports/calls")).await;
    assert_eq!(answer.json["zone"], "UTC");
    let rows = answer.json["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 30);
    let moment = |row: &Value, end: &str| -> Timestamp {
        let text = row["period"][end].as_str().unwrap();
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    };
    assert_eq!(moment(&rows[0], "from").0 % 86_400_000, 0);
    assert_eq!(moment(&rows[0], "to"), moment(&rows[1], "from"));
}
