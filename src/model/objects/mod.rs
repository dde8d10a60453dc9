//! The kinds of objects: one file each, and what is done with all of them alike.
//!
//! A new kind is a file here, its `mod` below, and its line in `kinds.rs`. Documents, plans, rows of the
//! store, requests of the API and commands follow from that.

pub mod account;
pub mod destination;
pub mod forwarding_flow;
pub mod number;
pub mod rate_deck;
pub mod schedule;
pub mod server;
pub mod sound;
pub mod trunk;

use std::fmt;

use serde_json::Value;

use super::change::{self, Change, changes};
use super::check::{self, Check};
use super::configuration::{Configuration, Listed};
use super::id::{Id, IdError, ObjectId};
use super::object::{Entry, Field, Names, Reader, Roster, Shape, exactly_one, schema_of};
use super::plan::{Plan, plan};

/// What a kind says of itself beyond its fields; all but an example may be left as it is.
pub trait Rules: Listed + Shape<Value = Self> {
    /// Whether only those who run divert change it, as they do the account.
    const IS_OF_OPERATOR: bool = false;
    /// Whether numbers, which have rows of their own, are part of what it says.
    const HAS_NUMBERS: bool = false;

    /// One as people would type it, with as many of its keys as go together.
    fn example() -> Value;

    /// Sets of keys of which exactly one is wanted.
    #[must_use]
    fn either() -> &'static [&'static [&'static str]] {
        &[]
    }

    /// What must hold between it and other objects.
    fn check(&self, _: &mut Check<'_>) {}

    /// What of it refers to that object, in words, each with a way to say it in a sentence.
    fn users_of(&self, id: ObjectId) -> Vec<String> {
        let refers = check::references(self).contains(&id);
        refers.then(|| format!("{} {}", Self::Id::WORD, self.name())).into_iter().collect()
    }

    /// How much it holds, for one that is new: `3 rates`.
    fn size(&self) -> Option<String> {
        None
    }

    /// What changed of it that its own keys do not tell, and lines of their own for its parts.
    fn plan_parts(_old: &Self, _new: &Self, _plan: &mut Plan<'_>) -> Vec<String> {
        Vec::new()
    }
}

/// A kind of object: what it is called and what can be done with those of a configuration.
pub struct Kind {
    /// `rate deck`.
    pub word: &'static str,
    /// Its key in a document: `rate_decks`.
    pub section: &'static str,
    /// `rtd`.
    pub prefix: &'static str,
    doc: &'static str,
    /// Whether only those who run divert change it, as they do the account.
    pub is_of_operator: bool,
    /// Whether numbers, which have rows of their own, are part of what it says.
    pub has_numbers: bool,
    /// Its keys, with `id` and `name` first.
    pub fields: fn() -> Vec<Field>,
    pub example: fn() -> Value,
    /// Sets of keys of which exactly one is wanted.
    pub either: fn() -> &'static [&'static [&'static str]],
    list: fn(&Configuration) -> Vec<(ObjectId, &str)>,
    claim: Claim,
    read: fn(&mut Reader<'_>, &Entry<'_>, &mut Configuration) -> bool,
    write: fn(&Configuration, ObjectId, &dyn Names) -> Option<Value>,
    write_all: fn(&Configuration, &dyn Names) -> Vec<Value>,
    row: fn(&Configuration, ObjectId) -> Option<Value>,
    retain: fn(&mut Configuration, &dyn Fn(ObjectId) -> bool),
    id: fn(u128) -> ObjectId,
    parse: fn(&str) -> Result<ObjectId, IdError>,
    sort: fn(&mut Configuration),
    check_names: fn(&mut Check<'_>),
    check: fn(&mut Check<'_>),
    users_of: fn(&Configuration, ObjectId) -> Vec<String>,
    changes: fn(&Configuration, &Configuration, &mut Vec<Change>),
    plan: fn(&mut Plan<'_>),
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.section)
    }
}

/// Gives the items of a section their ids.
type Claim = for<'v> fn(&mut Reader<'_>, Vec<(String, &'v Value)>, &Roster) -> Vec<Entry<'v>>;

macro_rules! kinds {
    ($($section:ident $word:literal $prefix:literal $id:ident $module:ident $object:ident;)*) => {
        /// All of them; what others refer to comes before them.
        pub static KINDS: &[Kind] = &[$(Kind::of::<$module::$object>(stringify!($section)),)*];
    };
}

for_each_kind!(kinds);

impl Kind {
    const fn of<T: Rules>(section: &'static str) -> Self {
        Self {
            word: T::Id::WORD,
            section,
            prefix: T::Id::PREFIX,
            doc: T::DOC,
            is_of_operator: T::IS_OF_OPERATOR,
            has_numbers: T::HAS_NUMBERS,
            fields: T::fields,
            example: T::example,
            either: T::either,
            list: |of| T::list(of).iter().map(|one| (one.id().into(), one.name())).collect(),
            claim: |reader, items, current| reader.claim::<T::Id>(items, T::Id::WORD, current),
            read: |reader, entry, into| match T::read(entry.value, &entry.pointer, reader) {
                Some(one) => {
                    T::list_mut(into).push(one);
                    true
                }
                None => false,
            },
            write: |of, id, names| {
                let one = T::list(of).iter().find(|one| one.id().into() == id)?;
                Some(one.write_whole(names))
            },
            row: |of, id| {
                let one = T::list(of).iter().find(|one| one.id().into() == id)?;
                Some(change::row(one).0)
            },
            write_all: |of, names| T::list(of).iter().map(|one| one.write_whole(names)).collect(),
            id: |value| T::Id::new(value).into(),
            parse: |text| text.parse::<T::Id>().map(Into::into),
            retain: |of, stays| T::list_mut(of).retain(|one| stays(one.id().into())),
            sort: |of| T::list_mut(of).sort_by(|a, b| a.name().cmp(b.name())),
            check_names: |check| {
                let whole = check.whole;
                check.unique_names(T::list(whole));
            },
            check: |check| {
                let whole = check.whole;
                for one in T::list(whole) {
                    T::check(one, check);
                }
            },
            users_of: |of, id| T::list(of).iter().flat_map(|one| T::users_of(one, id)).collect(),
            changes: changes::<T>,
            plan: plan::<T>,
        }
    }

    /// The kind whose ids begin so.
    #[must_use]
    pub fn by_prefix(prefix: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.prefix == prefix)
    }

    /// What one is, in a paragraph.
    #[must_use]
    pub fn doc(&self) -> String {
        super::object::paragraph(self.doc)
    }

    /// Ids and names of those in a configuration, in its order.
    #[must_use]
    pub fn list<'c>(&self, of: &'c Configuration) -> Vec<(ObjectId, &'c str)> {
        (self.list)(of)
    }

    /// Ids and names of those in a configuration, to be found by either.
    #[must_use]
    pub fn roster(&self, of: &Configuration) -> Roster {
        let mut roster = Roster::default();
        for (id, name) in (self.list)(of) {
            roster.add(id.value(), name);
        }
        roster
    }

    #[must_use]
    pub fn has(&self, of: &Configuration, id: ObjectId) -> bool {
        (self.list)(of).into_iter().any(|(known, _)| known == id)
    }

    /// Those items of a section with their ids.
    pub(super) fn claim<'v>(
        &self,
        reader: &mut Reader<'_>,
        items: Vec<(String, &'v Value)>,
        current: &Roster,
    ) -> Vec<Entry<'v>> {
        (self.claim)(reader, items, current)
    }

