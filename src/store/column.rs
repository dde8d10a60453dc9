//! Values as columns: text, integers and JSON objects, the same on both engines.
//!
//! Every bind goes through one of these types, because `SQLite` would store a text in an integer
//! column without a word. Reading parses: a row with an impossible value is an error, not a guess.

use std::fmt::Display;
use std::str::FromStr;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::types::Json;
use sqlx::{Database, Decode, Encode, Type};

use crate::model::cause::HangupCause;
use crate::model::time::Timestamp;

/// Anything with a text form: ids, numbers, names, enums.
#[derive(Clone, Copy)]
pub(super) struct Text<T>(pub T);

impl<DB: Database, T> Type<DB> for Text<T>
where
    String: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        String::type_info()
    }

    fn compatible(ty: &DB::TypeInfo) -> bool {
        String::compatible(ty)
    }
}

impl<'q, DB: Database, T: Display> Encode<'q, DB> for Text<T>
where
    String: Encode<'q, DB>,
{
    fn encode_by_ref(&self, buf: &mut DB::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let mut text = self.0.to_string();
        if text.contains('\0') {
            // Postgres has no NUL in text; one odd byte must not cost a call its record.
            text = text.replace('\0', "\u{fffd}");
        }
        text.encode(buf)
    }
}

impl<'r, DB: Database, T: FromStr> Decode<'r, DB> for Text<T>
where
    &'r str: Decode<'r, DB>,
    T::Err: Into<BoxDynError>,
{
    fn decode(value: DB::ValueRef<'r>) -> Result<Self, BoxDynError> {
        <&str>::decode(value)?.parse().map(Self).map_err(Into::into)
    }
}

/// Anything with an integer form, always 64 bits wide in the database.
#[derive(Clone, Copy)]
pub(super) struct Int<T>(pub T);

/// What can be kept in an [`Int`].
pub(super) trait Integer: Copy {
    fn to_column(self) -> i64;
    /// `None` when out of range.
    fn of_column(value: i64) -> Option<Self>;
}

macro_rules! integers {
    ($($name:ty)*) => {$(
        impl Integer for $name {
            fn to_column(self) -> i64 {
                self.into()
            }

            fn of_column(value: i64) -> Option<Self> {
                value.try_into().ok()
            }
        }
    )*};
}

integers! { i32 i64 u16 u32 u8 }

impl Integer for HangupCause {
    fn to_column(self) -> i64 {
        self.0.into()
    }

    fn of_column(value: i64) -> Option<Self> {
        value.try_into().ok().map(Self)
    }
}

impl Integer for Timestamp {
    fn to_column(self) -> i64 {
        self.0
    }

    fn of_column(value: i64) -> Option<Self> {
        Some(Self(value))
    }
}

impl<DB: Database, T> Type<DB> for Int<T>
where
    i64: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        i64::type_info()
    }

    fn compatible(ty: &DB::TypeInfo) -> bool {
        i64::compatible(ty)
    }
}

impl<'q, DB: Database, T: Integer> Encode<'q, DB> for Int<T>
where
    i64: Encode<'q, DB>,
{
    fn encode_by_ref(&self, buf: &mut DB::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        self.0.to_column().encode(buf)
    }
}

impl<'r, DB: Database, T: Integer> Decode<'r, DB> for Int<T>
where
    i64: Decode<'r, DB>,
{
    fn decode(value: DB::ValueRef<'r>) -> Result<Self, BoxDynError> {
        let value = i64::decode(value)?;
        T::of_column(value).map(Self).ok_or_else(|| format!("{value} is out of range").into())
    }
}

/// A JSON object or array ready to be bound; a bare number would come back from `SQLite` as an
/// integer and not as JSON.
pub(super) fn json<T: Serialize>(value: &T) -> Result<Json<Box<RawValue>>, sqlx::Error> {
    let fault = |error: serde_json::Error| sqlx::Error::Encode(error.into());
    let text = serde_json::to_string(value).map_err(fault)?;
    let text = if text.contains("\\u0000") {
        let mut value = serde_json::from_str(&text).map_err(fault)?;
        replace_nul(&mut value);
        value.to_string()
    } else {
        text
    };
    RawValue::from_string(text).map(Json).map_err(fault)
}

/// As in [`Text`]: Postgres takes no NUL, neither in keys nor in values.
fn replace_nul(value: &mut Value) {
    match value {
        Value::String(text) => *text = text.replace('\0', "\u{fffd}"),
        Value::Array(items) => items.iter_mut().for_each(replace_nul),
        Value::Object(members) => {
            *members = std::mem::take(members)
                .into_iter()
                .map(|(key, mut member)| {
                    replace_nul(&mut member);
                    (key.replace('\0', "\u{fffd}"), member)
                })
                .collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_loses_its_nul_characters_and_nothing_else() {
        let odd = serde_json::json!({"a\0": ["x\0y", {"b": "\\u0000"}], "n": 1});
        let Json(text) = json(&odd).unwrap();
        let read: Value = serde_json::from_str(text.get()).unwrap();
        let kept = serde_json::json!({"a\u{fffd}": ["x\u{fffd}y", {"b": "\\u0000"}], "n": 1});
        assert_eq!(read, kept);
    }

    #[test]
    fn an_integer_out_of_range_is_refused() {
        assert_eq!(u16::of_column(65_536), None);
        assert_eq!(u32::of_column(-1), None);
        assert_eq!(u32::of_column(i64::from(u32::MAX)), Some(u32::MAX));
    }
}
