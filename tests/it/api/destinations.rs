//! Switching destinations: at once, by whoever may do only that, and without touching anything else.

use axum::http::StatusCode;
use divert::api::Scope;
use divert::model::id::{DestinationId, ForwardingFlowId};
use divert::model::objects::account::DEFAULT_ACCOUNT;
use serde_json::json;

use super::{Ask, World};

const ACTIONS: [(&str, &str); 4] =
    [("pause", "paused"), ("drain", "draining"), ("disable", "disabled"), ("resume", "active")];

/// The flow of [`World::flow`] with weight 70 at its destination; the paths of both.
async fn flow(world: &World) -> (String, String) {
    let flow = world.flow().await;
    let home = format!("/v1/forwarding-flows/{}", flow["id"].as_str().unwrap());
    let destination =
        format!("{home}/destinations/{}", flow["destinations"][0]["id"].as_str().unwrap());
    let weight = json!({ "weight": 70 });
    assert_eq!(world.local(Ask::patch(&destination).json(&weight)).await.status, StatusCode::OK);
    (home, destination)
}

#[tokio::test]
async fn a_destination_is_switched_and_keeps_all_the_rest() {
    let world = World::new().await;
    let (home, path) = flow(&world).await;
    let mut expected = world.local(Ask::get(&path)).await.json;
    let before = world.db.configuration(DEFAULT_ACCOUNT).await.unwrap().0;
    let numbers = world.db.versions().await.unwrap()[&DEFAULT_ACCOUNT].numbers;
    for (action, state) in ACTIONS {
        let told = world.changes();
        let answer = world.local(Ask::post(format!("{path}/{action}"))).await;
        expected["state"] = json!(state);
        assert_eq!((answer.status, &answer.json), (StatusCode::OK, &expected), "{}", answer.text);
        let read = world.local(Ask::get(&path)).await;
        assert_eq!((&read.json, read.header("etag")), (&expected, answer.header("etag")));
        assert_eq!(world.local(Ask::get(&home)).await.json["destinations"][0], expected);
        assert_eq!(world.changes(), told + 1, "the node hears of it");

        let again = world.local(Ask::post(format!("{path}/{action}"))).await;
        assert_eq!((again.status, again.json), (StatusCode::OK, answer.json));
        assert_eq!(world.changes(), told + 1, "nothing has changed");
    }
    // Resumed, it is what it was: weight, DIDs and all.
    assert_eq!(world.db.configuration(DEFAULT_ACCOUNT).await.unwrap().0, before);
    assert_eq!(world.db.versions().await.unwrap()[&DEFAULT_ACCOUNT].numbers, numbers);
}

#[tokio::test]
async fn a_flow_is_switched_and_keeps_its_numbers() {
    let world = World::new().await;
    let (home, _) = flow(&world).await;
    let mut expected = world.local(Ask::get(&home)).await.json;
    assert_eq!(expected["state"], "active");
    let switcher = world.key(&[Scope::DestinationsPause]).await;
    for (action, state) in [("pause", "paused"), ("resume", "active")] {
        let told = world.changes();
        let ask = Ask::post(format!("{home}/{action}")).bearer(&switcher);
        let answer = world.keyed(ask).await;
        expected["state"] = json!(state);
        assert_eq!((answer.status, &answer.json), (StatusCode::OK, &expected), "{}", answer.text);
        assert_eq!(world.changes(), told + 1, "the node hears of it");
        let read = world.local(Ask::get(&home)).await;
        assert_eq!((&read.json, read.header("etag")), (&expected, answer.header("etag")));
    }
    let reader = world.key(&[Scope::CallsRead]).await;
    let refused = world.keyed(Ask::post(format!("{home}/pause")).bearer(&reader)).await;
    refused.assert_problem(403, "missing_scope");
    let gone = "/v1/forwarding-flows/flw_00000000000000000000000009/pause";
    world.local(Ask::post(gone)).await.assert_problem(404, "not_found");
}

#[tokio::test]
async fn who_may_only_switch_can_do_nothing_else() {
    let world = World::new().await;
    let (_, path) = flow(&world).await;
    let reader = world.key(&[Scope::CallsRead, Scope::CallsTest]).await;
    let switcher = world.key(&[Scope::DestinationsPause]).await;
    let writer = world.key(&[Scope::FlowsWrite]).await;
    for (action, _) in ACTIONS {
        let ask = || Ask::post(format!("{path}/{action}"));
        let refused = world.keyed(ask().bearer(&reader)).await;
        refused.assert_problem(403, "missing_scope");
        assert!(refused.json["detail"].as_str().unwrap().contains("destinations:pause"));
        for key in [&switcher, &writer] {
            assert_eq!(world.keyed(ask().bearer(key)).await.status, StatusCode::OK);
        }
    }
    let patch = Ask::patch(&path).json(&json!({ "weight": 1 })).bearer(&switcher);
    world.keyed(patch).await.assert_problem(403, "missing_scope");
}

#[tokio::test]
async fn what_is_not_there_cannot_be_switched() {
    let world = World::new().await;
    let (home, path) = flow(&world).await;
    let stranger = ForwardingFlowId::new(77);
    let elsewhere = path.replace(home.rsplit('/').next().unwrap(), &stranger.to_string());
    for path in [
        format!("{home}/destinations/{}", DestinationId::new(77)),
        format!("{home}/destinations/{stranger}"),
        elsewhere,
    ] {
        for (action, _) in ACTIONS {
            let answer = world.local(Ask::post(format!("{path}/{action}"))).await;
            answer.assert_problem(404, "not_found");
        }
    }
    world.local(Ask::post(format!("{path}/explode"))).await.assert_problem(404, "unknown_path");
    world.local(Ask::get(format!("{path}/pause"))).await.assert_problem(405, "method_not_allowed");
}
