//! A call as the API tells it, as far as the command line shows it.
//!
//! Read leniently: a field that a newer or older server does not send is empty, and a step that
//! this program does not know is shown by its title and sentence.

use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;

use super::terminal::{Style, plain};
use crate::model::number::Caller;
use crate::model::timeline::Step;

/// One call; its legs and steps are there when it was asked for alone.
#[derive(Clone, Debug, Deserialize)]
pub struct Call {
    pub id: String,
    #[serde(default)]
    pub did: String,
    #[serde(default)]
    pub caller: Caller,
    #[serde(default)]
    pub forwarding_flow: Option<Flow>,
    #[serde(default)]
    pub tags: Vec<String>,
    #[serde(default)]
    pub status: String,
    /// How many calls a session has; 0 for a call.
    #[serde(default)]
    pub attempts: usize,
    #[serde(default)]
    pub started_at: Moment,
    #[serde(default)]
    pub talk_sec: f64,
    #[serde(default)]
    pub result: Option<String>,
    #[serde(default)]
    pub ended_by: Option<String>,
    #[serde(default)]
    pub cause: Option<u16>,
    #[serde(default)]
    pub cost: Option<Money>,
    #[serde(default)]
    pub legs: Vec<Leg>,
    #[serde(default)]
    pub timeline: Vec<Entry>,
}

/// The flow that owned the number.
#[derive(Clone, Debug, Deserialize)]
pub struct Flow {
    pub name: String,
}

/// One attempt.
#[derive(Clone, Debug, Deserialize)]
pub struct Leg {
    pub no: u16,
    pub name: String,
    #[serde(default)]
    pub endpoint: String,
    #[serde(default)]
    pub ringing_at: Option<Moment>,
    #[serde(default)]
    pub answered_at: Option<Moment>,
    #[serde(default)]
    pub ended_at: Option<Moment>,
    #[serde(default)]
    pub outcome: Option<String>,
    #[serde(default)]
    pub cause: Option<u16>,
    #[serde(default)]
    pub sip_code: Option<u16>,
}

/// What something cost.
#[derive(Clone, Debug, Deserialize)]
pub struct Money {
    pub amount: String,
    pub currency: String,
}

/// One line of the timeline.
#[derive(Clone, Debug, Deserialize)]
pub struct Entry {
    pub seq: u32,
    #[serde(default)]
    pub at: Moment,
    #[serde(default)]
    pub offset_ms: i64,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub sentence: String,
    #[serde(default)]
    pub step: Value,
}

impl Call {
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.result.is_some() || self.status == "ended"
    }

    #[must_use]
    pub fn is_test(&self) -> bool {
        self.tags.iter().any(|tag| tag == "test")
    }

    /// The conversation in milliseconds.
    #[must_use]
    pub fn talk_ms(&self) -> i64 {
        let talk = Duration::try_from_secs_f64(self.talk_sec).unwrap_or_default();
        i64::try_from(talk.as_millis()).unwrap_or(i64::MAX)
    }

    /// The result, or what it does now.
    #[must_use]
    pub fn verdict(&self) -> &str {
        self.result.as_deref().unwrap_or(&self.status)
    }

    #[must_use]
    pub fn style(&self) -> Style {
        match self.verdict() {
            "answered" | "talking" => Style::Good,
            "failed" | "full" | "no_credit" => Style::Bad,
            "ringing" | "routing" => Style::Name,
            _ => Style::Warn,
        }
    }

    #[must_use]
    pub fn flow_name(&self) -> String {
        self.forwarding_flow.as_ref().map_or_else(|| "-".to_owned(), |flow| plain(&flow.name))
    }
}

impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&plain(&format!("{} {}", self.amount, self.currency)))
    }
}

impl Entry {
    /// The step itself, if this program knows it.
    #[must_use]
    pub fn step(&self) -> Option<Step> {
        Step::deserialize(&self.step).ok()
    }
}

/// Unix milliseconds; on the wire RFC 3339.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(from = "jiff::Timestamp")]
pub struct Moment(pub i64);

impl From<jiff::Timestamp> for Moment {
    fn from(at: jiff::Timestamp) -> Self {
        Self(at.as_millisecond())
    }
}

impl Moment {
    /// In the zone of this machine, in the format of `strftime`.
    #[must_use]
    pub fn show(self, format: &str) -> String {
        jiff::Timestamp::from_millisecond(self.0).map_or_else(
            |_| self.0.to_string(),
            |at| at.to_zoned(TimeZone::system()).strftime(format).to_string(),
        )
    }
}

/// `+0.210 s`, `+3:42.1`: the moment within a call.
#[must_use]
pub fn offset(ms: i64) -> String {
    if ms < 60_000 {
        format!("+{}.{:03} s", ms / 1_000, ms % 1_000)
    } else if ms < 3_600_000 {
        format!("+{}:{:02}.{}", ms / 60_000, ms / 1_000 % 60, ms % 1_000 / 100)
    } else {
        format!("+{}:{:02}:{:02}", ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_read_as_in_a_ladder() {
        assert_eq!(offset(4), "+0.004 s");
        assert_eq!(offset(222_100), "+3:42.1");
        assert_eq!(offset(3_725_000), "+1:02:05");
    }
}
