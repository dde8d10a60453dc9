//! Configurations for tests that are no scenarios: one flow each, as short as can be.

use divert::harness::scenario;
use divert::model::number::{Caller, Did};
use serde_json::{Value, json};

use crate::sip::Peer;

pub fn did(text: &str) -> Did {
    text.parse().unwrap()
}

pub fn ann() -> Caller {
    Caller::clean("+12025550199", "Ann")
}

/// A flow that tries these phones in order and hangs up when none takes the call.
pub fn flow(name: &str, did: &str, numbers: &[&str]) -> Value {
    let destination = |(at, number): (usize, &&str)| json!({ "trunk": "phones", "number": number, "priority": at });
    let destinations: Vec<Value> = numbers.iter().enumerate().map(destination).collect();
    json!({
        "name": name,
        "master": "master",
        "dids": [did],
        "fallback": "hang_up",
        "ring_timeout_sec": 5,
        "destinations": destinations,
    })
}

pub fn document(flows: &[Value]) -> Value {
    scenario::stage(flows)
}

/// One flow on the number that scenarios call.
pub fn one(numbers: &[&str]) -> Value {
    document(&[flow("solar-east", scenario::DID, numbers)])
}

/// One flow on the number that scenarios call, to a peer of our own over a pushed trunk.
pub fn to_peer(peer: &Peer) -> Value {
    let mut flow = flow("to-peer", scenario::DID, &[]);
    flow["destinations"] = json!([{ "trunk": "peer", "number": "1001" }]);
    let mut document = document(&[flow]);
    add_trunk(&mut document, json!({ "name": "peer", "address": peer.address() }));
    document
}

pub fn add_trunk(document: &mut Value, trunk: Value) {
    document["trunks"].as_array_mut().unwrap().push(trunk);
}

pub fn own_did() -> Did {
    did(scenario::DID)
}

/// Everything costs this much a minute, in steps of 6 s; `account` are its other settings.
pub fn bill(document: &mut Value, per_minute: &str, mut account: Value) {
    let rate = json!({ "prefix": "", "per_minute": per_minute, "increment": "6/6" });
    document["rate_decks"] = json!([{ "name": "retail", "rates": [rate] }]);
    account["rate_deck"] = json!("retail");
    document["account"] = account;
}

/// The seconds billed and the millionths they cost, rounded up to 4 digits as a deck does unless it
/// says otherwise.
pub fn price(per_minute_micros: i64, talk_ms: i64) -> (i64, i64) {
    let sixes = (talk_ms + 5_999) / 6_000;
    let billed_sec = sixes.max(1) * 6;
    let hundreds = (per_minute_micros * billed_sec + 5_999) / 6_000;
    (billed_sec, hundreds * 100)
}
