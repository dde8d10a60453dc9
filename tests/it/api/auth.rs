//! Keys, scopes and accounts.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use divert::api::{Scope, document};
use divert::clock;
use divert::model::account::DEFAULT_ACCOUNT;
use serde_json::{Value, json};

use super::{Ask, OTHER_ACCOUNT, World};
use crate::api::calls::record_call;

#[tokio::test]
async fn without_a_valid_key_nothing_under_v1_answers_and_the_hint_says_what_to_do() {
    let world = World::new().await;
    let key = world.key(&[Scope::Admin]).await;
    let tampered =
        format!("{}{}", &key[..key.len() - 1], if key.ends_with('0') { '1' } else { '0' });
    let (other_id, _) = world.key_of(DEFAULT_ACCOUNT, &[], None).await;
    let mixed = format!("{}{}", &other_id[..31], &key[31..]);
    for (header, code) in [
        (None, "key_missing"),
        (Some("Bearer nonsense".to_owned()), "key_malformed"),
        (Some(format!("Digest {key}")), "key_malformed"),
        (Some(format!("Bearer {tampered}")), "key_unknown"),
        (Some(format!("Bearer {mixed}")), "key_unknown"),
        (Some(format!("Bearer dvk_{}", "0".repeat(26 + 1 + 52))), "key_malformed"),
    ] {
        let ask = Ask::get("/v1/servers");
        let ask = match &header {
            Some(header) => ask.header("authorization", header.as_str()),
            None => ask,
        };
        let answer = world.keyed(ask).await;
        answer.assert_problem(401, code);
        assert!(answer.json["hint"].as_str().unwrap().contains("divert keys create"));
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
    let answer = world.keyed(Ask::get("/v1/servers").bearer(&key)).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_key_works_as_user_name_of_basic_too() {
    let world = World::new().await;
    let key = world.key(&[]).await;
    let basic = format!("Basic {}", STANDARD.encode(format!("{key}:")));
    let answer = world.keyed(Ask::get("/v1/servers").header("authorization", basic)).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn an_expired_key_and_a_revoked_one_stop_working() {
    let world = World::new().await;
    let past = clock::now().plus_ms(-1);
    let (expired, _) = world.key_of(DEFAULT_ACCOUNT, &[Scope::Admin], Some(past)).await;
    let answer = world.keyed(Ask::get("/v1/servers").bearer(&expired)).await;
    answer.assert_problem(401, "key_expired");

    let later = clock::now().plus_ms(60_000);
    let (key, id) = world.key_of(DEFAULT_ACCOUNT, &[Scope::Admin], Some(later)).await;
    let ask = Ask::get("/v1/servers").bearer(&key);
    assert_eq!(world.keyed(ask.clone()).await.status, StatusCode::OK);
    let revoked = world.local(Ask::delete(format!("/v1/keys/{id}"))).await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    world.keyed(ask).await.assert_problem(401, "key_revoked");
}

#[tokio::test]
async fn a_missing_scope_is_named() {
    let world = World::new().await;
    let flow = world.flow().await["id"].as_str().unwrap().to_owned();
    let server = json!({ "name": "new", "role": "master" });
    let asks = [
        ("calls:read", Scope::CallsRead, Ask::get("/v1/calls")),
        ("flows:write", Scope::FlowsWrite, Ask::post("/v1/servers").json(&server)),
        (
            "calls:test",
            Scope::CallsTest,
            Ask::post(format!("/v1/forwarding-flows/{flow}/test-calls")),
        ),
        ("admin", Scope::Admin, Ask::get("/v1/keys")),
    ];
    let all = [Scope::CallsRead, Scope::CallsTest, Scope::FlowsWrite];
    for (name, scope, ask) in asks {
        let others: Vec<Scope> = all.into_iter().filter(|other| *other != scope).collect();
        let answer = world.keyed(ask.clone().bearer(&world.key(&others).await)).await;
        answer.assert_problem(403, "missing_scope");
        assert!(answer.json["detail"].as_str().unwrap().contains(name), "{}", answer.text);
        let answer = world.keyed(ask.bearer(&world.key(&[scope]).await)).await;
        assert!(answer.status.is_success(), "{}", answer.text);
    }
    // Reading the configuration needs a key only.
    let answer = world.keyed(Ask::get("/v1/servers").bearer(&world.key(&[]).await)).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn the_local_socket_needs_no_key_and_the_probes_need_none_anywhere() {
    let world = World::new().await;
    assert_eq!(world.local(Ask::get("/v1/keys")).await.status, StatusCode::OK);
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(world.keyed(Ask::get(path)).await.status, StatusCode::OK, "{path}");
    }
}

/// Every operation with an id in its path, asked by a key of another account that may do anything,
/// answers as if the id did not exist.
#[tokio::test]
async fn nothing_of_one_account_exists_for_another() {
    let world = World::new().await;
    let flow = world.flow().await;
    let call = record_call(&world, |_| {}).await.to_string();
    world.node.live.lock().unwrap().insert((DEFAULT_ACCOUNT, call.parse().unwrap()));
    let deck = json!({ "name": "retail", "rates": [{ "prefix": "", "per_minute": "0.01" }] });
    let deck = world.local(Ask::post("/v1/rate-decks").json(&deck)).await.id();
    let first = async |path: &str| world.local(Ask::get(path)).await.json["data"][0].clone();
    let (server, trunk) = (first("/v1/servers").await, first("/v1/trunks").await);
    let (_, own_key) = world.key_of(DEFAULT_ACCOUNT, &[], None).await;
    let before = world.db.configuration(DEFAULT_ACCOUNT).await.unwrap();
    let changes = world.changes();

    let mut asked = 0;
    let mut intruder = String::new();
    for (path, item) in document()["paths"].as_object().unwrap() {
        if !path.contains('{') {
            continue;
        }
        let id = match path.split('/').nth(2).unwrap() {
            "calls" => call.clone(),
            "forwarding-flows" => flow["id"].as_str().unwrap().to_owned(),
            "keys" => own_key.to_string(),
            "rate-decks" => deck.clone(),
            "servers" => server["id"].as_str().unwrap().to_owned(),
            "trunks" => trunk["id"].as_str().unwrap().to_owned(),
            other => panic!("no id known for {other}: add one"),
        };
        let destination = flow["destinations"][0]["id"].as_str().unwrap();
        let filled = path.replace("{id}", &id).replace("{destination_id}", destination);
        assert!(!filled.contains('{'), "{filled}");
        for (method, operation) in item.as_object().unwrap() {
            if asked % 20 == 0 {
                // Below the rate limit.
                intruder = world.key_of(OTHER_ACCOUNT, &[Scope::Admin], None).await.0;
            }
            let ask = Ask::new(method.to_uppercase().parse().unwrap(), &filled).bearer(&intruder);
            let content = operation["requestBody"]["content"].as_object();
            let example = content.and_then(|content| content.values().next());
            let ask = match example.map(|content| &content["example"]) {
                Some(example) if *example != Value::Null => ask.json(example),
                _ => ask,
            };
            world.keyed(ask).await.assert_problem(404, "not_found");
            asked += 1;
        }
    }
    assert!(asked >= 20, "only {asked} operations have an id");
    assert_eq!(world.db.configuration(DEFAULT_ACCOUNT).await.unwrap(), before);
    assert_eq!(world.changes(), changes);
    assert!(world.node.placed.lock().unwrap().is_empty());
    assert!(world.node.ended.lock().unwrap().is_empty());
    for list in ["servers", "trunks", "rate-decks", "forwarding-flows", "numbers", "calls"] {
        let page = world.keyed(Ask::get(format!("/v1/{list}")).bearer(&intruder)).await;
        assert_eq!(page.json["data"], json!([]), "{list}");
    }
}
