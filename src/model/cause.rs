//! Why things ended: ITU-T Q.850 causes, and divert's own outcomes.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantArray, VariantNames};

/// A cause of ITU-T Q.850, 1 to 127.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct HangupCause(pub u16);

impl HangupCause {
    pub const UNALLOCATED: Self = Self(1);
    pub const NORMAL: Self = Self(16);
    pub const USER_BUSY: Self = Self(17);
    pub const NO_USER_RESPONSE: Self = Self(18);
    pub const NO_ANSWER: Self = Self(19);
    pub const CALL_REJECTED: Self = Self(21);
    pub const NUMBER_CHANGED: Self = Self(22);
    pub const REDIRECTED: Self = Self(23);
    pub const EXCHANGE_ROUTING_ERROR: Self = Self(25);
    pub const ANSWERED_ELSEWHERE: Self = Self(26);
    pub const OUT_OF_ORDER: Self = Self(27);
    pub const INVALID_NUMBER_FORMAT: Self = Self(28);
    pub const CONGESTION: Self = Self(34);
    pub const FAILURE: Self = Self(38);
    pub const BEARER_NOT_AVAILABLE: Self = Self(58);
    pub const RECOVERY_ON_TIMER: Self = Self(102);
    pub const INTERWORKING: Self = Self(127);
}

impl fmt::Display for HangupCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What became of one leg that divert dialled.
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
pub enum Outcome {
    /// The caller gave up while it rang.
    Abandoned,
    /// It answered and there was a conversation.
    Answered,
    /// The far end knows no such number.
    BadNumber,
    Busy,
    /// divert took it back: the ring budget was spent, or the call was ended from our side.
    Cancelled,
    /// No codec in common, or none allowed.
    CodecMismatch,
    Declined,
    /// Another leg was quicker.
    LostRace,
    NoAnswer,
    /// The far end sent the call elsewhere (3xx), which divert does not follow.
    Redirected,
    /// The trunk or the far server failed: the number itself may be fine.
    TrunkFailed,
    /// The trunk refused us: a fault of configuration or credentials.
    TrunkRejected,
    /// Nobody is there: no registration, no route, no reply.
    Unreachable,
}

impl Outcome {
    /// Whether it came from who was called, and not from the way there: the same number will not
    /// answer over another trunk either.
    #[must_use]
    pub const fn is_of_callee(self) -> bool {
        matches!(self, Self::Busy | Self::Declined | Self::NoAnswer | Self::Redirected)
    }

    /// Whether another trunk may reach the same number: this one failed, refused, or led nowhere.
    #[must_use]
    pub const fn is_of_trunk(self) -> bool {
        matches!(self, Self::TrunkFailed | Self::TrunkRejected | Self::Unreachable)
    }
}

/// What became of a whole call, as people see it in the log.
///
/// In order of how near a call came to a conversation. Where several reasons meet, the first of them
/// is told: of several calls shown as one, and of destinations that each refused a call for a reason
/// of its own.
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
    VariantArray,
    VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum CallResult {
    Answered,
    /// It went back to the dialplan: no flow owns its DID, or nobody took it who was tried.
    Unrouted,
    /// The caller hung up before anybody answered.
    Abandoned,
    NoAnswer,
    Busy,
    Declined,
    /// No destination could be reached, or something broke.
    Failed,
    /// Nothing rang, as for all that follow: it would have cost, and the balance is used up.
    NoCredit,
    /// As many live calls as there may be.
    Full,
    /// Calls came faster than a rate or spacing allows.
    RateLimited,
    /// As many calls or minutes as a period may have.
    Capped,
    /// Outside the hours.
    Closed,
    /// Paused, drained or disabled by somebody.
    Paused,
    /// The flow's rule about callers who call again refused this one.
    RefusedCaller,
}

impl CallResult {
    /// Those that come before this one, in their order.
    #[must_use]
    pub fn better(self) -> &'static [Self] {
        &<Self as VariantArray>::VARIANTS[..self as usize]
    }
}

/// Who ended a call.
#[derive(
    Clone, Copy, Debug, Deserialize, Display, EnumString, Eq, PartialEq, Serialize, VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum EndedBy {
    Caller,
    Destination,
    /// divert itself: a limit was reached, or there was nowhere left to go.
    Divert,
    /// The call did not survive a restart of Asterisk.
    Restart,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_knows_all_that_are_better_and_no_other() {
        assert!(CallResult::Answered.better().is_empty());
        assert_eq!(CallResult::Abandoned.better(), [CallResult::Answered, CallResult::Unrouted]);
        let all = <CallResult as VariantArray>::VARIANTS;
        for result in all {
            assert!(result.better().iter().all(|better| better < result), "{result}");
        }
        assert_eq!(all.iter().max().unwrap().better().len() + 1, all.len());
    }
}
