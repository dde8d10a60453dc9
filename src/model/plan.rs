//! The difference between two configurations as people read it before they agree to it.
//!
//! ```text
//! + forwarding flow solar-east (2 DIDs, 2 destinations)
//! ~ destination slave-a of solar-east: weight 70 → 50
//! - trunk old-carrier
//! ```
//! The rows to write are another matter: see `configuration::diff`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::billing::{Prefix, Rate, RateDeck};
use super::check::Places;
use super::configuration::{Configuration, Named};
use super::document::{
    write_account, write_destination, write_forwarding_flow, write_rate_deck, write_server,
    write_trunk,
};
use super::forwarding_flow::ForwardingFlow;
use super::id::{DestinationId, NumberId};
use super::number::Did;
use super::problem::Problem;
use super::server::Server;
use super::trunk::Trunk;

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

/// What would change. Empty exactly when `configuration::diff` is.
#[must_use]
pub fn describe(old: &Configuration, new: &Configuration) -> Vec<PlanLine> {
    // Both sides are written with the names of `new`, so that a rename is told once and not again
    // by everything that refers to it; what is gone keeps the name it had.
    let mut names = new.clone();
    let gone = |id| new.server(id).is_none();
    names.servers.extend(old.servers.iter().filter(|one| gone(one.id)).cloned());
    let gone = |id| new.trunk(id).is_none();
    names.trunks.extend(old.trunks.iter().filter(|one| gone(one.id)).cloned());
    let gone = |id| new.rate_deck(id).is_none();
    names.rate_decks.extend(old.rate_decks.iter().filter(|one| gone(one.id)).cloned());
    let mut plan = Plan { old, new, names, lines: Vec::new() };
    let account = |of: &Configuration| write_account(&of.account, &plan.names);
    let changes = fields(&account(old), &account(new));
    plan.changed("account", &changes);
    plan.objects(&old.rate_decks, &new.rate_decks, &priced, write_rate_deck);
    plan.objects(&old.servers, &new.servers, &plain, write_server);
    plan.objects(&old.trunks, &new.trunks, &plain, write_trunk);
    plan.numbers();
    plan.objects(&old.forwarding_flows, &new.forwarding_flows, &sized, write_forwarding_flow);
    plan.lines
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

/// So many of what is lost are named.
const MOST_NAMED: usize = 5;

fn plain<T: Named>(one: &T) -> String {
    format!("{} {}", T::KIND, one.name())
}

fn priced(deck: &RateDeck) -> String {
    format!("{} ({})", plain(deck), count(deck.rates.len(), "rate"))
}

fn count(n: usize, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}

fn sized(flow: &ForwardingFlow) -> String {
    let dids = count(flow.dids.len(), "DID");
    let destinations = count(flow.destinations.len(), "destination");
    format!("{} ({dids}, {destinations})", plain(flow))
}

struct Plan<'a> {
    old: &'a Configuration,
    new: &'a Configuration,
    names: Configuration,
    lines: Vec<PlanLine>,
}

impl Plan<'_> {
    fn line(&mut self, action: Action, text: impl Into<String>) {
        self.lines.push(PlanLine { action, text: text.into() });
    }

    fn changed(&mut self, what: &str, changes: &[String]) {
        if !changes.is_empty() {
            self.line(Action::Change, format!("{what}: {}", changes.join(", ")));
        }
    }

    fn objects<T: Named>(
        &mut self,
        old: &[T],
        new: &[T],
        whole: &dyn Fn(&T) -> String,
        write: fn(&T, &Configuration) -> Value,
    ) where
        Self: Parts<T>,
    {
        for gone in old.iter().filter(|one| !new.iter().any(|other| other.id() == one.id())) {
            self.line(Action::Remove, plain(gone));
        }
        for one in new {
            let Some(before) = old.iter().find(|other| other.id() == one.id()) else {
                self.line(Action::Add, whole(one));
                continue;
            };
            let mut changes = fields(&write(before, &self.names), &write(one, &self.names));
            changes.extend(self.summary(before, one));
            self.changed(&plain(before), &changes);
            self.parts(before, one);
        }
    }

    /// Only those without an owner: the others are seen at their flow.
    fn numbers(&mut self) {
        let (old, new) = (&self.old.numbers, &self.new.numbers);
        for (action, from, other) in [(Action::Remove, old, new), (Action::Add, new, old)] {
            let there: BTreeSet<NumberId> = other.iter().map(|number| number.id).collect();
            for number in from.iter().filter(|number| number.forwarding_flow.is_none()) {
                if !there.contains(&number.id) {
                    let server = self.names.server(number.server);
                    let server = server.map_or_else(String::new, |one| format!(" on {}", one.name));
                    self.line(action, format!("number {}{server}", number.did));
                }
            }
        }
    }
}

