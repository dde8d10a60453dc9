//! The objects of a document, one method each.
//!
//! A method gives back an object even when some of its fields are wrong, with a default in their
//! place: references to it must not be reported as well. The problems say that none of it counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use serde_json::Value;

use super::Unnamed;
use super::fields::{Fields, text};
use crate::model::cause::HangupCause;
use crate::model::check::Places;
use crate::model::configuration::{Configuration, Number};
use crate::model::destination::{Destination, Landing};
use crate::model::forwarding_flow::{Fallback, ForwardingFlow};
use crate::model::id::{DestinationId, ForwardingFlowId, NumberId, ServerId, TrunkId};
use crate::model::number::{DialNumber, Did, NumberPlan};
use crate::model::problem::{Problem, similar};
use crate::model::server::{Server, ServerRole};
use crate::model::stickiness::Stickiness;
use crate::model::throttle::Throttle;
use crate::model::trunk::{Reach, SipAddress, Trunk};

const DESTINATION: [&str; 11] = [
    "did",
    "id",
    "max_live",
    "name",
    "number",
    "priority",
    "ring_timeout_sec",
    "server",
    "state",
    "trunk",
    "weight",
];
const FALLBACK: [&str; 3] = ["hang_up", "number", "trunk"];
const FLOW: [&str; 12] = [
    "destinations",
    "dids",
    "fallback",
    "id",
    "master",
    "max_attempts",
    "max_call_sec",
    "name",
    "ring_budget_sec",
    "ring_timeout_sec",
    "ringback",
    "spread",
];
const NUMBER: [&str; 4] = ["did", "forwarding_flow", "id", "server"];
const SERVER: [&str; 5] = ["id", "max_live", "name", "role", "trunk"];
const TRUNK: [&str; 5] = ["address", "endpoint", "id", "max_live", "name"];

const A_NUMBER: &str = "type 1 to 50 of letters, digits and _ - . * # + in quotes";

/// One item of a section with the id it will have.
pub(super) struct Entry<'v, Id> {
    pub id: Id,
    /// Empty when it cannot be read.
    pub name: String,
    pub pointer: String,
    pub value: &'v Value,
}

pub(super) struct Reader<'a> {
    pub current: &'a Configuration,
    pub mint: &'a mut dyn FnMut() -> u128,
    pub places: Places,
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
    pub servers: Vec<(ServerId, String)>,
    pub trunks: Vec<(TrunkId, String)>,
    pub flows: Vec<(ForwardingFlowId, String)>,
    unnamed: Unnamed,
}

impl<'a> Reader<'a> {
    /// Knows everything of `current` by name.
    pub fn new(
        current: &'a Configuration,
        unnamed: Unnamed,
        mint: &'a mut dyn FnMut() -> u128,
    ) -> Self {
        let flows = current.forwarding_flows.iter();
        Self {
            current,
            mint,
            places: Places::default(),
            problems: Vec::new(),
            warnings: Vec::new(),
            servers: current.servers.iter().map(|one| (one.id, one.name.clone())).collect(),
            trunks: current.trunks.iter().map(|one| (one.id, one.name.clone())).collect(),
            flows: flows.map(|one| (one.id, one.name.clone())).collect(),
            unnamed,
        }
    }

