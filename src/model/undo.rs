//! The way back: what a change made, made as it was before.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::change::{Changed, Subject, row};
use super::check;
use super::configuration::Configuration;
use super::document::{Reading, finish, masters, read_account, reader_of};
use super::id::{ForwardingFlowId, Id as _, NumberId, ObjectId};
use super::number::Did;
use super::object::{Entry, Record as _, Shape as _, Source};
use super::objects::account::AccountSettings;
use super::objects::number::Number;
use super::objects::{KINDS, Kind};
use super::problem::Problem;
use super::removal;

/// The configuration without what was changed together: what was made goes, what went is there again,
/// and all else is as it was. It is a change of its own.
///
/// # Errors
///
/// What was changed again since, and what the way back would break elsewhere.
pub fn undo(
    current: &Configuration,
    changed: &[Changed],
    mint: &mut dyn FnMut() -> u128,
) -> Result<Reading, Vec<Problem>> {
    let there: BTreeMap<NumberId, &Number> =
        current.numbers.iter().map(|number| (number.id, number)).collect();
    let since: Vec<Problem> =
        changed.iter().filter_map(|one| changed_since(current, &there, one)).collect();
    if !since.is_empty() {
        return Err(since);
    }
    let mut next = current.clone();
    let mut reader = reader_of(current, mint);
    reader.source = Source::Row;
    let mut objects: BTreeMap<ObjectId, &Changed> = BTreeMap::new();
    let mut numbers: BTreeMap<NumberId, &Changed> = BTreeMap::new();
    let mut settings = None;
    for one in changed {
        match one.subject {
            Subject::Account => settings = one.before.as_ref(),
            Subject::Number(id) => drop(numbers.insert(id, one)),
            Subject::Object(id) => drop(objects.insert(id, one)),
        }
    }
    for (id, one) in objects.iter().filter(|(_, one)| one.before.is_some()) {
        reader.rosters.entry(id.prefix()).or_default().add(id.value(), &one.name);
    }
    if let Some(settings) = settings {
        next.account = read_account(settings, "", &mut reader);
    }
    for kind in KINDS {
        kind.retain(&mut next, &|id| !objects.contains_key(&id));
        for (id, one) in objects.iter().filter(|(id, _)| id.prefix() == kind.prefix) {
            if let Some(value) = &one.before {
                let name = value["name"].as_str().unwrap_or_default().to_owned();
                let entry = Entry { id: *id, name, pointer: String::new(), value };
                kind.read(&mut reader, &entry, &mut next);
            }
        }
    }
    reader.masters = masters(&next);
    next.numbers.retain(|number| !numbers.contains_key(&number.id));
    let made = objects.iter().filter(|(_, one)| one.before.is_none());
    let still: Vec<Problem> = made.flat_map(|(id, one)| still_used(&next, *id, one)).collect();
    if !still.is_empty() {
        return Err(still);
    }
    for (id, one) in numbers {
        reader.own_id = id.value();
        let number = one.before.as_ref().and_then(|value| Number::read(value, "", &mut reader));
        next.numbers.extend(number);
    }
    let mut dids: BTreeMap<ForwardingFlowId, Vec<Did>> = BTreeMap::new();
    for number in &next.numbers {
        if let Some(flow) = number.forwarding_flow {
            dids.entry(flow).or_default().push(number.did.clone());
        }
    }
    for flow in &mut next.forwarding_flows {
        flow.dids = dids.remove(&flow.id).unwrap_or_default();
    }
    finish(reader, next, &BTreeSet::new())
}

/// Tells of what others refer to by now, which must not go.
fn still_used(left: &Configuration, id: ObjectId, one: &Changed) -> Vec<Problem> {
    let mut users = check::users_of(left, id);
    if let Some(flow) = id.to::<ForwardingFlowId>() {
        let owned = |number: &&Number| number.forwarding_flow == Some(flow);
        users.extend(check::in_words(left.numbers.iter().filter(owned)));
    }
    let word = Kind::by_prefix(id.prefix()).map_or("", |kind| kind.word);
    removal::in_use(users, word, &one.name)
}

/// Tells of what is not any more as the change left it. `numbers` are those of `current`.
fn changed_since(
    current: &Configuration,
    numbers: &BTreeMap<NumberId, &Number>,
    one: &Changed,
) -> Option<Problem> {
    let (word, now, keys) = match one.subject {
        Subject::Account => {
            ("the settings of the", Some(row(&current.account).0), AccountSettings::keys())
        }
        Subject::Number(id) => {
            let number = numbers.get(&id);
            ("number", number.map(|number| row(*number).0), Number::keys())
        }
        Subject::Object(id) => {
            let kind = Kind::by_prefix(id.prefix())?;
            let keys = (kind.fields)().into_iter().map(|field| field.name).collect();
            (kind.word, kind.row(current, id), keys)
        }
    };
    if is_same(now.as_ref(), one.after.as_ref(), &keys) {
        return None;
    }
    let (name, hint) = (&one.name, "undo the later change first, or change it by hand");
    let message = match (&now, &one.after) {
        (None, _) => format!("{word} {name} is not there any more"),
        (Some(_), None) => format!("{word} {name} is there again"),
        (Some(_), Some(_)) => format!("{word} {name} was changed again since"),
    };
    Some(Problem::new("", "changed_since", message, hint))
}

/// Whether two rows say the same under `keys`. A row of the history may have others, which a newer node
/// wrote and this one does not know.
fn is_same(now: Option<&Value>, then: Option<&Value>, keys: &[&str]) -> bool {
    match (now, then) {
        (Some(now), Some(then)) => keys.iter().all(|key| now.get(key) == then.get(key)),
        (now, then) => now.is_none() == then.is_none(),
    }
}
