//! Rate decks: what calls cost.

use axum::http::StatusCode;
use divert::api::Scope;
use serde_json::{Value, json};

use super::{Ask, World};

fn deck(name: &str) -> Value {
    json!({ "name": name, "rates": [
        { "prefix": "1800", "per_minute": "0.00", "increment": "1/1" },
        { "prefix": "", "per_minute": "0.0125" },
    ] })
}

#[tokio::test]
async fn a_deck_lives_from_post_to_delete() {
    let world = World::new().await;
    let made = world.local(Ask::post("/v1/rate-decks").json(&deck("retail"))).await;
    let id = made.id();
    assert!(id.starts_with("rtd_"), "{id}");
    let path = format!("/v1/rate-decks/{id}");
    assert_eq!(made.header("location"), path);
    let expected = json!({
        "id": id, "name": "retail", "bills_ring_time": false, "rounding": "up", "decimals": 4,
        "rates": [
            { "prefix": "", "per_minute": "0.0125", "increment": "60/60" },
            { "prefix": "1800", "per_minute": "0.00", "increment": "1/1" },
        ],
    });
    assert_eq!(made.json, expected);
    let list = world.local(Ask::get("/v1/rate-decks")).await;
    assert_eq!(list.json["data"], json!([expected]));

    let patched = world.local(Ask::patch(&path).json(&json!({ "rounding": "nearest" }))).await;
    assert_eq!((patched.status, &patched.json["rounding"]), (StatusCode::OK, &json!("nearest")));
    let replaced = world.local(Ask::put(&path).json(&deck("wholesale"))).await;
    assert_eq!(
        (&replaced.json["name"], &replaced.json["rounding"]),
        (&json!("wholesale"), &json!("up"))
    );

    let reader = world.key(&[Scope::CallsRead]).await;
    assert_eq!(world.keyed(Ask::get(&path).bearer(&reader)).await.json, replaced.json);
    let refused = world.keyed(Ask::delete(&path).bearer(&reader)).await;
    refused.assert_problem(403, "missing_scope");
    assert_eq!(world.local(Ask::delete(&path)).await.status, StatusCode::NO_CONTENT);
    world.local(Ask::get(&path)).await.assert_problem(404, "not_found");
}

#[tokio::test]
async fn a_deck_in_use_stays_and_its_users_are_named() {
    let world = World::new().await;
    let id = world.local(Ask::post("/v1/rate-decks").json(&deck("retail"))).await.id();
    let trunk = json!({ "name": "carrier", "endpoint": "c", "rate_deck": "retail" });
    let made = world.local(Ask::post("/v1/trunks").json(&trunk)).await;
    assert_eq!(made.json["rate_deck"], "retail", "{}", made.text);
    let path = format!("/v1/rate-decks/{id}");
    let refused = world.local(Ask::delete(&path)).await;
    refused.assert_problem(409, "in_use");
    assert!(refused.json["detail"].as_str().unwrap().contains("carrier"), "{}", refused.text);

    let free = json!({ "rate_deck": null });
    let trunk = format!("/v1/trunks/{}", made.id());
    assert_eq!(world.local(Ask::patch(trunk).json(&free)).await.status, StatusCode::OK);
    assert_eq!(world.local(Ask::delete(&path)).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn every_fault_of_a_deck_is_told_at_once() {
    let world = World::new().await;
    world.local(Ask::post("/v1/rate-decks").json(&deck("retail"))).await.id();
    let bad = json!({ "name": "", "decimals": 7, "rounding": "sideways", "rates": [
        { "prefix": "abc", "per_minute": "0.01" },
        { "prefix": "1", "per_minute": "-1" },
        { "prefix": "2", "per_minute": "0.01", "increment": "0/6" },
    ] });
    let answer = world.local(Ask::post("/v1/rate-decks").json(&bad)).await;
    answer.assert_problem(422, "invalid");
    let faults = answer.faults();
    for pointer in [
        "/name",
        "/decimals",
        "/rounding",
        "/rates/0/prefix",
        "/rates/1/per_minute",
        "/rates/2/increment",
    ] {
        assert!(faults.iter().any(|(at, _)| *at == pointer), "{pointer} in {faults:?}");
    }
    let twin = world.local(Ask::post("/v1/rate-decks").json(&deck("retail"))).await;
    twin.assert_problem(409, "taken");
}

#[tokio::test]
async fn prices_are_set_by_whoever_runs_divert() {
    let world = World::new().await;
    let id = world.local(Ask::post("/v1/rate-decks").json(&deck("retail"))).await.id();
    let path = format!("/v1/rate-decks/{id}");
    let writer = world.key(&[Scope::FlowsWrite]).await;
    for ask in [
        Ask::post("/v1/rate-decks").json(&deck("cheap")),
        Ask::put(&path).json(&deck("cheap")),
        Ask::patch(&path).json(&json!({ "decimals": 0 })),
        Ask::delete(&path),
    ] {
        world.keyed(ask.bearer(&writer)).await.assert_problem(403, "missing_scope");
    }
    assert_eq!(world.keyed(Ask::get(&path).bearer(&writer)).await.json["name"], "retail");
    // The same key may change what calls go where.
    let master = json!({ "name": "pbx", "role": "master" });
    let made = world.keyed(Ask::post("/v1/servers").json(&master).bearer(&writer)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);

    let admin = world.key(&[Scope::Admin]).await;
    let patched =
        world.keyed(Ask::patch(&path).json(&json!({ "decimals": 0 })).bearer(&admin)).await;
    assert_eq!(patched.json["decimals"], 0, "{}", patched.text);
    let gone = world.keyed(Ask::delete(&path).bearer(&admin)).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
}
