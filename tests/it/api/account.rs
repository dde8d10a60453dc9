//! The account's own settings: read by all of its keys, changed by whoever runs divert.

use axum::http::StatusCode;
use divert::api::Scope;
use divert::model::objects::account::{AccountSettings, DEFAULT_ACCOUNT};
use serde_json::{Value, json};

use super::{Ask, OTHER_ACCOUNT, World};

const PATH: &str = "/v1/account";

#[tokio::test]
async fn settings_are_read_patched_and_replaced() {
    let world = World::new().await;
    let deck = json!({ "name": "retail", "rates": [{ "prefix": "", "per_minute": "0.01" }] });
    world.local(Ask::post("/v1/rate-decks").json(&deck)).await.id();
    let new = json!({
        "time_zone": "UTC", "toll_free_termination": false, "prepaid": false, "currency": "USD",
    });
    let first = world.local(Ask::get(PATH)).await;
    assert_eq!((first.status, &first.json), (StatusCode::OK, &new), "{}", first.text);

    let patch = json!({ "max_live": 50, "time_zone": "Europe/Berlin", "rate_deck": "retail" });
    let told = world.changes();
    let patched = world.local(Ask::patch(PATH).json(&patch)).await;
    let mut expected = new.clone();
    for (key, value) in patch.as_object().unwrap() {
        expected[key] = value.clone();
    }
    assert_eq!((patched.status, &patched.json), (StatusCode::OK, &expected), "{}", patched.text);
    let read = world.local(Ask::get(PATH)).await;
    assert_eq!((&read.json, read.header("etag")), (&expected, patched.header("etag")));
    assert_eq!(world.changes(), told + 1);
    let kept = world.db.configuration(DEFAULT_ACCOUNT).await.unwrap().0;
    assert_eq!((kept.account.max_live, kept.account.time_zone.name()), (Some(50), "Europe/Berlin"));
    assert_eq!(kept.account.rate_deck, Some(kept.rate_decks[0].id));

    // The tag of before is no longer good; what is replaced takes defaults for the rest.
    let put = Ask::put(PATH).json(&json!({ "prepaid": true }));
    let stale = put.clone().header("if-match", first.header("etag"));
    world.local(stale).await.assert_problem(412, "changed_meanwhile");
    let fresh = put.header("if-match", read.header("etag"));
    let replaced = world.local(fresh).await;
    expected = new;
    expected["prepaid"] = json!(true);
    assert_eq!((replaced.status, &replaced.json), (StatusCode::OK, &expected), "{}", replaced.text);

    let other = world.db.configuration(OTHER_ACCOUNT).await.unwrap().0;
    assert_eq!(other.account, AccountSettings::default(), "each account has its own");
}

#[tokio::test]
async fn only_an_administrator_changes_them() {
    let world = World::new().await;
    let others = [Scope::CallsRead, Scope::CallsTest, Scope::DestinationsPause, Scope::FlowsWrite];
    let all_but_one = world.key(&others).await;
    let nothing = world.key(&[]).await;
    let admin = world.key(&[Scope::Admin]).await;
    let body = json!({ "max_live": 5 });
    for ask in [Ask::patch(PATH).json(&body), Ask::put(PATH).json(&body)] {
        let refused = world.keyed(ask.clone().bearer(&all_but_one)).await;
        refused.assert_problem(403, "missing_scope");
        assert!(refused.json["detail"].as_str().unwrap().contains("admin"), "{}", refused.text);
        assert_eq!(world.keyed(ask.bearer(&admin)).await.status, StatusCode::OK);
    }
    assert_eq!(world.keyed(Ask::get(PATH).bearer(&nothing)).await.status, StatusCode::OK);
    world.keyed(Ask::get(PATH)).await.assert_problem(401, "key_missing");
}

#[tokio::test]
async fn every_fault_of_the_settings_is_told_at_once() {
    let world = World::new().await;
    let bad = json!({
        "time_zone": "Mars/Base", "max_live": 0, "currency": "dollars", "rate_deck": "none such",
        "prepaid": "yes", "tollfree": true,
    });
    let answer = world.local(Ask::put(PATH).json(&bad)).await;
    answer.assert_problem(422, "invalid");
    let faults = answer.faults();
    for key in bad.as_object().unwrap().keys() {
        let pointer = format!("/{key}");
        assert!(faults.iter().any(|(at, _)| *at == pointer), "{pointer} in {faults:?}");
    }
    for error in answer.json["errors"].as_array().unwrap() {
        assert!(error["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{error}");
    }
    let kept = world.db.configuration(DEFAULT_ACCOUNT).await.unwrap().0;
    assert_eq!(kept.account, AccountSettings::default());
}

#[tokio::test]
async fn toll_free_destinations_need_the_switch() {
    let world = World::new().await;
    let flow = world.flow().await;
    let list = format!("/v1/forwarding-flows/{}/destinations", flow["id"].as_str().unwrap());
    let bad = json!({ "name": "free", "toll_free": "8005550199", "weight": 1001 });
    let refused = world.local(Ask::post(&list).json(&bad)).await;
    refused.assert_problem(403, "toll_free_not_enabled");
    assert_eq!(refused.json["title"], "Toll-free termination is not enabled");
    let faults = refused.faults();
    assert!(faults.iter().any(|(_, code)| *code == "toll_free_not_enabled"), "{faults:?}");
    assert!(faults.iter().any(|(at, _)| *at == "/weight"), "the others are told too: {faults:?}");

    let good = json!({ "name": "free", "toll_free": "+1 800-555-0199" });
    world.local(Ask::post(&list).json(&good)).await.assert_problem(403, "toll_free_not_enabled");
    let on = Ask::patch(PATH).json(&json!({ "toll_free_termination": true }));
    assert_eq!(world.local(on).await.status, StatusCode::OK);
    let made = world.local(Ask::post(&list).json(&good)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(made.json["toll_free"], "8005550199");
    assert_eq!((&made.json["trunk"], &made.json["number"]), (&Value::Null, &Value::Null));
}