    /// The id that an item gives itself, if there is such an object. An id from elsewhere is no
    /// fault, so that a document can be taken from one installation to another.
    pub fn own_id<Id>(
        &mut self,
        value: &Value,
        pointer: &str,
        kind: &str,
        exists: &dyn Fn(Id) -> bool,
    ) -> Option<Id>
    where
        Id: Copy + Display + FromStr<Err: Display>,
    {
        let typed = value.get("id").filter(|id| !id.is_null())?;
        let pointer = format!("{pointer}/id");
        let id = text(typed, &pointer).and_then(|typed| {
            typed.parse::<Id>().map_err(|error| {
                let hint = format!("leave id out, or type that of a {kind}");
                Problem::new(pointer.clone(), "invalid", format!("{typed:?}: {error}"), hint)
            })
        });
        match id {
            Ok(id) if exists(id) => Some(id),
            Ok(id) => {
                let message = format!("no {kind} has the id {id} here; it goes by its name");
                let hint = "leave id out unless something is renamed";
                self.warnings.push(Problem::new(pointer, "unknown_id", message, hint));
                None
            }
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    /// The id in a body must be that of the object it is sent to.
    pub fn same_id<Id: Display>(&mut self, value: &Value, id: Option<Id>) {
        let Some(typed) = value.get("id").filter(|id| !id.is_null()) else {
            return;
        };
        let id = id.map(|id| id.to_string());
        if typed.as_str() != id.as_deref() {
            let (message, hint) = match id {
                Some(id) => (format!("the id is {id} and cannot change"), "leave id out"),
                None => ("ids are given by divert".to_owned(), "leave id out"),
            };
            self.problems.push(Problem::new("/id", "not_allowed", message, hint));
        }
    }

    pub fn server(&mut self, entry: &Entry<'_, ServerId>) -> Option<Server> {
        let Entry { id, value, ref pointer, .. } = *entry;
        self.places.put(id, pointer);
        let mut fields = Fields::open(value, pointer, &SERVER, &mut self.problems)?;
        let name = named(&mut fields);
        let role = fields.choice("role");
        if !fields.has("role") {
            fields.missing("role", "type master or slave");
        }
        let trunk = reference(&mut fields, "trunk", "trunk", &self.trunks, self.unnamed);
        let max_live = fields.max_live();
        Some(Server { id, name, role: role.unwrap_or(ServerRole::Master), trunk, max_live })
    }

    pub fn trunk(&mut self, entry: &Entry<'_, TrunkId>) -> Option<Trunk> {
        let Entry { id, value, ref pointer, .. } = *entry;
        self.places.put(id, pointer);
        let mut fields = Fields::open(value, pointer, &TRUNK, &mut self.problems)?;
        let name = named(&mut fields);
        let address: Option<SipAddress> = fields.parsed("address", "an address");
        let endpoint = fields.parsed("endpoint", "the name of an endpoint");
        match (fields.has("address"), fields.has("endpoint")) {
            (true, true) => fields.wrong(
                "endpoint",
                "not_allowed",
                "address and endpoint exclude each other",
                "keep address if divert shall make the endpoint, endpoint if pjsip.conf has it",
            ),
            (false, false) => fields.missing(
                "address",
                "type the peer's address, or endpoint: and a section of your pjsip.conf",
            ),
            _ => {}
        }
        let max_live = fields.max_live();
        let reach = match (address, endpoint) {
            (_, Some(endpoint)) => Reach::Endpoint(endpoint),
            (Some(address), None) => Reach::Address(address),
            (None, None) => Reach::Endpoint("unknown".parse().ok()?),
        };
        Some(Trunk { id, name, reach, max_live, carries_toll_free: false, rate_deck: None })
    }

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
            time_zone: None,
            schedule: None,
            throttle: Throttle::default(),
            stickiness: Stickiness::default(),
            repeat_caller: None,
            caller_numbers: NumberPlan::default(),
            redial_gap_sec: ForwardingFlow::REDIAL_GAP_SEC,
        };
        let items = fields.list("destinations");
        let destinations = self.destinations(id, items);
        Some(ForwardingFlow { destinations, ..flow })
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
        let server = reference(&mut fields, "server", "server", &self.servers, self.unnamed);
        let trunk = reference(&mut fields, "trunk", "trunk", &self.trunks, self.unnamed);
        let did: Option<DialNumber> = fields.parsed("did", "a DID");
        let number: Option<DialNumber> = fields.parsed("number", "a number to dial");
        let on_server = fields.has("server") || (fields.has("did") && !fields.has("trunk"));
        if on_server {
            let hint = "keep server and did for a slave, trunk and number for anything else";
            fields.refuse("trunk", "a destination has a server or a trunk, not both", hint);
            fields.refuse("number", "a destination on a server has a did", "type did: instead");
            if !fields.has("server") {
                fields.missing("server", "type the name of the slave that has this did");
            }
            if !fields.has("did") && !fields.has("number") {
                fields.missing("did", "type the DID on the slave where the call lands");
            }
        } else {
            fields.refuse("did", "a destination on a trunk has a number", "type number: instead");
            if !fields.has("trunk") {
                fields.missing("trunk", "type server: and did:, or trunk: and number:");
            } else if !fields.has("number") && !fields.has("did") {
                fields.missing("number", "type the number to dial over the trunk");
            }
        }
        let (default_name, landing) = if on_server {
            let server = server.unwrap_or(ServerId::new(0));
            let name = self.servers.iter().find(|(id, _)| *id == server).map(|(_, name)| name);
            let did = did.or_else(|| "0".parse().ok())?;
            (name.cloned(), Landing::Slave { server, did })
        } else {
            let trunk = trunk.unwrap_or(TrunkId::new(0));
            let name = number.as_ref().map(ToString::to_string);
            let number = number.or_else(|| "0".parse().ok())?;
            (name, Landing::Trunk { trunk, number })
        };
        // Without either, a name that no other destination shares.
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
            time_zone: None,
            schedule: None,
            throttle: Throttle::default(),
        })
    }

    /// One number, put into `next` and noted in `rows`.
    pub fn number(
        &mut self,
        value: &Value,
        pointer: &str,
        next: &mut Configuration,
        rows: &mut Rows,
    ) {
        let own = self.own_id(value, pointer, "number", &|id| rows.keys.contains_key(&id));
        let Some(mut fields) = Fields::open(value, pointer, &NUMBER, &mut self.problems) else {
            return;
        };
        let did: Option<Did> = fields.parsed("did", "a DID");
        if !fields.has("did") {
            fields.missing("did", A_NUMBER);
        }
        let key = "forwarding_flow";
        let owner = reference(&mut fields, key, "forwarding flow", &self.flows, self.unnamed);
        let server = reference(&mut fields, "server", "server", &self.servers, self.unnamed);
        let flow = next.forwarding_flows.iter_mut().find(|flow| Some(flow.id) == owner);
        let master = flow.as_ref().map(|flow| flow.master);
        if !fields.has("server") && !fields.has(key) {
            fields.missing("server", "type the name of the server where it arrives");
        }
        if let (Some(server), Some(master)) = (server, master)
            && server != master
            && master != ServerId::new(0)
        {
            let message = "the forwarding flow that owns it has another master";
            fields.wrong("server", "taken", message, "leave server out: it is the flow's master");
        }
        let (Some(did), Some(server)) = (did, server.or(master)) else {
            return;
        };
        let row = (server, did.clone());
        if let Some(other) = own.and_then(|own| rows.keys.get(&own)).filter(|key| **key != row) {
            let message = format!("that is the id of {}, and a number keeps its id", other.1);
            fields.wrong("id", "not_allowed", message, "leave id out");
        }
        if !rows.named.insert(row.clone()) {
            fields.wrong("did", "taken", format!("{did} is listed twice"), "leave one of them out");
        }
        if let Some(flow) = flow {
            if self.places.did(flow.id, &did).is_none() {
                self.places.put_did(flow.id, &did, format!("{pointer}/did"));
            }
            // It may be there already: sorting leaves each DID once.
            flow.dids.push(did.clone());
        }
        let id = *rows.ids.entry(row).or_insert_with(|| {
            let id = NumberId::new((self.mint)());
            next.numbers.push(Number { id, did, server, forwarding_flow: None });
            id
        });
        self.places.put(id, pointer);
    }
}

