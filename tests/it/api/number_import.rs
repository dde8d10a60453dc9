//! Many numbers at once.

use std::fmt::Write as _;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Answer, Ask, World};

const PATH: &str = "/v1/numbers/import";

async fn csv(world: &World, text: &str) -> Answer {
    world.local(Ask::post(PATH).raw(text).header("content-type", "text/csv; charset=utf-8")).await
}

async fn dids(world: &World, query: &str) -> Vec<String> {
    let page = world.local(Ask::get(format!("/v1/numbers{query}"))).await;
    let data = page.json["data"].as_array().unwrap().clone();
    let mut dids: Vec<_> = data.iter().map(|it| it["did"].as_str().unwrap().to_owned()).collect();
    dids.sort();
    dids
}

#[tokio::test]
async fn numbers_come_as_a_list_as_a_range_and_as_lines() {
    let world = World::new().await;
    world.flow().await;
    let listed = json!({ "numbers": [
        { "did": "+12025550110", "forwarding_flow": "sales", "tags": ["b", "a"] },
        { "did": "+12025550111", "server": "pbx" },
    ] });
    let made = world.local(Ask::post(PATH).json(&listed)).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text);
    assert_eq!((&made.json["added"], &made.json["changed"]), (&json!(2), &json!(0)));
    assert_eq!(dids(&world, "?tag=a").await, ["+12025550110"]);

    let range = json!({
        "from": "+12025550120", "to": "+12025550124", "forwarding_flow": "sales", "tags": ["r"],
    });
    let made = world.local(Ask::post(PATH).json(&range)).await;
    assert_eq!((made.status, &made.json["added"]), (StatusCode::OK, &json!(5)), "{}", made.text);
    let wanted: Vec<String> = (0..5).map(|last| format!("+1202555012{last}")).collect();
    assert_eq!(dids(&world, "?tag=r").await, wanted);

    let text =
        "did,forwarding_flow,tags\r\n+12025550130,sales,east night\r\n+12025550131,sales,\r\n";
    let made = csv(&world, text).await;
    assert_eq!((made.status, &made.json["added"]), (StatusCode::OK, &json!(2)), "{}", made.text);
    assert_eq!(dids(&world, "?tag=night").await, ["+12025550130"]);
    // What is there already is there once.
    let again = csv(&world, text).await;
    assert_eq!((&again.json["added"], &again.json["changed"]), (&json!(0), &json!(0)));
    // Where no tags are said, those it has stay.
    let owned = csv(&world, "from,to,forwarding_flow\n+12025550120,+12025550122,sales\n").await;
    assert_eq!((&owned.json["added"], &owned.json["changed"]), (&json!(0), &json!(0)));
    csv(&world, "did,forwarding_flow\n+12025550123,sales\n").await;
    assert_eq!(dids(&world, "?tag=r").await, wanted);
    let listed =
        json!({ "numbers": [{ "did": "+12025550124", "forwarding_flow": "sales", "tags": [] }] });
    world.local(Ask::post(PATH).json(&listed)).await;
    assert_eq!(dids(&world, "?tag=r").await, wanted[..4]);
    assert_eq!(again.json["version"], made.json["version"]);

    let flows = world.local(Ask::get("/v1/forwarding-flows")).await;
    assert_eq!(flows.json["data"][0]["dids"].as_array().unwrap().len(), 9);
}

#[tokio::test]
async fn with_one_fault_no_number_is_added_and_every_fault_is_told() {
    let world = World::new().await;
    world.flow().await;
    let before = dids(&world, "").await;
    let text = "did,forwarding_flow\n+12025550130,sales\na b,sales\n\n+12025550131,nobody\n";
    let refused = csv(&world, text).await;
    refused.assert_problem(422, "invalid");
    let errors = refused.json["errors"].as_array().unwrap();
    let told: Vec<_> = errors.iter().map(|one| (&one["line"], &one["pointer"])).collect();
    let wanted = [(json!(3), json!("/did")), (json!(5), json!("/forwarding_flow"))];
    assert_eq!(told, wanted.iter().map(|(a, b)| (a, b)).collect::<Vec<_>>(), "{}", refused.text);

    for (body, pointer) in [
        (json!({ "numbers": [{ "did": "1", "server": "pbx" }, {}] }), "/numbers/1/did"),
        (json!({ "numbers": [], "servers": [] }), "/servers"),
        (json!({ "numbers": null }), "/numbers"),
        (json!({ "numbers": [{ "did": "1", "server": "pbx", "owner": 1 }] }), "/numbers/0/owner"),
        (json!({ "from": "+12025550100", "to": "+13", "server": "pbx" }), "/to"),
        (json!({ "from": "+12025550100", "server": "pbx" }), "/to"),
        (json!({ "server": "pbx" }), "/did"),
        (json!([]), ""),
    ] {
        let answer = world.local(Ask::post(PATH).json(&body)).await;
        answer.assert_problem(422, "invalid");
        let pointers: Vec<&str> = answer.faults().iter().map(|(pointer, _)| *pointer).collect();
        assert!(pointers.contains(&pointer), "{body}: {}", answer.text);
    }
    for (text, code) in [
        ("", "missing"),
        ("number\n1\n", "unknown_key"),
        ("did,did\n1,2\n", "repeated"),
        ("did\n1,2\n", "wrong_type"),
    ] {
        let answer = csv(&world, text).await;
        answer.assert_problem(422, "invalid");
        assert_eq!(answer.faults()[0].1, code, "{}", answer.text);
    }
    assert_eq!(dids(&world, "").await, before);
}

#[tokio::test]
async fn a_number_of_another_flow_stays_there() {
    let world = World::new().await;
    world.flow().await;
    let support = json!({
        "name": "support", "master": "pbx",
        "destinations": [{ "server": "slave-a", "did": "1003" }],
    });
    world.local(Ask::post("/v1/forwarding-flows").json(&support)).await.id();
    let thief = json!({ "numbers": [{ "did": "+12025550100", "forwarding_flow": "support" }] });
    let refused = world.local(Ask::post(PATH).json(&thief)).await;
    refused.assert_problem(409, "taken");
    assert_eq!(refused.faults()[0].0, "/numbers/0/did", "{}", refused.text);
}

#[tokio::test]
async fn an_import_may_be_larger_than_any_other_body() {
    let world = World::new().await;
    world.flow().await;
    let mut text = "did,server,tags\n".to_owned();
    for no in 0..10_000 {
        let _ = writeln!(text, "imported-number-{no:06},pbx,a-tag-of-its-own");
    }
    assert!(text.len() > 256 * 1024);
    let made = csv(&world, &text).await;
    assert_eq!(
        (made.status, &made.json["added"]),
        (StatusCode::OK, &json!(10_000)),
        "{}",
        made.text
    );
    let repeated = Ask::post(PATH).raw(text).header("content-type", "text/csv");
    let repeated = world.local(repeated.header("idempotency-key", "k")).await;
    assert_eq!((repeated.status, &repeated.json["added"]), (StatusCode::OK, &json!(0)));
    let large = Value::String("x".repeat(300 * 1024));
    world.local(Ask::post("/v1/numbers").json(&large)).await.assert_problem(413, "body_too_large");
}
