//! Destinations of a forwarding flow: where a call may go, how eagerly, and how many at once.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantNames};

use super::id::{DestinationId, ServerId, TrunkId};
use super::number::{DialNumber, TollFree};
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
