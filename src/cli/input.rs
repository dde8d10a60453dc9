//! What is typed behind options: read, or answered with what to type instead.

use std::io::{self, IsTerminal as _, Write as _};
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Zoned};
use strum::VariantNames;

use super::Failure;
use crate::clock;
use crate::model::time::Timestamp;

/// What to type for a time.
const TIMES: &str = "type 2026-11-21T14:03:07Z, \"2026-11-21 14:03\", 2026-11-21, 14:03, now, today, \
    yesterday, tomorrow, 1h for an hour ago or +1h for in an hour";

/// One of the words of an enum; a mistake is answered with all of them.
pub(super) fn word<T>() -> impl TypedValueParser<Value = T>
where
    T: Clone + FromStr + VariantNames + Send + Sync + 'static,
    T::Err: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    PossibleValuesParser::new(T::VARIANTS).try_map(|typed| typed.parse())
}

/// A whole number within bounds.
pub(super) fn count<const LEAST: u32, const MOST: u32>(typed: &str) -> Result<u32, String> {
    let number = typed.parse().ok().filter(|number| (LEAST..=MOST).contains(number));
    number.ok_or_else(|| format!("type a whole number from {LEAST} to {MOST}"))
}

/// A time as people type it. A day, a time of day and a length of time are those of a zone, of this
/// machine unless something else says which.
#[derive(Clone, Debug)]
pub(super) enum When {
    Local(DateTime),
    Moment(Timestamp),
    /// So long from now; below zero it is past.
    Span(Span),
    /// The time on the day of so many days from now.
    OfDay(i32, Time),
}

/// # Errors
/// What to type.
pub(super) fn when(typed: &str) -> Result<When, String> {
    let typed = typed.trim();
    if let Ok(at) = typed.parse::<jiff::Timestamp>() {
        return Ok(When::Moment(Timestamp(at.as_millisecond())));
    }
    let day = match typed.to_ascii_lowercase().as_str() {
        "now" => return Ok(When::Span(Span::new())),
        "today" => Some(0),
        "tomorrow" => Some(1),
        "yesterday" => Some(-1),
        _ => None,
    };
    if let Some(day) = day {
        return Ok(When::OfDay(day, Time::midnight()));
    }
    if let Ok(local) = typed.parse::<DateTime>() {
        return Ok(When::Local(local));
    }
    if let Ok(time) = typed.parse::<Time>() {
        return Ok(When::OfDay(0, time));
    }
    let (length, is_future) = match typed.strip_prefix('+') {
        Some(length) => (length, true),
        None => (typed, false),
    };
    match length.parse::<Span>() {
        Ok(span) if length.starts_with(|first: char| first.is_ascii_digit()) => {
            Ok(When::Span(if is_future { span } else { span.negate() }))
        }
        _ => Err(TIMES.to_owned()),
    }
}

impl When {
    /// In the zone of this machine.
    pub fn here(&self) -> Timestamp {
        self.within(&TimeZone::system())
    }

    pub fn within(&self, zone: &TimeZone) -> Timestamp {
        self.at(&now(zone))
    }

    fn at(&self, now: &Zoned) -> Timestamp {
        let zone = now.time_zone();
        let of_local = |local: DateTime| local.to_zoned(zone.clone()).ok();
        let found = match self {
            Self::Moment(at) => return *at,
            Self::Local(local) => of_local(*local),
            Self::Span(span) => now.checked_add(*span).ok(),
            Self::OfDay(days, time) => {
                let date = now.date().checked_add(Span::new().days(*days)).ok();
                date.and_then(|date| of_local(date.to_datetime(*time)))
            }
        };
        // Only what lies thousands of years away has no moment.
        Timestamp(found.as_ref().unwrap_or(now).timestamp().as_millisecond())
    }
}

/// Asks the person at the terminal, unless that was agreed to before.
///
/// # Errors
/// [`Failure::Input`] where nobody is, [`Failure::Failed`] for a no.
pub(super) fn agreed(question: &str, is_agreed: bool) -> Result<(), Failure> {
    if is_agreed {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::Input("nobody is there to ask: add --yes".to_owned()));
    }
    eprint!("{question} [y/N] ");
    let _ = io::stderr().flush();
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(Failure::Failed("nothing was changed".to_owned()))
    }
}

/// A word that a shell takes as it is (POSIX, Shell Command Language, 2.2.2).
pub(super) fn for_a_shell(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=,:@".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn now(zone: &TimeZone) -> Zoned {
    let now = jiff::Timestamp::from_millisecond(clock::wall().0).unwrap_or_default();
    now.to_zoned(zone.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_taken_as_people_type_it() {
        // The clocks went forward three days before.
        let now: Zoned = "2026-03-11T14:03:07-05:00[America/Chicago]".parse().unwrap();
        for (typed, wanted) in [
            ("1970-01-01T01:00:01+01:00", "1970-01-01T00:00:01.000Z"),
            ("now", "2026-03-11T19:03:07.000Z"),
            ("today", "2026-03-11T05:00:00.000Z"),
            ("Yesterday", "2026-03-10T05:00:00.000Z"),
            ("tomorrow", "2026-03-12T05:00:00.000Z"),
            ("2026-03-07", "2026-03-07T06:00:00.000Z"),
            ("2026-03-09", "2026-03-09T05:00:00.000Z"),
            ("2026-03-09 09:30", "2026-03-09T14:30:00.000Z"),
            ("2026-03-09T09:30:01", "2026-03-09T14:30:01.000Z"),
            ("09:30", "2026-03-11T14:30:00.000Z"),
            ("1h", "2026-03-11T18:03:07.000Z"),
            ("90m", "2026-03-11T17:33:07.000Z"),
            ("1h30m", "2026-03-11T17:33:07.000Z"),
            ("+2h", "2026-03-11T21:03:07.000Z"),
            // By the calendar: the day in between had 23 hours.
            ("7d", "2026-03-04T20:03:07.000Z"),
        ] {
            assert_eq!(when(typed).unwrap().at(&now).rfc3339(), wanted, "{typed}");
        }
        for typed in ["", "noon", "-1h", "2026-13-01", "1", "1x", "++1h", "+"] {
            assert_eq!(when(typed).unwrap_err(), TIMES, "{typed}");
        }
    }

    #[test]
    fn a_number_is_told_its_bounds() {
        assert_eq!(count::<1, 200>("200"), Ok(200));
        for typed in ["abc", "0", "201", "-1", "1.5", ""] {
            let told = count::<1, 200>(typed).unwrap_err();
            assert_eq!(told, "type a whole number from 1 to 200", "{typed}");
        }
    }
}
