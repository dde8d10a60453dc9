//! The shapes that many kinds share: numbers within a range, names, references, choices, lists.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use super::fields::not_a;
use super::reader::Unnamed;
use super::{Declared, Field, Fields, Names, Part, Reader, Record, Shape};
use crate::model::id::Id;
use crate::model::problem::similar;
use crate::model::time::Zone;

impl<S: Shape> Shape for Option<S> {
    type Value = Option<S::Value>;

    fn read(value: &Value, pointer: &str, reader: &mut Reader<'_>) -> Option<Self::Value> {
        S::read(value, pointer, reader).map(Some)
    }

    fn write(value: &Self::Value, names: &dyn Names) -> Value {
        value.as_ref().map_or(Value::Null, |value| S::write(value, names))
    }

    fn schema() -> Value {
        S::schema()
    }

    fn absent() -> Option<Self::Value> {
        Some(None)
    }
}

/// A whole number within a range, kept as a `T`, which must hold all of it.
pub struct Int<T, const LEAST: i64, const MOST: i64>(PhantomData<T>);

/// One within the range; a number in quotes is told so.
fn whole(
    value: &Value,
    pointer: &str,
    range: &RangeInclusive<i64>,
    reader: &mut Reader<'_>,
) -> Option<i64> {
    let hint = format!("type a number from {} to {}", range.start(), range.end());
    let (code, message, hint) = match value {
        Value::Number(number) => match number.as_i64() {
            Some(whole) if range.contains(&whole) => return Some(whole),
            None if number.is_f64() => {
                ("wrong_type", format!("{number} is not a whole number"), hint)
            }
            _ => ("out_of_range", format!("{number} is out of range"), hint),
        },
        Value::String(typed) => {
            let meant = typed.parse::<i64>().ok().filter(|meant| range.contains(meant));
            let hint = match meant {
                Some(meant) if meant.to_string() == *typed => {
                    format!("type {meant} without quotes")
                }
                Some(meant) => format!("type {meant} if that is the number you mean"),
                None => hint,
            };
            ("wrong_type", format!("{typed:?} is text, not a number"), hint)
        }
        other => ("wrong_type", not_a(other, "a number"), hint),
    };
    reader.fault(pointer, code, message, hint);
    None
}

impl<T, const LEAST: i64, const MOST: i64> Shape for Int<T, LEAST, MOST>
where
    T: Clone + Debug + Into<i64> + PartialEq + TryFrom<i64>,
{
    type Value = T;

    fn read(value: &Value, pointer: &str, reader: &mut Reader<'_>) -> Option<T> {
        T::try_from(whole(value, pointer, &(LEAST..=MOST), reader)?).ok()
    }

    fn write(value: &T, _: &dyn Names) -> Value {
        json!(value.clone().into())
    }

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": LEAST, "maximum": MOST })
    }

    fn hint() -> String {
        format!("type a number from {LEAST} to {MOST}")
    }
}

/// The most of something, which 0 would make a pause in disguise.
pub struct Limit<const MOST: i64>;

impl<const MOST: i64> Shape for Limit<MOST> {
    type Value = u32;

    fn read(value: &Value, pointer: &str, reader: &mut Reader<'_>) -> Option<u32> {
        if value.as_i64() == Some(0) {
            // A cap is more than its limit.
            let key = pointer.rsplit('/').next().filter(|key| *key != "max").unwrap_or("the cap");
            let hint = format!("pause the destinations instead, or leave {key} out for no limit");
            reader.fault(pointer, "out_of_range", "0 would let no call through", hint);
            return None;
        }
        Int::<u32, 1, MOST>::read(value, pointer, reader)
    }

    fn write(value: &u32, _: &dyn Names) -> Value {
        json!(value)
    }

    fn schema() -> Value {
        Int::<u32, 1, MOST>::schema()
    }
}

impl Shape for bool {
    type Value = Self;

    fn read(value: &Value, pointer: &str, reader: &mut Reader<'_>) -> Option<Self> {
        if let Value::Bool(yes) = value {
            return Some(*yes);
        }
        let hint = match value.as_str().map(str::to_ascii_lowercase).as_deref() {
            Some("yes" | "on" | "true" | "1") => "type true, without quotes",
            Some("no" | "off" | "false" | "0") => "type false, without quotes",
            _ => "type true or false",
        };
        reader.fault(pointer, "wrong_type", not_a(value, "true or false"), hint);
        None
    }

    fn write(value: &Self, _: &dyn Names) -> Value {
        json!(value)
    }

    fn schema() -> Value {
        json!({ "type": "boolean" })
    }
}

/// What an object is called: 1 to 60 characters that people see, and not like an id.
pub struct Name;

impl Name {
    const HINT: &str = "type a name of 1 to 60 characters";

