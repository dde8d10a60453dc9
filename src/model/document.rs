//! Configuration as a document: the account, objects of every kind and numbers in one value, the same
//! for a YAML file and for the bodies of the HTTP API.
//!
//! Reading never stops at the first fault: all of them come back together, each with a JSON
//! pointer (RFC 6901), and nothing is changed unless there are none. References are names or ids;
//! an object named in a document replaces the one of that id or name and keeps its id. Turning
//! text into a value, and pointers into lines, is done elsewhere; what the keys are and mean stands
//! with each kind, in `objects`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::check;
use super::configuration::{AllNames, Configuration};
use super::id::{DestinationId, ForwardingFlowId, Id as _, NumberId, ObjectId, ServerId};
use super::number::Did;
use super::number_range;
use super::object::{Entry, Fields, Reader, Record as _, Roster, Shape as _, Source, peek_name};
use super::objects::account::AccountSettings;
use super::objects::destination::Destination;
use super::objects::number::Number;
use super::objects::{KINDS, Kind};
use super::places::Places;
use super::problem::Problem;
use super::removal::{self, not_found};

pub use super::object::Unnamed;

/// A document that was read without a fault.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reading {
    /// What the whole configuration would be.
    pub configuration: Configuration,
    /// What is allowed but probably not meant.
    pub warnings: Vec<Problem>,
    /// Where in the document each object stands, for those who have more to say about it.
    pub places: Places,
}

/// The keys of a document.
static SECTIONS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let mut sections: Vec<&str> = KINDS.iter().map(|kind| kind.section).collect();
    sections.extend(["account", "numbers"]);
    sections.sort_unstable();
    sections
});

/// Reads a whole document into `current`; ids for what is new are drawn from `mint`.
///
/// # Errors
///
/// Every problem of the document, in no particular order.
pub fn read_document(
    value: &Value,
    current: &Configuration,
    unnamed: Unnamed,
    mint: &mut dyn FnMut() -> u128,
) -> Result<Reading, Vec<Problem>> {
    if value.is_null() {
        let hint = "start with servers:, trunks: and forwarding_flows:";
        return Err(vec![Problem::new("", "missing", "the document is empty", hint)]);
    }
    let mut reader = Reader::new(current, unnamed, mint);
    if Fields::open(value, "", &SECTIONS, &mut reader).is_none() {
        return Err(reader.problems);
    }
    let section = |reader: &mut Reader<'_>, key: &str| {
        let items = value.get(key).filter(|items| !items.is_null());
        let items = items.and_then(|items| reader.items(items, &format!("/{key}")));
        items.unwrap_or_default()
    };

    let mut next = current.clone();
    let mut entries = Vec::with_capacity(KINDS.len());
    for kind in KINDS {
        let items = section(&mut reader, kind.section);
        let there = kind.roster(current);
        let claimed = kind.claim(&mut reader, items, &there);
        let ids: BTreeSet<ObjectId> = claimed.iter().map(|entry| entry.id).collect();
        let stays = |id| unnamed == Unnamed::Keep && !ids.contains(&id);
        kind.retain(&mut next, &stays);
        let mut roster = Roster::default();
        for entry in &claimed {
            roster.add(entry.id.value(), &entry.name);
        }
        for (id, name) in kind.list(&next) {
            roster.add(id.value(), name);
        }
        reader.rosters.insert(kind.prefix, roster);
        entries.push((kind, claimed));
    }
    if let Some(account) = value.get("account").filter(|account| !account.is_null()) {
        next.account = read_account(account, "/account", &mut reader);
    }
    for (kind, entries) in entries {
        for entry in &entries {
            kind.read(&mut reader, entry, &mut next);
        }
    }
    reader.masters = masters(&next);
    let mut rows = Rows::of(current, &next);
    for (pointer, value) in section(&mut reader, "numbers") {
        read_numbers(value, &pointer, &mut next, &mut rows, &mut reader);
    }
    if unnamed == Unnamed::Prune {
        next.numbers.retain(|number| {
            number.forwarding_flow.is_some()
                || rows.named.contains(&(number.server, number.did.clone()))
        });
    }
    finish(reader, next, &rows.named)
}

/// Everything that reading leaves as it is, known by name.
pub(super) fn reader_of<'a>(
    current: &'a Configuration,
    mint: &'a mut dyn FnMut() -> u128,
) -> Reader<'a> {
    let mut reader = Reader::new(current, Unnamed::Keep, mint);
    reader.rosters = KINDS.iter().map(|kind| (kind.prefix, kind.roster(current))).collect();
    reader.masters = masters(current);
    reader
}