/// The numbers there are, both ways, and those that the document names.
pub(super) struct Rows {
    ids: BTreeMap<(ServerId, Did), NumberId>,
    keys: BTreeMap<NumberId, (ServerId, Did)>,
    pub named: BTreeSet<(ServerId, Did)>,
}

impl Rows {
    pub fn of(current: &Configuration) -> Self {
        let key = |number: &Number| (number.server, number.did.clone());
        Self {
            ids: current.numbers.iter().map(|number| (key(number), number.id)).collect(),
            keys: current.numbers.iter().map(|number| (number.id, key(number))).collect(),
            named: BTreeSet::new(),
        }
    }
}

/// The name of an item before its turn has come, if it has a readable one.
pub(super) fn peek_name(value: &Value) -> Option<String> {
    text(value.get("name")?, "").ok()
}

fn named(fields: &mut Fields<'_, '_>) -> String {
    if !fields.has("name") {
        fields.missing("name", "type a name of 1 to 60 characters");
    }
    fields.name("name").unwrap_or_default()
}

/// A name or an id of something that will exist. `None` when left out or not to be found.
fn reference<Id>(
    fields: &mut Fields<'_, '_>,
    key: &str,
    kind: &str,
    roster: &[(Id, String)],
    unnamed: Unnamed,
) -> Option<Id>
where
    Id: Copy + FromStr + PartialEq,
{
    let typed = fields.text(key)?;
    let id = typed.parse::<Id>().ok();
    let found = roster.iter().find(|(known, name)| Some(*known) == id || *name == typed);
    if let Some((id, _)) = found.filter(|_| !typed.is_empty()) {
        return Some(*id);
    }
    let names: Vec<&str> =
        roster.iter().map(|(_, name)| name.as_str()).filter(|name| !name.is_empty()).collect();
    let hint = match similar(&typed, names.iter().copied()) {
        Some(meant) => format!("did you mean {meant}?"),
        None if names.is_empty() => format!("add a {kind} of that name to the document"),
        None if names.len() <= 8 => format!("there is {}; or add it", names.join(", ")),
        None => format!("type the name of one of the {} {kind}s, or add it", names.len()),
    };
    let where_from = if unnamed == Unnamed::Prune { " in this document" } else { "" };
    let message = format!("there is no {kind} {typed:?}{where_from}");
    fields.wrong(key, "dangling", message, hint);
    None
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
