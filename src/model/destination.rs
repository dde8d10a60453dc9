//! Destinations of a forwarding flow: where a call may go, how eagerly, and how many at once.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantNames};

use super::id::{DestinationId, ServerId, TrunkId};
use super::number::{DialNumber, TollFree};
use super::number_plan::NumberPlan;
use super::schedule::Schedule;
use super::throttle::Throttle;
use super::time::Zone;

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Destination {
    pub id: DestinationId,
    /// Unique in its flow, 1 to 60 characters.
    pub name: String,
    pub landing: Landing,
    /// Lower is tried first; equal numbers form a tier. -100 to 100.
    pub priority: i32,
    /// Share within the tier, 0 to 1000; 0 drains it.
    pub weight: u32,
    /// Most live calls of this flow there; `None` is no limit.
    pub max_live: Option<u32>,
    /// How long it rings before the next one is tried, in seconds; `None` takes the flow's.
    pub ring_timeout_sec: Option<u32>,
    pub state: DestinationState,
    /// For schedule and caps; `None` takes the flow's.
    pub time_zone: Option<Zone>,
    /// When it is open; `None` is always.
    pub schedule: Option<Schedule>,
    pub throttle: Throttle,
}

impl Landing {
    /// Whether both lead to the same telephone. A number of seven digits or more is one telephone over
    /// any trunk, in any spelling that `numbers` knows; what is shorter, or no number, belongs to the
    /// trunk or the slave where it is dialled.
    #[must_use]
    pub fn is_same_phone(&self, other: &Self, numbers: &NumberPlan) -> bool {
        let Some((one, other)) = self.number_and_trunk().zip(other.number_and_trunk()) else {
            return self == other;
        };
        let worldwide = |(number, _): &(DialNumber, _)| {
            let digits = number.as_str().strip_prefix('+').unwrap_or(number.as_str());
            let is_number = digits.len() >= 7 && digits.bytes().all(|c| c.is_ascii_digit());
            is_number.then(|| numbers.international(number.as_str()))
        };
        match (worldwide(&one), worldwide(&other)) {
            (Some(one), Some(other)) => one == other,
            _ => one == other,
        }
    }

    /// What is dialled, and over which trunk where that is said; `None` on a slave.
    fn number_and_trunk(&self) -> Option<(DialNumber, Option<TrunkId>)> {
        match self {
            Self::Slave { .. } => None,
            Self::TollFree { number } => Some((number.dialled(), None)),
            Self::Trunk { trunk, number } => Some((number.clone(), Some(*trunk))),
        }
    }
}

impl Destination {
    /// One with nothing set but what it must have.
    #[must_use]
    pub fn new(id: DestinationId, name: impl Into<String>, landing: Landing) -> Self {
        Self {
            id,
            name: name.into(),
            landing,
            priority: 1,
            weight: 1,
            max_live: None,
            ring_timeout_sec: None,
            state: DestinationState::Active,
            time_zone: None,
            schedule: None,
            throttle: Throttle::default(),
        }
    }
}

/// Where a call to a destination lands.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Landing {
    /// A DID on a slave, reached over the slave's trunk.
    Slave { server: ServerId, did: DialNumber },
    /// A toll-free number; divert chooses among the trunks that carry such calls.
    TollFree { number: TollFree },
    /// A number dialled over a trunk.
    Trunk { trunk: TrunkId, number: DialNumber },
}

/// Draining takes no callers but those who belong to it; paused takes nobody, and keeps its place and
/// its returning callers; disabled is out of rotation. None of them drops a live call.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Deserialize,
    Display,
    EnumString,
    Eq,
    PartialEq,
    Serialize,
    VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DestinationState {
    #[default]
    Active,
    Disabled,
    Draining,
    Paused,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_telephone_over_any_trunk_and_an_extension_is_not() {
        let over = |trunk, number: &str| Landing::Trunk {
            trunk: TrunkId::new(trunk),
            number: number.parse().unwrap(),
        };
        let on = |server, did: &str| Landing::Slave {
            server: ServerId::new(server),
            did: did.parse().unwrap(),
        };
        let free = Landing::TollFree { number: "8005550199".parse().unwrap() };
        let plain = NumberPlan::default();
        let american = NumberPlan { country: "1".parse().ok(), ..NumberPlan::default() };
        for (one, other, numbers, wanted) in [
            (over(1, "+12025550100"), over(2, "12025550100"), &plain, true),
            (over(1, "2025550100"), over(2, "12025550100"), &plain, false),
            (over(1, "2025550100"), over(2, "12025550100"), &american, true),
            (over(1, "+12025550100"), over(1, "+12025550101"), &plain, false),
            (over(1, "1001"), over(1, "1001"), &plain, true),
            (over(1, "1001"), over(2, "1001"), &plain, false),
            (over(1, "sales-team"), over(2, "sales-team"), &plain, false),
            (over(1, "+18005550199"), free.clone(), &plain, true),
            (free.clone(), free, &plain, true),
            (on(1, "2025550100"), on(1, "2025550100"), &plain, true),
            (on(1, "2025550100"), on(2, "2025550100"), &plain, false),
            (on(1, "2025550100"), over(1, "2025550100"), &plain, false),
        ] {
            assert_eq!(one.is_same_phone(&other, numbers), wanted, "{one:?} {other:?}");
            assert_eq!(other.is_same_phone(&one, numbers), wanted, "{other:?} {one:?}");
        }
    }
}