pub(super) fn masters(of: &Configuration) -> BTreeMap<ForwardingFlowId, ServerId> {
    of.forwarding_flows.iter().map(|flow| (flow.id, flow.master)).collect()
}

/// What is left out is as it is in a new account.
pub(super) fn read_account(
    value: &Value,
    pointer: &str,
    reader: &mut Reader<'_>,
) -> AccountSettings {
    reader.places.put_account(pointer);
    AccountSettings::read(value, pointer, reader).unwrap_or_default()
}

/// Replaces the settings of the account; what is left out is as it is in a new one.
///
/// # Errors
///
/// Every problem of the object, and of what the change would break elsewhere.
pub fn put_account(
    value: &Value,
    current: &Configuration,
    mint: &mut dyn FnMut() -> u128,
) -> Result<Reading, Vec<Problem>> {
    let mut reader = reader_of(current, mint);
    let account = read_account(value, "", &mut reader);
    let next = Configuration { account, ..current.clone() };
    finish(reader, next, &BTreeSet::new())
}

/// Creates an object, or replaces the one with this id.
///
/// # Errors
///
/// Every problem of the object, and of what the change would break elsewhere.
pub fn put(
    kind: &Kind,
    value: &Value,
    id: Option<ObjectId>,
    current: &Configuration,
    mint: &mut dyn FnMut() -> u128,
) -> Result<(Reading, ObjectId), Vec<Problem>> {
    if let Some(id) = id.filter(|id| !kind.has(current, *id)) {
        return Err(vec![not_found(id)]);
    }
    let mut reader = reader_of(current, mint);
    reader.same_id(value, id);
    let id = id.unwrap_or_else(|| kind.id((reader.mint)()));
    let name = peek_name(value).unwrap_or_default();
    let mut roster = Roster::default();
    roster.add(id.value(), &name);
    let others = kind.list(current).into_iter().filter(|(other, _)| *other != id);
    others.for_each(|(id, name)| roster.add(id.value(), name));
    reader.rosters.insert(kind.prefix, roster);
    let mut next = current.clone();
    kind.retain(&mut next, &|other| other != id);
    let entry = Entry { id, name, pointer: String::new(), value };
    kind.read(&mut reader, &entry, &mut next);
    Ok((finish(reader, next, &BTreeSet::new())?, id))
}

/// Adds a destination to a flow from one object, or replaces the one with this id.
///
/// # Errors
///
/// Every problem of the object, or that the flow or the destination does not exist.
pub fn put_destination(
    value: &Value,
    flow: ForwardingFlowId,
    id: Option<DestinationId>,
    current: &Configuration,
    mint: &mut dyn FnMut() -> u128,
) -> Result<(Reading, DestinationId), Vec<Problem>> {
    let mut reader = reader_of(current, mint);
    let mut next = current.clone();
    let found = next.forwarding_flows.iter_mut().find(|candidate| candidate.id == flow);
    let flow = found.ok_or_else(|| vec![not_found(flow)])?;
    let at = match id {
        None => None,
        Some(id) => {
            let at = flow.destinations.iter().position(|destination| destination.id == id);
            Some(at.ok_or_else(|| vec![not_found(id)])?)
        }
    };
    reader.same_id(value, id.map(ObjectId::from));
    let id = id.unwrap_or_else(|| DestinationId::new((reader.mint)()));
    let entry = Entry { id: id.into(), name: String::new(), pointer: String::new(), value };
    if let Some(destination) = Destination::read_entry(&entry, &mut reader) {
        match at {
            Some(at) => flow.destinations[at] = destination,
            None => flow.destinations.push(destination),
        }
    }
    Ok((finish(reader, next, &BTreeSet::new())?, id))
}

