//! One object of a document, read key by key: every fault is noted and reading goes on.
//!
//! `null` counts as left out. A number stands for text only when its digits are certainly those
//! that were typed; anything else asks for quotes, because a number of a phone must never change
//! silently.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde_json::{Map, Value};
use strum::VariantNames;

use crate::model::problem::{Problem, similar, token};
use crate::model::text::unseen_fault;
use crate::model::time::Zone;

pub(super) struct Fields<'v, 'p> {
    object: &'v Map<String, Value>,
    pub pointer: String,
    pub problems: &'p mut Vec<Problem>,
}

impl<'v, 'p> Fields<'v, 'p> {
    /// `None` when `value` is not an object. Keys other than `known` are noted at once.
    pub fn open(
        value: &'v Value,
        pointer: &str,
        known: &[&str],
        problems: &'p mut Vec<Problem>,
    ) -> Option<Self> {
        let Value::Object(object) = value else {
            let hint = format!("give it keys: {}", known.join(", "));
            problems.push(Problem::new(pointer, "wrong_type", not_a(value, "a mapping"), hint));
            return None;
        };
        for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
            let hint = match similar(key, known.iter().copied()) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("the keys here are {}", known.join(", ")),
            };
            let message = format!("{key:?} is not a key here");
            let at = format!("{pointer}/{}", token(key));
            problems.push(Problem::new(at, "unknown_key", message, hint));
        }
        Some(Self { object, pointer: pointer.to_owned(), problems })
    }

    pub fn at(&self, key: &str) -> String {
        format!("{}/{key}", self.pointer)
    }

    pub fn value(&self, key: &str) -> Option<&'v Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    pub fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    pub fn wrong(
        &mut self,
        key: &str,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.problems.push(Problem::new(self.at(key), code, message, hint));
    }

    pub fn missing(&mut self, key: &str, hint: impl Into<String>) {
        self.wrong(key, "missing", format!("{key} is missing"), hint);
    }

    /// Notes a key that has no meaning beside the others.
    pub fn refuse(&mut self, key: &str, message: &str, hint: &str) {
        if self.has(key) {
            self.wrong(key, "not_allowed", message, hint);
        }
    }

    pub fn text(&mut self, key: &str) -> Option<String> {
        let value = self.value(key)?;
        text(value, &self.at(key)).map_err(|problem| self.problems.push(problem)).ok()
    }

    /// Text that must parse as `what`; the parser's error says what to type.
    pub fn parsed<T>(&mut self, key: &str, what: &str) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        let text = self.text(key)?;
        match text.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                let message = format!("{text:?} is not {what}");
                self.wrong(key, "invalid", message, error.to_string());
                None
            }
        }
    }

    pub fn name(&mut self, key: &str) -> Option<String> {
        let name = self.text(key)?;
        match name_fault(&name) {
            None => Some(name),
            Some((message, hint)) => {
                self.wrong(key, "invalid", message, hint);
                None
            }
        }
    }

    pub fn whole(&mut self, key: &str, range: &RangeInclusive<i64>) -> Option<i64> {
        let value = self.value(key)?;
        let (least, most) = (range.start(), range.end());
        let hint = format!("type a number from {least} to {most}");
        match value {
            Value::Number(number) => match number.as_i64() {
                Some(whole) if range.contains(&whole) => return Some(whole),
                None if number.is_f64() => {
                    self.wrong(key, "wrong_type", format!("{number} is not a whole number"), hint);
                }
                _ => self.wrong(key, "out_of_range", format!("{number} is out of range"), hint),
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
                self.wrong(key, "wrong_type", format!("{typed:?} is text, not a number"), hint);
            }
            other => self.wrong(key, "wrong_type", not_a(other, "a number"), hint),
        }
        None
    }

    /// A number that is kept without a sign; the range must be one of such numbers.
    pub fn count(&mut self, key: &str, range: &RangeInclusive<i64>) -> Option<u32> {
        self.whole(key, range).and_then(|whole| u32::try_from(whole).ok())
    }

    /// The most of something, which 0 would make a pause in disguise. `whole` is what to leave out
    /// for no limit.
    pub fn limit(&mut self, key: &str, most: i64, whole: &str) -> Option<u32> {
        if self.value(key).and_then(Value::as_i64) == Some(0) {
            let hint = format!("pause the destinations instead, or leave {whole} out for no limit");
            self.wrong(key, "out_of_range", "0 would let no call through", hint);
            return None;
        }
        self.count(key, &(1..=most))
    }

    /// The most live calls somewhere.
    pub fn max_live(&mut self) -> Option<u32> {
        self.limit("max_live", 100_000, "max_live")
    }

    /// Yes or no; left out is no.
    pub fn flag(&mut self, key: &str) -> bool {
        self.switch(key).unwrap_or_default()
    }

    /// Yes or no.
    pub fn switch(&mut self, key: &str) -> Option<bool> {
        let value = self.value(key)?;
        if let Value::Bool(yes) = value {
            return Some(*yes);
        }
        let hint = match value.as_str().map(str::to_ascii_lowercase).as_deref() {
            Some("yes" | "on" | "true" | "1") => "type true, without quotes",
            Some("no" | "off" | "false" | "0") => "type false, without quotes",
            _ => "type true or false",
        };
        self.wrong(key, "wrong_type", not_a(value, "true or false"), hint);
        None
    }

    /// A time zone by its name.
    pub fn zone(&mut self, key: &str) -> Option<Zone> {
        let typed = self.text(key)?;
        match typed.parse() {
            Ok(zone) => Some(zone),
            Err(hint) => {
                let hint = match Zone::similar(&typed) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => str::to_owned(hint),
                };
                self.wrong(key, "invalid", format!("{typed:?} is not a time zone"), hint);
                None
            }
        }
    }

    /// The mapping under a key, to be read like this one.
    pub fn inner<'s>(&'s mut self, key: &str, known: &[&str]) -> Option<Fields<'v, 's>> {
        let value = self.value(key)?;
        Fields::open(value, &self.at(key), known, self.problems)
    }

    /// One of the words of an enum.
    pub fn choice<T: FromStr + VariantNames>(&mut self, key: &str) -> Option<T> {
        let typed = self.text(key)?;
        if let Ok(choice) = typed.parse() {
            return Some(choice);
        }
        let hint = match similar(&typed, T::VARIANTS.iter().copied()) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("type {}", T::VARIANTS.join(" or ")),
        };
        self.wrong(key, "invalid", format!("{typed:?} is not a choice here"), hint);
        None
    }

    /// The items of a list with the pointer of each; none when it is left out.
    pub fn list(&mut self, key: &str) -> Vec<(String, &'v Value)> {
        match self.value(key) {
            None => Vec::new(),
            Some(Value::Array(items)) => {
                let at = self.at(key);
                items.iter().enumerate().map(|(i, item)| (format!("{at}/{i}"), item)).collect()
            }
            Some(other) => {
                let hint = "type one item a line, each after a dash: - …";
                self.wrong(key, "wrong_type", not_a(other, "a list"), hint);
                Vec::new()
            }
        }
    }
}

