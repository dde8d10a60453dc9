//! What reading needs to know and what it finds out: the objects there will be, by name and id, and
//! every fault with its place.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use serde_json::Value;

use super::fields::{not_a, text};
use crate::model::configuration::Configuration;
use crate::model::id::{DestinationId, ForwardingFlowId, Id, ObjectId, ServerId};
use crate::model::places::Places;
use crate::model::problem::Problem;

/// What becomes of objects that the document does not name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unnamed {
    /// They stay as they are.
    Keep,
    /// They are removed, numbers too; the account, which is always there, stays as it is.
    Prune,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// Somebody typed it: a key that is not known is a fault.
    Document,
    /// A node wrote it, perhaps one that knows more keys: those are passed over with a warning.
    Row,
}

/// Ids and names of everything of one kind that there will be.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    names: BTreeMap<u128, String>,
    ids: BTreeMap<String, u128>,
}

impl Roster {
    /// Of two with one name, the first is found.
    pub fn add(&mut self, id: u128, name: &str) {
        self.names.insert(id, name.to_owned());
        if !name.is_empty() {
            self.ids.entry(name.to_owned()).or_insert(id);
        }
    }

    #[must_use]
    pub fn has(&self, id: u128) -> bool {
        self.names.contains_key(&id)
    }

    #[must_use]
    pub fn find(&self, name: &str) -> Option<u128> {
        self.ids.get(name).copied()
    }

    #[must_use]
    pub fn name(&self, id: u128) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }

    /// In the order of the ids.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.values().map(String::as_str).filter(|name| !name.is_empty())
    }
}

/// One item of a section with the id it will have.
pub struct Entry<'v> {
    pub id: ObjectId,
    /// Empty when it cannot be read.
    pub name: String,
    pub pointer: String,
    pub value: &'v Value,
}

pub struct Reader<'a> {
    pub current: &'a Configuration,
    pub mint: &'a mut dyn FnMut() -> u128,
    pub unnamed: Unnamed,
    pub source: Source,
    pub places: Places,
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
    /// By the prefix of their ids.
    pub rosters: BTreeMap<&'static str, Roster>,
    /// Objects that could not be read, with their names: what refers to them is not at fault.
    pub unread: BTreeMap<ObjectId, String>,
    /// The id of the object that is read.
    pub own_id: u128,
    /// What it is called if it does not say.
    pub own_name: Option<String>,
    /// The master of each flow.
    pub masters: BTreeMap<ForwardingFlowId, ServerId>,
}

impl<'a> Reader<'a> {
    /// One that knows no object yet.
    pub fn new(
        current: &'a Configuration,
        unnamed: Unnamed,
        mint: &'a mut dyn FnMut() -> u128,
    ) -> Self {
        Self {
            current,
            mint,
            unnamed,
            source: Source::Document,
            places: Places::default(),
            problems: Vec::new(),
            warnings: Vec::new(),
            rosters: BTreeMap::new(),
            unread: BTreeMap::new(),
            own_id: 0,
            own_name: None,
            masters: BTreeMap::new(),
        }
    }

    /// Gets ready for another object.
    pub fn begin(&mut self, entry: &Entry<'_>) {
        self.places.put(entry.id, &entry.pointer);
        self.own_id = entry.id.value();
        // Those of another flow are not to be found in this one.
        self.rosters.remove(DestinationId::PREFIX);
    }

    pub fn fault(
        &mut self,
        pointer: impl Into<String>,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.problems.push(Problem::new(pointer, code, message, hint));
    }

    pub(super) fn unknown_key(&mut self, problem: Problem) {
        match self.source {
            Source::Document => self.problems.push(problem),
            Source::Row => self.warnings.push(problem),
        }
    }

    /// Those of the kind whose ids begin so.
    #[must_use]
    pub fn roster(&self, prefix: &str) -> &Roster {
        static NONE: Roster = Roster { names: BTreeMap::new(), ids: BTreeMap::new() };
        self.rosters.get(prefix).unwrap_or(&NONE)
    }

    /// What was typed as text, exactly.
    pub fn text(&mut self, value: &Value, pointer: &str) -> Option<String> {
        text(value, pointer).map_err(|problem| self.problems.push(problem)).ok()
    }

