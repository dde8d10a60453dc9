//! What nobody sees: refused wherever people type it, and gone from what carriers send.

use axum::http::Method;
use divert::ari::identity::{Identity, Privacy};
use serde_json::json;

use super::calls::{ended, record_call};
use super::{Ask, World};

/// Turns the line around, joins nothing, ends a line, clears a screen, spaces that are none.
const UNSEEN: [&str; 8] =
    ["\u{202e}", "\u{feff}", "\u{2028}", "\u{200d}", "\u{1b}[2J", "\u{a0}", "\u{e000}", "\u{378}"];

#[tokio::test]
async fn a_text_that_people_do_not_see_whole_is_refused_wherever_one_is_taken() {
    let world = World::new().await;
    let flow = world.flow().await["id"].as_str().unwrap().to_owned();
    let changes = world.changes();
    let flows = "/v1/forwarding-flows".to_owned();
    let calls = format!("{flows}/{flow}/test-calls");
    for unseen in UNSEEN {
        let bad = format!("so{unseen}lar");
        let destination = json!([{ "name": bad, "server": "slave-a", "did": "1" }]);
        for (method, path, body, pointer) in [
            (Method::POST, "/v1/servers", json!({ "name": bad, "role": "master" }), "/name"),
            (Method::POST, "/v1/trunks", json!({ "name": bad, "endpoint": "x" }), "/name"),
            (Method::POST, "/v1/trunks", json!({ "name": "t", "endpoint": bad }), "/endpoint"),
            (Method::POST, "/v1/rate-decks", json!({ "name": bad, "rates": [] }), "/name"),
            (Method::POST, &flows, json!({ "name": bad, "master": "pbx" }), "/name"),
            (Method::POST, &flows, json!({ "name": "f", "master": bad }), "/master"),
            (
                Method::POST,
                &flows,
                json!({ "name": "f", "master": "pbx", "destinations": destination }),
                "/destinations/0/name",
            ),
            (Method::PATCH, &format!("{flows}/{flow}"), json!({ "name": bad }), "/name"),
            (Method::POST, "/v1/numbers", json!({ "did": bad, "server": "pbx" }), "/did"),
            (Method::PATCH, "/v1/account", json!({ "time_zone": bad }), "/time_zone"),
            (Method::POST, "/v1/keys", json!({ "name": bad }), "/name"),
            (
                Method::POST,
                "/v1/account/credits",
                json!({ "amount": "1.00", "note": bad }),
                "/note",
            ),
            (
                Method::POST,
                &calls,
                json!({ "caller": { "number": "1", "name": bad } }),
                "/caller/name",
            ),
            (
                Method::POST,
                "/v1/explain",
                json!({ "did": "+12025550100", "caller": { "number": "1", "name": bad } }),
                "/caller/name",
            ),
        ] {
            let ask = Ask::new(method.clone(), path).json(&body);
            let answer = world.local(ask).await;
            answer.assert_problem(422, "invalid");
            let errors = answer.json["errors"].as_array().unwrap();
            let told = errors.iter().find(|error| error["pointer"] == pointer);
            let told = told.unwrap_or_else(|| panic!("{method} {path}: {}", answer.text));
            let message = told["message"].as_str().unwrap();
            assert!(message.contains("cannot be seen, U+"), "{method} {path}: {message}");
            assert!(!answer.text.contains(unseen), "it is shown escaped: {}", answer.text);
        }
    }
    assert_eq!(world.changes(), changes, "nothing was written");
    assert!(world.node.placed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_a_carrier_sends_reaches_the_log_of_calls_without_what_nobody_sees() {
    let world = World::new().await;
    for unseen in UNSEEN {
        let raw = format!("An{unseen}n");
        let identity = Identity::of("+12025550199", &raw, Privacy::No);
        assert!(!identity.caller.name.contains(unseen), "{raw:?}");
        assert_eq!(identity.corrections.len(), 1, "the channel loses it too, {raw:?}");
        record_call(&world, |call| {
            ended(call);
            call.caller = identity.caller;
        })
        .await;
    }
    for path in ["/v1/calls", "/v1/calls.csv", "/v1/sessions"] {
        let answer = world.local(Ask::get(path)).await;
        assert!(answer.text.contains("+12025550199"), "{path}: {}", answer.text);
        for unseen in UNSEEN {
            assert!(!answer.text.contains(unseen), "{path}: {}", answer.text);
        }
    }
}
