//! How many calls may begin: a rate, a least distance, and caps on volume. How many may *live* at once
//! is another limit.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strum::{Display, EnumString, VariantNames};

use super::object::{Int, Limit, Names, Reader, Shape, choices, record};

record! {
    /// For a destination or a whole flow.
    #[derive(Default)]
    pub struct Throttle {
        /// Calls in each second, minute or hour, evenly, with up to `burst` at once.
        rate: Option<ArrivalRate>,
        /// Least time between the beginnings of two calls, in seconds.
        spacing_sec: Option<Int<u32, 1, 86_400>>,
        /// Most of what is counted in each period of the zone; one for each pair of `per` and `count`
        /// at most.
        caps: Caps,
    }
}

record! {
    /// `calls` in each `per`, evenly (GCRA), with up to `burst` at once.
    #[derive(Copy)]
    pub struct ArrivalRate {
        /// How many may begin.
        calls: Int<u32, 1, 10_000>
            => "type how many calls may begin, as {calls: 5, per: second}",
        /// In which time.
        per: RatePeriod => "type second, minute or hour",
        /// How many at once; 1 is no burst at all.
        burst: Int<u32, 1, 10_000> = 1,
    }
}

record! {
    /// At most `max` of what is counted in each period of the zone.
    #[derive(Copy)]
    pub struct VolumeCap {
        /// The period.
        per: CapPeriod => "type hour, day, month or total",
        /// What is counted.
        count: CapCount = CapCount::Attempts,
        /// The most of it.
        max: Limit<100_000_000> => "type the most there may be in that time",
    }
}

/// One cap for each pair of period and count at most.
pub struct Caps;

impl Shape for Caps {
    type Value = Vec<VolumeCap>;

    /// Without the caps that have faults.
    fn read(value: &Value, pointer: &str, reader: &mut Reader<'_>) -> Option<Self::Value> {
        let mut seen = BTreeSet::new();
        let mut caps = Vec::new();
        for (at, item) in reader.items(value, pointer)? {
            caps.extend(VolumeCap::read(item, &at, reader));
            // Whatever else is wrong with it.
            if let Some((per, count)) = counted(item)
                && !seen.insert((per, count))
            {
                let message = format!("{count} per {per} have a cap already");
                reader.fault(at, "taken", message, "keep one of them");
            }
        }
        Some(caps)
    }

    fn write(value: &Self::Value, names: &dyn Names) -> Value {
        if value.is_empty() {
            return Value::Null;
        }
        value.iter().map(|cap| VolumeCap::write(cap, names)).collect()
    }

    fn schema() -> Value {
        json!({ "type": "array", "items": VolumeCap::schema() })
    }

    fn absent() -> Option<Self::Value> {
        Some(Vec::new())
    }
}

/// What a cap counts in which period, as far as that can be read.
fn counted(cap: &Value) -> Option<(CapPeriod, CapCount)> {
    let per = cap.get("per")?.as_str()?.parse().ok()?;
    let count = match cap.get("count") {
        None | Some(Value::Null) => CapCount::Attempts,
        Some(count) => count.as_str()?.parse().ok()?,
    };
    Some((per, count))
}

choices! { CapCount CapPeriod RatePeriod }

#[derive(
    Clone, Copy, Debug, Deserialize, Display, EnumString, Eq, PartialEq, Serialize, VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum RatePeriod {
    Hour,
    Minute,
    Second,
}

impl RatePeriod {
    #[must_use]
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Hour => 3_600,
            Self::Minute => 60,
            Self::Second => 1,
        }
    }
}

#[derive(
    Clone,
    Copy,
    Debug,
    Deserialize,
    Display,
    EnumString,
    Eq,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
    VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum CapPeriod {
    Day,
    Hour,
    Month,
    Total,
}

#[derive(
    Clone,
    Copy,
    Debug,
    Deserialize,
    Display,
    EnumString,
    Eq,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
    VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum CapCount {
    /// Calls that were answered; one that still rings holds its place.
    Answers,
    /// Calls that were sent there.
    Attempts,
    /// Minutes as they are billed, each call rounded up; a call in progress holds one.
    BillableMinutes,
}
