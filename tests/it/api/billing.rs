//! Bills, the balance and credits.

use axum::http::StatusCode;
use divert::api::Scope;
use divert::model::billing::{Cdr, Currency, Micros, Rounding, Tariff};
use divert::model::id::{CallId, DestinationId, ForwardingFlowId, RateDeckId, TrunkId};
use divert::model::objects::account::DEFAULT_ACCOUNT;
use divert::store::Record;
use serde_json::{Value, json};

use super::calls::{START, ended, record_call, record_leg};
use super::log::lines;
use super::{Ask, OTHER_ACCOUNT, World};

/// Bills a leg that rang for 2 s and talked for 61 s at 0.0125 a minute, by 30/6.
pub async fn bill(world: &World, call: CallId, leg: u16, edit: impl FnOnce(&mut Cdr)) {
    let tariff = Tariff {
        deck: RateDeckId::new(3),
        prefix: "1800".parse().unwrap(),
        per_minute: "0.0125".parse().unwrap(),
        increment: "30/6".parse().unwrap(),
        bills_ring_time: false,
        rounding: Rounding::Up,
        decimals: 4,
        currency: Currency::default(),
    };
    let charge = tariff.charge(2_000, 61_000);
    let mut cdr = Cdr {
        call,
        leg,
        account: DEFAULT_ACCOUNT,
        flow: Some(ForwardingFlowId::new(1)),
        destination: Some(DestinationId::new(7)),
        trunk: Some(TrunkId::new(5)),
        endpoint: "PJSIP/18005550199@carrier".into(),
        tariff,
        started_at: START,
        answered_at: START.plus_ms(2_000),
        ended_at: START.plus_ms(63_000),
        charge,
    };
    edit(&mut cdr);
    world.db.record("node-1", &[Record::Cdr(cdr)]).await.unwrap();
}

#[tokio::test]
async fn bills_are_exported_with_the_filters_of_their_list() {
    let world = World::new().await;
    let call = record_call(&world, ended).await;
    bill(&world, call, 1, |_| {}).await;
    bill(&world, call, 2, |cdr| {
        (cdr.flow, cdr.destination, cdr.trunk) = (None, None, None);
        cdr.endpoint = "=1+1".into();
    })
    .await;
    let head = "id,call,leg,forwarding_flow_id,destination_id,trunk_id,endpoint,started_at,\
        answered_at,ended_at,billed_sec,cost,currency,rate_deck_id,prefix,per_minute,increment,\
        bills_ring_time";
    let row = |no: u16, ids: &str, endpoint: &str| {
        format!(
            "{call}-{no},{call},{no},{ids},{endpoint},2026-11-21T14:03:07.120Z,\
             2026-11-21T14:03:09.120Z,2026-11-21T14:04:10.120Z,66,0.0138,USD,{},1800,0.0125,30/6,\
             false",
            RateDeckId::new(3)
        )
    };
    let (flow, destination, trunk) =
        (ForwardingFlowId::new(1), DestinationId::new(7), TrunkId::new(5));
    let first = row(1, &format!("{flow},{destination},{trunk}"), "PJSIP/18005550199@carrier");
    let answer = world.local(Ask::get("/v1/cdrs.csv")).await;
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"cdrs.csv\"");
    assert_eq!(lines(&answer.text), [head, &row(2, ",,", "'=1+1"), &first]);
    for filter in [format!("flow={flow}"), format!("destination={destination}&trunk={trunk}")] {
        let answer = world.local(Ask::get(format!("/v1/cdrs.csv?{filter}"))).await;
        assert_eq!(lines(&answer.text), [head, &first]);
    }
    let answer = world.local(Ask::get("/v1/cdrs.csv?limit=1&to=now&trunk=x")).await;
    answer.assert_problem(400, "invalid_query");
}

