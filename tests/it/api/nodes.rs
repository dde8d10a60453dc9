//! Nodes, which are of no account.

use axum::http::StatusCode;
use divert::api::Scope;
use divert::clock;
use divert::model::id::{CallId, DestinationId, LegId};
use divert::model::objects::account::DEFAULT_ACCOUNT;
use divert::model::slot::{self, Holding, Limit};
use divert::store::Record;
use serde_json::json;

use super::{Ask, World};

#[tokio::test]
async fn a_node_that_holds_slots_is_forgotten_by_force_only() {
    let world = World::new().await;
    let expires_at = clock::wall().plus_ms(60_000);
    let held = Holding {
        account: DEFAULT_ACCOUNT,
        leg: LegId { call: CallId::new(1), no: 1 },
        limits: vec![Limit { scope: slot::Scope::Destination(DestinationId::new(1)), max: None }],
        taken_at: clock::wall(),
        expires_at,
    };
    world
        .db
        .record("a", &[Record::Startup { of: "2026-11-21T01:00:00.000+0000".to_owned() }])
        .await
        .unwrap();
    world.db.settle_slots("b", &[&held], &[]).await.unwrap();
    let list = async || world.local(Ask::get("/v1/nodes")).await.json["data"].clone();
    let idle = json!({ "name": "a", "legs": 0, "until": null });
    assert_eq!(
        list().await,
        json!([idle, { "name": "b", "legs": 1, "until": expires_at.rfc3339() }])
    );

    let key = world.key(&[Scope::CallsRead, Scope::FlowsWrite]).await;
    for ask in [Ask::get("/v1/nodes"), Ask::delete("/v1/nodes/b")] {
        world.keyed(ask.bearer(&key)).await.assert_problem(403, "missing_scope");
    }
    world.db.record("a", &[Record::Alive { at: clock::wall() }]).await.unwrap();
    for force in ["", "?force=true"] {
        let refused = world.local(Ask::delete(format!("/v1/nodes/a{force}"))).await;
        refused.assert_problem(409, "serving");
    }
    world.local(Ask::delete("/v1/nodes/c")).await.assert_problem(404, "not_found");
    world.local(Ask::delete("/v1/nodes/b?force=1")).await.assert_problem(400, "invalid_query");
    let held = world.local(Ask::delete("/v1/nodes/b")).await;
    held.assert_problem(409, "in_use");
    assert!(held.json["detail"].as_str().unwrap().contains("1 live legs"), "{}", held.text);
    let gone = world.local(Ask::delete("/v1/nodes/b?force=true")).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{}", gone.text);
    assert_eq!(list().await, json!([idle]));
}
