//! Forwarding flows and their destinations, read.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Unnamed;
use super::distribution::{read_caller_numbers, read_repeat, read_stickiness, read_throttle};
use super::fields::{Fields, text};
use super::read::{Entry, Reader, named, reference};
use super::schedule::read_schedule;
use crate::model::cause::HangupCause;
use crate::model::check::Places;
use crate::model::destination::{Destination, Landing};
use crate::model::forwarding_flow::{Fallback, ForwardingFlow};
use crate::model::id::{DestinationId, ForwardingFlowId, ServerId, TrunkId};
use crate::model::number::{DialNumber, Did, TollFree};
use crate::model::problem::Problem;

const DESTINATION: [&str; 17] = [
    "caps",
    "did",
    "id",
    "max_live",
    "name",
    "number",
    "priority",
    "rate",
    "ring_timeout_sec",
    "schedule",
    "server",
    "spacing_sec",
    "state",
    "time_zone",
    "toll_free",
    "trunk",
    "weight",
];
const FALLBACK: [&str; 3] = ["hang_up", "number", "trunk"];
const FLOW: [&str; 22] = [
    "caller_numbers",
    "caps",
    "destinations",
    "dids",
    "fallback",
    "id",
    "master",
    "max_attempts",
    "max_call_sec",
    "name",
    "rate",
    "redial_gap_sec",
    "repeat_caller",
    "ring_budget_sec",
    "ring_timeout_sec",
    "ringback",
    "schedule",
    "spacing_sec",
    "spread",
    "state",
    "stickiness",
    "time_zone",
];