/// What a kind of object shows beyond its own fields.
trait Parts<T> {
    /// More for the line of the object itself.
    fn summary(&self, _old: &T, _new: &T) -> Vec<String> {
        Vec::new()
    }

    /// Lines of their own.
    fn parts(&mut self, _old: &T, _new: &T) {}
}

impl Parts<RateDeck> for Plan<'_> {
    fn parts(&mut self, old: &RateDeck, new: &RateDeck) {
        let by_prefix = |deck: &RateDeck| -> BTreeMap<Prefix, Rate> {
            deck.rates.iter().map(|rate| (rate.prefix.clone(), rate.clone())).collect()
        };
        let (was, is) = (by_prefix(old), by_prefix(new));
        let label = |prefix: &Prefix| match prefix.as_str() {
            "" => format!("rate of deck {} for all other numbers", new.name),
            digits => format!("rate {digits} of deck {}", new.name),
        };
        for gone in was.keys().filter(|prefix| !is.contains_key(*prefix)) {
            self.line(Action::Remove, label(gone));
        }
        for (prefix, rate) in &is {
            let Rate { per_minute, increment, .. } = rate;
            match was.get(prefix) {
                Some(before) if before == rate => {}
                None => {
                    let text = format!("{}: {per_minute} at {increment}", label(prefix));
                    self.line(Action::Add, text);
                }
                Some(before) => {
                    let price = (before.per_minute != *per_minute)
                        .then(|| format!("{} → {per_minute}", before.per_minute));
                    let step = (before.increment != *increment)
                        .then(|| format!("increment {} → {increment}", before.increment));
                    let changes: Vec<String> = price.into_iter().chain(step).collect();
                    self.changed(&label(prefix), &changes);
                }
            }
        }
    }
}

impl Parts<Server> for Plan<'_> {}
impl Parts<Trunk> for Plan<'_> {}

impl Parts<ForwardingFlow> for Plan<'_> {
    fn summary(&self, old: &ForwardingFlow, new: &ForwardingFlow) -> Vec<String> {
        let (was, is) = (BTreeSet::from_iter(&old.dids), BTreeSet::from_iter(&new.dids));
        let added = is.difference(&was).map(|did| format!("DID {did} added"));
        let dropped = was.difference(&is).map(|did| format!("DID {did} removed"));
        let mut changes: Vec<String> = added.chain(dropped).collect();

        let order = |of: &ForwardingFlow, among: &ForwardingFlow| -> Vec<DestinationId> {
            let both = |id: &DestinationId| among.destinations.iter().any(|other| other.id == *id);
            of.destinations.iter().map(|one| one.id).filter(both).collect()
        };
        if order(old, new) != order(new, old) {
            changes.push("destinations in another order".to_owned());
        }
        changes
    }

    fn parts(&mut self, old: &ForwardingFlow, new: &ForwardingFlow) {
        let label = |name: &str| format!("destination {name} of {}", new.name);
        for gone in &old.destinations {
            if !new.destinations.iter().any(|one| one.id == gone.id) {
                self.line(Action::Remove, label(&gone.name));
            }
        }
        for one in &new.destinations {
            let Some(before) = old.destinations.iter().find(|other| other.id == one.id) else {
                self.line(Action::Add, label(&one.name));
                continue;
            };
            let was = write_destination(before, &self.names);
            let is = write_destination(one, &self.names);
            self.changed(&label(&before.name), &fields(&was, &is));
        }
    }
}

/// `weight 70 → 50` for each field that differs, `rate.calls 5 → 6` for one inside another; what
/// has lines of its own is left to them.
fn fields(old: &Value, new: &Value) -> Vec<String> {
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
