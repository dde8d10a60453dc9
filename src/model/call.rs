//! What is kept of a call: one row for it and one for each leg. Written by the engine, shown by
//! everything else.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantNames};

use super::cause::{CallResult, EndedBy, HangupCause, Outcome};
use super::id::{AccountId, BridgeId, CallId, ChannelId, DestinationId, ForwardingFlowId, TrunkId};
use super::number::{Caller, CallerKey, Did};
use super::time::Timestamp;

/// One inbound call. `ended_at` is `None` while it lives.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CallRecord {
    pub id: CallId,
    pub account: AccountId,
    pub did: Did,
    pub caller: Caller,
    /// By which the caller is known again; `None` when withheld, or when nobody owned the DID.
    pub caller_key: Option<CallerKey>,
    /// The first call of the redials that are shown as one: itself, or an earlier one.
    pub session: CallId,
    /// The flow's repeat-caller rule held for it.
    pub is_repeat: bool,
    /// The flow that owned the DID, with its name at that time; `None` when nobody owned it.
    pub flow: Option<(ForwardingFlowId, String)>,
    pub is_test: bool,
    pub status: CallStatus,
    pub started_at: Timestamp,
    pub answered_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// Conversation, from bridge to first hang-up, in milliseconds.
    pub talk_ms: i64,
    pub result: Option<CallResult>,
    pub ended_by: Option<EndedBy>,
    pub cause: Option<HangupCause>,
    /// The caller's channel and the bridge: enough to find the call again in Asterisk.
    pub channel: ChannelId,
    pub bridge: BridgeId,
}

#[derive(
    Clone, Copy, Debug, Deserialize, Display, EnumString, Eq, PartialEq, Serialize, VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum CallStatus {
    /// Over.
    Ended,
    /// A destination rings.
    Ringing,
    /// Waiting for a destination.
    Routing,
    Talking,
}

/// One leg that divert dialled: one attempt.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LegRecord {
    pub call: CallId,
    /// From 1, in the order of dialling.
    pub no: u16,
    /// `None` for the fallback number of a flow.
    pub destination: Option<DestinationId>,
    /// The trunk it went over.
    pub trunk: Option<TrunkId>,
    /// The destination's name at that time.
    pub name: String,
    /// What was dialled: `PJSIP/1001@trunk`.
    pub endpoint: String,
    pub started_at: Timestamp,
    pub ringing_at: Option<Timestamp>,
    pub answered_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub outcome: Option<Outcome>,
    pub cause: Option<HangupCause>,
    /// The SIP response behind the cause, where Asterisk tells it (22.7 and later).
    pub sip_code: Option<u16>,
}
