//! Placing test calls.

use axum::http::StatusCode;
use divert::api::{TestCallRefused, TestCallRequest};
use divert::model::id::ForwardingFlowId;
use divert::model::number::Caller;
use divert::model::objects::account::DEFAULT_ACCOUNT;
use serde_json::json;

use super::{Ask, World};

#[tokio::test]
async fn a_test_call_is_placed_as_asked() {
    let world = World::new().await;
    let flow = world.flow().await["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/forwarding-flows/{flow}/test-calls");
    let answer = world.local(Ask::post(&path)).await;
    let id = answer.id();
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(answer.header("location"), format!("/v1/calls/{id}"));
    assert_eq!(answer.json["forwarding_flow"], json!(flow));
    assert_eq!(answer.json["tags"], json!(["test"]));

    let document = json!({
        "did": "+12025550100", "caller": { "number": "+12025550199", "name": "Ada" },
    });
    world.local(Ask::post(&path).json(&document)).await.id();
    let flow: ForwardingFlowId = flow.parse().unwrap();
    let asked = TestCallRequest {
        did: Some("+12025550100".parse().unwrap()),
        caller: Some(Caller { number: "+12025550199".into(), name: "Ada".into() }),
    };
    assert_eq!(
        *world.node.placed.lock().unwrap(),
        [(DEFAULT_ACCOUNT, flow, TestCallRequest::default()), (DEFAULT_ACCOUNT, flow, asked)]
    );
}

#[tokio::test]
async fn a_refusal_of_the_node_is_told() {
    let world = World::new().await;
    let flow = world.flow().await["id"].as_str().unwrap().to_owned();
    let refused = TestCallRefused {
        code: "asterisk_unreachable",
        message: "Asterisk is not connected.".into(),
    };
    *world.node.refuse.lock().unwrap() = Some(refused);
    let answer = world.local(Ask::post(format!("/v1/forwarding-flows/{flow}/test-calls"))).await;
    answer.assert_problem(409, "asterisk_unreachable");
    assert_eq!(answer.json["detail"], "Asterisk is not connected.");
}

#[tokio::test]
async fn every_fault_of_a_test_call_is_told_at_once() {
    let world = World::new().await;
    let flow = world.flow().await["id"].as_str().unwrap().to_owned();
    let document = json!({
        "did": "800", "caller": { "number": 5, "nam": "x" }, "calls": 100,
    });
    let path = format!("/v1/forwarding-flows/{flow}/test-calls");
    let answer = world.local(Ask::post(&path).json(&document)).await;
    answer.assert_problem(422, "invalid");
    assert_eq!(
        answer.faults(),
        [
            ("/caller/nam", "unknown_key"),
            ("/caller/number", "wrong_type"),
            ("/calls", "unknown_key"),
            ("/did", "unknown_value"),
        ]
    );
    for (caller, place) in [
        (json!({ "number": "+1\r\nX-Evil: 1" }), "/caller/number"),
        (json!({ "number": "1 or 2" }), "/caller/number"),
        (json!({ "number": "1", "name": "a".repeat(81) }), "/caller/name"),
        (json!({ "number": "1", "name": "a${X}" }), "/caller/name"),
    ] {
        let answer = world.local(Ask::post(&path).json(&json!({ "caller": caller }))).await;
        answer.assert_problem(422, "invalid");
        assert_eq!(answer.faults(), [(place, "invalid")]);
    }
    assert!(world.node.placed.lock().unwrap().is_empty());
    let nowhere = format!("/v1/forwarding-flows/{}/test-calls", ForwardingFlowId::new(4));
    world.local(Ask::post(nowhere)).await.assert_problem(404, "not_found");
}