    /// Reads one and adds it to `into`; one that cannot be read is remembered as such.
    pub(super) fn read(
        &self,
        reader: &mut Reader<'_>,
        entry: &Entry<'_>,
        into: &mut Configuration,
    ) {
        reader.begin(entry);
        if !(self.read)(reader, entry, into) {
            reader.unread.insert(entry.id, entry.name.clone());
        }
    }

    /// One as a document says it; `None` when it is not there.
    #[must_use]
    pub fn write(&self, of: &Configuration, id: ObjectId, names: &dyn Names) -> Option<Value> {
        (self.write)(of, id, names)
    }

    /// One as a row of the store says it.
    pub(super) fn row(&self, of: &Configuration, id: ObjectId) -> Option<Value> {
        (self.row)(of, id)
    }

    /// All of them as a document says it.
    #[must_use]
    pub fn write_all(&self, of: &Configuration, names: &dyn Names) -> Vec<Value> {
        (self.write_all)(of, names)
    }

    /// An id of this kind.
    #[must_use]
    pub fn id(&self, value: u128) -> ObjectId {
        (self.id)(value)
    }

    /// An id of this kind as it was typed.
    ///
    /// # Errors
    /// What it is instead.
    pub fn parse(&self, text: &str) -> Result<ObjectId, IdError> {
        (self.parse)(text)
    }

    /// Its section as the paths of the API have it: `rate-decks`.
    #[must_use]
    pub fn path_segment(&self) -> String {
        self.section.replace('_', "-")
    }

    /// Its type: `RateDeck`.
    #[must_use]
    pub fn type_name(&self) -> String {
        let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
        self.word.split(' ').map(capital).collect()
    }

    /// As a schema, what may be written of one.
    #[must_use]
    pub fn schema(&self) -> Value {
        exactly_one(schema_of(&(self.fields)(), self.doc), (self.either)())
    }

    /// Takes out all but those.
    pub(super) fn retain(&self, of: &mut Configuration, stays: &dyn Fn(ObjectId) -> bool) {
        (self.retain)(of, stays);
    }

    /// In order of name.
    pub(super) fn sort(&self, of: &mut Configuration) {
        (self.sort)(of);
    }

    pub(super) fn check_names(&self, check: &mut Check<'_>) {
        (self.check_names)(check);
    }

    pub(super) fn check(&self, check: &mut Check<'_>) {
        (self.check)(check);
    }

    /// Those of this kind that refer to that object, in words.
    pub(super) fn users_of(&self, of: &Configuration, id: ObjectId) -> Vec<String> {
        (self.users_of)(of, id)
    }

    pub(super) fn changes(
        &self,
        old: &Configuration,
        new: &Configuration,
        changes: &mut Vec<Change>,
    ) {
        (self.changes)(old, new, changes);
    }

    pub(super) fn plan(&self, plan: &mut Plan<'_>) {
        (self.plan)(plan);
    }
}

/// `1 rate`, `3 rates`.
pub(super) fn count(n: usize, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}
