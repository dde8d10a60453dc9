//! Configuration as a document: the account, rate decks, servers, trunks, numbers and forwarding
//! flows in one value, the same for a YAML file and for the bodies of the HTTP API.
//!
//! Reading never stops at the first fault: all of them come back together, each with a JSON
//! pointer (RFC 6901), and nothing is changed unless there are none. References are names or ids;
//! an object named in a document replaces the one of that id or name and keeps its id. Turning
//! text into a value, and pointers into lines, is done elsewhere.

mod billing;
mod distribution;
mod fields;
mod flow;
mod read;
mod schedule;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use serde_json::Value;

use self::fields::Fields;
use self::read::{Entry, Reader, Rows};
use super::check::{self, Places};
use super::configuration::{Configuration, Named, Number};
use super::id::{DestinationId, ForwardingFlowId, NumberId, RateDeckId, ServerId, TrunkId};
use super::number::Did;
use super::problem::Problem;
use super::removal::{self, not_found};

pub use self::billing::{write_account, write_rate_deck};
pub use self::write::{
    write_destination, write_document, write_fallback, write_forwarding_flow, write_number,
    write_server, write_trunk,
};

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

/// What becomes of objects that the document does not name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unnamed {
    /// They stay as they are.
    Keep,
    /// They are removed, numbers too; the account, which is always there, stays as it is.
    Prune,
}

const SECTIONS: [&str; 6] =
    ["account", "forwarding_flows", "numbers", "rate_decks", "servers", "trunks"];

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
    let mut problems = Vec::new();
    let Some(mut top) = Fields::open(value, "", &SECTIONS, &mut problems) else {
        return Err(problems);
    };
    let account = top.value("account").map(|account| (account, top.at("account")));
    let decks = top.list("rate_decks");
    let servers = top.list("servers");
    let trunks = top.list("trunks");
    let numbers = top.list("numbers");
    let flows = top.list("forwarding_flows");
    reader.problems = problems;

    let decks = claim(&mut reader, decks, &current.rate_decks, RateDeckId::new);
    let servers = claim(&mut reader, servers, &current.servers, ServerId::new);
    let trunks = claim(&mut reader, trunks, &current.trunks, TrunkId::new);
    let flows = claim(&mut reader, flows, &current.forwarding_flows, ForwardingFlowId::new);
    reader.rate_decks = roster(&current.rate_decks, &decks, unnamed);
    reader.servers = roster(&current.servers, &servers, unnamed);
    reader.trunks = roster(&current.trunks, &trunks, unnamed);
    reader.flows = roster(&current.forwarding_flows, &flows, unnamed);

    let mut next = Configuration {
        account: current.account.clone(),
        rate_decks: unclaimed(&current.rate_decks, &decks, unnamed),
        servers: unclaimed(&current.servers, &servers, unnamed),
        trunks: unclaimed(&current.trunks, &trunks, unnamed),
        numbers: current.numbers.clone(),
        forwarding_flows: unclaimed(&current.forwarding_flows, &flows, unnamed),
    };
    if let Some((account, pointer)) = account {
        next.account = reader.account(account, &pointer);
    }
    next.rate_decks.extend(decks.iter().filter_map(|entry| reader.rate_deck(entry)));
    next.trunks.extend(trunks.iter().filter_map(|entry| reader.trunk(entry)));
    next.servers.extend(servers.iter().filter_map(|entry| reader.server(entry)));
    next.forwarding_flows.extend(flows.iter().filter_map(|entry| reader.forwarding_flow(entry)));
    let mut rows = Rows::of(current);
    for (pointer, value) in numbers {
        reader.number(value, &pointer, &mut next, &mut rows);
    }
    if unnamed == Unnamed::Prune {
        next.numbers.retain(|number| {
            number.forwarding_flow.is_some()
                || rows.named.contains(&(number.server, number.did.clone()))
        });
    }
    finish(reader, next, &rows.named)
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
    let mut reader = Reader::new(current, Unnamed::Keep, mint);
    let account = reader.account(value, "");
    let next = Configuration { account, ..current.clone() };
    finish(reader, next, &BTreeSet::new())
}

/// Creates a rate deck from one object, or replaces the one with this id.
///
/// # Errors
///
/// Every problem of the object, and of what the change would break elsewhere.
pub fn put_rate_deck(
    value: &Value,
    id: Option<RateDeckId>,
    current: &Configuration,
    mint: &mut dyn FnMut() -> u128,
) -> Result<(Reading, RateDeckId), Vec<Problem>> {
    let mut reader = Reader::new(current, Unnamed::Keep, mint);
    let entry = one(&mut reader, value, id, &current.rate_decks, RateDeckId::new)?;
    let claimed = [entry];
    let mut next = current.clone();
    next.rate_decks = unclaimed(&current.rate_decks, &claimed, Unnamed::Keep);
    next.rate_decks.extend(reader.rate_deck(&claimed[0]));
    Ok((finish(reader, next, &BTreeSet::new())?, claimed[0].id))
}

