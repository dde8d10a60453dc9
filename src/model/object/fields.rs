//! One object of a document, read key by key: every fault is noted and reading goes on.
//!
//! `null` counts as left out. A number stands for text only when its digits are certainly those
//! that were typed; anything else asks for quotes, because a number of a phone must never change
//! silently.

use serde_json::{Map, Value};

use super::{Reader, Shape};
use crate::model::problem::{Problem, similar, token};
use crate::model::text::unseen_fault;

pub struct Fields<'v, 'r, 'a> {
    object: &'v Map<String, Value>,
    pub pointer: String,
    pub reader: &'r mut Reader<'a>,
}

impl<'v, 'r, 'a> Fields<'v, 'r, 'a> {
    /// `None` when `value` is not an object. Keys other than `known` are noted at once.
    pub fn open(
        value: &'v Value,
        pointer: &str,
        known: &[&str],
        reader: &'r mut Reader<'a>,
    ) -> Option<Self> {
        let Value::Object(object) = value else {
            let hint = format!("give it keys: {}", known.join(", "));
            reader.fault(pointer, "wrong_type", not_a(value, "a mapping"), hint);
            return None;
        };
        for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
            let hint = match similar(key, known.iter().copied()) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("the keys here are {}", known.join(", ")),
            };
            let message = format!("{key:?} is not a key here");
            let at = format!("{pointer}/{}", token(key));
            reader.unknown_key(Problem::new(at, "unknown_key", message, hint));
        }
        Some(Self { object, pointer: pointer.to_owned(), reader })
    }

    #[must_use]
    pub fn at(&self, key: &str) -> String {
        format!("{}/{key}", self.pointer)
    }

    /// What stands under a key; `null` stands for nothing.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&'v Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    #[must_use]
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
        let at = self.at(key);
        self.reader.fault(at, code, message, hint);
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

    /// The value under a key, read by its shape; `None` when it is left out or has a fault.
    pub fn read<S: Shape>(&mut self, key: &str) -> Option<S::Value> {
        let value = self.value(key)?;
        let at = self.at(key);
        S::read(value, &at, self.reader)
    }
}

/// What was typed as text, exactly.
///
/// # Errors
///
/// Why it cannot be known, and what to type.
pub fn text(value: &Value, pointer: &str) -> Result<String, Problem> {
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

/// That something else stands here than is wanted.
#[must_use]
pub fn not_a(value: &Value, wanted: &str) -> String {
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
