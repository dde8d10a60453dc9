//! Why things ended: ITU-T Q.850 causes, and divert's own outcomes.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantNames};

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

/// What became of a whole call, as people see it in the log.
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
pub enum CallResult {
    /// The caller hung up before anybody answered.
    Abandoned,
    Answered,
    Busy,
    Declined,
    /// No destination could be reached, or something broke.
    Failed,
    NoAnswer,
    /// Given back to the dialplan.
    PassedOn,
    /// Every destination was full, paused or disabled: nothing rang.
    RejectedFull,
}

impl CallResult {
    /// From what a caller hoped for to what went wrong: several calls shown as one came to the
    /// first of these that any of them came to.
    pub const BEST_FIRST: [Self; 8] = [
        Self::Answered,
        Self::PassedOn,
        Self::Abandoned,
        Self::NoAnswer,
        Self::Busy,
        Self::Declined,
        Self::RejectedFull,
        Self::Failed,
    ];

    /// Its place among [`CallResult::BEST_FIRST`].
    #[must_use]
    pub fn rank(self) -> usize {
        Self::BEST_FIRST.iter().position(|one| *one == self).unwrap_or(Self::BEST_FIRST.len())
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
    fn every_result_has_its_rank() {
        for word in CallResult::VARIANTS {
            let result: CallResult = word.parse().unwrap();
            assert_eq!(CallResult::BEST_FIRST[result.rank()], result);
        }
    }
}