    /// Why a text cannot be a name.
    fn fault(name: &str) -> Option<(String, &'static str)> {
        let length = name.chars().count();
        // A reference may be a name or an id, so that no name may look like an id.
        let like_id = name.rsplit_once('_').is_some_and(|(prefix, digits)| {
            digits.len() == 26 && crate::model::id::is_prefix_of_object(prefix)
        });
        if length == 0 || length > 60 {
            Some((format!("a name of {length} characters cannot be used"), Self::HINT))
        } else if name.trim() != name {
            Some((format!("{name:?} has spaces around it"), "type the name without them"))
        } else if like_id {
            Some((format!("{name:?} looks like an id"), "choose a name that people can say"))
        } else {
            None
        }
    }
}

impl Shape for Name {
    type Value = String;

    fn read(value: &Value, pointer: &str, reader: &mut Reader<'_>) -> Option<String> {
        let name = reader.text(value, pointer)?;
        match Self::fault(&name) {
            None => Some(name),
            Some((message, hint)) => {
                reader.fault(pointer, "invalid", message, hint);
                None
            }
        }
    }

    fn write(value: &String, _: &dyn Names) -> Value {
        json!(value)
    }

    fn schema() -> Value {
        json!({ "type": "string", "format": "name", "minLength": 1, "maxLength": 60 })
    }

    fn hint() -> String {
        Self::HINT.to_owned()
    }
}

/// The id that an object was given before it was read.
pub struct OwnId<I>(PhantomData<I>);

impl<I: Id> Part for OwnId<I> {
    type Value = I;

    fn part_fields(declared: &Declared<I>) -> Vec<Field> {
        let schema = || json!({ "type": "string", "pattern": I::pattern() });
        vec![Field::optional(declared.key, declared.doc, schema)]
    }

    fn read_part(fields: &mut Fields<'_, '_, '_>, _: &Declared<I>) -> Option<I> {
        Some(I::new(fields.reader.own_id))
    }

    fn write_part(
        value: &I,
        declared: &Declared<I>,
        object: &mut Map<String, Value>,
        _: &dyn Names,
    ) {
        object.insert(declared.key.to_owned(), json!(value.to_string()));
    }
}

/// Another object by its name or its id.
pub struct Ref<I>(PhantomData<I>);

/// The id of what is called so, or has this id; `word` is what it is.
pub fn find<I: Id>(value: &Value, pointer: &str, word: &str, reader: &mut Reader<'_>) -> Option<I> {
    let typed = reader.text(value, pointer)?;
    let roster = reader.roster(I::PREFIX);
    let id = typed.parse::<I>().ok().map(I::value).filter(|id| roster.has(*id));
    if let Some(id) = id.or_else(|| roster.find(&typed)) {
        return Some(I::new(id));
    }
    let names: Vec<&str> = roster.names().collect();
    let hint = match similar(&typed, names.iter().copied()) {
        Some(meant) => format!("did you mean {meant}?"),
        None if names.is_empty() => format!("add a {word} of that name to the document"),
        None if names.len() <= 8 => format!("there is {}; or add it", names.join(", ")),
        None => format!("type the name of one of the {} {word}s, or add it", names.len()),
    };
    let place = if reader.unnamed == Unnamed::Prune { " in this document" } else { "" };
    let message = format!("there is no {word} {typed:?}{place}");
    reader.fault(pointer, "dangling", message, hint);
    None
}

impl<I: Id> Shape for Ref<I> {
    type Value = I;

    fn read(value: &Value, pointer: &str, reader: &mut Reader<'_>) -> Option<I> {
        find(value, pointer, I::WORD, reader)
    }

    fn write(value: &I, names: &dyn Names) -> Value {
        json!(names.name((*value).into()).unwrap_or_else(|| value.to_string()))
    }

    fn schema() -> Value {
        json!({ "type": "string" })
    }

    fn hint() -> String {
        format!("type the name of a {}", I::WORD)
    }
}

/// One of the words of an enum.
pub struct Choice;

impl Choice {
    /// What to type where it is none of them.
    #[must_use]
    pub fn hint(typed: &str, words: &[&str]) -> String {
        match similar(typed, words.iter().copied()) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("type {}", words.join(" or ")),
        }
    }
}

/// Makes shapes of enums that are words.
macro_rules! choices {
    ($($choice:ident)*) => {$(
        impl $crate::model::object::Shape for $choice {
            type Value = Self;

            fn read(
                value: &serde_json::Value,
                pointer: &str,
                reader: &mut $crate::model::object::Reader<'_>,
            ) -> Option<Self> {
                use $crate::model::object::Choice;
                let typed = reader.text(value, pointer)?;
                let choice = typed.parse().ok();
                if choice.is_none() {
                    let hint = Choice::hint(&typed, <Self as strum::VariantNames>::VARIANTS);
                    let message = format!("{typed:?} is not a choice here");
                    reader.fault(pointer, "invalid", message, hint);
                }
                choice
            }

            fn write(
                value: &Self,
                _: &dyn $crate::model::object::Names,
            ) -> serde_json::Value {
                value.to_string().into()
            }

            fn schema() -> serde_json::Value {
                let words = <Self as strum::VariantNames>::VARIANTS;
                serde_json::json!({ "type": "string", "enum": words })
            }

            fn hint() -> String {
                format!("type {}", <Self as strum::VariantNames>::VARIANTS.join(" or "))
            }
        }
    )*};
}

