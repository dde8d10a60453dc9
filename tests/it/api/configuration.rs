//! Servers, trunks, forwarding flows, destinations and numbers.

use axum::http::StatusCode;
use divert::model::account::DEFAULT_ACCOUNT;
use divert::model::id::{CallId, DestinationId, ForwardingFlowId, ServerId};
use serde_json::{Value, json};

use super::{Ask, World};

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_resource_lives_from_post_to_delete() {
    let world = World::new().await;
    let trunk = json!({ "name": "carrier", "endpoint": "carrier-1", "max_live": 10 });
    let made = world.local(Ask::post("/v1/trunks").json(&trunk)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let id = made.id();
    assert!(id.starts_with("trk_"));
    assert_eq!(made.header("location"), format!("/v1/trunks/{id}"));

    let path = format!("/v1/trunks/{id}");
    let read = world.local(Ask::get(&path)).await;
    assert_eq!(read.json, made.json);
    assert_eq!(read.header("etag"), made.header("etag"));

    let patched = world.local(Ask::patch(&path).json(&json!({ "max_live": null }))).await;
    assert_eq!(patched.status, StatusCode::OK, "{}", patched.text);
    let left = json!({
        "id": id, "name": "carrier", "endpoint": "carrier-1", "carries_toll_free": false,
    });
    assert_eq!(patched.json, left);
    assert_ne!(patched.header("etag"), made.header("etag"));

    let replacement = json!({ "name": "carrier", "address": "10.0.0.9:5080" });
    let replaced = world.local(Ask::put(&path).json(&replacement)).await;
    assert_eq!(replaced.json["address"], "10.0.0.9:5080", "{}", replaced.text);
    assert_eq!(replaced.json["endpoint"], Value::Null);

    let removed = world.local(Ask::delete(&path)).await;
    assert_eq!((removed.status, removed.text.as_str()), (StatusCode::NO_CONTENT, ""));
    for ask in [Ask::get(&path), Ask::put(&path).json(&replacement), Ask::delete(&path)] {
        world.local(ask).await.assert_problem(404, "not_found");
    }
    assert_eq!(world.changes(), 4, "the node hears of every change, and of nothing else");
}

#[tokio::test]
async fn what_changes_nothing_is_not_written() {
    let world = World::new().await;
    let flow = world.flow().await;
    let path = format!("/v1/forwarding-flows/{}", text(&flow["id"]));
    let (_, version) = world.db.configuration(DEFAULT_ACCOUNT).await.unwrap();
    let changes = world.changes();
    let answer = world.local(Ask::put(&path).json(&flow)).await;
    assert_eq!((answer.status, &answer.json), (StatusCode::OK, &flow));
    assert_eq!(world.db.configuration(DEFAULT_ACCOUNT).await.unwrap().1, version);
    assert_eq!(world.changes(), changes);
}

#[tokio::test]
async fn destinations_can_be_changed_alone_and_show_in_their_flow() {
    let world = World::new().await;
    let flow = world.flow().await;
    let home = format!("/v1/forwarding-flows/{}", text(&flow["id"]));
    let list = format!("{home}/destinations");
    let second = json!({ "name": "second", "server": "slave-a", "did": "1002", "weight": 30 });
    let made = world.local(Ask::post(&list).json(&second)).await;
    let id = made.id();
    assert_eq!(made.header("location"), format!("{list}/{id}"));

    let path = format!("{list}/{id}");
    let paused = world.local(Ask::patch(&path).json(&json!({ "state": "paused" }))).await;
    assert_eq!(paused.json["state"], "paused", "{}", paused.text);
    assert_eq!(paused.json["weight"], 30);

    let page = world.local(Ask::get(&list)).await;
    let names: Vec<&str> = page.json["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|destination| destination["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["second", "first"], "newest first");
    let whole = world.local(Ask::get(&home)).await;
    assert_eq!(whole.json["destinations"][1], paused.json);

    assert_eq!(world.local(Ask::delete(&path)).await.status, StatusCode::NO_CONTENT);
    world.local(Ask::get(&path)).await.assert_problem(404, "not_found");
    let stranger = ForwardingFlowId::new(77);
    let other = path.replace(&text(&flow["id"]), &stranger.to_string());
    world.local(Ask::get(other)).await.assert_problem(404, "not_found");
    let nowhere = format!("/v1/forwarding-flows/{stranger}/destinations");
    world.local(Ask::get(&nowhere)).await.assert_problem(404, "not_found");
    world.local(Ask::post(&nowhere).json(&second)).await.assert_problem(404, "not_found");
}

#[tokio::test]
async fn numbers_are_listed_with_their_owner() {
    let world = World::new().await;
    world.flow().await;
    let page = world.local(Ask::get("/v1/numbers")).await;
    let numbers = page.json["data"].as_array().unwrap();
    assert_eq!(numbers.len(), 1);
    assert_eq!(numbers[0]["did"], "+12025550100");
    assert_eq!(numbers[0]["server"], "pbx");
    assert_eq!(numbers[0]["forwarding_flow"], "sales");
}

#[tokio::test]
async fn lists_of_the_configuration_come_in_pages_too() {
    let world = World::new().await;
    for at in 0..5 {
        let trunk = json!({ "name": format!("t{at}"), "address": format!("10.0.0.{at}") });
        world.local(Ask::post("/v1/trunks").json(&trunk)).await.id();
    }
    let mut names = Vec::new();
    let mut path = "/v1/trunks?limit=2".to_owned();
    loop {
        let page = world.local(Ask::get(&path)).await;
        let data = page.json["data"].as_array().unwrap().clone();
        names.extend(data.iter().map(|trunk| text(&trunk["name"])));
        let Some(cursor) = page.json["next_cursor"].as_str() else { break };
        assert_eq!(data.len(), 2);
        path = format!("/v1/trunks?limit=2&cursor={cursor}");
    }
    assert_eq!(names, ["t4", "t3", "t2", "t1", "t0"]);
    // A cursor of another list is none of this one.
    let cursor = path.split("cursor=").nth(1).unwrap();
    let answer = world.local(Ask::get(format!("/v1/servers?cursor={cursor}"))).await;
    answer.assert_problem(400, "invalid_query");
}

#[tokio::test]
async fn every_fault_of_a_flow_is_told_at_once_with_its_place_and_a_hint() {
    let world = World::new().await;
    world.flow().await;
    let flow = json!({
        "name": "",
        "master": "nobody",
        "dids": ["+12025550101", "not a number"],
        "spred": "weighted",
        "ring_timeout_sec": 4,
        "destinations": [
            { "name": "a", "server": "nowhere", "did": "1001" },
            { "name": "b", "server": "slave-a", "did": "1002", "weight": 1001 },
        ],
    });
    let before = world.db.configuration(DEFAULT_ACCOUNT).await.unwrap();
    let answer = world.local(Ask::post("/v1/forwarding-flows").json(&flow)).await;
    answer.assert_problem(422, "invalid");
    let faults = answer.faults();
    for pointer in [
        "/name",
        "/master",
        "/dids/1",
        "/spred",
        "/ring_timeout_sec",
        "/destinations/0/server",
        "/destinations/1/weight",
    ] {
        assert!(faults.iter().any(|(at, _)| *at == pointer), "{pointer} in {faults:?}");
    }
    for error in answer.json["errors"].as_array().unwrap() {
        assert!(!error["message"].as_str().unwrap().is_empty());
        assert!(!error["hint"].as_str().unwrap().is_empty(), "{error}");
    }
    assert_eq!(world.db.configuration(DEFAULT_ACCOUNT).await.unwrap(), before);
}

#[tokio::test]
async fn a_number_or_a_name_that_is_taken_is_a_conflict() {
    let world = World::new().await;
    world.flow().await;
    let thief = json!({
        "name": "support", "master": "pbx", "dids": ["+12025550100"],
        "destinations": [{ "server": "slave-a", "did": "1003" }],
    });
    let answer = world.local(Ask::post("/v1/forwarding-flows").json(&thief)).await;
    answer.assert_problem(409, "taken");
    let twin = json!({ "name": "pbx", "role": "master" });
    let answer = world.local(Ask::post("/v1/servers").json(&twin)).await;
    answer.assert_problem(409, "taken");
}

#[tokio::test]
async fn what_is_in_use_cannot_be_removed() {
    let world = World::new().await;
    world.flow().await;
    let servers = world.local(Ask::get("/v1/servers")).await;
    for server in servers.json["data"].as_array().unwrap() {
        let path = format!("/v1/servers/{}", text(&server["id"]));
        let answer = world.local(Ask::delete(path)).await;
        answer.assert_problem(409, "in_use");
        assert!(answer.json["detail"].as_str().unwrap().contains("sales"), "{}", answer.text);
    }
}

#[tokio::test]
async fn an_etag_guards_a_change_against_another_one() {
    let world = World::new().await;
    let id = text(&world.flow().await["id"]);
    let path = format!("/v1/forwarding-flows/{id}");
    let mine = world.local(Ask::get(&path)).await.header("etag").to_owned();
    assert!(mine.starts_with('"') && mine.ends_with('"'), "strong: {mine}");

    let rename = |name: &str| Ask::patch(&path).json(&json!({ "name": name }));
    let theirs = world.local(rename("theirs").header("if-match", mine.as_str())).await;
    assert_eq!(theirs.status, StatusCode::OK, "{}", theirs.text);

    for ask in [rename("mine"), Ask::put(&path).json(&theirs.json), Ask::delete(&path)] {
        let answer = world.local(ask.header("if-match", mine.as_str())).await;
        answer.assert_problem(412, "changed_meanwhile");
    }
    let weak = format!("W/{}", theirs.header("etag"));
    world
        .local(rename("mine").header("if-match", weak))
        .await
        .assert_problem(412, "changed_meanwhile");
    assert_eq!(world.local(Ask::get(&path)).await.json["name"], "theirs");

    let either = format!("{mine}, {}", theirs.header("etag"));
    let answer = world.local(rename("mine").header("if-match", either)).await;
    assert_eq!(answer.json["name"], "mine", "{}", answer.text);
    let answer = world.local(Ask::delete(&path).header("if-match", "*")).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn an_unchanged_representation_is_not_sent_again() {
    let world = World::new().await;
    let id = text(&world.flow().await["id"]);
    for path in [format!("/v1/forwarding-flows/{id}"), "/v1/servers".to_owned()] {
        let first = world.local(Ask::get(&path)).await;
        let etag = first.header("etag").to_owned();
        for tag in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
            let again = world.local(Ask::get(&path).header("if-none-match", tag)).await;
            assert_eq!((again.status, again.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
            assert_eq!(again.header("etag"), etag);
        }
        let other = world.local(Ask::get(&path).header("if-none-match", "\"x\"")).await;
        assert_eq!((other.status, other.json), (StatusCode::OK, first.json));
    }
}

#[tokio::test]
async fn an_id_of_another_kind_is_not_found_and_the_hint_says_where_it_is() {
    let world = World::new().await;
    let server = ServerId::new(5);
    let answer = world.local(Ask::get(format!("/v1/trunks/{server}"))).await;
    answer.assert_problem(404, "not_found");
    let hint = answer.json["hint"].as_str().unwrap();
    assert!(hint.contains("that is the id of a server; a trunk id is wanted here"), "{hint}");
    assert!(hint.contains(&format!("/v1/servers/{server}")), "{hint}");

    let flow = ForwardingFlowId::new(1);
    for path in [
        format!("/v1/calls/{}", DestinationId::new(1)),
        format!("/v1/forwarding-flows/{flow}/destinations/{flow}"),
        format!("/v1/keys/{}", CallId::new(1)),
        "/v1/servers/42".to_owned(),
        "/v1/servers/srv_%FF".to_owned(),
    ] {
        let method = if path.contains("keys") { Ask::delete(&path) } else { Ask::get(&path) };
        world.local(method).await.assert_problem(404, "not_found");
    }
}

#[tokio::test]
async fn an_id_cannot_be_changed_or_chosen() {
    let world = World::new().await;
    let id = text(&world.flow().await["id"]);
    let other = ForwardingFlowId::new(3).to_string();
    let path = format!("/v1/forwarding-flows/{id}");
    let answer = world.local(Ask::patch(path).json(&json!({ "id": other }))).await;
    answer.assert_problem(422, "invalid");
    assert_eq!(answer.faults()[0].0, "/id");
    let server = json!({ "id": ServerId::new(9).to_string(), "name": "x", "role": "master" });
    world.local(Ask::post("/v1/servers").json(&server)).await.assert_problem(422, "invalid");
}

/// Writers at the same time start over from what the others wrote: nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_the_same_time_lose_nothing() {
    let world = World::new().await;
    let writers = (0..4).map(|at| {
        let router = world.local.clone();
        let trunk = json!({ "name": format!("t{at}"), "address": "10.0.0.1" });
        tokio::spawn(async move { Ask::post("/v1/trunks").json(&trunk).send(&router).await })
    });
    for writer in writers.collect::<Vec<_>>() {
        let answer = writer.await.unwrap();
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    }
    let page = world.local(Ask::get("/v1/trunks")).await;
    assert_eq!(page.json["data"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn the_last_destination_of_a_flow_stays() {
    let world = World::new().await;
    let flow = world.flow().await;
    let (flow, destination) = (text(&flow["id"]), text(&flow["destinations"][0]["id"]));
    let path = format!("/v1/forwarding-flows/{flow}/destinations/{destination}");
    let answer = world.local(Ask::delete(&path)).await;
    answer.assert_problem(409, "no_destination");
    assert_eq!(world.local(Ask::get(&path)).await.status, StatusCode::OK);
}
