//! Who changed what, and taking it back.

use axum::http::StatusCode;
use divert::api::Scope;
use serde_json::{Value, json};

use super::{Answer, Ask, World};

async fn list(world: &World, query: &str) -> Vec<Value> {
    let page = world.local(Ask::get(format!("/v1/changes{query}"))).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    page.json["data"].as_array().unwrap().clone()
}

async fn undo(world: &World, version: &Value) -> Answer {
    world.local(Ask::post(format!("/v1/changes/{version}/undo"))).await
}

#[tokio::test]
async fn a_change_says_who_made_it_and_what_was_before() {
    let world = World::new().await;
    world.flow().await;
    let (key, id) = world.key_of(super::DEFAULT_ACCOUNT, &[Scope::FlowsWrite], None).await;
    let path = {
        let servers = world.local(Ask::get("/v1/servers")).await;
        let all = servers.json["data"].as_array().unwrap().clone();
        let slave = all.iter().find(|one| one["name"] == "slave-a").unwrap();
        format!("/v1/servers/{}", slave["id"].as_str().unwrap())
    };
    let ask = Ask::patch(&path).json(&json!({ "max_live": 7 })).bearer(&key);
    let changed = world.keyed(ask).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);

    let newest = &list(&world, "?limit=1").await[0];
    let by = json!({ "key": id.to_string(), "name": "test" });
    assert_eq!(newest["by"], by);
    assert_eq!((&newest["kind"], &newest["name"]), (&json!("server"), &json!("slave-a")));
    assert_eq!((&newest["action"], &newest["id"]), (&json!("change"), &changed.json["id"]));

    let whole = world.local(Ask::get(format!("/v1/changes/{}", newest["version"]))).await;
    let one = &whole.json["changes"][0];
    assert_eq!(one["before"]["max_live"], Value::Null, "{}", whole.text);
    assert_eq!(one["after"]["max_live"], 7);
    // What it refers to is told by its name.
    assert_eq!(one["after"]["trunk"], "to-slave-a", "{}", whole.text);
    assert_eq!(one["after"]["id"], changed.json["id"]);

    // The operator on the machine says who he is.
    let ask = Ask::patch(&path).json(&json!({ "max_live": 8 })).header("divert-user", "ada");
    world.local(ask).await.id();
    assert_eq!(list(&world, "?limit=1").await[0]["by"], json!({ "key": null, "name": "ada" }));
    world.local(Ask::patch(&path).json(&json!({ "max_live": 9 }))).await.id();
    assert_eq!(list(&world, "?limit=1").await[0]["by"]["name"], "local");
    // Who has a key is known by it.
    let ask = Ask::patch(&path).json(&json!({ "max_live": 10 })).bearer(&key);
    world.keyed(ask.header("divert-user", "eve")).await.id();
    assert_eq!(list(&world, "?limit=1").await[0]["by"], by);
}

#[tokio::test]
async fn changes_come_in_pages_and_by_kind_object_and_author() {
    let world = World::new().await;
    let flow = world.flow().await;
    let all = list(&world, "").await;
    // The flow and its number were made together.
    let kinds: Vec<_> = all.iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.len(), 5, "{all:?}");
    assert_eq!(all[0]["version"], all[1]["version"]);
    let versions: Vec<i64> = all.iter().map(|one| one["version"].as_i64().unwrap()).collect();
    assert!(versions.is_sorted_by(|a, b| a >= b), "{versions:?}");

    let mut seen = Vec::new();
    let mut path = "/v1/changes?limit=1".to_owned();
    loop {
        let page = world.local(Ask::get(&path)).await;
        seen.extend(page.json["data"].as_array().unwrap().clone());
        let Some(cursor) = page.json["next_cursor"].as_str() else { break };
        path = format!("/v1/changes?limit=1&cursor={cursor}");
    }
    assert_eq!(seen, all);

    let id = flow["id"].as_str().unwrap();
    for (query, wanted) in [
        ("?kind=server".to_owned(), 2),
        ("?kind=number".to_owned(), 1),
        ("?kind=account".to_owned(), 0),
        (format!("?object={id}"), 1),
        (format!("?object={id}&kind=server"), 0),
        ("?by=local".to_owned(), 5),
        ("?by=nobody".to_owned(), 0),
    ] {
        assert_eq!(list(&world, &query).await.len(), wanted, "{query}");
    }
    let answer = world.local(Ask::get("/v1/changes?kind=serve&object=x")).await;
    assert_eq!(answer.faults(), [("?kind", "unknown_value"), ("?object", "invalid")]);
    world.local(Ask::get("/v1/changes/99")).await.assert_problem(404, "not_found");
    world.local(Ask::get("/v1/changes/x")).await.assert_problem(404, "not_found");
}

#[tokio::test]
async fn a_change_is_taken_back_whole_or_not_at_all() {
    let world = World::new().await;
    let flow = world.flow().await;
    let path = format!("/v1/forwarding-flows/{}", flow["id"].as_str().unwrap());
    let change = json!({ "ring_timeout_sec": 20, "dids": ["+12025550100", "+12025550101"] });
    let changed = world.local(Ask::patch(&path).json(&change)).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    let version = list(&world, "?limit=1").await[0]["version"].clone();

    let undone = undo(&world, &version).await;
    assert_eq!(undone.status, StatusCode::OK, "{}", undone.text);
    assert_eq!(undone.json["version"], version.as_i64().unwrap() + 1);
    let line = &undone.json["changes"][0];
    assert_eq!(line["action"], "change", "{}", undone.text);
    assert!(line["text"].as_str().unwrap().contains("sales"), "{line}");
    assert_eq!(world.local(Ask::get(&path)).await.json, flow);

    // The way back is a change like any other, and has one itself.
    let again = undo(&world, &undone.json["version"]).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.text);
    assert_eq!(world.local(Ask::get(&path)).await.json, changed.json);

    // What came later stands in the way.
    world.local(Ask::patch(&path).json(&json!({ "ring_timeout_sec": 40 }))).await.id();
    let changed = world.local(Ask::get(&path)).await;
    let refused = undo(&world, &version).await;
    refused.assert_problem(409, "cannot_undo");
    assert!(!refused.faults().is_empty(), "{}", refused.text);
    assert_eq!(world.local(Ask::get(&path)).await.json, changed.json);
    undo(&world, &json!(99)).await.assert_problem(404, "not_found");
}

#[tokio::test]
async fn what_only_the_operator_changes_only_the_operator_takes_back() {
    let world = World::new().await;
    world.local(Ask::patch("/v1/account").json(&json!({ "max_live": 9 }))).await;
    let version = list(&world, "?limit=1").await[0]["version"].clone();
    let path = format!("/v1/changes/{version}/undo");
    let key = world.key(&[Scope::FlowsWrite]).await;
    world.keyed(Ask::post(&path).bearer(&key)).await.assert_problem(403, "missing_scope");
    let key = world.key(&[Scope::Admin]).await;
    let undone = world.keyed(Ask::post(&path).bearer(&key)).await;
    assert_eq!(undone.status, StatusCode::OK, "{}", undone.text);
    assert_eq!(world.local(Ask::get("/v1/account")).await.json.get("max_live"), None);
}
