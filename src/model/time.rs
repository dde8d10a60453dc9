//! Instants as milliseconds since 1970 in UTC, always handed in, never read here.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::problem::similar;

/// Unix time in milliseconds.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to here; never negative, so a clock set back yields 0.
    #[must_use]
    pub fn since_ms(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0).max(0)
    }

    /// RFC 3339 in UTC with milliseconds: `2026-11-21T14:03:07.120Z`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0)
            .map_or_else(|_| self.0.to_string(), |at| format!("{at:.3}"))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// A time zone of the IANA database, `America/Chicago`. A value that exists is known.
///
/// Its rules are data: the system's where it has them, else those divert was built with.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(TimeZone);

impl Zone {
    pub const UTC: Self = Self(TimeZone::UTC);

    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    #[must_use]
    pub fn rules(&self) -> &TimeZone {
        &self.0
    }

    /// The known name that `typed` was probably meant to be: `Chicago`, `Europe/Berln`.
    #[must_use]
    pub fn similar(typed: &str) -> Option<String> {
        let known: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        similar(typed, known.iter().map(String::as_str)).map(str::to_owned)
    }

    /// What the name means that most people do not think who type it, and what to type instead;
    /// `None` for a name that is as it seems.
    #[must_use]
    pub fn surprise(&self) -> Option<(String, String)> {
        let name = self.name();
        let instead = match name {
            "EST" => "America/New_York, or America/Panama if it is meant so",
            "MST" => "America/Denver, or America/Phoenix if it is meant so",
            "HST" => "Pacific/Honolulu",
            "GMT" | "GMT0" | "GMT+0" | "GMT-0" | "Greenwich" | "Etc/GMT" | "Etc/Greenwich"
            | "Etc/GMT0" | "Etc/GMT+0" | "Etc/GMT-0" => "Europe/London, or UTC if it is meant so",
            _ => "",
        };
        if !instead.is_empty() {
            let message = format!("{name} has no summer time: its clocks are never changed");
            return Some((message, format!("type {instead}")));
        }
        if let Some(offset) = name.strip_prefix("Etc/GMT") {
            let (sign, hours) = offset.split_at_checked(1)?;
            let (other, side) = if sign == "+" { ("-", "behind") } else { ("+", "ahead of") };
            let message =
                format!("{name} is {hours} hours {side} UTC: the sign in such a name is turned");
            let hint = format!("type a place, or Etc/GMT{other}{hours} for UTC{sign}{hours}");
            return Some((message, hint));
        }
        let place = match name {
            "EST5EDT" => "America/New_York",
            "CST6CDT" => "America/Chicago",
            "MST7MDT" => "America/Denver",
            "PST8PDT" => "America/Los_Angeles",
            "CET" | "MET" => "Europe/Berlin",
            "EET" => "Europe/Athens",
            "WET" => "Europe/Lisbon",
            _ => return None,
        };
        let message = format!("{name} is no place: its summer time is not certainly that of yours");
        Some((message, format!("type one, as {place}")))
    }

    /// What a clock on the wall shows there.
    #[must_use]
    pub fn local(&self, at: Timestamp) -> jiff::civil::DateTime {
        let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
        self.0.to_datetime(at)
    }

    /// When the clocks there are next put forward or back.
    #[must_use]
    pub fn next_transition(&self, after: Timestamp) -> Option<Timestamp> {
        let after = jiff::Timestamp::from_millisecond(after.0).ok()?;
        let next = self.0.following(after).next()?;
        Some(Timestamp(next.timestamp().as_millisecond()))
    }

    /// When the clocks there were last put forward or back; a change at `at` itself counts.
    #[must_use]
    pub fn last_transition(&self, at: Timestamp) -> Option<Timestamp> {
        let behind = jiff::Timestamp::from_millisecond(at.0.saturating_add(1)).ok()?;
        let last = self.0.preceding(behind).next()?;
        Some(Timestamp(last.timestamp().as_millisecond()))
    }

    /// The first moment of that local day; on a day that begins with a gap, the end of the gap.
    #[must_use]
    pub fn midnight(&self, day: jiff::civil::Date) -> Timestamp {
        day.to_zoned(self.0.clone())
            .map_or(Timestamp(i64::MAX), |zoned| Timestamp(zoned.timestamp().as_millisecond()))
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Zone {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = TimeZone::get(text)
            .ok()
            .filter(|zone| zone.iana_name().is_some() && !zone.is_unknown());
        known.map(Self).ok_or("type a name of the IANA database, as Europe/Berlin")
    }
}

impl TryFrom<String> for Zone {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_rfc_3339_and_never_counts_backwards() {
        assert_eq!(Timestamp(1_795_269_787_120).rfc3339(), "2026-11-21T14:03:07.120Z");
        assert_eq!(Timestamp(5).since_ms(Timestamp(9)), 0);
        assert_eq!(Timestamp(9).since_ms(Timestamp(5)), 4);
    }

    #[test]
    fn a_zone_is_one_that_is_known() {
        let chicago: Zone = "America/Chicago".parse().unwrap();
        assert_eq!(chicago.local(Timestamp(0)).to_string(), "1969-12-31T18:00:00");
        assert_eq!("UTC".parse::<Zone>(), Ok(Zone::UTC));
        for unknown in ["Mars/Base", "", "+01:00", "posix/../passwd", "Etc/Unknown"] {
            assert!(unknown.parse::<Zone>().is_err(), "{unknown}");
        }
        let surprise = |name: &str| name.parse::<Zone>().unwrap().surprise();
        for good in ["UTC", "Etc/UTC", "America/Chicago", "Europe/London", "Asia/Kolkata"] {
            assert_eq!(surprise(good), None, "{good}");
        }
        for (odd, wanted) in [
            ("EST", "no summer time"),
            ("GMT", "Europe/London"),
            ("Etc/GMT+5", "5 hours behind UTC"),
            ("Etc/GMT+5", "Etc/GMT-5 for UTC+5"),
            ("Etc/GMT-14", "14 hours ahead of UTC"),
            ("Etc/GMT-0", "no summer time"),
            ("EST5EDT", "America/New_York"),
            ("MET", "Europe/Berlin"),
        ] {
            let (message, hint) = surprise(odd).unwrap();
            assert!(format!("{message}; {hint}").contains(wanted), "{message}; {hint}");
        }
        assert_eq!(Zone::similar("Chicago").as_deref(), Some("America/Chicago"));
        assert_eq!(Zone::similar("europe berln").as_deref(), Some("Europe/Berlin"));
        assert_eq!(Zone::similar("Mars/Base"), None);
    }
}
