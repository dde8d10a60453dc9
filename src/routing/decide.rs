//! One question, one answer: which destination takes this call now?
//!
//! [`decide`] looks at the flow's destinations tier by tier, judges each one, lets the wheel pick
//! among the eligible and takes the slots of the one picked, all in one step: a limit is never
//! exceeded, not for an instant. Everything it changes is in [`State`].

use serde::{Deserialize, Serialize};

use crate::model::id::{DestinationId, ForwardingFlowId, LegId};
use crate::model::timeline::{Candidate, Unroutable};

/// The question of one attempt.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Ask {
    /// Who will hold the slots.
    pub leg: LegId,
    pub flow: ForwardingFlowId,
    pub tried: Vec<DestinationId>,
    /// A test call holds slots but moves no wheel.
    pub is_test: bool,
}

/// What to dial, ready for the engine.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Offer {
    /// `None` for the fallback number of a flow.
    pub destination: Option<DestinationId>,
    pub name: String,
    /// `PJSIP/1001@trunk`.
    pub endpoint: String,
    pub ring_timeout_ms: i64,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The slots of `offer` are held by the asking leg until they are released.
    Picked {
        offer: Offer,
        candidates: Vec<Candidate>,
    },
    Unroutable {
        reason: Unroutable,
        candidates: Vec<Candidate>,
    },
}
