//! Destinations of a forwarding flow: where a call may go, how eagerly, and how many at once.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantNames};

use super::id::{DestinationId, ServerId, TrunkId};
use super::number::DialNumber;

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
}

/// Where a call to a destination lands.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Landing {
    /// A DID on a slave, reached over the slave's trunk.
    Slave { server: ServerId, did: DialNumber },
    /// A number dialled over a trunk.
    Trunk { trunk: TrunkId, number: DialNumber },
}

/// Paused keeps its place and its returning callers; disabled is out of rotation. Neither drops
/// a live call.
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
    Paused,
}
