//! Servers, trunks, forwarding flows, destinations and numbers.

use axum::http::StatusCode;
use divert::model::id::{CallId, DestinationId, ForwardingFlowId, ServerId};
use divert::model::objects::account::DEFAULT_ACCOUNT;
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
async fn a_number_is_added_moved_and_removed_by_itself() {
    let world = World::new().await;
    let sales = world.flow().await;
    let second = json!({
        "name": "support", "master": "pbx",
        "destinations": [{ "server": "slave-a", "did": "1003" }],
    });
    let support = world.local(Ask::post("/v1/forwarding-flows").json(&second)).await.id();
    let flow = |id: &str| Ask::get(format!("/v1/forwarding-flows/{id}"));
    let dids = async |id: &str| world.local(flow(id)).await.json["dids"].clone();
    let sales = text(&sales["id"]);

    let number = json!({ "did": "+12025550101", "forwarding_flow": "sales" });
    let made = world.local(Ask::post("/v1/numbers").json(&number)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let id = made.id();
    assert_eq!(made.header("location"), format!("/v1/numbers/{id}"));
    let whole = json!({ "id": id, "did": "+12025550101", "server": "pbx",
        "forwarding_flow": "sales" });
    assert_eq!(made.json, whole);
    assert_eq!(dids(&sales).await, json!(["+12025550100", "+12025550101"]));

    // Whoever it belongs to is named.
    let thief = json!({ "did": "+12025550101", "forwarding_flow": support });
    let answer = world.local(Ask::post("/v1/numbers").json(&thief)).await;
    answer.assert_problem(409, "taken");
    let fault = &answer.json["errors"][0];
    assert_eq!(fault["message"], "+12025550101 belongs to forwarding flow sales");
    assert!(fault["hint"].as_str().unwrap().contains(&id), "{fault}");

    // However it is typed.
    let unquoted = json!({ "did": 12_025_550_199_u64, "forwarding_flow": "sales" });
    let bare = world.local(Ask::post("/v1/numbers").json(&unquoted)).await;
    assert_eq!((bare.status, &bare.json["did"]), (StatusCode::CREATED, &json!("12025550199")));
    let answer = world.local(Ask::post("/v1/numbers").json(&unquoted)).await;
    answer.assert_problem(409, "taken");
    let remove = Ask::delete(format!("/v1/numbers/{}", bare.id()));
    assert_eq!(world.local(remove).await.status, StatusCode::NO_CONTENT);

    let path = format!("/v1/numbers/{id}");
    let read = world.local(Ask::get(&path)).await;
    assert_eq!((&read.json, read.header("etag")), (&whole, made.header("etag")));
    let to = |flow: Value| Ask::patch(&path).json(&json!({ "forwarding_flow": flow }));
    let moved = world.local(to(json!("support"))).await;
    assert_eq!(moved.json["forwarding_flow"], "support", "{}", moved.text);
    assert_eq!(dids(&sales).await, json!(["+12025550100"]));
    assert_eq!(dids(&support).await, json!(["+12025550101"]));
    let late = to(json!("sales")).header("if-match", read.header("etag"));
    world.local(late).await.assert_problem(412, "changed_meanwhile");
    let idle = world.local(to(Value::Null)).await;
    assert_eq!(idle.json.get("forwarding_flow"), None, "{}", idle.text);
    assert_eq!(dids(&support).await, json!([]));
    let replaced = world.local(Ask::put(&path).json(&number)).await;
    assert_eq!(replaced.json, whole, "{}", replaced.text);

    // To a flow of another master it goes with its server.
    let master = json!({ "name": "pbx-2", "role": "master" });
    world.local(Ask::post("/v1/servers").json(&master)).await.id();
    let third = json!({
        "name": "elsewhere", "master": "pbx-2", "dids": ["+12025550100"],
        "destinations": [{ "server": "slave-a", "did": "1004" }],
    });
    let elsewhere = world.local(Ask::post("/v1/forwarding-flows").json(&third)).await.id();
    let moved = world.local(to(json!("elsewhere"))).await;
    assert_eq!((moved.id(), &moved.json["server"]), (id.clone(), &json!("pbx-2")));
    assert_eq!(dids(&elsewhere).await, json!(["+12025550100", "+12025550101"]));
    let both = world.local(Ask::get("/v1/numbers?did=%2B12025550100")).await;
    let other = both.json["data"][0]["id"].as_str().unwrap();
    let path_of_other = format!("/v1/numbers/{other}");
    let answer = world.local(Ask::patch(path_of_other).json(&json!({ "forwarding_flow": sales })));
    answer.await.assert_problem(409, "taken");

    for (change, pointer) in [
        (json!({ "did": "+12025550109" }), "/did"),
        (json!({ "did": "a b" }), "/did"),
        (json!({ "forwarding_flow": "nobody" }), "/forwarding_flow"),
        (json!({ "owner": "sales" }), "/owner"),
        (json!({ "server": "slave-a", "forwarding_flow": null }), "/server"),
    ] {
        let answer = world.local(Ask::patch(&path).json(&change)).await;
        answer.assert_problem(422, "invalid");
        assert_eq!(answer.faults()[0].0, pointer, "{}", answer.text);
    }
    let nowhere = world.local(Ask::post("/v1/numbers").json(&json!({ "did": "+1" }))).await;
    assert_eq!(nowhere.faults(), [("/server", "missing")]);
    let empty = world.local(Ask::post("/v1/numbers").json(&json!({}))).await;
    empty.assert_problem(422, "invalid");

    let gone = world.local(Ask::delete(&path)).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(dids(&elsewhere).await, json!(["+12025550100"]));
    world.local(Ask::get(&path)).await.assert_problem(404, "not_found");
    world.local(Ask::delete(&path)).await.assert_problem(404, "not_found");
}

#[tokio::test]
async fn numbers_come_in_pages_and_by_owner() {
    let world = World::new().await;
    let sales = text(&world.flow().await["id"]);
    for no in 0..5 {
        let number = json!({ "did": format!("idle-{no}"), "server": "pbx" });
        world.local(Ask::post("/v1/numbers").json(&number)).await.id();
    }
    let mut seen = Vec::new();
    let mut path = "/v1/numbers?limit=4".to_owned();
    loop {
        let page = world.local(Ask::get(&path)).await;
        let data = page.json["data"].as_array().unwrap();
        seen.extend(data.iter().map(|number| text(&number["did"])));
        let Some(cursor) = page.json["next_cursor"].as_str() else { break };
        path = format!("/v1/numbers?limit=4&cursor={cursor}");
    }
    assert_eq!(seen, ["idle-4", "idle-3", "idle-2", "idle-1", "idle-0", "+12025550100"]);
    for (filter, wanted) in [
        (format!("forwarding_flow={sales}"), vec!["+12025550100"]),
        ("did=idle-3".to_owned(), vec!["idle-3"]),
        ("did=IDLE-3".to_owned(), vec![]),
        (format!("did=idle-3&forwarding_flow={sales}"), vec![]),
    ] {
        let page = world.local(Ask::get(format!("/v1/numbers?{filter}"))).await;
        let data = page.json["data"].as_array().unwrap();
        let dids: Vec<&str> = data.iter().map(|number| number["did"].as_str().unwrap()).collect();
        assert_eq!(dids, wanted, "{filter}");
    }
    let answer = world.local(Ask::get("/v1/numbers?forwarding_flow=sales&did=a%20b")).await;
    assert_eq!(answer.faults(), [("?did", "invalid"), ("?forwarding_flow", "invalid")]);
}

/// What is allowed and probably not meant is said in the answer, and is no part of the thing.
#[tokio::test]
async fn a_change_is_answered_with_warnings() {
    let world = World::new().await;
    let flow = world.flow().await;
    assert_eq!(flow.get("warnings"), None, "nothing is odd about it");
    let path = format!("/v1/forwarding-flows/{}", text(&flow["id"]));
    let odd = json!({ "dids": ["ABC", "abc"], "ring_timeout_sec": 60, "ring_budget_sec": 30 });
    let changed = world.local(Ask::patch(&path).json(&odd)).await;
    let warnings = changed.json["warnings"].as_array().unwrap();
    let codes: Vec<_> = warnings
        .iter()
        .map(|one| (one["code"].as_str().unwrap(), one["pointer"].as_str().unwrap()))
        .collect();
    assert_eq!(codes, [("case_only", "/dids/1"), ("no_effect", "/ring_timeout_sec")]);
    assert!(warnings.iter().all(|one| !one["hint"].as_str().unwrap().is_empty()));

    let read = world.local(Ask::get(&path)).await;
    assert_eq!(read.json.get("warnings"), None);
    assert_eq!(read.header("etag"), changed.header("etag"), "the tag is that of the flow");
    // Who sends back what he got asks for nothing new.
    let again = Ask::put(&path).json(&changed.json).header("if-match", changed.header("etag"));
    let again = world.local(again).await;
    assert_eq!((again.status, &again.json), (StatusCode::OK, &changed.json), "{}", again.text);
    let (_, version) = world.db.configuration(DEFAULT_ACCOUNT).await.unwrap();
    let renamed = json!({ "name": "odd", "master": "pbx", "warnings": [],
        "destinations": [{ "server": "slave-a", "did": "1009" }] });
    let ask = Ask::post("/v1/forwarding-flows").json(&renamed).header("idempotency-key", "once");
    let (made, repeated) = (world.local(ask.clone()).await, world.local(ask).await);
    assert_eq!(made.json, repeated.json);
    assert_eq!(world.db.configuration(DEFAULT_ACCOUNT).await.unwrap().1, version + 1);

    let account = world.local(Ask::patch("/v1/account").json(&json!({ "prepaid": true }))).await;
    assert_eq!(account.json.get("warnings"), None, "{}", account.text);
    let account = world.local(Ask::patch("/v1/account").json(&json!({ "prepaid": false }))).await;
    assert_eq!(account.json["warnings"][0]["code"], "prepaid_off", "{}", account.text);
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

#[tokio::test]
async fn flows_are_found_by_tags_and_kinds_without_tags_have_no_such_filter() {
    let world = World::new().await;
    let flow = world.flow().await;
    let path = format!("/v1/forwarding-flows/{}", text(&flow["id"]));
    let tagged = world.local(Ask::patch(&path).json(&json!({ "tags": ["west", "night"] }))).await;
    assert_eq!(tagged.json["tags"], json!(["night", "west"]), "{}", tagged.text);
    for (query, wanted) in [("tag=west", 1), ("tag=we", 0), ("limit=1&tag=night", 1)] {
        let page = world.local(Ask::get(format!("/v1/forwarding-flows?{query}"))).await;
        assert_eq!(page.json["data"].as_array().unwrap().len(), wanted, "{query}");
    }
    let answer = world.local(Ask::get("/v1/forwarding-flows?tag=We&limit=0")).await;
    assert_eq!(answer.faults(), [("?limit", "out_of_range"), ("?tag", "invalid")]);
    let answer = world.local(Ask::get("/v1/servers?tag=west")).await;
    answer.assert_problem(400, "invalid_query");
}

/// Hours with a name: who names them cannot lose them.
#[tokio::test]
async fn a_schedule_is_named_by_a_flow_and_stays_while_it_is() {
    let world = World::new().await;
    let flow = world.flow().await;
    let office = json!({ "name": "office", "hours": { "mon-fri": "08:00-18:00" } });
    let made = world.local(Ask::post("/v1/schedules").json(&office)).await;
    let schedule = format!("/v1/schedules/{}", made.id());
    let path = format!("/v1/forwarding-flows/{}", text(&flow["id"]));
    let changed = world.local(Ask::patch(&path).json(&json!({ "schedule": "office" }))).await;
    assert_eq!(changed.json["schedule"], "office", "{}", changed.text);
    // By its name it is known under any name.
    world.local(Ask::patch(&schedule).json(&json!({ "name": "desk" }))).await.id();
    assert_eq!(world.local(Ask::get(&path)).await.json["schedule"], "desk");
    let refused = world.local(Ask::delete(&schedule)).await;
    refused.assert_problem(409, "in_use");
    assert!(refused.text.contains("forwarding flow sales"), "{}", refused.text);
    world.local(Ask::patch(&path).json(&json!({ "schedule": null }))).await.id();
    assert_eq!(world.local(Ask::delete(&schedule)).await.status, StatusCode::NO_CONTENT);
}
