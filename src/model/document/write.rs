//! The other direction: objects as values of the same shape that reading takes, with references
//! by name. What is not limited is left out; everything else is spelled out, defaults too.

use serde_json::{Map, Value, json};

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
    let mut section = |key: &str, objects: Vec<Value>| {
        if !objects.is_empty() {
            document.insert(key.to_owned(), Value::Array(objects));
        }
    };
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

/// A trunk with its id, address or endpoint, and limit. Nothing in it refers to anything, yet it
/// is written like the others.
#[must_use]
pub fn write_trunk(trunk: &Trunk, _whole: &Configuration) -> Value {
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
    let fallback = match &flow.fallback {
        Fallback::Dialplan => json!("dialplan"),
        Fallback::HangUp(None) => json!("hang_up"),
        Fallback::HangUp(Some(cause)) => json!({ "hang_up": cause }),
        Fallback::Number { trunk, number } => {
            json!({ "trunk": trunk_name(*trunk, whole), "number": number })
        }
    };
    json!({
        "id": flow.id,
        "name": flow.name,
        "master": server_name(flow.master, whole),
        "dids": flow.dids,
        "spread": flow.spread,
        "ringback": flow.ringback,
        "ring_timeout_sec": flow.ring_timeout_sec,
        "ring_budget_sec": flow.ring_budget_sec,
        "max_attempts": flow.max_attempts,
        "max_call_sec": flow.max_call_sec,
        "fallback": fallback,
        "destinations": destinations,
    })
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
    });
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

fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(object) = &mut value {
        object.retain(|_, field| !field.is_null());
    }
    value
}