fn ids(answer: &Value) -> Vec<&str> {
    let data = answer["data"].as_array().unwrap_or_else(|| panic!("{answer}"));
    data.iter().map(|entry| entry["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_bill_tells_what_it_is_for_and_how_it_came_about() {
    let world = World::new().await;
    let call = record_call(&world, ended).await;
    bill(&world, call, 1, |_| {}).await;
    let answer = world.local(Ask::get("/v1/cdrs")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(
        answer.json["data"],
        json!([{
            "id": format!("{call}-1"),
            "call": call.to_string(),
            "leg": 1,
            "forwarding_flow": ForwardingFlowId::new(1).to_string(),
            "destination": DestinationId::new(7).to_string(),
            "trunk": TrunkId::new(5).to_string(),
            "endpoint": "PJSIP/18005550199@carrier",
            "started_at": "2026-11-21T14:03:07.120Z",
            "answered_at": "2026-11-21T14:03:09.120Z",
            "ended_at": "2026-11-21T14:04:10.120Z",
            "cost": {
                "amount": "0.0138",
                "currency": "USD",
                "billed_sec": 66,
                "rate": {
                    "rate_deck": RateDeckId::new(3).to_string(),
                    "prefix": "1800",
                    "per_minute": "0.0125",
                    "increment": "30/6",
                    "bills_ring_time": false,
                },
            },
        }])
    );
}

#[tokio::test]
async fn a_call_tells_what_each_leg_and_all_of_it_cost() {
    let world = World::new().await;
    let call = record_call(&world, ended).await;
    for leg in 1..=3 {
        record_leg(&world, call, leg).await;
    }
    bill(&world, call, 2, |_| {}).await;
    bill(&world, call, 3, |cdr| cdr.charge.amount = Micros(1_000_000)).await;
    let answer = world.local(Ask::get(format!("/v1/calls/{call}"))).await;
    assert_eq!(answer.json["cost"], json!({ "amount": "1.0138", "currency": "USD" }));
    let legs = &answer.json["legs"];
    assert_eq!(legs[0]["cost"], Value::Null);
    assert_eq!(legs[1]["cost"]["amount"], "0.0138");
    assert_eq!(legs[1]["cost"]["billed_sec"], 66);
    assert_eq!(legs[2]["cost"]["rate"]["prefix"], "1800");
}

#[tokio::test]
async fn bills_are_filtered_and_paged() {
    let world = World::new().await;
    let (first, second) = (CallId::new(1), CallId::new(2));
    bill(&world, first, 1, |_| {}).await;
    bill(&world, first, 2, |cdr| cdr.trunk = None).await;
    bill(&world, second, 1, |cdr| {
        cdr.flow = Some(ForwardingFlowId::new(2));
        cdr.destination = None;
        cdr.started_at = START.plus_ms(3_600_000);
    })
    .await;
    bill(&world, CallId::new(3), 1, |cdr| cdr.account = OTHER_ACCOUNT).await;
    let [one, two, three] = [format!("{first}-1"), format!("{first}-2"), format!("{second}-1")];
    for (query, expected) in [
        (String::new(), vec![&three, &two, &one]),
        (format!("flow={}", ForwardingFlowId::new(2)), vec![&three]),
        (format!("destination={}", DestinationId::new(7)), vec![&two, &one]),
        (format!("trunk={}", TrunkId::new(5)), vec![&three, &one]),
        ("from=2026-11-21T15:00:00Z".to_owned(), vec![&three]),
        ("to=2026-11-21T15:00:00Z".to_owned(), vec![&two, &one]),
    ] {
        let answer = world.local(Ask::get(format!("/v1/cdrs?{query}"))).await;
        assert_eq!(ids(&answer.json), expected, "{query}");
    }
    let page = world.local(Ask::get("/v1/cdrs?limit=2")).await;
    assert_eq!(ids(&page.json), [&three, &two]);
    let cursor = page.json["next_cursor"].as_str().unwrap();
    let page = world.local(Ask::get(format!("/v1/cdrs?limit=2&cursor={cursor}"))).await;
    assert_eq!(ids(&page.json), [&one]);
    assert_eq!(page.json["has_more"], false);

    let bad = "/v1/cdrs?flow=x&destination=flw_1&trunk=&from=today&limit=0&cursor=x";
    let answer = world.local(Ask::get(bad)).await;
    answer.assert_problem(400, "invalid_query");
    assert_eq!(answer.faults().len(), 6, "{}", answer.text);
}

#[tokio::test]
async fn the_balance_is_credits_less_bills() {
    let world = World::new().await;
    let balance = async || world.local(Ask::get("/v1/account/balance")).await.json;
    let nothing = json!({ "amount": "0.00", "currency": "USD", "prepaid": false });
    assert_eq!(balance().await, nothing);

    let credit = json!({ "amount": "10", "note": "invoice 4711" });
    let made = world.local(Ask::post("/v1/account/credits").json(&credit)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(made.json["amount"], "10.00");
    assert_eq!(made.json["note"], "invoice 4711");
    assert_eq!(made.json["balance"], "10.00");
    assert!(made.json["at"].as_str().is_some_and(|at| at.parse::<jiff::Timestamp>().is_ok()));
    bill(&world, CallId::new(1), 1, |_| {}).await;
    assert_eq!(balance().await["amount"], "9.9862");

    let back = world.local(Ask::post("/v1/account/credits").json(&json!({ "amount": "-9.99" })));
    let back = back.await;
    assert_eq!(back.json["balance"], "-0.0038");
    let listed = world.local(Ask::get("/v1/account/credits")).await;
    assert_eq!(ids(&listed.json), [back.id(), made.id()]);
    let page = world.local(Ask::get("/v1/account/credits?limit=1")).await;
    let cursor = page.json["next_cursor"].as_str().unwrap();
    let page = world.local(Ask::get(format!("/v1/account/credits?cursor={cursor}"))).await;
    assert_eq!(ids(&page.json), [made.id()]);
    assert_eq!(page.json["data"][0]["currency"], "USD");
}

#[tokio::test]
async fn a_credit_that_is_sent_twice_with_its_key_is_added_once() {
    let world = World::new().await;
    let ask = || {
        let ask = Ask::post("/v1/account/credits").json(&json!({ "amount": "5.00" }));
        ask.header("idempotency-key", "wire-1")
    };
    let (first, second) = (world.local(ask()).await, world.local(ask()).await);
    assert_eq!(first.json, second.json);
    assert_eq!(world.db.balance(DEFAULT_ACCOUNT).await.unwrap().amount, Micros(5_000_000));
}

#[tokio::test]
async fn a_credit_needs_the_right_and_an_amount() {
    let world = World::new().await;
    let key = world.key(&[Scope::CallsRead, Scope::FlowsWrite]).await;
    let credit = Ask::post("/v1/account/credits").json(&json!({ "amount": "5.00" }));
    world.keyed(credit.bearer(&key)).await.assert_problem(403, "missing_scope");
    let poor = world.key(&[Scope::FlowsWrite]).await;
    for path in ["/v1/account/balance", "/v1/account/credits", "/v1/cdrs"] {
        assert_eq!(world.keyed(Ask::get(path).bearer(&key)).await.status, StatusCode::OK);
        world.keyed(Ask::get(path).bearer(&poor)).await.assert_problem(403, "missing_scope");
    }
    for (body, faults) in [
        (json!({}), vec![("/amount", "missing")]),
        (json!({ "amount": 5 }), vec![("/amount", "wrong_type")]),
        (json!({ "amount": "five" }), vec![("/amount", "invalid")]),
        (json!({ "amount": "0.0000001" }), vec![("/amount", "invalid")]),
        (json!({ "amount": "0.00" }), vec![("/amount", "out_of_range")]),
        (json!({ "amount": "-1000000000.01" }), vec![("/amount", "out_of_range")]),
        (
            json!({ "amount": "1,5", "note": "x".repeat(201), "to": "me" }),
            vec![("/amount", "invalid"), ("/note", "too_long"), ("/to", "unknown_key")],
        ),
    ] {
        let answer = world.local(Ask::post("/v1/account/credits").json(&body)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {}", answer.text);
        assert_eq!(answer.faults(), faults, "{body}");
    }
    for (amount, message, hint) in [
        ("1,5", "\"1,5\" is not an amount", "type an amount as \"0.0125\""),
        ("9999999999999", "is not an amount", "it is too large"),
        ("1000000000.01", "is more than 1000000000.00", "an amount in quotes"),
    ] {
        let ask = Ask::post("/v1/account/credits").json(&json!({ "amount": amount }));
        let error = world.local(ask).await.json["errors"][0].clone();
        assert!(error["message"].as_str().unwrap().contains(message), "{error}");
        assert!(error["hint"].as_str().unwrap().starts_with(hint), "{error}");
    }
    assert_eq!(world.db.balance(DEFAULT_ACCOUNT).await.unwrap().amount, Micros(0));
    let before: Vec<_> = world.db.credits(DEFAULT_ACCOUNT, None, 10).await.unwrap();
    assert_eq!(before, []);
}