/// Adds a number from one object, or gives the one with this id another owner, whose master it then
/// arrives on. Of the numbers in `current`, only those with the same DID matter.
///
/// # Errors
///
/// Every problem of the object; one with the code `taken` where the number is there already.
pub fn put_number(
    value: &Value,
    id: Option<NumberId>,
    current: &Configuration,
    mint: &mut dyn FnMut() -> u128,
) -> Result<(Reading, NumberId), Vec<Problem>> {
    let mut next = current.clone();
    let before = id.map(|id| removal::take_number(&mut next, id)).transpose()?;
    let mut reader = reader_of(current, mint);
    reader.same_id(value, id.map(ObjectId::from));
    let id = id.unwrap_or_else(|| NumberId::new((reader.mint)()));
    let mut keep = BTreeSet::new();
    let mut value = value.clone();
    // The server it has had binds no new owner.
    if let Some(before) = &before
        && value.get("forwarding_flow").is_some_and(|owner| !owner.is_null())
        && let Some(server) = current.server(before.server)
        && let Some(typed) = value.get("server").and_then(Value::as_str)
        && (typed == server.name || typed == server.id.to_string())
        && let Some(fields) = value.as_object_mut()
    {
        fields.remove("server");
    }
    reader.own_id = id.value();
    if let Some(number) = Number::read(&value, "", &mut reader) {
        let Number { ref did, server, .. } = number;
        if let Some(before) = before.filter(|before| before.did != *did) {
            let message = format!("that is the id of {}, and a number keeps its DID", before.did);
            let hint = format!("add {did} as a number of its own");
            reader.fault("/did", "not_allowed", message, hint);
        }
        let twin = next.numbers.iter().find(|one| one.server == server && one.did == *did);
        if let Some(twin) = twin {
            let owner = twin.forwarding_flow.and_then(|flow| current.forwarding_flow(flow));
            let message = match owner {
                Some(flow) => format!("{did} belongs to forwarding flow {}", flow.name),
                None => format!("{did} is there already, and no forwarding flow owns it"),
            };
            let hint = format!("change the owner of {} to move it", twin.id);
            reader.fault("/did", "taken", message, hint);
        } else {
            reader.places.put(id, "");
            let owner = number.forwarding_flow;
            let flow = next.forwarding_flows.iter_mut().find(|flow| Some(flow.id) == owner);
            if let Some(flow) = flow {
                flow.dids.push(did.clone());
            }
            keep.insert((server, did.clone()));
            next.numbers.push(Number { forwarding_flow: None, ..number });
        }
    }
    Ok((finish(reader, next, &keep)?, id))
}

/// One item of a document's numbers: a number, or those `from` one `to` another, which have the other
/// keys in common.
fn read_numbers(
    value: &Value,
    pointer: &str,
    next: &mut Configuration,
    rows: &mut Rows,
    reader: &mut Reader<'_>,
) {
    let typed = |key| value.get(key).filter(|typed: &&Value| !typed.is_null());
    let (from, to) = (typed("from"), typed("to"));
    if from.is_none() && to.is_none() {
        read_number(value, pointer, next, rows, reader);
        return;
    }
    let mut end = |key: &str, typed: Option<&Value>, other: &str| {
        if let Some(typed) = typed {
            return Did::read(typed, &format!("{pointer}/{key}"), reader);
        }
        let hint = format!("type {key}: beside {other}:, or did: for one number");
        reader.fault(format!("{pointer}/{key}"), "missing", format!("{key} is missing"), hint);
        None
    };
    let (first, last) = (end("from", from, "to"), end("to", to, "from"));
    for key in ["did", "id"] {
        if typed(key).is_some() {
            let message = format!("a range of numbers has no {key}");
            let hint = format!("keep from: and to:, or {key}: for one number");
            reader.fault(format!("{pointer}/{key}"), "not_allowed", message, hint);
        }
    }
    let Some((first, last)) = first.zip(last) else {
        return;
    };
    let dids = match number_range::expand(&first, &last) {
        Ok(dids) => dids,
        Err((message, hint)) => {
            reader.fault(format!("{pointer}/to"), "invalid", message, hint);
            return;
        }
    };
    rows.of_ranges += dids.len();
    if rows.of_ranges > number_range::MOST_TOGETHER {
        let most = number_range::MOST_TOGETHER;
        let message = format!("the ranges up to here are more than {most} numbers together");
        let hint = "put the rest into another document";
        reader.fault(format!("{pointer}/to"), "out_of_range", message, hint);
        return;
    }
    let mut one = value.as_object().cloned().unwrap_or_default();
    for key in ["from", "to", "id"] {
        one.remove(key);
    }
    for did in dids {
        let faults = reader.problems.len();
        one.insert("did".to_owned(), did.as_str().into());
        let value = Value::Object(one);
        read_number(&value, pointer, next, rows, reader);
        // What is wrong with one is wrong with all.
        if reader.problems.len() > faults {
            return;
        }
        let Value::Object(back) = value else { return };
        one = back;
    }
}

