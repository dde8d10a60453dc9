//! Why, and who is next: the same decision as for a call, and nothing of it committed.

use serde_json::{Value, json};

use super::{Ask, World};

const DID: &str = "+12025550100";

/// A flow with two slaves of weight 2 and 1, and a number behind them; its id.
async fn flow(world: &World, settings: Value) -> String {
    for trunk in ["to-a", "to-b"] {
        let trunk = json!({ "name": trunk, "endpoint": trunk });
        world.local(Ask::post("/v1/trunks").json(&trunk)).await.id();
    }
    for server in [
        json!({ "name": "pbx", "role": "master" }),
        json!({ "name": "a", "role": "slave", "trunk": "to-a" }),
        json!({ "name": "b", "role": "slave", "trunk": "to-b" }),
    ] {
        world.local(Ask::post("/v1/servers").json(&server)).await.id();
    }
    let mut flow = json!({
        "name": "solar", "master": "pbx", "dids": [DID],
        "destinations": [
            { "server": "a", "did": "1001", "weight": 2 },
            { "server": "b", "did": "1001", "max_live": 4 },
            { "name": "last", "trunk": "to-a", "number": "1002", "priority": 2 },
        ],
    });
    for (key, value) in settings.as_object().into_iter().flatten() {
        flow[key] = value.clone();
    }
    world.local(Ask::post("/v1/forwarding-flows").json(&flow)).await.id()
}

