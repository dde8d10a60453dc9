//! The filters of lists, each list declared once: the API reads queries by it, describes them, and
//! tells what is known there; commands take names and help from it.

use std::fmt::Display;
use std::marker::PhantomData;
use std::str::FromStr;

use serde_json::{Value, json};
use strum::{Display, EnumString, VariantNames};

use super::cause::CallResult;
use super::id::{CallId, DestinationId, ForwardingFlowId, Id, NumberId, ObjectId, TrunkId};
use super::number::Did;
use super::object::{Shape, paragraph};
use super::objects::KINDS;
use super::tags::Tag;
use super::time::{Timestamp, Zone};

/// One filter, for those who describe it.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    pub name: &'static str,
    doc: &'static str,
    pub example: Option<&'static str>,
    pub schema: fn() -> Value,
}

impl Filter {
    #[must_use]
    pub const fn new(
        name: &'static str,
        doc: &'static str,
        example: Option<&'static str>,
        schema: fn() -> Value,
    ) -> Self {
        Self { name, doc, example, schema }
    }

    /// What it asks for, in one paragraph.
    #[must_use]
    pub fn doc(&self) -> String {
        paragraph(self.doc)
    }
}

/// What is wrong with the text of a filter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// Stable word for programs.
    pub code: &'static str,
    pub message: String,
    /// What to type instead.
    pub hint: String,
}

impl Fault {
    fn invalid(message: String, hint: impl Display) -> Self {
        Self { code: "invalid", message, hint: hint.to_string() }
    }
}

/// How one filter is read and described.
pub trait FilterShape {
    type Value;

    /// # Errors
    /// What is wrong with the text.
    fn parse(text: &str) -> Result<Self::Value, Fault>;

    /// A JSON Schema of what can be read.
    fn schema() -> Value;
}