/// Creates a server from one object, or replaces the one with this id.
///
/// # Errors
///
/// Every problem of the object, and of what the change would break elsewhere.
pub fn put_server(
    value: &Value,
    id: Option<ServerId>,
    current: &Configuration,
    mint: &mut dyn FnMut() -> u128,
) -> Result<(Reading, ServerId), Vec<Problem>> {
    let mut reader = Reader::new(current, Unnamed::Keep, mint);
    let entry = one(&mut reader, value, id, &current.servers, ServerId::new)?;
    let claimed = [entry];
    reader.servers = roster(&current.servers, &claimed, Unnamed::Keep);
    let mut next = current.clone();
    next.servers = unclaimed(&current.servers, &claimed, Unnamed::Keep);
    next.servers.extend(reader.server(&claimed[0]));
    Ok((finish(reader, next, &BTreeSet::new())?, claimed[0].id))
}

/// Creates a trunk from one object, or replaces the one with this id.
///
/// # Errors
///
/// Every problem of the object, and of what the change would break elsewhere.
pub fn put_trunk(
    value: &Value,
    id: Option<TrunkId>,
    current: &Configuration,
    mint: &mut dyn FnMut() -> u128,
) -> Result<(Reading, TrunkId), Vec<Problem>> {
    let mut reader = Reader::new(current, Unnamed::Keep, mint);
    let entry = one(&mut reader, value, id, &current.trunks, TrunkId::new)?;
    let claimed = [entry];
    let mut next = current.clone();
    next.trunks = unclaimed(&current.trunks, &claimed, Unnamed::Keep);
    next.trunks.extend(reader.trunk(&claimed[0]));
    Ok((finish(reader, next, &BTreeSet::new())?, claimed[0].id))
}

