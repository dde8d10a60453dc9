//! What goes into the engine and what comes out. Everything here can be written to the journal.

use serde::{Deserialize, Serialize};

use super::Timer;
use crate::model::billing::Cdr;
use crate::model::call::{CallRecord, LegRecord};
use crate::model::cause::HangupCause;
use crate::model::id::{
    AccountId, BridgeId, CallId, ChannelId, DestinationId, ForwardingFlowId, LegId, TrunkId,
};
use crate::model::number::{Caller, CallerKey, Did};
use crate::model::objects::forwarding_flow::{Fallback, Ringback};
use crate::model::stickiness::RepeatRule;
use crate::model::time::Timestamp;
use crate::model::timeline::TimelineEntry;
use crate::routing::decide::{Ask, Decision, Report};
use crate::routing::snapshot::{FlowPlan, Offer};

/// Something that happened, and to which call or channel.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A call entered our Stasis application.
    Arrived(Box<Arrival>),
    Call {
        call: CallId,
        event: CallEvent,
    },
    Channel {
        channel: ChannelId,
        event: ChannelEvent,
    },
}

/// Something that happened to a call as a whole.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallEvent {
    /// divert was restarted and this call was rebuilt from its journal.
    /// Commands that may have been lost with the old process are given again; all of them are safe
    /// to repeat.
    Adopted,
    /// Asterisk was restarted: every channel of the call is gone. They were there at `seen_at`.
    AsteriskRestarted { seen_at: Timestamp },
    /// The clock that tells the time of inputs was set by so much: whatever is under way goes on as
    /// if it had always been so.
    ClockSet { by_ms: i64 },
    /// The answer to [`Command::Decide`] for the leg with this number.
    Decided { leg: u16, decision: Decision },
    /// Somebody asked divert to end the call.
    EndRequested,
    /// A timer of the call is due.
    Expired(Timer),
    /// An earlier process dialled this leg and did not live to write it down. What became of it
    /// follows.
    LegFound { leg: u16, offer: Offer },
}

/// Something that happened to one channel.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelEvent {
    /// Like `Up`, of a leg that was answered earlier, while nobody listened and its caller waited.
    Answered {
        at: Timestamp,
    },
    /// Asterisk refused the command for good, or could not be asked.
    CommandFailed {
        command: FailedCommand,
        detail: String,
    },
    /// The channel no longer exists. `sip_code` is the SIP response behind the cause, where known.
    Gone {
        cause: Option<HangupCause>,
        sip_code: Option<u16>,
        state: ChannelState,
    },
    /// The channel no longer exists, and nobody heard it go: divert was dead, or the connection cut.
    /// It was there at `seen_at`, as far as we know, in this state.
    Missing {
        seen_at: Timestamp,
        state: ChannelState,
    },
    /// A leg of ours stands in our application and can be dialled.
    Ready,
    Ringing,
    Up,
}

/// Which command failed, where the engine must act on it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailedCommand {
    Answer,
    Connect,
    Create,
    Dial,
    PassOn,
}

/// The state of a channel as ARI names it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelState {
    #[default]
    Down,
    Ringing,
    Up,
}

/// A call as it enters, with all that was decided for it once and for all.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of one call, not a state")]
pub struct Arrival {
    pub call: CallId,
    pub account: AccountId,
    pub channel: ChannelId,
    pub did: Did,
    /// What the DID was probably meant to be, where nobody owns it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alike: Option<Did>,
    pub caller: Caller,
    /// By which the caller is known again on this flow.
    pub caller_key: Option<CallerKey>,
    /// The first of the redials that this call belongs to: itself, or an earlier one.
    pub session: CallId,
    /// The flow's rule about callers who call again and again, if it holds for this call.
    pub repeat: Option<RepeatRule>,
    /// The flow has such a rule, and the call counts for it; a test call would.
    pub counts_as_visit: bool,
    /// Set only for calls that divert itself originated as a test.
    pub is_test: bool,
    /// The dialplan had answered the call before it came to us.
    pub is_up: bool,
    /// An earlier process took the call and did not live to write it down: nothing is begun for it.
    /// What became of it follows.
    pub is_found: bool,
    /// The bridge this call will talk in, from the driver's pool.
    pub bridge: BridgeId,
    /// `None`: nobody owns the DID, and the call goes back to the dialplan.
    pub route: Option<Route>,
}