impl Reader<'_> {
    pub fn forwarding_flow(
        &mut self,
        entry: &Entry<'_, ForwardingFlowId>,
    ) -> Option<ForwardingFlow> {
        let Entry { id, value, ref pointer, .. } = *entry;
        self.places.put(id, pointer);
        let mut fields = Fields::open(value, pointer, &FLOW, &mut self.problems)?;
        let name = named(&mut fields);
        let master = reference(&mut fields, "master", "server", &self.servers, self.unnamed);
        if !fields.has("master") {
            fields.missing("master", "type the name of the server where the calls arrive");
        }
        let dids = read_dids(&mut fields, id, &mut self.places);
        let ring = 5..=120;
        let flow = ForwardingFlow {
            id,
            name,
            master: master.unwrap_or(ServerId::new(0)),
            dids,
            destinations: Vec::new(),
            state: fields.choice("state").unwrap_or_default(),
            spread: fields.choice("spread").unwrap_or_default(),
            ringback: fields.choice("ringback").unwrap_or_default(),
            ring_timeout_sec: fields
                .count("ring_timeout_sec", &ring)
                .unwrap_or(ForwardingFlow::RING_TIMEOUT_SEC),
            ring_budget_sec: fields
                .count("ring_budget_sec", &(5..=600))
                .unwrap_or(ForwardingFlow::RING_BUDGET_SEC),
            max_attempts: fields
                .count("max_attempts", &(1..=20))
                .unwrap_or(ForwardingFlow::MAX_ATTEMPTS),
            max_call_sec: fields
                .count("max_call_sec", &(10..=43_200))
                .unwrap_or(ForwardingFlow::MAX_CALL_SEC),
            fallback: read_fallback(&mut fields, &self.trunks, self.unnamed),
            time_zone: fields.zone("time_zone"),
            schedule: read_schedule(&mut fields),
            throttle: read_throttle(&mut fields),
            stickiness: read_stickiness(&mut fields),
            repeat_caller: None,
            caller_numbers: read_caller_numbers(&mut fields),
            redial_gap_sec: fields
                .count("redial_gap_sec", &(0..=900))
                .unwrap_or(ForwardingFlow::REDIAL_GAP_SEC),
        };
        let items = fields.list("destinations");
        let (rule, at) = (fields.value("repeat_caller"), fields.at("repeat_caller"));
        let destinations = self.destinations(id, items);
        let repeat_caller = rule.and_then(|rule| {
            read_repeat(rule, &at, &destinations, self.unnamed, &mut self.problems)
        });
        Some(ForwardingFlow { destinations, repeat_caller, ..flow })
    }

    /// Destinations keep their ids by id or by name, within their flow.
    fn destinations(
        &mut self,
        flow: ForwardingFlowId,
        items: Vec<(String, &Value)>,
    ) -> Vec<Destination> {
        let current = self.current.forwarding_flow(flow);
        let current = current.map_or(&[][..], |flow| &flow.destinations);
        let mut taken = BTreeSet::new();
        let mut ids = Vec::with_capacity(items.len());
        for (pointer, value) in &items {
            let id = self.own_id(value, pointer, "destination of this flow", &|id| {
                current.iter().any(|one| one.id == id)
            });
            ids.push(id);
            if let Some(id) = id.filter(|id| !taken.insert(*id)) {
                let message = format!("{id} stands here a second time");
                let hint = "leave id out for a new destination";
                self.problems.push(Problem::new(format!("{pointer}/id"), "taken", message, hint));
            }
        }
        let mut destinations = Vec::with_capacity(items.len());
        for ((pointer, value), id) in items.into_iter().zip(ids) {
            let fresh = id.is_none();
            let id = id.unwrap_or_else(|| DestinationId::new((self.mint)()));
            let Some(mut destination) = self.destination(value, &pointer, id) else {
                continue;
            };
            let same = current.iter().find(|one| one.name == destination.name);
            if let Some(same) = same.filter(|same| fresh && taken.insert(same.id)) {
                destination.id = same.id;
                self.places.put(same.id, pointer);
            }
            destinations.push(destination);
        }
        destinations
    }

    pub fn destination(
        &mut self,
        value: &Value,
        pointer: &str,
        id: DestinationId,
    ) -> Option<Destination> {
        self.places.put(id, pointer);
        let mut fields = Fields::open(value, pointer, &DESTINATION, &mut self.problems)?;
        let (default_name, landing) =
            read_landing(&mut fields, &self.servers, &self.trunks, self.unnamed)?;
        // Without one, a name that no other destination shares.
        let default_name = default_name.unwrap_or_else(|| id.to_string());
        Some(Destination {
            id,
            name: fields.name("name").unwrap_or(default_name),
            landing,
            priority: fields
                .whole("priority", &(-100..=100))
                .and_then(|priority| i32::try_from(priority).ok())
                .unwrap_or(1),
            weight: fields.count("weight", &(0..=1_000)).unwrap_or(1),
            max_live: fields.max_live(),
            ring_timeout_sec: fields.count("ring_timeout_sec", &(5..=120)),
            state: fields.choice("state").unwrap_or_default(),
            time_zone: fields.zone("time_zone"),
            schedule: read_schedule(&mut fields),
            throttle: read_throttle(&mut fields),
        })
    }
}

/// Where a destination lands, and the name it has by that. What cannot be read is replaced by
/// something that could be, and has been told.
fn read_landing(
    fields: &mut Fields<'_, '_>,
    servers: &[(ServerId, String)],
    trunks: &[(TrunkId, String)],
    unnamed: Unnamed,
) -> Option<(Option<String>, Landing)> {
    const HINT: &str = "type server: and did:, trunk: and number:, or toll_free:";
    let server = reference(fields, "server", "server", servers, unnamed);
    let trunk = reference(fields, "trunk", "trunk", trunks, unnamed);
    let did: Option<DialNumber> = fields.parsed("did", "a DID");
    let number: Option<DialNumber> = fields.parsed("number", "a number to dial");
    let toll_free: Option<TollFree> = fields.parsed("toll_free", "a toll-free number");
    if fields.has("toll_free") {
        let hint = "keep toll_free alone, or leave it out";
        fields.refuse("server", "a toll-free number is on no server", hint);
        fields.refuse("did", "a toll-free number is on no server", hint);
        let message = "divert chooses the trunk of a toll-free number";
        fields.refuse("trunk", message, "leave trunk out, or type number: instead of toll_free:");
        fields.refuse("number", "a toll-free destination has one number", hint);
        let name = toll_free.as_ref().map(ToString::to_string);
        let number = toll_free.or_else(|| "8002000000".parse().ok())?;
        return Some((name, Landing::TollFree { number }));
    }
    if fields.has("server") || (fields.has("did") && !fields.has("trunk")) {
        let hint = "keep server and did for a slave, trunk and number for anything else";
        fields.refuse("trunk", "a destination has a server or a trunk, not both", hint);
        fields.refuse("number", "a destination on a server has a did", "type did: instead");
        if !fields.has("server") {
            fields.missing("server", "type the name of the slave that has this did");
        }
        if !fields.has("did") && !fields.has("number") {
            fields.missing("did", "type the DID on the slave where the call lands");
        }
        let server = server.unwrap_or(ServerId::new(0));
        let name = servers.iter().find(|(id, _)| *id == server).map(|(_, name)| name.clone());
        let did = did.or_else(|| "0".parse().ok())?;
        return Some((name, Landing::Slave { server, did }));
    }
    fields.refuse("did", "a destination on a trunk has a number", "type number: instead");
    if !fields.has("trunk") {
        fields.missing("trunk", HINT);
    } else if !fields.has("number") && !fields.has("did") {
        fields.missing("number", "type the number to dial over the trunk");
    }
    let trunk = trunk.unwrap_or(TrunkId::new(0));
    let name = number.as_ref().map(ToString::to_string);
    let number = number.or_else(|| "0".parse().ok())?;
    Some((name, Landing::Trunk { trunk, number }))
}

