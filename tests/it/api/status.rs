//! How it all stands, on one page.

use divert::api::Scope;
use serde_json::{Value, json};

use super::{Ask, OTHER_ACCOUNT, World};

#[tokio::test]
async fn one_page_tells_of_node_asterisk_store_trunks_calls_and_problems() {
    let world = World::new().await;
    let flow = world.flow().await;
    world.node.readiness.lock().unwrap().asterisk = Err("no connection to Asterisk".to_owned());
    let mut answer = world.local(Ask::get("/v1/status")).await.json;
    let trunk = answer["trunks"][0].as_object_mut().unwrap().remove("id").unwrap();
    assert!(trunk.as_str().unwrap().starts_with("trk_"));
    let version = answer["node"].as_object_mut().unwrap().remove("version").unwrap();
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    assert_eq!(
        answer,
        json!({
            "node": { "name": "a", "up_since": "1970-01-01T00:00:00.000Z" },
            "asterisk": {
                "connected": false, "reason": "no connection to Asterisk", "version": "22.10.1",
                "up_since": "2026-11-21T01:00:00.000Z",
            },
            "store": {
                "ok": true, "reason": null,
                "rows": { "waiting": 0, "spooled": 0, "lost": 0 },
            },
            "nodes": [],
            "live_calls": 2,
            "flows": [{ "id": flow["id"], "name": "sales", "live": 2 }],
            "trunks": [{ "name": "to-slave-a", "state": "unknown", "until": null, "live": 0 }],
            "problems": [{
                "at": "1970-01-01T00:00:00.001Z", "first_at": "1970-01-01T00:00:00.000Z",
                "level": "warning", "text": "a trunk is offline", "times": 2,
            }],
        })
    );
}

#[tokio::test]
async fn the_log_and_the_nodes_are_shown_to_who_runs_divert_only() {
    let world = World::new().await;
    world.flow().await;
    let (other, _) = world.key_of(OTHER_ACCOUNT, &[Scope::Admin], None).await;
    let answer = world.keyed(Ask::get("/v1/status").bearer(&other)).await.json;
    for empty in ["nodes", "flows", "trunks", "problems"] {
        assert_eq!(answer[empty], json!([]), "{empty}");
    }
    let reader = world.key(&[Scope::CallsRead]).await;
    let answer = world.keyed(Ask::get("/v1/status").bearer(&reader)).await.json;
    assert_eq!(answer["problems"], json!([]));
    assert_eq!(answer["trunks"].as_array().map(Vec::len), Some(1));
    let admin = world.key(&[Scope::Admin]).await;
    let answer = world.keyed(Ask::get("/v1/status").bearer(&admin)).await.json;
    assert_eq!(answer["problems"].as_array().map(Vec::len), Some(1));
    let writer = world.key(&[Scope::FlowsWrite]).await;
    let refused = world.keyed(Ask::get("/v1/status").bearer(&writer)).await;
    refused.assert_problem(403, "missing_scope");
    assert_ne!(answer["node"], Value::Null);
}