/// Makes shapes of texts that are parsed: what it is in words, and how it looks as a pattern.
macro_rules! texts {
    ($($text:ident $what:literal $pattern:literal;)*) => {$(
        impl $crate::model::object::Shape for $text {
            type Value = Self;

            fn read(
                value: &serde_json::Value,
                pointer: &str,
                reader: &mut $crate::model::object::Reader<'_>,
            ) -> Option<Self> {
                reader.parsed(value, pointer, $what)
            }

            fn write(
                value: &Self,
                _: &dyn $crate::model::object::Names,
            ) -> serde_json::Value {
                value.to_string().into()
            }

            fn schema() -> serde_json::Value {
                serde_json::json!({ "type": "string", "pattern": $pattern })
            }
        }
    )*};
}

pub(in crate::model) use {choices, texts};

impl Shape for Zone {
    type Value = Self;

    fn read(value: &Value, pointer: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let typed = reader.text(value, pointer)?;
        match typed.parse() {
            Ok(zone) => Some(zone),
            Err(hint) => {
                let hint = match Self::similar(&typed) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => str::to_owned(hint),
                };
                let message = format!("{typed:?} is not a time zone");
                reader.fault(pointer, "invalid", message, hint);
                None
            }
        }
    }

    fn write(value: &Self, _: &dyn Names) -> Value {
        json!(value.name())
    }

    fn schema() -> Value {
        json!({ "type": "string" })
    }
}

/// Items of one shape; left out it is empty, and an empty one is left out.
pub struct List<S>(PhantomData<S>);

impl<S: Shape> Shape for List<S> {
    type Value = Vec<S::Value>;

    /// Without the items that have faults.
    fn read(value: &Value, pointer: &str, reader: &mut Reader<'_>) -> Option<Self::Value> {
        let items = reader.items(value, pointer)?;
        Some(items.into_iter().filter_map(|(at, item)| S::read(item, &at, reader)).collect())
    }

    fn write(value: &Self::Value, names: &dyn Names) -> Value {
        if value.is_empty() {
            return Value::Null;
        }
        value.iter().map(|item| S::write(item, names)).collect()
    }

    fn schema() -> Value {
        json!({ "type": "array", "items": S::schema() })
    }

    fn absent() -> Option<Self::Value> {
        Some(Vec::new())
    }
}

/// The keys of a record among those around it.
pub struct Flat<R>(PhantomData<R>);

impl<R: Record> Part for Flat<R> {
    type Value = R;

    fn part_fields(_: &Declared<R>) -> Vec<Field> {
        R::fields()
    }

    fn read_part(fields: &mut Fields<'_, '_, '_>, _: &Declared<R>) -> Option<R> {
        R::read_from(fields)
    }

    fn write_part(value: &R, _: &Declared<R>, object: &mut Map<String, Value>, names: &dyn Names) {
        value.write_to(object, names);
    }
}

/// A record that is the default of its kind when it is left out, and left out when it is that.
pub struct OrDefault<R>(PhantomData<R>);

impl<R: Default + Record + Shape<Value = R>> Shape for OrDefault<R> {
    type Value = R;

    fn read(value: &Value, pointer: &str, reader: &mut Reader<'_>) -> Option<R> {
        R::read(value, pointer, reader)
    }

    fn write(value: &R, names: &dyn Names) -> Value {
        if *value == R::default() { Value::Null } else { R::write(value, names) }
    }

    fn schema() -> Value {
        R::schema()
    }

    fn absent() -> Option<R> {
        Some(R::default())
    }
}

/// Lets `null` stand for a value that is left out.
#[must_use]
pub fn nullable(mut schema: Value) -> Value {
    let nothing = json!({ "type": "null" });
    if let Some(choices) = schema["oneOf"].as_array_mut() {
        if !choices.contains(&nothing) {
            choices.push(nothing);
        }
    } else if let Some(words) = schema["enum"].as_array_mut() {
        words.push(Value::Null);
    }
    if let Value::String(kind) = &schema["type"] {
        schema["type"] = json!([kind, "null"]);
    }
    if let Some(schema) = schema.as_object_mut() {
        // Asking for a member puts a null there.
        schema.retain(|_, value| !value.is_null());
    }
    schema
}

/// A value as it is written: what is not set is left out.
#[must_use]
pub fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(object) = &mut value {
        object.retain(|_, field| !field.is_null());
    }
    value
}
