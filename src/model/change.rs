//! The rows to write to get from one configuration to another.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::configuration::{Configuration, Listed};
use super::id::{DestinationId, ForwardingFlowId, KeyId, NumberId, ObjectId};
use super::object::{Names, Record};
use super::objects::KINDS;
use super::objects::destination::DestinationState;
use super::objects::number::Number;
use super::time::Timestamp;

/// One row that changes; a list of them is written in one transaction or not at all.
///
/// A flow is one row with all its destinations. Which DIDs it owns is not part of it: that is said by
/// the numbers, each with a change of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub subject: Subject,
    /// What it is called afterwards, or was before it went: for people.
    pub name: String,
    /// `None` for what is new. References are ids, here and in `after`.
    pub before: Option<Value>,
    /// `None` for what goes.
    pub after: Option<Value>,
    /// What `after` refers to.
    pub references: BTreeSet<ObjectId>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Subject {
    /// The settings of the account.
    Account,
    Number(NumberId),
    Object(ObjectId),
}

/// Who makes a change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Author {
    /// The key of the HTTP API, if it came by that way.
    pub key: Option<KeyId>,
    /// What people call them: the name of the key, or of the user of the machine.
    pub name: String,
}

/// A change as it was made: one object or number within one version of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// The version of the configuration that it led to; all of one version were made together.
    pub version: i64,
    /// Its place among those of its version, from 0.
    pub place: u32,
    pub at: Timestamp,
    pub author: Author,
    pub subject: Subject,
    pub name: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// What routing remembers of something that is not there any more, or keeps no callers.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Forgotten {
    /// Who belongs to a destination.
    Bindings(ForwardingFlowId, DestinationId),
    /// Who belongs to any destination of a flow, and whose turn it is there.
    Flow(ForwardingFlowId),
    /// How much of the caps of a flow or a destination is used.
    Volumes(ObjectId),
}

/// All that a step from one configuration to another writes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    pub changes: Vec<Change>,
    pub forgotten: BTreeSet<Forgotten>,
}

impl Changes {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Whether a number changes.
    #[must_use]
    pub fn has_numbers(&self) -> bool {
        self.changes.iter().any(|change| matches!(change.subject, Subject::Number(_)))
    }
}

/// What leads from `old` to `new`. Empty when they are the same.
#[must_use]
pub fn diff(old: &Configuration, new: &Configuration) -> Changes {
    let mut found = Vec::new();
    if old.account != new.account {
        let (before, _) = row(&old.account);
        let (after, references) = row(&new.account);
        found.push(Change {
            subject: Subject::Account,
            name: "account".to_owned(),
            before: Some(before),
            after: Some(after),
            references,
        });
    }
    for kind in KINDS {
        kind.changes(old, new, &mut found);
    }
    numbers(old, new, &mut found);
    Changes { changes: found, forgotten: forgotten(old, new) }
}

/// A record as it stands in a row, and what it refers to.
#[must_use]
pub fn row(record: &impl Record) -> (Value, BTreeSet<ObjectId>) {
    let names = RowNames::default();
    let body = record.write_whole(&names);
    (body, names.0.into_inner())
}

/// Notes what is referred to, and has it written as an id.
#[derive(Default)]
struct RowNames(RefCell<BTreeSet<ObjectId>>);

impl Names for RowNames {
    fn name(&self, id: ObjectId) -> Option<String> {
        // A destination is part of its flow and has no row.
        if id.to::<DestinationId>().is_none() {
            self.0.borrow_mut().insert(id);
        }
        None
    }

    fn is_row(&self) -> bool {
        true
    }
}

/// Those of one kind.
pub(super) fn changes<T: Listed>(
    old: &Configuration,
    new: &Configuration,
    found: &mut Vec<Change>,
) {
    let before: BTreeMap<T::Id, &T> = T::list(old).iter().map(|one| (one.id(), one)).collect();
    let mut kept = BTreeSet::new();
    for one in T::list(new) {
        kept.insert(one.id());
        let was = before.get(&one.id());
        if was.is_some_and(|was| *was == one) {
            continue;
        }
        let was = was.map(|was| row(*was).0);
        let (body, references) = row(one);
        // What differs may be its numbers only, which have rows of their own.
        if was.as_ref() != Some(&body) {
            found.push(Change {
                subject: Subject::Object(one.id().into()),
                name: one.name().to_owned(),
                before: was,
                after: Some(body),
                references,
            });
        }
    }
    let gone = T::list(old).iter().filter(|one| !kept.contains(&one.id()));
    found.extend(gone.map(|one| Change {
        subject: Subject::Object(one.id().into()),
        name: one.name().to_owned(),
        before: Some(row(one).0),
        after: None,
        references: BTreeSet::new(),
    }));
}

fn numbers(old: &Configuration, new: &Configuration, found: &mut Vec<Change>) {
    let change = |number: &Number, before: Option<&Number>, after: Option<&Number>| {
        let (after, references) = after.map(row).unzip();
        Change {
            subject: Subject::Number(number.id),
            name: number.did.to_string(),
            before: before.map(|number| row(number).0),
            after,
            references: references.unwrap_or_default(),
        }
    };
    let kept: BTreeSet<NumberId> = new.numbers.iter().map(|number| number.id).collect();
    let gone = old.numbers.iter().filter(|number| !kept.contains(&number.id));
    found.extend(gone.map(|number| change(number, Some(number), None)));
    let before: BTreeMap<NumberId, &Number> = old.numbers.iter().map(|n| (n.id, n)).collect();
    for number in &new.numbers {
        let was = before.get(&number.id).copied();
        if was != Some(number) {
            found.push(change(number, was, Some(number)));
        }
    }
}

/// A destination that is disabled keeps no callers; what is gone keeps nothing.
fn forgotten(old: &Configuration, new: &Configuration) -> BTreeSet<Forgotten> {
    let was: BTreeMap<_, _> = old.forwarding_flows.iter().map(|flow| (flow.id, flow)).collect();
    let is: BTreeMap<_, _> = new.forwarding_flows.iter().map(|flow| (flow.id, flow)).collect();
    let mut found = BTreeSet::new();
    for flow in &old.forwarding_flows {
        let Some(now) = is.get(&flow.id) else {
            found.extend([Forgotten::Flow(flow.id), Forgotten::Volumes(flow.id.into())]);
            found.extend(flow.destinations.iter().map(|one| Forgotten::Volumes(one.id.into())));
            continue;
        };
        for gone in &flow.destinations {
            if !now.destinations.iter().any(|one| one.id == gone.id) {
                found.insert(Forgotten::Bindings(flow.id, gone.id));
                found.insert(Forgotten::Volumes(gone.id.into()));
            }
        }
    }
    for flow in &new.forwarding_flows {
        if was.get(&flow.id).is_some_and(|was| was.destinations != flow.destinations) {
            let disabled = flow.destinations.iter();
            let disabled = disabled.filter(|one| one.state == DestinationState::Disabled);
            found.extend(disabled.map(|one| Forgotten::Bindings(flow.id, one.id)));
        }
    }
    found
}
