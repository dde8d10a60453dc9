//! The other direction: objects as values of the same shape that reading takes, with references
//! by name. What is not limited or not set is left out; everything else is spelled out, defaults
//! too.

use serde_json::{Map, Value, json};

use super::billing::{deck_name, write_account, write_rate_deck};
use super::distribution::{write_caller_numbers, write_repeat, write_stickiness, write_throttle};
use super::fields::without_nulls;
use super::schedule::write_schedule;
use crate::model::configuration::{Configuration, Number};
use crate::model::destination::{Destination, Landing};
use crate::model::forwarding_flow::{Fallback, ForwardingFlow};
use crate::model::id::{ServerId, TrunkId};
use crate::model::server::Server;
use crate::model::trunk::{Reach, Trunk};

/// A document that, read into `whole`, changes nothing. Numbers that a flow owns stand under its
/// `dids` only.
#[must_use]
pub fn write_document(whole: &Configuration) -> Value {
    let unowned = whole.numbers.iter().filter(|number| number.forwarding_flow.is_none());
    let mut document = Map::new();
    document.insert("account".to_owned(), write_account(&whole.account, whole));
    let mut section = |key: &str, objects: Vec<Value>| {
        if !objects.is_empty() {
            document.insert(key.to_owned(), Value::Array(objects));
        }
    };
    let decks = whole.rate_decks.iter();
    section("rate_decks", decks.map(|one| write_rate_deck(one, whole)).collect());
    section("servers", whole.servers.iter().map(|one| write_server(one, whole)).collect());
    section("trunks", whole.trunks.iter().map(|one| write_trunk(one, whole)).collect());
    section("numbers", unowned.map(|one| write_number(one, whole)).collect());
    let flows = whole.forwarding_flows.iter();
    section("forwarding_flows", flows.map(|one| write_forwarding_flow(one, whole)).collect());
    Value::Object(document)
}

/// A server with its id, role, trunk by name, and limit.
#[must_use]
pub fn write_server(server: &Server, whole: &Configuration) -> Value {
    without_nulls(json!({
        "id": server.id,
        "name": server.name,
        "role": server.role,
        "trunk": server.trunk.map(|id| trunk_name(id, whole)),
        "max_live": server.max_live,
    }))
}

/// A trunk with its id, address or endpoint, limit, and rate deck by name.
#[must_use]
pub fn write_trunk(trunk: &Trunk, whole: &Configuration) -> Value {
    let (address, endpoint) = match &trunk.reach {
        Reach::Address(address) => (Some(address), None),
        Reach::Endpoint(endpoint) => (None, Some(endpoint)),
    };
    without_nulls(json!({
        "id": trunk.id,
        "name": trunk.name,
        "address": address,
        "endpoint": endpoint,
        "max_live": trunk.max_live,
        "carries_toll_free": trunk.carries_toll_free,
        "rate_deck": trunk.rate_deck.map(|id| deck_name(id, whole)),
    }))
}

/// A number with its id, its server and its owner by name.
#[must_use]
pub fn write_number(number: &Number, whole: &Configuration) -> Value {
    let flow = number.forwarding_flow.map(|id| {
        whole.forwarding_flow(id).map_or_else(|| id.to_string(), |flow| flow.name.clone())
    });
    without_nulls(json!({
        "id": number.id,
        "did": number.did,
        "server": server_name(number.server, whole),
        "forwarding_flow": flow,
    }))
}

/// A flow with its id, every setting, its DIDs and its destinations.
#[must_use]
pub fn write_forwarding_flow(flow: &ForwardingFlow, whole: &Configuration) -> Value {
    let destinations = flow.destinations.iter();
    let destinations: Vec<Value> = destinations.map(|one| write_destination(one, whole)).collect();
    let repeat_caller = flow.repeat_caller.as_ref();
    let mut value = json!({
        "id": flow.id,
        "name": flow.name,
        "master": server_name(flow.master, whole),
        "dids": flow.dids,
        "state": flow.state,
        "spread": flow.spread,
        "ringback": flow.ringback,
        "ring_timeout_sec": flow.ring_timeout_sec,
        "ring_budget_sec": flow.ring_budget_sec,
        "max_attempts": flow.max_attempts,
        "max_call_sec": flow.max_call_sec,
        "fallback": write_fallback(&flow.fallback, |trunk| trunk_name(trunk, whole)),
        "time_zone": flow.time_zone,
        "schedule": flow.schedule.as_ref().map(write_schedule),
        "stickiness": write_stickiness(&flow.stickiness),
        "repeat_caller": repeat_caller.map(|rule| write_repeat(rule, &flow.destinations)),
        "caller_numbers": write_caller_numbers(&flow.caller_numbers),
        "redial_gap_sec": flow.redial_gap_sec,
        "destinations": destinations,
    });
    write_throttle(&flow.throttle, &mut value);
    without_nulls(value)
}

/// A fallback, with its trunk by the name that `trunk_name` gives it.
#[must_use]
pub fn write_fallback(fallback: &Fallback, trunk_name: impl Fn(TrunkId) -> String) -> Value {
    match fallback {
        Fallback::Dialplan => json!("dialplan"),
        Fallback::HangUp(None) => json!("hang_up"),
        Fallback::HangUp(Some(cause)) => json!({ "hang_up": cause }),
        Fallback::Number { trunk, number } => {
            json!({ "trunk": trunk_name(*trunk), "number": number })
        }
    }
}

/// A destination with its id, every setting, and where it lands by name.
#[must_use]
pub fn write_destination(destination: &Destination, whole: &Configuration) -> Value {
    let mut value = json!({
        "id": destination.id,
        "name": destination.name,
        "priority": destination.priority,
        "weight": destination.weight,
        "max_live": destination.max_live,
        "ring_timeout_sec": destination.ring_timeout_sec,
        "state": destination.state,
        "time_zone": destination.time_zone,
        "schedule": destination.schedule.as_ref().map(write_schedule),
    });
    write_throttle(&destination.throttle, &mut value);
    match &destination.landing {
        Landing::Slave { server, did } => {
            value["server"] = json!(server_name(*server, whole));
            value["did"] = json!(did);
        }
        Landing::TollFree { number } => value["toll_free"] = json!(number),
        Landing::Trunk { trunk, number } => {
            value["trunk"] = json!(trunk_name(*trunk, whole));
            value["number"] = json!(number);
        }
    }
    without_nulls(value)
}

fn server_name(id: ServerId, whole: &Configuration) -> String {
    whole.server(id).map_or_else(|| id.to_string(), |server| server.name.clone())
}

fn trunk_name(id: TrunkId, whole: &Configuration) -> String {
    whole.trunk(id).map_or_else(|| id.to_string(), |trunk| trunk.name.clone())
}
