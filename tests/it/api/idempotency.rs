//! `Idempotency-Key`.

use axum::http::StatusCode;
use divert::api::{Scope, TestCallRefused};
use divert::model::id::CallId;
use divert::model::objects::account::DEFAULT_ACCOUNT;
use serde_json::{Value, json};

use super::{Ask, OTHER_ACCOUNT, World};

#[tokio::test]
async fn a_repetition_gets_the_same_answer_and_changes_nothing() {
    let world = World::new().await;
    let server = json!({ "name": "pbx", "role": "master" });
    let ask = Ask::post("/v1/servers").json(&server).header("idempotency-key", "k1");
    let first = world.local(ask.clone()).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    assert_eq!(first.header("idempotency-replayed"), "");
    let again = world.local(ask).await;
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    assert_eq!(again.header("idempotency-replayed"), "true");
    for name in ["content-type", "etag", "location"] {
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
    assert_eq!(world.changes(), 1);
}

#[tokio::test]
async fn a_refusal_is_not_kept_so_that_the_mended_request_is_carried_out() {
    let world = World::new().await;
    let post =
        |path: &str, body: &Value| Ask::post(path).json(body).header("idempotency-key", "k1");
    let server = json!({ "name": "pbx", "role": "master" });
    let reads = world.key(&[Scope::CallsRead]).await;
    for key in [None, Some(reads)] {
        let as_either = async |ask: Ask| match &key {
            Some(key) => world.keyed(ask.bearer(key)).await,
            None => world.local(ask).await,
        };
        let (wrong, status) = if key.is_some() { (&server, 403) } else { (&json!({}), 422) };
        for _ in 0..2 {
            let refused = as_either(post("/v1/servers", wrong)).await;
            assert_eq!(refused.status, status, "{}", refused.text);
            assert_eq!(refused.header("idempotency-replayed"), "");
        }
        let nowhere = format!("/v1/calls/{}/end", CallId::new(1));
        as_either(post(&nowhere, &json!({}))).await.assert_problem(
            if key.is_some() { 403 } else { 404 },
            if key.is_some() { "missing_scope" } else { "not_found" },
        );
    }
    // Mended, it is carried out, and that is kept.
    let made = world.local(post("/v1/servers", &server)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let again = world.local(post("/v1/servers", &server)).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    world
        .local(post("/v1/servers", &json!({})))
        .await
        .assert_problem(422, "idempotency_key_reused");
}

#[tokio::test]
async fn each_api_key_has_idempotency_keys_of_its_own() {
    let world = World::new().await;
    let server = |name: &str| json!({ "name": name, "role": "master" });
    let post =
        |name: &str| Ask::post("/v1/servers").json(&server(name)).header("idempotency-key", "1");
    let keys = [world.key(&[Scope::FlowsWrite]).await, world.key(&[Scope::FlowsWrite]).await];
    let mut made = vec![world.local(post("local")).await];
    for (key, name) in keys.iter().zip(["a", "b"]) {
        made.push(world.keyed(post(name).bearer(key)).await);
        let again = world.keyed(post(name).bearer(key)).await;
        assert_eq!(again.header("idempotency-replayed"), "true");
    }
    let names: Vec<_> = made.iter().map(|made| made.json["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["local", "a", "b"]);
    // What one was answered, the other is not told.
    world.keyed(post("local").bearer(&keys[0])).await.assert_problem(422, "idempotency_key_reused");
    world.keyed(post("a").bearer(&keys[1])).await.assert_problem(422, "idempotency_key_reused");
}

#[tokio::test]
async fn the_same_key_for_another_request_is_refused() {
    let world = World::new().await;
    let ask = |path: &str, name: &str| {
        let server = json!({ "name": name, "role": "master" });
        Ask::post(path).json(&server).header("idempotency-key", "k1")
    };
    world.local(ask("/v1/servers", "a")).await.id();
    let reused = "idempotency_key_reused";
    world.local(ask("/v1/servers", "b")).await.assert_problem(422, reused);
    world.local(ask("/v1/trunks", "a")).await.assert_problem(422, reused);
    // Another account has keys of its own.
    let (other, _) = world.key_of(OTHER_ACCOUNT, &[Scope::FlowsWrite], None).await;
    world.keyed(ask("/v1/servers", "a").bearer(&other)).await.id();
}

#[tokio::test]
async fn a_key_has_1_to_255_characters() {
    let world = World::new().await;
    let long = "k".repeat(256);
    for bad in ["", long.as_str(), "é"] {
        let ask = Ask::post("/v1/servers").json(&json!({})).header("idempotency-key", bad);
        world.local(ask).await.assert_problem(400, "idempotency_key_invalid");
    }
    let ask = Ask::post("/v1/servers").json(&json!({ "name": "a", "role": "master" }));
    world.local(ask.header("idempotency-key", &long[1..])).await.id();
}

#[tokio::test]
async fn while_the_first_is_being_executed_the_second_is_refused() {
    let world = World::new().await;
    let flow = world.flow().await["id"].as_str().unwrap().to_owned();
    let ask = Ask::post(format!("/v1/forwarding-flows/{flow}/test-calls"))
        .header("idempotency-key", "k1");
    let held = world.node.hold().await;
    let (router, first) = (world.local.clone(), ask.clone());
    let first = tokio::spawn(async move { first.send(&router).await });
    world.node.asked().await;
    let second = world.local(ask.clone()).await;
    second.assert_problem(409, "request_in_progress");
    assert_eq!(second.header("retry-after"), "1");
    drop(held);
    let first = first.await.unwrap();
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    assert_eq!(world.local(ask).await.text, first.text);
    assert_eq!(world.node.placed.lock().unwrap().len(), 1, "one call was placed");
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_a_finished_request() {
    let world = World::new().await;
    let flow = world.flow().await["id"].as_str().unwrap().to_owned();
    let ask = Ask::post(format!("/v1/forwarding-flows/{flow}/test-calls"))
        .header("idempotency-key", "k1");
    let held = world.node.hold().await;
    let (router, first) = (world.local.clone(), ask.clone());
    let first = tokio::spawn(async move { first.send(&router).await });
    world.node.asked().await;
    first.abort();
    assert!(first.await.is_err());
    drop(held);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let answer = world.local(ask.clone()).await;
        if answer.status == StatusCode::CREATED {
            assert_eq!(answer.header("idempotency-replayed"), "true");
            break;
        }
        answer.assert_problem(409, "request_in_progress");
        assert!(tokio::time::Instant::now() < deadline);
    }
    assert_eq!(world.node.placed.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_had_no_effect_may_be_repeated() {
    let world = World::new().await;
    let flow = world.flow().await["id"].as_str().unwrap().to_owned();
    let ask = Ask::post(format!("/v1/forwarding-flows/{flow}/test-calls"))
        .header("idempotency-key", "k1");
    for (code, status, told) in [("panic", 500, "internal"), ("full", 409, "full")] {
        let refused = TestCallRefused { code, message: "on purpose".into() };
        *world.node.refuse.lock().unwrap() = Some(refused);
        world.local(ask.clone()).await.assert_problem(status, told);
    }
    *world.node.refuse.lock().unwrap() = None;
    assert_eq!(world.local(ask).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn the_secret_of_a_new_key_is_not_kept_for_the_repetition() {
    let world = World::new().await;
    let ask = Ask::post("/v1/keys").json(&json!({ "name": "ci" })).header("idempotency-key", "k1");
    let first = world.local(ask.clone()).await;
    let plain = first.json["key"].as_str().unwrap();
    assert!(plain.starts_with("dvk_"));
    let again = world.local(ask).await;
    assert_eq!(again.status, StatusCode::CREATED);
    assert_eq!(again.json["id"], first.json["id"]);
    assert_eq!(again.json["key"], Value::Null);
    assert_eq!(world.db.keys(DEFAULT_ACCOUNT).await.unwrap().len(), 1);
}
