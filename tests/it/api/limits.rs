//! Rate limits.

use axum::http::StatusCode;
use divert::api::Scope;

use super::{Ask, World};

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_come_back() {
    let world = World::new().await;
    let key = world.key(&[]).await;
    let ask = Ask::get("/v1/servers").bearer(&key);
    let first = world.keyed(ask.clone()).await;
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(first.header("ratelimit-limit"), "40");
    assert_eq!(first.header("ratelimit-remaining"), "39");
    assert_eq!(first.header("ratelimit-reset"), "1");

    let mut refused = None;
    // 20 come back each second: within the time of this loop a few more than 40 pass.
    for _ in 0..400 {
        let answer = world.keyed(ask.clone()).await;
        if answer.status != StatusCode::OK {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("400 requests in a row pass");
    refused.assert_problem(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.header("ratelimit-remaining"), "0");

    let other = world.key(&[]).await;
    let answer = world.keyed(Ask::get("/v1/servers").bearer(&other)).await;
    assert_eq!(answer.status, StatusCode::OK, "each key has its own");
}

#[tokio::test]
async fn the_local_socket_has_no_limit() {
    let world = World::new().await;
    for _ in 0..60 {
        let answer = world.local(Ask::get("/v1/servers")).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("ratelimit-limit"), "");
    }
}

#[tokio::test]
async fn test_calls_have_a_tighter_limit_of_their_own() {
    let world = World::new().await;
    let flow = world.flow().await["id"].as_str().unwrap().to_owned();
    let key = world.key(&[Scope::CallsTest]).await;
    let path = format!("/v1/forwarding-flows/{flow}/test-calls");
    let ask = Ask::post(&path).bearer(&key);
    for _ in 0..5 {
        let answer = world.keyed(ask.clone()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    }
    let once = ask.clone().header("idempotency-key", "k1");
    for _ in 0..2 {
        let refused = world.keyed(once.clone()).await;
        refused.assert_problem(429, "test_call_rate_limited");
        assert_eq!(refused.header("ratelimit-limit"), "5");
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=12).contains(&wait), "{wait}");
        assert_eq!(refused.header("idempotency-replayed"), "", "it may be repeated later");
    }
    assert_eq!(world.node.placed.lock().unwrap().len(), 5);
    // Nothing else of the key is limited by it.
    let answer = world.keyed(Ask::get("/v1/servers").bearer(&key)).await;
    assert_eq!(answer.status, StatusCode::OK);
    let other = world.key(&[Scope::CallsTest]).await;
    let answer = world.keyed(Ask::post(path).bearer(&other)).await;
    assert_eq!(answer.status, StatusCode::CREATED);
}