async fn explain(world: &World, question: Value) -> Value {
    let answer = world.local(Ask::post("/v1/explain").json(&question)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json
}

fn verdicts(answer: &Value) -> Vec<(&str, &str)> {
    let candidates = answer["candidates"].as_array().unwrap().iter();
    candidates
        .map(|one| (one["name"].as_str().unwrap(), one["verdict"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn an_explanation_tells_the_choice_and_what_follows() {
    let world = World::new().await;
    flow(&world, json!({})).await;
    let question = json!({ "did": DID, "caller": { "number": "+12025550142" } });
    let first = explain(&world, question.clone()).await;
    assert_eq!(first["forwarding_flow"]["name"], "solar");
    assert_eq!(first["caller_key"], "12025550142");
    assert_eq!(first["destination"]["name"], "a");
    assert_eq!(first["destination"]["endpoint"], "PJSIP/1001@to-a");
    assert_eq!(
        verdicts(&first),
        [("a", "chosen"), ("b", "not_its_turn"), ("last", "lower_priority")]
    );
    let then: Vec<&str> =
        first["then"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(then, ["b", "last"]);
    assert_eq!(first["fallback"], "dialplan");
    assert_eq!(first["ends"], "all_tried");
    assert_eq!(first["would"]["turns_wheel"], true);

    // However often it is asked, the wheel stays where it is.
    for _ in 0..3 {
        assert_eq!(explain(&world, question.clone()).await["candidates"], first["candidates"]);
    }
}

#[tokio::test]
async fn the_moment_of_the_call_decides_over_what_is_open() {
    let world = World::new().await;
    let schedule = json!({ "hours": { "mon-fri": "09:00-17:00" } });
    flow(&world, json!({ "schedule": schedule, "time_zone": "America/Chicago" })).await;
    let at = |at: &str| json!({ "did": DID, "at": at });
    // A Friday, at 9:00 in Chicago and a second before.
    let open = explain(&world, at("2031-11-21T15:00:00Z")).await;
    assert_eq!((open["destination"]["name"].as_str(), &open["reason"]), (Some("a"), &Value::Null));
    let closed = explain(&world, at("2031-11-21T14:59:59Z")).await;
    assert_eq!(closed["destination"], Value::Null);
    assert_eq!(closed["reason"], "flow_closed");
    assert_eq!(closed["zone"], "America/Chicago");
    let hours = json!({ "hours": ["09:00-17:00"], "opens_at": "2031-11-21T15:00:00.000Z" });
    assert_eq!((&closed["closed"], &open["closed"]), (&hours, &Value::Null));
    // On Friday evening it is the Monday.
    let evening = explain(&world, at("2031-11-21T23:00:00Z")).await;
    assert_eq!(evening["closed"]["opens_at"], "2031-11-24T15:00:00.000Z");
    assert_eq!(closed["then"], json!([]));
}

#[tokio::test]
async fn a_number_that_nobody_owns_goes_back_to_the_dialplan() {
    let world = World::new().await;
    let answer = explain(&world, json!({ "did": "999" })).await;
    assert_eq!(answer["forwarding_flow"], Value::Null);
    assert_eq!(answer["candidates"], json!([]));
    assert_eq!(answer["did_you_mean"], Value::Null);
    flow(&world, json!({})).await;
    let answer = explain(&world, json!({ "did": DID.trim_start_matches('+') })).await;
    assert_eq!((&answer["forwarding_flow"], &answer["did_you_mean"]), (&Value::Null, &json!(DID)));
}

#[tokio::test]
async fn a_number_of_another_node_is_not_called_unowned() {
    let world = World::new().await;
    let id = flow(&world, json!({})).await;
    let other = json!({ "name": "pbx-2", "role": "master" });
    world.local(Ask::post("/v1/servers").json(&other)).await.id();
    let path = format!("/v1/forwarding-flows/{id}");
    let moved = world.local(Ask::patch(&path).json(&json!({ "master": "pbx-2" }))).await;
    assert_eq!(moved.status, 200, "{}", moved.text);
    let answer = world.local(Ask::post("/v1/explain").json(&json!({ "did": DID }))).await;
    assert_eq!((answer.status.as_u16(), &answer.json["code"]), (409, &json!("not_served")));
}

#[tokio::test]
async fn a_moment_that_is_past_is_refused() {
    let world = World::new().await;
    flow(&world, json!({})).await;
    let question = json!({ "did": DID, "at": "2026-11-20T15:00:00Z" });
    let answer = world.local(Ask::post("/v1/explain").json(&question)).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert_eq!(answer.json["errors"][0]["code"], "past");
}

#[tokio::test]
async fn every_fault_of_a_question_is_told() {
    let world = World::new().await;
    let question = json!({ "at": "yesterday", "callr": 1, "caller": { "number": "a b" } });
    let answer = world.local(Ask::post("/v1/explain").json(&question)).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    let pointers: Vec<&str> = answer.json["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/at", "/caller/number", "/callr", "/did"]);
}

#[tokio::test]
async fn the_live_view_foretells_the_next_twenty() {
    let world = World::new().await;
    let id = flow(&world, json!({})).await;
    let answer = world.local(Ask::get(format!("/v1/forwarding-flows/{id}/live"))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let live = answer.json;
    assert_eq!(live["next"]["name"], "a");
    let names: String = live["upcoming"]
        .as_array()
        .unwrap()
        .iter()
        .map(|next| next["name"].as_str().unwrap())
        .collect();
    // Four of b are all it may have.
    assert_eq!(names, "abaabaabaabaaaaaaaaa");
    assert_eq!(live["ends"], Value::Null);
    let shares: Vec<u64> = live["destinations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["share_permille"].as_u64().unwrap())
        .collect();
    assert_eq!(shares, [666, 333, 0]);
    let limits = live["destinations"][1]["limits"].as_array().unwrap();
    let own = limits.iter().find(|limit| limit["scope"] == "destination").unwrap();
    assert_eq!((&own["live"], &own["max"]), (&json!(0), &json!(4)));
}

#[tokio::test]
async fn a_flow_that_takes_nobody_says_why() {
    let world = World::new().await;
    let id = flow(&world, json!({})).await;
    let path = format!("/v1/forwarding-flows/{id}/destinations");
    let all = world.local(Ask::get(&path)).await.json;
    for one in all["data"].as_array().unwrap() {
        let pause = format!("{path}/{}/pause", one["id"].as_str().unwrap());
        world.local(Ask::post(&pause)).await;
    }
    let live = world.local(Ask::get(format!("/v1/forwarding-flows/{id}/live"))).await.json;
    assert_eq!((&live["next"], &live["reason"]), (&Value::Null, &json!("all_paused")));
    assert_eq!(live["ends_with"], json!({ "paused": 3 }));
    assert_eq!(live["destinations"][0]["reason"], "paused");
    let gone = "/v1/forwarding-flows/flw_00000000000000000000000009/live";
    assert_eq!(world.local(Ask::get(gone)).await.status, 404);
}
