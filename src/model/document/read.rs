//! The objects of a document, one method each: servers, trunks and numbers here, the others in
//! files of their own.
//!
//! A method gives back an object even when some of its fields are wrong, with a default in their
//! place: references to it must not be reported as well. The problems say that none of it counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use serde_json::Value;

use super::Unnamed;
use super::fields::{Fields, text};
use crate::model::check::Places;
use crate::model::configuration::{Configuration, Number};
use crate::model::forwarding_flow::ForwardingFlow;
use crate::model::id::{ForwardingFlowId, NumberId, RateDeckId, ServerId, TrunkId};
use crate::model::number::Did;
use crate::model::problem::{Problem, similar};
use crate::model::server::{Server, ServerRole};
use crate::model::trunk::{Reach, SipAddress, Trunk};

const NUMBER: [&str; 4] = ["did", "forwarding_flow", "id", "server"];
const SERVER: [&str; 5] = ["id", "max_live", "name", "role", "trunk"];
const TRUNK: [&str; 7] =
    ["address", "carries_toll_free", "endpoint", "id", "max_live", "name", "rate_deck"];

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
    pub rate_decks: Vec<(RateDeckId, String)>,
    pub unnamed: Unnamed,
}

impl<'a> Reader<'a> {
    /// Knows everything of `current` by name.
    pub fn new(
        current: &'a Configuration,
        unnamed: Unnamed,
        mint: &'a mut dyn FnMut() -> u128,
    ) -> Self {
        let flows = current.forwarding_flows.iter();
        let rate_decks = current.rate_decks.iter();
        Self {
            current,
            mint,
            places: Places::default(),
            problems: Vec::new(),
            warnings: Vec::new(),
            servers: current.servers.iter().map(|one| (one.id, one.name.clone())).collect(),
            trunks: current.trunks.iter().map(|one| (one.id, one.name.clone())).collect(),
            flows: flows.map(|one| (one.id, one.name.clone())).collect(),
            rate_decks: rate_decks.map(|one| (one.id, one.name.clone())).collect(),
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
        if id.is_none() || typed.as_str() != id.as_deref() {
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
        let carries_toll_free = fields.flag("carries_toll_free");
        let rate_deck =
            reference(&mut fields, "rate_deck", "rate deck", &self.rate_decks, self.unnamed);
        Some(Trunk { id, name, reach, max_live, carries_toll_free, rate_deck })
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
        let Some((did, server, owner)) = self.number_fields(value, pointer, &next.forwarding_flows)
        else {
            return;
        };
        let row = (server, did.clone());
        if let Some(other) = own.and_then(|own| rows.keys.get(&own)).filter(|key| **key != row) {
            let message = format!("that is the id of {}, and a number keeps its id", other.1);
            let pointer = format!("{pointer}/id");
            self.problems.push(Problem::new(pointer, "not_allowed", message, "leave id out"));
        }
        if !rows.named.insert(row.clone()) {
            let (pointer, message) = (format!("{pointer}/did"), format!("{did} is listed twice"));
            self.problems.push(Problem::new(pointer, "taken", message, "leave one of them out"));
        }
        if let Some(flow) = next.forwarding_flows.iter_mut().find(|flow| Some(flow.id) == owner) {
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

    /// The DID of a number, the server where it arrives, and the flow that owns it.
    pub fn number_fields(
        &mut self,
        value: &Value,
        pointer: &str,
        flows: &[ForwardingFlow],
    ) -> Option<(Did, ServerId, Option<ForwardingFlowId>)> {
        let mut fields = Fields::open(value, pointer, &NUMBER, &mut self.problems)?;
        let did: Option<Did> = fields.parsed("did", "a DID");
        if !fields.has("did") {
            fields.missing("did", A_NUMBER);
        }
        let key = "forwarding_flow";
        let owner = reference(&mut fields, key, "forwarding flow", &self.flows, self.unnamed);
        let server = reference(&mut fields, "server", "server", &self.servers, self.unnamed);
        let flow = flows.iter().find(|flow| Some(flow.id) == owner);
        let master = flow.map(|flow| flow.master);
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
        Some((did?, server.or(master)?, flow.map(|flow| flow.id)))
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

pub(super) fn named(fields: &mut Fields<'_, '_>) -> String {
    if !fields.has("name") {
        fields.missing("name", "type a name of 1 to 60 characters");
    }
    fields.name("name").unwrap_or_default()
}

/// A name or an id of something that will exist. `None` when left out or not to be found.
pub(super) fn reference<Id>(
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