/// Creates a forwarding flow from one object, or replaces the one with this id.
///
/// # Errors
///
/// Every problem of the object, and of what the change would break elsewhere.
pub fn put_forwarding_flow(
    value: &Value,
    id: Option<ForwardingFlowId>,
    current: &Configuration,
    mint: &mut dyn FnMut() -> u128,
) -> Result<(Reading, ForwardingFlowId), Vec<Problem>> {
    let mut reader = Reader::new(current, Unnamed::Keep, mint);
    let entry = one(&mut reader, value, id, &current.forwarding_flows, ForwardingFlowId::new)?;
    let claimed = [entry];
    let mut next = current.clone();
    next.forwarding_flows = unclaimed(&current.forwarding_flows, &claimed, Unnamed::Keep);
    next.forwarding_flows.extend(reader.forwarding_flow(&claimed[0]));
    Ok((finish(reader, next, &BTreeSet::new())?, claimed[0].id))
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
    let mut reader = Reader::new(current, Unnamed::Keep, mint);
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
    reader.same_id(value, id);
    let id = id.unwrap_or_else(|| DestinationId::new((reader.mint)()));
    if let Some(destination) = reader.destination(value, "", id) {
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
    let mut reader = Reader::new(current, Unnamed::Keep, mint);
    reader.same_id(value, id);
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
    if let Some((did, server, owner)) = reader.number_fields(&value, "", &current.forwarding_flows)
    {
        if let Some(before) = before.filter(|before| before.did != did) {
            let message = format!("that is the id of {}, and a number keeps its DID", before.did);
            let hint = format!("add {did} as a number of its own");
            reader.problems.push(Problem::new("/did", "not_allowed", message, hint));
        }
        let twin = next.numbers.iter().find(|one| one.server == server && one.did == did);
        if let Some(twin) = twin {
            let owner = twin.forwarding_flow.and_then(|flow| current.forwarding_flow(flow));
            let message = match owner {
                Some(flow) => format!("{did} belongs to forwarding flow {}", flow.name),
                None => format!("{did} is there already, and no forwarding flow owns it"),
            };
            let hint = format!("change the owner of {} to move it", twin.id);
            reader.problems.push(Problem::new("/did", "taken", message, hint));
        } else {
            reader.places.put(id, "");
            let flow = next.forwarding_flows.iter_mut().find(|flow| Some(flow.id) == owner);
            if let Some(flow) = flow {
                flow.dids.push(did.clone());
            }
            keep.insert((server, did.clone()));
            next.numbers.push(Number { id, did, server, forwarding_flow: None });
        }
    }
    Ok((finish(reader, next, &keep)?, id))
}

/// Settles the numbers, checks the whole, and hands it over if nothing is wrong.
fn finish(
    reader: Reader<'_>,
    mut next: Configuration,
    keep: &BTreeSet<(ServerId, Did)>,
) -> Result<Reading, Vec<Problem>> {
    let Reader { current, places, mut problems, mut warnings, mint, .. } = reader;
    next.settle_numbers(keep, mint);
    next.sort();
    let before = check::problems(current, &Places::default());
    for problem in check::problems(&next, &places) {
        let known = problem.pointer.is_empty() && before.contains(&problem);
        // A field that could not be read has been complained about; what follows from its
        // absence would only confuse.
        let inside = format!("{}/", problem.pointer);
        let follows = !problem.pointer.is_empty()
            && problems.iter().any(|fault| {
                fault.pointer == problem.pointer || fault.pointer.starts_with(&inside)
            });
        if !known && !follows {
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
        let pointer = places.did(to, &number.did)?;
        let (from, to) = (current.forwarding_flow(from)?, next.forwarding_flow(to)?);
        let message = format!("{} moves from forwarding flow {}", number.did, from.name);
        let hint = format!("leave it out here if its calls shall not go to {}", to.name);
        (from.id != to.id).then(|| Problem::new(pointer, "moved", message, hint))
    };
    next.numbers.iter().filter_map(warning).collect()
}

/// Gives each item of a section its id: its own if it has one that exists, else that of the
/// object of its name, else a new one.
fn claim<'v, T: Named>(
    reader: &mut Reader<'_>,
    items: Vec<(String, &'v Value)>,
    current: &[T],
    new: fn(u128) -> T::Id,
) -> Vec<Entry<'v, T::Id>>
where
    T::Id: FromStr<Err: Display>,
{
    let mut taken = BTreeSet::new();
    let mut by_id = Vec::with_capacity(items.len());
    for (pointer, value) in &items {
        let id = reader.own_id::<T::Id>(value, pointer, T::KIND, &|id| {
            current.iter().any(|one| one.id() == id)
        });
        if let Some(id) = id.filter(|id| !taken.insert(*id)) {
            let message = format!("{id} stands here a second time");
            let hint = format!("leave id out for a new {}", T::KIND);
            reader.problems.push(Problem::new(format!("{pointer}/id"), "taken", message, hint));
            by_id.push(None);
            continue;
        }
        by_id.push(id);
    }
    let entry = |((pointer, value), id): ((String, &'v Value), Option<T::Id>)| {
        let name = read::peek_name(value);
        let id = id.or_else(|| {
            let same = current.iter().find(|one| Some(one.name()) == name.as_deref())?;
            taken.insert(same.id()).then(|| same.id())
        });
        let id = id.unwrap_or_else(|| new((reader.mint)()));
        Entry { id, name: name.unwrap_or_default(), pointer, value }
    };
    items.into_iter().zip(by_id).map(entry).collect()
}

/// The entry of a body that is one object by itself.
fn one<'v, T: Named>(
    reader: &mut Reader<'_>,
    value: &'v Value,
    id: Option<T::Id>,
    current: &[T],
    new: fn(u128) -> T::Id,
) -> Result<Entry<'v, T::Id>, Vec<Problem>>
where
    T::Id: FromStr<Err: Display>,
{
    if let Some(id) = id.filter(|id| !current.iter().any(|one| one.id() == *id)) {
        return Err(vec![not_found(id)]);
    }
    reader.same_id(value, id);
    let id = id.unwrap_or_else(|| new((reader.mint)()));
    let name = read::peek_name(value).unwrap_or_default();
    Ok(Entry { id, name, pointer: String::new(), value })
}

/// Ids and names of everything there will be.
fn roster<T: Named>(
    current: &[T],
    entries: &[Entry<'_, T::Id>],
    unnamed: Unnamed,
) -> Vec<(T::Id, String)> {
    let named = entries.iter().map(|entry| (entry.id, entry.name.clone()));
    let kept = unclaimed(current, entries, unnamed);
    named.chain(kept.iter().map(|one| (one.id(), one.name().to_owned()))).collect()
}

/// What stays as it is.
fn unclaimed<T: Named>(current: &[T], entries: &[Entry<'_, T::Id>], unnamed: Unnamed) -> Vec<T> {
    let claimed: BTreeSet<T::Id> = entries.iter().map(|entry| entry.id).collect();
    let stays = |one: &&T| unnamed == Unnamed::Keep && !claimed.contains(&one.id());
    current.iter().filter(stays).cloned().collect()
}