/// Where filters are read from.
pub trait Query {
    /// Takes what was typed for this name.
    fn take_text(&mut self, name: &'static str) -> Option<String>;
    fn note(&mut self, name: &'static str, fault: Fault);
}

/// All filters of a list, or some of them that several lists have.
pub trait Filters: Sized {
    fn filters() -> Vec<Filter>;

    /// Every one is read, whatever is wrong with others.
    fn read(query: &mut impl Query) -> Self;
}

/// Reads one filter.
pub fn read<S: FilterShape>(query: &mut impl Query, name: &'static str) -> Option<S::Value> {
    let text = query.take_text(name)?;
    S::parse(&text).map_err(|fault| query.note(name, fault)).ok()
}

/// Declares filters, `name: Shape = "example"`; the struct holds what was asked for.
macro_rules! filters {
    ($(
        $(#[doc = $filters_doc:literal])*
        pub struct $filters:ident {$(
            $(#[doc = $doc:literal])*
            $name:ident: $shape:ty $(= $example:literal)?,
        )*}
    )*) => {$(
        $(#[doc = $filters_doc])*
        #[derive(Clone, Debug, Default)]
        pub struct $filters {$(
            $(#[doc = $doc])*
            pub $name: Option<<$shape as $crate::model::filter::FilterShape>::Value>,
        )*}

        impl $crate::model::filter::Filters for $filters {
            fn filters() -> Vec<$crate::model::filter::Filter> {
                vec![$($crate::model::filter::Filter::new(
                    stringify!($name),
                    concat!($($doc, "\n",)*),
                    $crate::model::filter::filters!(@example $($example)?),
                    <$shape as $crate::model::filter::FilterShape>::schema,
                ),)*]
            }

            fn read(query: &mut impl $crate::model::filter::Query) -> Self {
                Self {$(
                    $name: $crate::model::filter::read::<$shape>(query, stringify!($name)),
                )*}
            }
        }
    )*};
    (@example) => { None };
    (@example $example:literal) => { Some($example) };
}

pub(crate) use filters;

filters! {
    /// Which page of a list.
    pub struct PageFilters {
        /// Entries per page, 1 to 200.
        limit: PageSize,
        /// `next_cursor` of the page before.
        cursor: Words,
    }

    /// Which calls, or sessions of them.
    pub struct CallFilters {
        /// Id of a forwarding flow.
        flow: IdOf<ForwardingFlowId>,
        /// Id of a destination that it was sent to, whoever answered.
        destination: IdOf<DestinationId>,
        /// The number called, with or without a `+`.
        did: Did,
        /// The caller's number, with or without a `+`.
        caller: Words,
        /// What became of the call.
        result: OneOf<CallResult> = "no_answer",
        /// Test calls: `include` (default), `exclude` or `only`.
        test: OneOf<Tests> = "include",
        /// `true`: only calls that live now; `false`: only those that are over.
        live: Flag,
        /// Started at or after this moment (RFC 3339).
        from: Timestamp = "2026-11-21T00:00:00Z",
        /// Started before this moment (RFC 3339).
        to: Timestamp = "2026-11-22T00:00:00Z",
    }

    /// Which calls, of those a list of sessions has no use for.
    pub struct OneCallFilters {
        /// Calls whose id begins so, with or without `call_`.
        id: BeginningOfCall = "01m7y97xc1",
        /// The calls of one session: the id of its first.
        session: IdOf<CallId>,
    }

    /// Which bills.
    pub struct CdrFilters {
        /// Id of a forwarding flow.
        flow: IdOf<ForwardingFlowId>,
        /// Id of a destination.
        destination: IdOf<DestinationId>,
        /// Id of a trunk.
        trunk: IdOf<TrunkId>,
        /// Dialled at or after this moment (RFC 3339).
        from: Timestamp = "2026-11-21T00:00:00Z",
        /// Dialled before this moment (RFC 3339).
        to: Timestamp = "2026-11-22T00:00:00Z",
    }

    /// Which numbers.
    pub struct NumberFilters {
        /// The number itself, exactly.
        did: Did,
        /// Id of the flow that owns it.
        forwarding_flow: IdOf<ForwardingFlowId>,
        /// A tag that it has.
        tag: Tag = "sales",
    }

    /// Which objects of a kind that has tags.
    pub struct TagFilters {
        /// A tag that it has.
        tag: Tag = "sales",
    }

    /// How a node is forgotten.
    pub struct ForgetFilters {
        /// `true`: none of its calls lives any more, whatever it holds.
        force: Flag,
    }

    /// Which changes of the configuration.
    pub struct ChangeFilters {
        /// What was changed: a kind of object, `number` or `account`.
        kind: KindWord = "forwarding_flow",
        /// Id of what was changed.
        object: AnyId,
        /// Who made it: the id or the name of an API key, or the name of a user of the machine.
        by: Words,
    }
}

/// The id of something of one kind.
pub struct IdOf<I>(PhantomData<I>);

impl<I: Id> FilterShape for IdOf<I> {
    type Value = I;

    fn parse(text: &str) -> Result<I, Fault> {
        parsed(text, &format!("the id of {}", with_article(I::WORD)))
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": I::pattern() })
    }
}

fn parsed<T: FromStr<Err: Display>>(text: &str, what: &str) -> Result<T, Fault> {
    text.parse().map_err(|error| Fault::invalid(format!("{text:?} is not {what}"), error))
}

/// `a server`, `an agent`.
#[must_use]
pub fn with_article(word: &str) -> String {
    let is_vowel = word.starts_with(['A', 'a', 'e', 'i', 'o', 'u']);
    format!("{} {word}", if is_vowel { "an" } else { "a" })
}

/// The id of anything that is configured.
pub struct AnyId;

impl FilterShape for AnyId {
    type Value = ObjectId;

    fn parse(text: &str) -> Result<ObjectId, Fault> {
        let id: ObjectId = parsed(text, "the id of an object")?;
        let is_known = prefixes().any(|prefix| prefix == id.prefix());
        let message = || format!("{text:?} is not the id of an object");
        let hint = || format!("an id begins with {}", or(&prefixes().collect::<Vec<_>>()));
        is_known.then_some(id).ok_or_else(|| Fault::invalid(message(), hint()))
    }

    fn schema() -> Value {
        let prefixes = prefixes().collect::<Vec<_>>().join("|");
        json!({ "type": "string", "pattern": format!("^({prefixes})_[0-7][0-9a-hjkmnp-tv-z]{{25}}$") })
    }
}

fn prefixes() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.prefix).chain([NumberId::PREFIX])
}

/// A kind of what is configured: the beginning of its ids, or [`SETTINGS`].
pub struct KindWord;

/// Stands for the settings of the account where others have the beginning of their ids.
pub const SETTINGS: &str = "account";

impl KindWord {
    /// Word and prefix of each.
    pub fn all() -> impl Iterator<Item = (String, &'static str)> {
        let kinds = KINDS.iter().map(|kind| (kind.word.replace(' ', "_"), kind.prefix));
        let others = [(NumberId::WORD, NumberId::PREFIX), (SETTINGS, SETTINGS)];
        kinds.chain(others.map(|(word, prefix)| (word.to_owned(), prefix)))
    }
}

impl FilterShape for KindWord {
    type Value = &'static str;

    fn parse(text: &str) -> Result<&'static str, Fault> {
        let words: Vec<String> = Self::all().map(|(word, _)| word).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let found = Self::all().find(|(word, _)| word == text);
        found.map(|(_, prefix)| prefix).ok_or_else(|| no_choice(text, &words))
    }

    fn schema() -> Value {
        json!({ "type": "string", "enum": Self::all().map(|(word, _)| word).collect::<Vec<_>>() })
    }
}

fn no_choice(text: &str, words: &[&str]) -> Fault {
    let message = format!("{text:?} is not a choice here");
    Fault { code: "unknown_value", message, hint: format!("type {}", or(words)) }
}

/// `a, b or c`
fn or(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// One of the words of an enum.
pub struct OneOf<T>(PhantomData<T>);

impl<T: FromStr + VariantNames> FilterShape for OneOf<T> {
    type Value = T;

    fn parse(text: &str) -> Result<T, Fault> {
        text.parse().map_err(|_| no_choice(text, T::VARIANTS))
    }

    fn schema() -> Value {
        json!({ "type": "string", "enum": T::VARIANTS })
    }
}

/// What becomes of test calls in a list.
#[derive(Clone, Copy, Debug, Display, EnumString, Eq, PartialEq, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Tests {
    Include,
    Exclude,
    Only,
}

impl Tests {
    /// Whether calls must be test calls; `None` where it does not matter.
    #[must_use]
    pub fn only(self) -> Option<bool> {
        match self {
            Self::Include => None,
            Self::Exclude => Some(false),
            Self::Only => Some(true),
        }
    }
}

/// `true` or `false`.
pub struct Flag;

impl FilterShape for Flag {
    type Value = bool;

    fn parse(text: &str) -> Result<bool, Fault> {
        text.parse().map_err(|_| no_choice(text, &["true", "false"]))
    }

    fn schema() -> Value {
        json!({ "type": "boolean" })
    }
}

/// Any text.
pub struct Words;

impl FilterShape for Words {
    type Value = String;

    fn parse(text: &str) -> Result<String, Fault> {
        Ok(text.to_owned())
    }

    fn schema() -> Value {
        json!({ "type": "string" })
    }
}

/// How many entries a page has.
pub struct PageSize;

impl PageSize {
    pub const DEFAULT: u32 = 50;
    const MOST: u32 = 200;
}

impl FilterShape for PageSize {
    type Value = u32;

    fn parse(text: &str) -> Result<u32, Fault> {
        let (code, message) = match text.parse() {
            Ok(number) if (1..=Self::MOST).contains(&number) => return Ok(number),
            Ok(number) => ("out_of_range", format!("{number} is out of range")),
            Err(_) => ("invalid", format!("{text:?} is not a number that is possible here")),
        };
        Err(Fault { code, message, hint: format!("type a number from 1 to {}", Self::MOST) })
    }

    fn schema() -> Value {
        json!({
            "type": "integer", "default": Self::DEFAULT, "minimum": 1, "maximum": Self::MOST,
        })
    }
}

/// The beginning of the id of a call: the first and the last that begin so.
pub struct BeginningOfCall;

impl FilterShape for BeginningOfCall {
    type Value = (CallId, CallId);

    fn parse(text: &str) -> Result<(CallId, CallId), Fault> {
        CallId::beginning(text).ok_or_else(|| {
            let message = format!("{text:?} is not how the id of a call begins");
            Fault::invalid(message, "the first letters and digits of one")
        })
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^(call_)?[0-9a-z]{1,26}$" })
    }
}

macro_rules! parsed {
    ($($parsed:ty: $what:literal $schema:expr;)*) => {$(
        impl FilterShape for $parsed {
            type Value = Self;

            fn parse(text: &str) -> Result<Self, Fault> {
                parsed(text, $what)
            }

            fn schema() -> Value {
                $schema
            }
        }
    )*};
}

parsed! {
    Did: "a number" <Self as Shape>::schema();
    Tag: "a tag" <Self as Shape>::schema();
    Zone: "a time zone" json!({ "type": "string" });
}

impl FilterShape for Timestamp {
    type Value = Self;

    fn parse(text: &str) -> Result<Self, Fault> {
        moment(text).map_err(|fault| match text {
            text if text.contains(' ') => Fault {
                hint: "type a time as 2026-11-21T14:03:07Z; write + as %2B: as it is, it stands \
                       for a blank"
                    .to_owned(),
                ..fault
            },
            _ => fault,
        })
    }

    fn schema() -> Value {
        json!({ "type": "string", "format": "date-time" })
    }
}

/// A moment as RFC 3339.
///
/// # Errors
/// What is wrong with it.
pub fn moment(text: &str) -> Result<Timestamp, Fault> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(Timestamp(at.as_millisecond()));
    }
    let hint = match text.parse::<jiff::civil::DateTime>() {
        // A day or a local time lacks only what says where it is.
        Ok(local) => format!("type {local}Z, or its offset from UTC in place of Z"),
        Err(_) => "type a time as 2026-11-21T14:03:07Z".to_owned(),
    };
    Err(Fault::invalid(format!("{text:?} is not a moment"), hint))
}
