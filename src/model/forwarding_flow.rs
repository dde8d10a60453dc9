//! Forwarding flows: the DIDs of one master, spread over destinations.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantNames};

use super::cause::HangupCause;
use super::destination::Destination;
use super::id::{ForwardingFlowId, ServerId, TrunkId};
use super::number::{DialNumber, Did};

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ForwardingFlow {
    pub id: ForwardingFlowId,
    /// Unique in the account, 1 to 60 characters.
    pub name: String,
    /// The master whose DIDs these are.
    pub master: ServerId,
    pub dids: Vec<Did>,
    pub destinations: Vec<Destination>,
    pub spread: Spread,
    pub ringback: Ringback,
    /// How long one destination rings, in seconds, 5 to 120.
    pub ring_timeout_sec: u32,
    /// How long all destinations of one call may ring together, in seconds, 5 to 600.
    pub ring_budget_sec: u32,
    /// Most destinations tried for one call, 1 to 20.
    pub max_attempts: u32,
    /// Longest conversation, in seconds, up to 12 hours.
    pub max_call_sec: u32,
    /// Where a call goes that no destination took.
    pub fallback: Fallback,
}

/// Defaults of the settings that a flow need not name.
impl ForwardingFlow {
    pub const MAX_ATTEMPTS: u32 = 6;
    pub const MAX_CALL_SEC: u32 = 4 * 3600;
    pub const RING_BUDGET_SEC: u32 = 120;
    pub const RING_TIMEOUT_SEC: u32 = 30;
}

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
pub enum Spread {
    /// Equal shares whatever the weights, but weight 0 still drains.
    RoundRobin,
    #[default]
    Weighted,
}

/// What an unanswered caller hears.
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
pub enum Ringback {
    /// What the destination sends before it answers: its ringing, announcements, music.
    EarlyMedia,
    /// Ringing, as soon as the destination rings.
    #[default]
    Ring,
}

/// The last resort of a flow.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// Back to the dialplan that sent the call, which goes on behind `Stasis()`.
    Dialplan,
    /// Hang up with the cause of the last failure, or with this one.
    HangUp(Option<HangupCause>),
    /// One last number, outside every limit of the destinations.
    Number { trunk: TrunkId, number: DialNumber },
}
