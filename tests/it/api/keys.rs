//! Keys made, listed and revoked over the API.

use axum::http::StatusCode;
use divert::model::objects::account::DEFAULT_ACCOUNT;
use serde_json::{Value, json};

use super::{Ask, World};

#[tokio::test]
async fn a_key_is_shown_once_works_and_is_revoked() {
    let world = World::new().await;
    let document = json!({ "name": "ci", "scopes": ["calls:read"] });
    let made = world.local(Ask::post("/v1/keys").json(&document)).await;
    let id = made.id();
    let plain = made.json["key"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), format!("/v1/keys/{id}"));
    assert_eq!(plain.len(), 4 + 26 + 1 + 52);
    assert!(plain.contains(id.strip_prefix("key_").unwrap()));

    let calls = Ask::get("/v1/calls").bearer(&plain);
    assert_eq!(world.keyed(calls.clone()).await.status, StatusCode::OK);
    let list = world.local(Ask::get("/v1/keys")).await;
    assert_eq!(list.json["data"][0]["id"], json!(id));
    assert_eq!(list.json["data"][0]["scopes"], json!(["calls:read"]));
    assert_eq!(list.json["data"][0]["revoked_at"], Value::Null);
    let secret = plain.rsplit('_').next().unwrap();
    assert!(!list.text.contains(secret));
    let kept = world.db.keys(DEFAULT_ACCOUNT).await.unwrap();
    assert!(!format!("{kept:?}").contains(secret));

    for _ in 0..2 {
        let revoked = world.local(Ask::delete(format!("/v1/keys/{id}"))).await;
        assert_eq!(revoked.status, StatusCode::NO_CONTENT, "{}", revoked.text);
    }
    world.keyed(calls).await.assert_problem(401, "key_revoked");
    let list = world.local(Ask::get("/v1/keys")).await;
    assert!(list.json["data"][0]["revoked_at"].is_string());
}

#[tokio::test]
async fn every_fault_of_a_key_is_told_at_once() {
    let world = World::new().await;
    let document = json!({
        "name": " ",
        "scopes": ["admin", "root", 7],
        "expires_at": "2020-01-01T00:00:00Z",
        "ttl": 5,
    });
    let answer = world.local(Ask::post("/v1/keys").json(&document)).await;
    answer.assert_problem(422, "invalid");
    assert_eq!(
        answer.faults(),
        [
            ("/expires_at", "out_of_range"),
            ("/name", "out_of_range"),
            ("/scopes/1", "unknown_value"),
            ("/scopes/2", "unknown_value"),
            ("/ttl", "unknown_key"),
        ]
    );
    assert!(world.db.keys(DEFAULT_ACCOUNT).await.unwrap().is_empty());
}