/// One number of a document, put into `next` and noted in `rows`.
fn read_number(
    value: &Value,
    pointer: &str,
    next: &mut Configuration,
    rows: &mut Rows,
    reader: &mut Reader<'_>,
) {
    let exists = |id: NumberId| rows.keys.contains_key(&id);
    let own = reader.typed_id(value, pointer, NumberId::WORD, &exists);
    let Some(number) = Number::read(value, pointer, reader) else {
        return;
    };
    let Number { did, server, .. } = &number;
    let row = (*server, did.clone());
    if let Some(other) = own.and_then(|own| rows.keys.get(&own)).filter(|key| **key != row) {
        let message = format!("that is the id of {}, and a number keeps its id", other.1);
        reader.fault(format!("{pointer}/id"), "not_allowed", message, "leave id out");
    }
    if !rows.named.insert(row.clone()) {
        let (pointer, message) = (format!("{pointer}/did"), format!("{did} is listed twice"));
        reader.fault(pointer, "taken", message, "leave one of them out");
    }
    let owner = number.forwarding_flow.and_then(|owner| rows.flows.get(&owner));
    if let Some(flow) = owner.and_then(|at| next.forwarding_flows.get_mut(*at)) {
        if reader.places.did(flow.id, did).is_none() {
            reader.places.put_did(flow.id, did, format!("{pointer}/did"));
        }
        // It may be there already: sorting leaves each DID once.
        flow.dids.push(did.clone());
    }
    let there = rows.places.get(&row).and_then(|at| next.numbers.get_mut(*at));
    let id = if let Some(there) = there {
        there.tags = number.tags;
        there.id
    } else {
        let id = NumberId::new((reader.mint)());
        rows.places.insert(row, next.numbers.len());
        next.numbers.push(Number { id, forwarding_flow: None, ..number });
        id
    };
    reader.places.put(id, pointer);
}

/// The numbers there are, both ways, and those that the document names.
struct Rows {
    /// Which one it is among all: none is taken out while more are read.
    places: BTreeMap<(ServerId, Did), usize>,
    keys: BTreeMap<NumberId, (ServerId, Did)>,
    named: BTreeSet<(ServerId, Did)>,
    /// Where each flow is among all that there will be.
    flows: BTreeMap<ForwardingFlowId, usize>,
    /// How many numbers ranges have made.
    of_ranges: usize,
}

impl Rows {
    fn of(current: &Configuration, next: &Configuration) -> Self {
        let key = |number: &Number| (number.server, number.did.clone());
        Self {
            flows: next.forwarding_flows.iter().map(|flow| flow.id).zip(0..).collect(),
            of_ranges: 0,
            places: current.numbers.iter().map(key).zip(0..).collect(),
            keys: current.numbers.iter().map(|number| (number.id, key(number))).collect(),
            named: BTreeSet::new(),
        }
    }
}

/// A document that, read into `whole`, changes nothing. Numbers that a flow owns stand under its
/// `dids` only, unless there is more to say of them.
#[must_use]
pub fn write_document(whole: &Configuration) -> Value {
    let names = AllNames::of(whole);
    let mut document = Map::new();
    document.insert("account".to_owned(), whole.account.write_whole(&names));
    let mut section = |key: &str, objects: Vec<Value>| {
        if !objects.is_empty() {
            document.insert(key.to_owned(), Value::Array(objects));
        }
    };
    for kind in KINDS {
        section(kind.section, kind.write_all(whole, &names));
    }
    let told = whole
        .numbers
        .iter()
        .filter(|number| number.forwarding_flow.is_none() || !number.tags.is_empty());
    section("numbers", told.map(|number| number.write_whole(&names)).collect());
    Value::Object(document)
}

/// An object as a row of the store has it; the body is what [`row`](super::change::row) makes of one.
#[derive(Clone, Debug)]
pub struct Row {
    pub id: ObjectId,
    pub name: String,
    pub body: Value,
}

/// The objects of the rows of one account, without numbers. Keys that are not known, which a newer node
/// wrote, are passed over and told as warnings.
///
/// # Errors
///
/// What no node can have written.
pub fn read_rows(
    account: Option<&Value>,
    rows: &[Row],
) -> Result<(Configuration, Vec<Problem>), Vec<Problem>> {
    let nothing = Configuration::default();
    let mut mint = || 0;
    let mut reader = Reader::new(&nothing, Unnamed::Keep, &mut mint);
    reader.source = Source::Row;
    for row in rows {
        let roster = reader.rosters.entry(row.id.prefix()).or_default();
        roster.add(row.id.value(), &row.name);
    }
    let mut read = Configuration::default();
    if let Some(account) = account {
        read.account = read_account(account, "/account", &mut reader);
    }
    for kind in KINDS {
        for row in rows.iter().filter(|row| row.id.prefix() == kind.prefix) {
            let (name, pointer) = (row.name.clone(), format!("/{}", row.id));
            let entry = Entry { id: row.id, name, pointer, value: &row.body };
            kind.read(&mut reader, &entry, &mut read);
        }
    }
    if reader.problems.is_empty() { Ok((read, reader.warnings)) } else { Err(reader.problems) }
}