/// The part of a forwarding flow that a call keeps for its whole life.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Route {
    pub flow: ForwardingFlowId,
    pub name: String,
    pub ringback: Ringback,
    pub ring_budget_ms: i64,
    pub max_attempts: u32,
    pub max_call_ms: i64,
    pub fallback: FallbackRoute,
}

impl Route {
    /// The longest a test call may last, talking and ringing each, and at the fallback number once more.
    pub const TEST_MS: i64 = 60_000;
    /// The longest a test call may ring: its destinations, and then the fallback number.
    pub const TEST_RING_MS: i64 = 2 * Self::TEST_MS;

    /// What a call on this flow keeps.
    #[must_use]
    pub fn of(plan: &FlowPlan) -> Self {
        let flow = &plan.flow;
        let fallback = match &flow.fallback {
            Fallback::Dialplan => FallbackRoute::Dialplan,
            Fallback::HangUp(cause) => FallbackRoute::HangUp(*cause),
            Fallback::Number { .. } => FallbackRoute::Number,
        };
        Self {
            flow: flow.id,
            name: flow.name.clone(),
            ringback: flow.ringback,
            ring_budget_ms: i64::from(flow.ring_budget_sec) * 1_000,
            max_attempts: flow.max_attempts,
            max_call_ms: i64::from(flow.max_call_sec) * 1_000,
            fallback,
        }
    }

    /// The same, within the limits of a test call.
    #[must_use]
    pub fn for_test(mut self) -> Self {
        self.ring_budget_ms = self.ring_budget_ms.min(Self::TEST_MS);
        self.max_call_ms = self.max_call_ms.min(Self::TEST_MS);
        self
    }
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FallbackRoute {
    Dialplan,
    /// With this cause, or with that of the last failure.
    HangUp(Option<HangupCause>),
    /// One last number, if there is room for it when it comes to that.
    Number,
}

/// What the driver has to do. The order of variants is alphabetical; the order of commands of one
/// call is the order they come in.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// ARI `POST /channels/{id}/answer`.
    Answer {
        channel: ChannelId,
    },
    /// The billed record of a leg that has ended. Never of a test call, never twice for one leg.
    Bill(Box<Cdr>),
    /// The call is over and nothing of it is left: the bridge may serve another call.
    Close {
        bridge: BridgeId,
    },
    /// The channels into the bridge, which is made if it does not exist.
    Connect {
        bridge: BridgeId,
        channels: Vec<ChannelId>,
    },
    /// ARI `POST /channels/create` with the leg's own channel id; codecs are taken from
    /// `originator`. A leg outlives the dead-man time `limit_ms` under no circumstances, and tells
    /// who is called when the call is a test. Destination and trunk stand in the mark that Asterisk
    /// leaves of its end.
    Create {
        leg: LegId,
        destination: Option<DestinationId>,
        trunk: Option<TrunkId>,
        endpoint: String,
        originator: ChannelId,
        limit_ms: i64,
        is_test: bool,
    },
    /// Choose a destination, or ask for the fallback number, and take its slots, all or none.
    Decide(Ask),
    /// ARI `POST /channels/{id}/dial`; number and name of `caller` are shown to the callee.
    Dial {
        leg: LegId,
        caller: ChannelId,
        timeout_ms: i64,
    },
    /// Ends the dialplan's dead-man timer and sets ours: the channel is hung up by Asterisk itself
    /// after `limit_ms`, whatever becomes of divert.
    Guard {
        channel: ChannelId,
        limit_ms: i64,
    },
    HangUp {
        channel: ChannelId,
        cause: HangupCause,
    },
    /// One step for the timeline.
    Note(TimelineEntry),
    /// Back to the dialplan behind `Stasis()`.
    PassOn {
        channel: ChannelId,
    },
    /// Give back the slots of a leg. Comes exactly once for each [`Decision::Picked`].
    Release {
        leg: LegId,
    },
    /// How an attempt goes: for what routing remembers and counts.
    Report(Report),
    /// ARI `POST /channels/{id}/ring`.
    Ring {
        channel: ChannelId,
    },
    Save(Box<CallRecord>),
    SaveLeg(Box<LegRecord>),
}

impl Command {
    /// It does something outside; rows and timeline only tell of it.
    #[must_use]
    pub fn is_effect(&self) -> bool {
        !matches!(
            self,
            Self::Bill(_) | Self::Note(_) | Self::Report(_) | Self::Save(_) | Self::SaveLeg(_)
        )
    }
}
