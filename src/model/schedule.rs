//! When something is open: hours of a week, and days that are different.
//!
//! Times are those of a clock on the wall in some zone, which is said elsewhere; nothing here knows
//! of zones but [`Schedule::state`].

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use serde::{Deserialize, Serialize};

use super::time::{Timestamp, Zone};

/// Open in the hours of its weekday, unless the day is listed among the holidays.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Schedule {
    /// Monday first. A day without hours is closed.
    pub weekly: [Vec<Span>; 7],
    /// Days with hours of their own; none at all is closed.
    pub holidays: BTreeMap<Date, Vec<Span>>,
}

/// Hours of one day, from the first minute to before the last: `09:00-17:00`. One that ends no later
/// than it begins runs over midnight and belongs to the day it begins on.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    /// Minutes since midnight, 0 to 1439.
    from: u16,
    /// 1 to 1440.
    to: u16,
}

impl Span {
    const DAY: u16 = 24 * 60;

    fn runs_over_midnight(self) -> bool {
        self.to <= self.from
    }

    /// Whether two of the same day have a minute of that day in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        let end = |span: Self| if span.runs_over_midnight() { Self::DAY } else { span.to };
        self.from < end(other) && other.from < end(self)
    }
}

impl Schedule {
    /// Whether it has any hours at all.
    #[must_use]
    pub fn has_hours(&self) -> bool {
        self.weekly.iter().chain(self.holidays.values()).any(|spans| !spans.is_empty())
    }

    /// Whether it is open when a clock on the wall shows this.
    #[must_use]
    pub fn is_open(&self, at: DateTime) -> bool {
        let minute = u16::try_from(i32::from(at.hour()) * 60 + i32::from(at.minute()));
        let minute = minute.unwrap_or_default();
        let today = self
            .spans(at.date())
            .iter()
            .any(|span| minute >= span.from && (span.runs_over_midnight() || minute < span.to));
        let since_yesterday = || {
            let yesterday = at.date().yesterday().map(|day| self.spans(day)).unwrap_or_default();
            yesterday.iter().any(|span| span.runs_over_midnight() && minute < span.to)
        };
        today || since_yesterday()
    }

    /// The hours that begin on this day.
    #[must_use]
    pub fn spans(&self, day: Date) -> &[Span] {
        match self.holidays.get(&day) {
            Some(spans) => spans,
            None => &self.weekly[usize::from(day.weekday().to_monday_zero_offset().unsigned_abs())],
        }
    }

    /// Whether it is open at `at`, and until when that certainly holds: the next minute at which a
    /// span begins or ends, or the next local midnight.
    #[must_use]
    pub fn state(&self, zone: &Zone, at: Timestamp) -> (bool, Timestamp) {
        let local = zone.local(at);
        let is_open = self.is_open(local);
        let minute = i64::from(local.hour()) * 60 + i64::from(local.minute());
        let into_minute_ms = i64::from(local.second()) * 1_000 + i64::from(local.millisecond());
        let today = self.spans(local.date()).iter();
        let yesterday = local.date().yesterday().map(|day| self.spans(day)).unwrap_or_default();
        let edge = today
            .flat_map(|span| [span.from, span.to])
            .chain(yesterday.iter().map(|span| span.to))
            .map(i64::from)
            .filter(|edge| *edge > minute)
            .min()
            .unwrap_or(i64::from(Span::DAY));
        let by_clock = at.plus_ms((edge - minute) * 60_000 - into_minute_ms);
        // A change of the clock in between makes the edge come sooner or later than counted.
        let change = zone.next_transition(at).unwrap_or(by_clock);
        (is_open, by_clock.min(change))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HINT: &str = "type hours as \"09:00-17:00\", to 24:00 at the latest";
        let minutes = |text: &str| {
            let (hours, minutes) = text.trim().split_once(':')?;
            let digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
            if hours.len() > 2 || minutes.len() != 2 || !digits(hours) || !digits(minutes) {
                return None;
            }
            let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
            (minutes < 60 && hours * 60 + minutes <= Self::DAY).then_some(hours * 60 + minutes)
        };
        let (from, to) = text.split_once('-').ok_or(HINT)?;
        let (from, to) = minutes(from).zip(minutes(to)).ok_or(HINT)?;
        if from == Self::DAY || from == to {
            return Err("hours that end when they begin are none; a whole day is \"00:00-24:00\"");
        }
        // Midnight as an end is that of the same day.
        Ok(Self { from, to: if to == 0 { Self::DAY } else { to } })
    }
}

impl TryFrom<String> for Span {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}