/// The settings of an account from its row alone: what they refer to is taken to exist.
///
/// # Errors
///
/// What no node can have written.
pub fn read_settings(account: &Value) -> Result<AccountSettings, Vec<Problem>> {
    let nothing = Configuration::default();
    let mut mint = || 0;
    let mut reader = Reader::new(&nothing, Unnamed::Keep, &mut mint);
    reader.source = Source::Row;
    let texts = account.as_object().into_iter().flat_map(Map::values).filter_map(Value::as_str);
    for id in texts.filter_map(|text| text.parse::<ObjectId>().ok()) {
        reader.rosters.entry(id.prefix()).or_default().add(id.value(), "");
    }
    let read = read_account(account, "/account", &mut reader);
    if reader.problems.is_empty() { Ok(read) } else { Err(reader.problems) }
}

/// Settles the numbers, checks the whole, and hands it over if nothing is wrong.
pub(super) fn finish(
    reader: Reader<'_>,
    mut next: Configuration,
    keep: &BTreeSet<(ServerId, Did)>,
) -> Result<Reading, Vec<Problem>> {
    let Reader { current, places, mut problems, mut warnings, mint, unread, .. } = reader;
    next.settle_numbers(keep, mint);
    next.sort();
    let before = check::problems(current, &Places::default(), &BTreeMap::new());
    let mut told: BTreeSet<String> = problems.iter().map(|one| one.pointer.clone()).collect();
    for problem in check::problems(&next, &places, &unread) {
        if problem.pointer.is_empty() {
            if !before.contains(&problem) {
                problems.push(problem);
            }
            continue;
        }
        // A field that could not be read has been complained about; what follows from its
        // absence would only confuse.
        let inside = format!("{}/", problem.pointer);
        let is_told_inside =
            told.range(inside.clone()..).next().is_some_and(|fault| fault.starts_with(&inside));
        if !is_told_inside && told.insert(problem.pointer.clone()) {
            problems.push(problem);
        }
    }
    if problems.is_empty() {
        warnings.extend(check::warnings(&next, &places));
        warnings.extend(moved(current, &next, &places));
        warnings.extend(reckoned_anew(current, &next, &places));
        Ok(Reading { configuration: next, warnings, places })
    } else {
        Err(problems)
    }
}

/// Settings of the account that change what its money means.
fn reckoned_anew(current: &Configuration, next: &Configuration, places: &Places) -> Vec<Problem> {
    let (old, new) = (&current.account, &next.account);
    let mut warnings = Vec::new();
    if old.prepaid
        && !new.prepaid
        && let Some(pointer) = places.account_key("prepaid")
    {
        let message = "prepaid is turned off: calls go on when the balance is used up";
        let hint = "type prepaid: true to keep it; what an account: leaves out takes its default";
        warnings.push(Problem::new(pointer, "prepaid_off", message, hint));
    }
    // Without a deck nothing was ever booked.
    if old.currency != new.currency
        && !current.rate_decks.is_empty()
        && let Some(pointer) = places.account_key("currency")
    {
        let (from, to) = (old.currency, new.currency);
        let message = format!(
            "the currency changes from {from} to {to}, and amounts booked so far keep their \
             figures: 250.00 {from} in the balance would read as 250.00 {to}"
        );
        let hint = format!("type currency: {from} to keep it, or correct the balance by a credit");
        warnings.push(Problem::new(pointer, "currency_changed", message, hint));
    }
    warnings
}

/// A DID that goes from one owner to another is worth a word: calls follow it at once.
fn moved(current: &Configuration, next: &Configuration, places: &Places) -> Vec<Problem> {
    let before: BTreeMap<NumberId, &Number> = current.numbers.iter().map(|n| (n.id, n)).collect();
    let warning = |number: &Number| {
        let (from, to) = (before.get(&number.id)?.forwarding_flow?, number.forwarding_flow?);
        let pointer = places.did(to, &number.did).filter(|_| from != to)?;
        let (from, to) = (current.forwarding_flow(from)?, next.forwarding_flow(to)?);
        let message = format!("{} moves from forwarding flow {}", number.did, from.name);
        let hint = format!("leave it out here if its calls shall not go to {}", to.name);
        Some(Problem::new(pointer, "moved", message, hint))
    };
    next.numbers.iter().filter_map(warning).collect()
}
