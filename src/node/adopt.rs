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
        if let Some(event) = event {
            differences.missed.push(Input::Channel { channel: channel.clone(), event });
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
