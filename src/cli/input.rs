//! What is typed behind options: read, or answered with what to type instead.

use std::error::Error;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use strum::VariantNames;

use crate::model::time::Timestamp;

/// One of the words of an enum; a mistake is answered with all of them.
pub(super) fn word<T>() -> impl TypedValueParser<Value = T>
where
    T: Clone + FromStr + VariantNames + Send + Sync + 'static,
    T::Err: Into<Box<dyn Error + Send + Sync>>,
{
    PossibleValuesParser::new(T::VARIANTS).try_map(|typed| typed.parse())
}

/// A moment (RFC 3339), to the millisecond.
///
/// # Errors
/// What to type.
pub(super) fn moment(typed: &str) -> Result<Timestamp, String> {
    if let Ok(at) = typed.parse::<jiff::Timestamp>() {
        return Ok(Timestamp(at.as_millisecond()));
    }
    // A day or a local time lacks only what says where it is.
    Err(match typed.parse::<jiff::civil::DateTime>() {
        Ok(local) => format!("type {local}Z, or its offset from UTC in place of Z"),
        Err(_) => "type a time as 2026-11-21T14:03:07Z".to_owned(),
    })
}

/// A moment as it was typed, for the server.
///
/// # Errors
/// What to type.
pub(super) fn moment_as_typed(typed: &str) -> Result<String, String> {
    moment(typed).map(|_| typed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_or_told_how_to_type() {
        assert_eq!(moment("1970-01-01T00:00:01Z"), Ok(Timestamp(1_000)));
        assert_eq!(moment("1970-01-01T01:00:01+01:00"), Ok(Timestamp(1_000)));
        for (typed, hint) in [
            ("2026-11-20", "type 2026-11-20T00:00:00Z, or its offset from UTC in place of Z"),
            ("2026-11-20 09:30", "type 2026-11-20T09:30:00Z, or its offset from UTC in place of Z"),
            ("yesterday", "type a time as 2026-11-21T14:03:07Z"),
        ] {
            assert_eq!(moment(typed), Err(hint.to_owned()), "{typed}");
        }
    }
}
