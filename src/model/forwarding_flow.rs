//! Forwarding flows: the DIDs of one master, spread over destinations.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantNames};

use super::cause::HangupCause;
use super::destination::Destination;
use super::id::{ForwardingFlowId, ServerId, TrunkId};
use super::number::{DialNumber, Did};
use super::number_plan::NumberPlan;
use super::schedule::Schedule;
use super::stickiness::{RepeatRule, Stickiness};
use super::throttle::Throttle;
use super::time::Zone;

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ForwardingFlow {
    pub id: ForwardingFlowId,
    /// Unique in the account, 1 to 60 characters.
    pub name: String,
    /// The master whose DIDs these are.
    pub master: ServerId,
    pub dids: Vec<Did>,
    pub destinations: Vec<Destination>,
    pub state: ForwardingFlowState,
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
    /// Whose days count, and in which the schedule is; `None` takes the account's.
    pub time_zone: Option<Zone>,
    /// When it is open; `None` is always. A call outside goes to the fallback.
    pub schedule: Option<Schedule>,
    /// Over all destinations together; each call counts once, however many are tried.
    pub throttle: Throttle,
    pub stickiness: Stickiness,
    pub repeat_caller: Option<RepeatRule>,
    /// How its callers' numbers are written.
    pub caller_numbers: NumberPlan,
    /// Calls of one caller that follow each other within so many seconds are shown as one, 0 to 900.
    pub redial_gap_sec: u32,
}

/// Defaults of the settings that a flow need not name.
impl ForwardingFlow {
    pub const MAX_ATTEMPTS: u32 = 6;
    pub const MAX_CALL_SEC: u32 = 4 * 3600;
    pub const REDIAL_GAP_SEC: u32 = 60;
    pub const RING_BUDGET_SEC: u32 = 120;
    pub const RING_TIMEOUT_SEC: u32 = 30;

    /// One without DIDs and destinations, and with nothing set but what it must have.
    #[must_use]
    pub fn new(id: ForwardingFlowId, name: impl Into<String>, master: ServerId) -> Self {
        Self {
            id,
            name: name.into(),
            master,
            dids: Vec::new(),
            destinations: Vec::new(),
            state: ForwardingFlowState::default(),
            spread: Spread::default(),
            ringback: Ringback::default(),
            ring_timeout_sec: Self::RING_TIMEOUT_SEC,
            ring_budget_sec: Self::RING_BUDGET_SEC,
            max_attempts: Self::MAX_ATTEMPTS,
            max_call_sec: Self::MAX_CALL_SEC,
            fallback: Fallback::Dialplan,
            time_zone: None,
            schedule: None,
            throttle: Throttle::default(),
            stickiness: Stickiness::default(),
            repeat_caller: None,
            caller_numbers: NumberPlan::default(),
            redial_gap_sec: Self::REDIAL_GAP_SEC,
        }
    }
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

/// Whether it takes calls. A paused one sends them to its fallback, but for test calls, so that a flow
/// can be tried before it is opened.
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
pub enum ForwardingFlowState {
    #[default]
    Active,
    Paused,
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
