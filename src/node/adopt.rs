//! What the engine believes against what Asterisk has: after a reconnect and after a restart.
//!
//! Events of the gap are lost, so the difference is turned into the events that would have told it.
//! Pure: [`compare`] answers, the loop acts.

use std::collections::BTreeSet;

use crate::ari::resync::{ChannelSnapshot, Snapshot};
use crate::ari::role::Role;
use crate::engine::{ChannelEvent, ChannelState, Engine, Input, Presence};
use crate::model::id::{BridgeId, ChannelId, LegId};

/// What has to happen so that both agree.
#[derive(Debug, Default, PartialEq)]
pub struct Differences {
    /// Events that were missed.
    pub missed: Vec<Input>,
    /// Callers who wait in our application and whom no call knows.
    pub strangers: Vec<(ChannelId, ChannelSnapshot)>,
    /// Channels of ours that belong to no call.
    pub orphans: Vec<ChannelId>,
    /// Bridges of ours that belong to no call.
    pub empty_bridges: Vec<BridgeId>,
}

#[must_use]
pub fn compare(engine: &Engine, asterisk: &Snapshot) -> Differences {
    let mut differences = Differences::default();
    let mut known = BTreeSet::new();
    let mut answered = BTreeSet::new();
    for (channel, view) in engine.channels() {
        let event = match asterisk.channels.get(&channel) {
            Some(found) => missed(found.state, view.presence, view.leg),
            // A channel we only asked for may still be on its way.
            None if view.presence == Presence::Asked => None,
            None => Some(ChannelEvent::Gone {
                cause: None,
                sip_code: None,
                state: match view.presence {
                    Presence::Up => ChannelState::Up,
                    Presence::Ringing => ChannelState::Ringing,
                    Presence::Asked | Presence::There => ChannelState::Down,
                },
            }),
        };
        let mut miss = |event| {
            differences.missed.push(Input::Channel { channel: channel.clone(), event });
        };
        // Nobody but divert answers a caller, and only for a leg that is up: where the journal
        // ends before that, the leg that is gone now was in a conversation.
        match &event {
            Some(ChannelEvent::Up) if view.leg == LegId::CALLER => {
                answered.insert(view.call);
            }
            Some(ChannelEvent::Gone { .. })
                if view.presence < Presence::Up && answered.contains(&view.call) =>
            {
                miss(ChannelEvent::Up);
            }
            _ => {}
        }
        if let Some(event) = event {
            miss(event);
        }
        known.insert(channel);
    }
    for (channel, found) in &asterisk.channels {
        if known.contains(channel) {
            continue;
        }
        match &found.role {
            Role::Caller { .. } => differences.strangers.push((channel.clone(), found.clone())),
            Role::Leg(_) => differences.orphans.push(channel.clone()),
            Role::TestCaller(call) if engine.call(*call).is_none() => {
                differences.orphans.push(channel.clone());
            }
            Role::TestCaller(_) | Role::Other(_) => {}
        }
    }
    let in_use: BTreeSet<&BridgeId> = engine.calls().map(|call| &call.bridge).collect();
    let is_unused = |bridge: &&BridgeId| !in_use.contains(bridge);
    differences.empty_bridges = asterisk.bridges.keys().filter(is_unused).cloned().collect();
    differences
}

/// What we were not told of a channel that lives.
fn missed(found: ChannelState, known: Presence, leg: u16) -> Option<ChannelEvent> {
    match found {
        ChannelState::Up if known < Presence::Up => Some(ChannelEvent::Up),
        ChannelState::Ringing if known == Presence::There && leg != LegId::CALLER => {
            Some(ChannelEvent::Ringing)
        }
        _ if known == Presence::Asked => Some(ChannelEvent::Ready),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Arrival, CallEvent, FallbackRoute, Route};
    use crate::model::account::DEFAULT_ACCOUNT;
    use crate::model::cause::EndedBy;
    use crate::model::forwarding_flow::Ringback;
    use crate::model::id::{CallId, DestinationId, ForwardingFlowId};
    use crate::model::number::Caller;
    use crate::model::time::Timestamp;
    use crate::routing::decide::{Decision, Offer};

    const CALL: CallId = CallId::new(1);

    fn caller() -> ChannelId {
        ChannelId("caller".to_owned())
    }

    /// One call whose first leg rings.
    fn ringing() -> Engine {
        let mut engine = Engine::default();
        let route = Route {
            flow: ForwardingFlowId::new(1),
            name: "flow".to_owned(),
            ringback: Ringback::Ring,
            ring_budget_ms: 60_000,
            max_attempts: 3,
            max_call_ms: 60_000,
            fallback: FallbackRoute::Dialplan,
        };
        let arrival = Arrival {
            call: CALL,
            account: DEFAULT_ACCOUNT,
            channel: caller(),
            did: "1".parse().unwrap(),
            caller: Caller::default(),
            is_test: false,
            is_up: false,
            bridge: BridgeId("bridge".to_owned()),
            route: Some(route),
        };
        let offer = Offer {
            destination: Some(DestinationId::new(1)),
            name: "first".to_owned(),
            endpoint: "PJSIP/1@a".to_owned(),
            ring_timeout_ms: 20_000,
        };
        let decision = Decision::Picked { offer, candidates: Vec::new() };
        let leg = LegId { call: CALL, no: 1 }.channel();
        for input in [
            Input::Arrived(Box::new(arrival)),
            Input::Call { call: CALL, event: CallEvent::Decided { leg: 1, decision } },
            Input::Channel { channel: leg.clone(), event: ChannelEvent::Ready },
            Input::Channel { channel: leg, event: ChannelEvent::Ringing },
        ] {
            engine.handle(Timestamp(0), input);
        }
        engine
    }

    /// Asterisk with nothing but the caller.
    fn asterisk(state: ChannelState) -> Snapshot {
        let role = Role::Caller { did: "1".parse().unwrap() };
        let found = ChannelSnapshot { state, role, caller: Caller::default() };
        Snapshot {
            startup_time: String::new(),
            channels: [(caller(), found)].into(),
            bridges: [].into(),
        }
    }

    #[test]
    fn a_leg_that_went_after_an_answer_nobody_wrote_down_was_in_a_conversation() {
        let mut engine = ringing();
        let differences = compare(&engine, &asterisk(ChannelState::Up));
        for input in differences.missed {
            engine.handle(Timestamp(5_000), input);
        }
        assert_eq!(engine.call(CALL).unwrap().ended_by, Some(EndedBy::Destination));
    }

    #[test]
    fn a_leg_that_went_while_it_rang_was_not() {
        let mut engine = ringing();
        for input in compare(&engine, &asterisk(ChannelState::Down)).missed {
            engine.handle(Timestamp(5_000), input);
        }
        assert_eq!(engine.call(CALL).unwrap().ended_by, None, "the next one is asked for");
    }
}