fn read_dids(fields: &mut Fields<'_, '_>, flow: ForwardingFlowId, places: &mut Places) -> Vec<Did> {
    let mut first: BTreeMap<Did, String> = BTreeMap::new();
    for (pointer, item) in fields.list("dids") {
        let did = text(item, &pointer).and_then(|typed| {
            typed.parse::<Did>().map_err(|error| {
                let message = format!("{typed:?} is not a DID");
                Problem::new(pointer.clone(), "invalid", message, error.to_string())
            })
        });
        match did {
            Err(problem) => fields.problems.push(problem),
            Ok(did) if first.contains_key(&did) => {
                let message = format!("{did} is listed twice in this flow");
                let hint = "leave one of them out";
                fields.problems.push(Problem::new(pointer, "taken", message, hint));
            }
            Ok(did) => {
                places.put_did(flow, &did, pointer.clone());
                first.insert(did, pointer);
            }
        }
    }
    first.into_keys().collect()
}

fn read_fallback(
    fields: &mut Fields<'_, '_>,
    trunks: &[(TrunkId, String)],
    unnamed: Unnamed,
) -> Fallback {
    const HINT: &str = "type dialplan, hang_up, {hang_up: 17} or {trunk: carrier, number: \"…\"}";
    let at = fields.at("fallback");
    match fields.value("fallback") {
        None => return Fallback::Dialplan,
        Some(Value::String(word)) if word == "dialplan" => return Fallback::Dialplan,
        Some(Value::String(word)) if word == "hang_up" => return Fallback::HangUp(None),
        Some(object @ Value::Object(_)) => {
            let Some(mut inner) = Fields::open(object, &at, &FALLBACK, fields.problems) else {
                return Fallback::Dialplan;
            };
            if inner.has("hang_up") {
                let hint = "keep either hang_up, or trunk and number";
                inner.refuse("trunk", "nothing is dialled after hanging up", hint);
                inner.refuse("number", "nothing is dialled after hanging up", hint);
                let cause = inner.whole("hang_up", &(1..=127));
                let cause = cause.and_then(|cause| u16::try_from(cause).ok()).map(HangupCause);
                return Fallback::HangUp(cause);
            }
            let trunk = reference(&mut inner, "trunk", "trunk", trunks, unnamed);
            let number = inner.parsed("number", "a number to dial");
            if !inner.has("trunk") {
                inner.missing("trunk", HINT);
            }
            if !inner.has("number") {
                inner.missing("number", "type the number to dial over the trunk");
            }
            if let (Some(trunk), Some(number)) = (trunk, number) {
                return Fallback::Number { trunk, number };
            }
        }
        Some(other) => {
            fields.wrong("fallback", "invalid", format!("{other} is not a fallback"), HINT);
        }
    }
    Fallback::Dialplan
}
