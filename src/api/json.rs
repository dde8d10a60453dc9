//! JSON text as a value (RFC 8259), in which no key of an object stands twice.
//!
//! §4 leaves it open which of two such members counts, so that the sender and we might mean
//! different ones.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Map, Number, Value};

use super::error::ApiError;
use crate::model::problem::{Problem, token};

/// Deeper than any document has a reason to be.
const MAX_DEPTH: usize = 32;

/// Reads a body.
///
/// # Errors
/// 400 for what is no JSON, 422 for keys that stand twice, all of them.
pub(super) fn read(bytes: &[u8]) -> Result<Value, ApiError> {
    let not_json = |detail: String, hint: &str| {
        ApiError::bad_request("not_json", "Not JSON", detail).hint(hint)
    };
    if bytes.is_empty() {
        return Err(not_json("The body is empty.".to_owned(), "send a JSON object"));
    }
    if std::str::from_utf8(bytes).is_err() {
        let detail = "The body is not JSON: it is not UTF-8.".to_owned();
        return Err(not_json(detail, "send text in UTF-8"));
    }
    let mut repeated = Vec::new();
    let mut text = serde_json::Deserializer::from_slice(bytes);
    let place = Place { pointer: String::new(), depth: 0, repeated: &mut repeated };
    let read = place.deserialize(&mut text).and_then(|value| text.end().map(|()| value));
    let value = read.map_err(|error| {
        let (why, hint) = match error.classify() {
            Category::Data => ("it has more than 32 levels inside each other", "send fewer levels"),
            Category::Eof => ("it ends too early", "look for an open quote or an open bracket"),
            Category::Io | Category::Syntax => {
                ("something is wrong here or just above", "look for a missing quote or comma")
            }
        };
        let (line, column) = (error.line(), error.column());
        not_json(format!("The body is not JSON: line {line} column {column}: {why}."), hint)
    })?;
    if repeated.is_empty() { Ok(value) } else { Err(ApiError::document(repeated)) }
}

/// A value that is being read, and the keys that stood twice so far.
struct Place<'r> {
    pointer: String,
    depth: usize,
    repeated: &'r mut Vec<Problem>,
}

impl Place<'_> {
    fn inside<E: serde::de::Error>(&mut self, step: impl fmt::Display) -> Result<Place<'_>, E> {
        let depth = self.depth + 1;
        if depth > MAX_DEPTH {
            return Err(E::custom("too deep"));
        }
        let pointer = format!("{}/{step}", self.pointer);
        Ok(Place { pointer, depth, repeated: self.repeated })
    }
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, text: D) -> Result<Value, D::Error> {
        text.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Value, E> {
        Ok(Value::Bool(yes))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        // JSON has no others than finite ones.
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(self.inside(items.len())?)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            let place = self.inside::<A::Error>(token(&key))?;
            if members.contains_key(&key) {
                let message = format!("{key:?} stands here a second time");
                let pointer = place.pointer.clone();
                let problem = Problem::new(pointer, "duplicate_key", message, "keep one of them");
                place.repeated.push(problem);
            }
            let value = object.next_value_seed(place)?;
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(text in "[\\PC\"\\\\\\[\\]{}:,0-9a-f.eE+-]{0,40}") {
            let ours = read(text.as_bytes()).ok();
            let plain = serde_json::from_str::<Value>(&text).ok();
            if ours.is_some() {
                prop_assert_eq!(ours, plain);
            }
        }
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let text = r#"{"a":[1,-1,1.5,"é\u00e9",true,null,{}],"b/~":{"c":18446744073709551615}}"#;
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(read(text.as_bytes()).unwrap(), value);
        let deep = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(read(deep(32).as_bytes()).is_ok());
        assert!(read(deep(33).as_bytes()).is_err());
        assert!(read(deep(100_000).as_bytes()).is_err());
    }
}
