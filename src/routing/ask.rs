//! What routing is asked and answers, and what it is told of how an attempt goes. Data only, which can
//! be written to the journal of a call.

use serde::{Deserialize, Serialize};

use super::snapshot::Offer;
use super::sticky::Tie;
use crate::model::cause::Outcome;
use crate::model::id::{AccountId, DestinationId, ForwardingFlowId, LegId, TrunkId};
use crate::model::number::CallerKey;
use crate::model::stickiness::RepeatAction;
use crate::model::throttle::CapCount;
use crate::model::time::Timestamp;
use crate::model::timeline::{Candidate, Unroutable, Verdict};

/// The question of one attempt.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Ask {
    /// Who will hold the slots.
    pub leg: LegId,
    pub flow: ForwardingFlowId,
    pub at: Timestamp,
    pub caller: Option<CallerKey>,
    /// The flow's rule about repeated calls holds for this one.
    pub repeat: Option<RepeatAction>,
    /// The attempts of the call so far, in their order.
    pub tried: Vec<Attempt>,
    /// Only another trunk to the last destination is asked for: [`Left::NextTrunk`].
    pub is_last: bool,
    /// No destination is asked for any more, but the fallback number of the flow.
    pub is_fallback: bool,
    /// A test call is judged as any other and holds slots; it uses nothing up and changes nothing.
    pub is_test: bool,
}

/// A destination that was tried.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Attempt {
    pub destination: DestinationId,
    /// Over which trunk.
    pub trunk: TrunkId,
    /// How it ended; `None` before that, and where it is only thought of.
    pub outcome: Option<Outcome>,
}

/// What may follow on the attempts of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Left {
    Any,
    /// As many destinations were tried as may be; another trunk may still lead to the last one.
    NextTrunk,
    Nothing,
}

impl Left {
    /// After `tried`, where `most` destinations may be. One over several trunks is one attempt.
    #[must_use]
    pub fn after(tried: &[Attempt], most: u32) -> Self {
        let destinations = tried.chunk_by(|a, b| a.destination == b.destination).count();
        let last = tried.last().and_then(|last| last.outcome);
        if destinations < most as usize {
            Self::Any
        } else if last.is_some_and(Outcome::is_of_trunk) {
            Self::NextTrunk
        } else {
            Self::Nothing
        }
    }
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The slots of `offer` are held by the asking leg until they are released.
    Picked {
        offer: Offer,
        candidates: Vec<Candidate>,
        /// For test calls only.
        #[serde(skip_serializing_if = "Option::is_none")]
        would: Option<Box<Would>>,
    },
    /// The fallback number was asked for and cannot be dialled.
    Refused {
        name: String,
        verdict: Verdict,
    },
    Unroutable {
        reason: Unroutable,
        candidates: Vec<Candidate>,
    },
}

/// What a test call would have changed, had it been an ordinary one and been answered.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Would {
    pub turns_wheel: bool,
    /// Whose caps it would have been counted for: the name of a destination or flow, and what.
    pub caps: Vec<(String, CapCount)>,
    /// Until when the caller would have belonged to the destination, had it answered at once; `None`
    /// is not at all.
    pub binds_until: Option<Timestamp>,
    /// What it takes to tell that for any moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tie: Option<Tie>,
    /// It would have counted for the rule about callers who come again.
    pub visits: bool,
}

/// How an attempt goes, for what routing remembers: who belongs to whom, how much of a cap is used,
/// which trunk works.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Report {
    pub leg: LegId,
    pub flow: ForwardingFlowId,
    /// `None` for the fallback number: it tells how a trunk works, and nothing else.
    pub destination: Option<DestinationId>,
    pub trunk: Option<TrunkId>,
    pub caller: Option<CallerKey>,
    /// As for the fallback number.
    pub is_test: bool,
    pub news: News,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    Answered,
    /// An answered leg is over; `billed_sec` where it costs.
    Ended {
        talk_ms: i64,
        billed_sec: Option<i64>,
    },
    /// It ended without an answer.
    Failed(Outcome),
    /// The same, and nobody at the other end of the trunk said anything at all.
    NoReply,
    Ringing,
}

impl News {
    /// Of a leg that ended without an answer.
    #[must_use]
    pub fn unanswered(outcome: Outcome, sip_code: Option<u16>) -> Self {
        match sip_code {
            // Asterisk makes 408 of it when no response came at all (RFC 3261 §8.1.3.1).
            Some(408) => Self::NoReply,
            _ => Self::Failed(outcome),
        }
    }
}

/// A leg that lived before this state did.
#[derive(Clone, Copy, Debug)]
pub struct LiveLeg {
    pub leg: LegId,
    pub account: AccountId,
    /// `None` for the fallback number of a flow.
    pub destination: Option<DestinationId>,
    pub trunk: Option<TrunkId>,
    pub is_test: bool,
    /// It was answered.
    pub is_up: bool,
}