    /// Text that must parse as `what`; the parser's error says what to type.
    pub fn parsed<T>(&mut self, value: &Value, pointer: &str, what: &str) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        let text = self.text(value, pointer)?;
        match text.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                let message = format!("{text:?} is not {what}");
                self.fault(pointer, "invalid", message, error.to_string());
                None
            }
        }
    }

    /// The items of a list with the pointer of each.
    pub fn items<'v>(
        &mut self,
        value: &'v Value,
        pointer: &str,
    ) -> Option<Vec<(String, &'v Value)>> {
        if let Value::Array(items) = value {
            let at = |(i, item)| (format!("{pointer}/{i}"), item);
            return Some(items.iter().enumerate().map(at).collect());
        }
        let hint = "type one item a line, each after a dash: - …";
        self.fault(pointer, "wrong_type", not_a(value, "a list"), hint);
        None
    }

    /// Gives each item of a list its id: its own if it has one that exists, else that of the object
    /// of its name, else a new one. `word` is what one is called, `current` those there are.
    pub fn claim<'v, I: Id>(
        &mut self,
        items: Vec<(String, &'v Value)>,
        word: &str,
        current: &Roster,
    ) -> Vec<Entry<'v>> {
        let mut taken = BTreeSet::new();
        let mut by_id = Vec::with_capacity(items.len());
        for (pointer, value) in &items {
            let id = self.typed_id::<I>(value, pointer, word, &|id| current.has(id.value()));
            let id = id.map(I::value);
            if let Some(id) = id.filter(|id| !taken.insert(*id)) {
                let message = format!("{} stands here a second time", I::new(id));
                let hint = format!("leave id out for a new {}", I::WORD);
                self.fault(format!("{pointer}/id"), "taken", message, hint);
                by_id.push(None);
                continue;
            }
            by_id.push(id);
        }
        let mut entries = Vec::with_capacity(items.len());
        for ((pointer, value), id) in items.into_iter().zip(by_id) {
            let name = peek_name(value).unwrap_or_default();
            let id = id.or_else(|| current.find(&name).filter(|same| taken.insert(*same)));
            let id = I::new(id.unwrap_or_else(|| (self.mint)())).into();
            entries.push(Entry { id, name, pointer, value });
        }
        entries
    }

    /// The id that an item gives itself, if there is such an object. An id from elsewhere is no
    /// fault, so that a document can be taken from one installation to another.
    pub fn typed_id<I: Id>(
        &mut self,
        value: &Value,
        pointer: &str,
        word: &str,
        exists: &dyn Fn(I) -> bool,
    ) -> Option<I> {
        let typed = value.get("id").filter(|id| !id.is_null())?;
        let pointer = format!("{pointer}/id");
        let typed = self.text(typed, &pointer)?;
        match typed.parse::<I>() {
            Ok(id) if exists(id) => Some(id),
            Ok(id) => {
                let message = format!("no {word} has the id {id} here; it goes by its name");
                let hint = "leave id out unless something is renamed";
                self.warnings.push(Problem::new(pointer, "unknown_id", message, hint));
                None
            }
            Err(error) => {
                let hint = format!("leave id out, or type that of a {word}");
                self.fault(pointer, "invalid", format!("{typed:?}: {error}"), hint);
                None
            }
        }
    }

    /// The id in a body must be that of the object it is sent to.
    pub fn same_id(&mut self, value: &Value, id: Option<ObjectId>) {
        let Some(typed) = value.get("id").filter(|id| !id.is_null()) else {
            return;
        };
        let id = id.map(|id| id.to_string());
        if id.is_none() || typed.as_str() != id.as_deref() {
            let message = match id {
                Some(id) => format!("the id is {id} and cannot change"),
                None => "ids are given by divert".to_owned(),
            };
            self.fault("/id", "not_allowed", message, "leave id out");
        }
    }
}

/// The name of an item before its turn has come, if it has a readable one.
#[must_use]
pub fn peek_name(value: &Value) -> Option<String> {
    text(value.get("name")?, "").ok()
}
