//! How many calls may begin: a rate, a least distance, and caps on volume. How many may *live* at once
//! is another limit.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantNames};

/// For a destination or a whole flow.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Throttle {
    pub rate: Option<ArrivalRate>,
    /// Least time between the beginnings of two calls, in seconds, 1 to 86400.
    pub spacing_sec: Option<u32>,
    /// At most one for each pair of period and count.
    pub caps: Vec<VolumeCap>,
}

/// `calls` in each `per`, evenly (GCRA), with up to `burst` at once.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ArrivalRate {
    /// 1 to 10000.
    pub calls: u32,
    pub per: RatePeriod,
    /// 1 to 10000; 1 is no burst at all.
    pub burst: u32,
}

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

/// At most `max` of what is counted in each period of the zone.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct VolumeCap {
    pub per: CapPeriod,
    pub count: CapCount,
    /// 1 to 100000000.
    pub max: u32,
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
