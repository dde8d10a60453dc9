//! What routing remembers from one call to the next, and from one process to the next: kept by the
//! store as it changes, handed back at the start.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::{CallId, DestinationId, ForwardingFlowId, IdError};
use super::number::CallerKey;
use super::throttle::{CapCount, CapPeriod};
use super::time::Timestamp;

/// One thing that has changed; the newest of each key counts.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Remembered {
    /// To whom a caller of a flow belongs; `None` when no longer to anybody.
    Binding { flow: ForwardingFlowId, caller: CallerKey, binding: Option<Binding> },
    /// How much of a cap is used in the period that began at `since`.
    Volume { of: Throttled, per: CapPeriod, count: CapCount, since: Timestamp, used: u32 },
    /// How the wheel of one tier stands.
    Wheel { flow: ForwardingFlowId, priority: i32, standing: Vec<(DestinationId, i64)> },
}

/// A caller's own destination.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Binding {
    pub destination: DestinationId,
    pub set_at: Timestamp,
    /// The last call that went there.
    pub touched_at: Timestamp,
}

/// What a throttle is set on.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Throttled {
    Destination(DestinationId),
    ForwardingFlow(ForwardingFlowId),
}

impl fmt::Display for Throttled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Destination(id) => id.fmt(f),
            Self::ForwardingFlow(id) => id.fmt(f),
        }
    }
}

impl FromStr for Throttled {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let flow = || text.parse().map(Self::ForwardingFlow);
        text.parse().map(Self::Destination).or_else(|_| flow())
    }
}

/// An earlier call of a caller on a flow, as far as rules about repeated calls ask.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Visit {
    pub call: CallId,
    pub at: Timestamp,
    /// Where it was sent last, if anywhere: to who answered it, where somebody did.
    pub sent_to: Option<DestinationId>,
    pub is_answered: bool,
}

impl Visit {
    /// A call that has just come.
    #[must_use]
    pub const fn begun(call: CallId, at: Timestamp) -> Self {
        Self { call, at, sent_to: None, is_answered: false }
    }
}