/// What was typed as text, exactly, or why it cannot be known.
pub(super) fn text(value: &Value, pointer: &str) -> Result<String, Problem> {
    let wrong = |message: String, hint: String| Problem::new(pointer, "wrong_type", message, hint);
    match value {
        Value::String(text) => match unseen_fault(text) {
            None => Ok(text.clone()),
            Some((message, hint)) => Err(Problem::new(pointer, "invalid", message, hint)),
        },
        // Whole numbers have one spelling in JSON, and the YAML reader passes on no other.
        Value::Number(number) if number.is_i64() || number.is_u64() => Ok(number.to_string()),
        Value::Number(number) => Err(wrong(
            format!("it is read as the number {number}, which may not be what was typed"),
            "put it in quotes".to_owned(),
        )),
        Value::Bool(yes) => Err(wrong(
            format!("{yes} is a yes-or-no value, not text"),
            format!("put it in quotes if you mean the word: \"{yes}\""),
        )),
        Value::Null => Err(wrong("nothing stands here".to_owned(), "type a text".to_owned())),
        other => Err(wrong(not_a(other, "text"), "type one text, in quotes if need be".to_owned())),
    }
}

/// A value as it is written: what is not set is left out.
pub(super) fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(object) = &mut value {
        object.retain(|_, field| !field.is_null());
    }
    value
}

/// Why a name cannot be one.
fn name_fault(name: &str) -> Option<(String, &'static str)> {
    let length = name.chars().count();
    // A reference may be a name or an id, so that no name may look like an id.
    let like_id = name.rsplit_once('_').is_some_and(|(prefix, digits)| {
        digits.len() == 26 && ["dst", "flw", "num", "rtd", "srv", "trk"].contains(&prefix)
    });
    if length == 0 || length > 60 {
        let message = format!("a name of {length} characters cannot be used");
        Some((message, "type a name of 1 to 60 characters"))
    } else if name.trim() != name {
        Some((format!("{name:?} has spaces around it"), "type the name without them"))
    } else if like_id {
        Some((format!("{name:?} looks like an id"), "choose a name that people can say"))
    } else {
        None
    }
}

pub(super) fn not_a(value: &Value, wanted: &str) -> String {
    let found = match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a yes-or-no value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    };
    format!("{found} stands here, where {wanted} is wanted")
}
