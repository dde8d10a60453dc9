//! The difference between two configurations as people read it before they agree to it.
//!
//! ```text
//! + forwarding flow solar-east (2 DIDs, 2 destinations)
//! ~ destination slave-a of solar-east: weight 70 → 50
//! - trunk old-carrier
//! ```
//! The rows to write are another matter: see `change::diff`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::configuration::{AllNames, Configuration};
use super::id::{Id, NumberId, ObjectId};
use super::number::Did;
use super::object::{Names, Record as _};
use super::objects::forwarding_flow::ForwardingFlow;
use super::objects::{KINDS, Rules, count};
use super::places::Places;
use super::problem::Problem;

/// One line of a plan: `~ server slave-a: max_live 30 → 20`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct PlanLine {
    pub action: Action,
    /// What, and for a change how.
    pub text: String,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Add,
    Change,
    Remove,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "+",
            Self::Change => "~",
            Self::Remove => "-",
        })
    }
}

impl fmt::Display for PlanLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.action, self.text)
    }
}

/// What would change. Empty exactly when `change::diff` is.
#[must_use]
pub fn describe(old: &Configuration, new: &Configuration) -> Vec<PlanLine> {
    let names = BothNames { old: AllNames::of(old), new: AllNames::of(new) };
    let mut plan = Plan { old, new, names: &names, lines: Vec::new() };
    let changes = fields(&old.account.write_whole(&names), &new.account.write_whole(&names));
    plan.changed("account", &changes);
    for kind in KINDS {
        // What owns numbers comes after those that nobody owns.
        if kind.has_numbers {
            plan.numbers();
        }
        kind.plan(&mut plan);
    }
    plan.lines
}

/// Both sides are written with the names of the new one, so that a rename is told once and not again by
/// everything that refers to it; what is gone keeps the name it had.
struct BothNames<'a> {
    old: AllNames<'a>,
    new: AllNames<'a>,
}

impl Names for BothNames<'_> {
    fn name(&self, id: ObjectId) -> Option<String> {
        self.new.name(id).or_else(|| self.old.name(id))
    }
}

/// What flows would lose that stay: DIDs that go to no other flow, and destinations. Each at its place
/// in the document; a flow that is named there is all that it says.
#[must_use]
pub fn taken_away(old: &Configuration, new: &Configuration, places: &Places) -> Vec<Problem> {
    let owned: BTreeSet<&Did> = new.forwarding_flows.iter().flat_map(|flow| &flow.dids).collect();
    let of_flow = |flow: &ForwardingFlow| {
        let (before, here) = (old.forwarding_flow(flow.id)?, places.find(flow.id)?);
        let dids = before.dids.iter().filter(|did| !owned.contains(did)).map(ToString::to_string);
        let stays = |id| flow.destinations.iter().any(|one| one.id == id);
        let gone = before.destinations.iter().filter(|one| !stays(one.id));
        let lists = [
            ("DID", dids.collect::<Vec<_>>()),
            ("destination", gone.map(|one| one.name.clone()).collect()),
        ];
        let lost = lists.iter().filter(|(_, names)| !names.is_empty());
        let lost: Vec<String> = lost
            .map(|(word, names)| {
                let more = names.len().saturating_sub(MOST_NAMED);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let shown = names.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
                format!("{} ({shown}{more})", count(names.len(), word))
            })
            .collect();
        (!lost.is_empty()).then(|| {
            let message = format!("forwarding flow {} loses {}", flow.name, lost.join(" and "));
            let hint = "write them too, unless that is meant: a flow has what its document says";
            Problem::new(here, "taken_away", message, hint)
        })
    };
    new.forwarding_flows.iter().filter_map(of_flow).collect()
}

/// How many of the lost are named in one warning; the others are counted.
const MOST_NAMED: usize = 5;

pub struct Plan<'a> {
    old: &'a Configuration,
    new: &'a Configuration,
    names: &'a BothNames<'a>,
    lines: Vec<PlanLine>,
}

impl<'a> Plan<'a> {
    /// How what is referred to is called.
    #[must_use]
    pub fn names(&self) -> &'a dyn Names {
        self.names
    }

    pub fn line(&mut self, action: Action, text: impl Into<String>) {
        self.lines.push(PlanLine { action, text: text.into() });
    }

    pub fn changed(&mut self, what: &str, changes: &[String]) {
        if !changes.is_empty() {
            self.line(Action::Change, format!("{what}: {}", changes.join(", ")));
        }
    }

    /// Only those without an owner: the others are seen at their flow.
    fn numbers(&mut self) {
        let (old, new) = (&self.old.numbers, &self.new.numbers);
        for (action, from, other) in [(Action::Remove, old, new), (Action::Add, new, old)] {
            let there: BTreeSet<NumberId> = other.iter().map(|number| number.id).collect();
            for number in from.iter().filter(|number| number.forwarding_flow.is_none()) {
                if !there.contains(&number.id) {
                    let server = self.names().name(number.server.into());
                    let server = server.map_or_else(String::new, |name| format!(" on {name}"));
                    self.line(action, format!("number {}{server}", number.did));
                }
            }
        }
    }
}

/// The lines of one kind.
pub(super) fn plan<T: Rules>(plan: &mut Plan<'_>) {
    let (old, new) = (T::list(plan.old), T::list(plan.new));
    let plain = |one: &T| format!("{} {}", T::Id::WORD, one.name());
    let was: BTreeMap<T::Id, &T> = old.iter().map(|one| (one.id(), one)).collect();
    let is: BTreeSet<T::Id> = new.iter().map(T::id).collect();
    for gone in old.iter().filter(|one| !is.contains(&one.id())) {
        plan.line(Action::Remove, plain(gone));
    }
    for one in new {
        let Some(before) = was.get(&one.id()).copied() else {
            let size = one.size().map_or_else(String::new, |size| format!(" ({size})"));
            plan.line(Action::Add, plain(one) + &size);
            continue;
        };
        if before == one {
            continue;
        }
        let names = plan.names();
        let mut changes = fields(&before.write_whole(names), &one.write_whole(names));
        let at = plan.lines.len();
        changes.extend(T::plan_parts(before, one, plan));
        let parts = plan.lines.split_off(at);
        plan.changed(&plain(before), &changes);
        plan.lines.extend(parts);
    }
}

/// `weight 70 → 50` for each field that differs, `rate.calls 5 → 6` for one inside another; what
/// has lines of its own is left to them.
#[must_use]
pub fn fields(old: &Value, new: &Value) -> Vec<String> {
    let mut changes = Vec::new();
    differences("", old, new, &mut changes);
    changes
}

fn differences(path: &str, old: &Value, new: &Value, changes: &mut Vec<String>) {
    const ELSEWHERE: [&str; 3] = ["destinations", "dids", "rates"];
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        changes.push(format!("{path} {} → {}", compact(old), compact(new)));
        return;
    };
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys.into_iter().filter(|key| !ELSEWHERE.contains(&key.as_str())) {
        let (was, is) = (old.get(key), new.get(key));
        if was != is {
            let inside = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let (was, is) = (was.unwrap_or(&Value::Null), is.unwrap_or(&Value::Null));
            differences(&inside, was, is, changes);
        }
    }
}

/// A value without the quotes and colons that only a parser needs: `{calls 5, per second}`.
fn compact(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!("[{}]", items.iter().map(compact).collect::<Vec<_>>().join(", "))
        }
        Value::Object(object) => {
            let field = |(key, value): (&String, &Value)| format!("{key} {}", compact(value));
            format!("{{{}}}", object.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        plain => plain.to_string(),
    }
}
