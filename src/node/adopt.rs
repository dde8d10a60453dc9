//! What the engine believes against what Asterisk has: after a reconnect and after a restart.
//!
//! Events of the gap are lost, so the difference is turned into the events that would have told it.
//! Pure: [`compare`] answers, the loop acts.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::ari::resync::{ChannelSnapshot, Ended, Snapshot};
use crate::ari::role::Role;
use crate::engine::{ChannelEvent, ChannelState, Engine, Input, Presence};
use crate::model::id::{BridgeId, ChannelId, LegId};
use crate::model::time::Timestamp;

/// What has to happen so that both agree.
#[derive(Debug, Default, PartialEq)]
pub struct Differences {
    /// Events that were missed, in the order they happened in as far as that is known.
    pub missed: Vec<Missed>,
    /// Who waits in our application and no call knows: callers, and channels that do not say what for.
    pub strangers: Vec<(ChannelId, ChannelSnapshot)>,
    /// Channels of ours that belong to no call.
    pub orphans: Vec<ChannelId>,
    /// Bridges of ours that belong to no call.
    pub empty_bridges: Vec<BridgeId>,
}

/// An event that nobody heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Missed {
    /// When it happened, where Asterisk has left word of it.
    pub at: Option<Timestamp>,
    /// A conversation began, which only a divert that lives and listens can have brought about.
    pub is_ours: bool,
    pub input: Input,
}

impl Missed {
    /// An end at an unknown time happened after `heard_at`, after which nothing is known; and a
    /// conversation that divert began, at that time at the latest.
    #[must_use]
    pub fn unheard_since(self, heard_at: Option<Timestamp>) -> Self {
        match (heard_at, self) {
            (
                Some(seen_at),
                Self {
                    at: None,
                    is_ours,
                    input: Input::Channel { channel, event: ChannelEvent::Gone { state, .. } },
                },
            ) => {
                let event = ChannelEvent::Missing { seen_at, state };
                Self { at: None, is_ours, input: Input::Channel { channel, event } }
            }
            (Some(_), Self { at: None, is_ours: true, input }) => {
                Self { at: heard_at, is_ours: true, input }
            }
            (_, other) => other,
        }
    }
}

impl Differences {
    /// Those that an earlier comparison saw as well: while all is well a single one only means that
    /// an event is on its way.
    #[must_use]
    pub fn confirmed_by(&self, earlier: &Self) -> Self {
        fn both<T: Clone + PartialEq>(now: &[T], earlier: &[T]) -> Vec<T> {
            now.iter().filter(|one| earlier.contains(one)).cloned().collect()
        }
        Self {
            missed: both(&self.missed, &earlier.missed),
            strangers: both(&self.strangers, &earlier.strangers),
            orphans: both(&self.orphans, &earlier.orphans),
            empty_bridges: both(&self.empty_bridges, &earlier.empty_bridges),
        }
    }
}

#[must_use]
pub fn compare(engine: &Engine, asterisk: &Snapshot) -> Differences {
    let mut differences = Differences::default();
    let mut known = BTreeSet::new();
    let (mut answered, mut left) = (BTreeSet::new(), BTreeSet::new());
    let (mut began_at, mut ended_at) = (BTreeMap::new(), BTreeMap::new());
    for (channel, view) in engine.channels() {
        let mark = asterisk.ends.get(&channel);
        let found = asterisk.channels.get(&channel);
        let event = match found {
            Some(found) => missed(found.state, view.presence, view.leg),
            // A channel we only asked for may still be on its way.
            None if view.presence == Presence::Asked && mark.is_none() => None,
            None => Some(gone(mark, view.presence)),
        };
        if let Some(Ended { end, .. }) = mark {
            let first = ended_at.entry(view.call).or_insert(end.at);
            *first = end.at.min(*first);
        }
        let mut miss = |at, is_ours, event| {
            let input = Input::Channel { channel: channel.clone(), event };
            differences.missed.push(Missed { at, is_ours, input });
        };
        // Nobody but divert answers a caller, and only for a leg that is up: where the journal
        // ends before that, the leg that is gone now was in a conversation.
        let is_up = match &event {
            Some(ChannelEvent::Gone { state, .. }) => *state == ChannelState::Up,
            Some(event) => *event == ChannelEvent::Up,
            None => view.presence == Presence::Up,
        };
        if view.leg == LegId::CALLER {
            if is_up {
                answered.insert(view.call);
            }
            if matches!(event, Some(ChannelEvent::Gone { .. })) {
                left.insert(view.call);
            }
        } else if matches!(event, Some(ChannelEvent::Gone { .. })) && view.presence < Presence::Up {
            let was_up = match mark {
                // A caller who still waits was never connected: that leg was not for anybody.
                Some(_) => is_up && (answered.contains(&view.call) || left.contains(&view.call)),
                None => answered.contains(&view.call),
            };
            if was_up {
                let at = mark.map(|mark| mark.answered_at.unwrap_or(mark.end.at));
                miss(at, false, ChannelEvent::Up);
            }
        }
        let answered_at = found.and_then(|found| found.answered_at);
        match (event, answered_at) {
            (Some(ChannelEvent::Up), _) if answered.contains(&view.call) => {
                // At the latest when the first of them hung up.
                let at = answered_at.or_else(|| ended_at.get(&view.call).copied());
                if let Some(at) = at.filter(|_| view.leg != LegId::CALLER) {
                    began_at.insert(view.call, at);
                }
                miss(at, true, ChannelEvent::Up);
            }
            // Its caller waits, or has given up: it costs, but nobody talks.
            (Some(ChannelEvent::Up), Some(at)) => miss(None, false, ChannelEvent::Answered { at }),
            (Some(event), _) => miss(mark.map(|mark| mark.end.at), false, event),
            (None, _) => {}
        }
        known.insert(channel);
    }
    // Nobody answers a caller before there is somebody to talk with.
    for missed in &mut differences.missed {
        if let Input::Channel { channel, event: ChannelEvent::Up } = &missed.input
            && missed.at.is_none()
        {
            missed.at = engine.call_of(channel).and_then(|call| began_at.get(&call).copied());
        }
    }
    // What one of a call left word of holds for the others, which went with it.
    for missed in &mut differences.missed {
        if let Input::Channel { channel, event: ChannelEvent::Gone { .. } } = &missed.input
            && missed.at.is_none()
        {
            missed.at = engine.call_of(channel).and_then(|call| ended_at.get(&call).copied());
        }
    }
    // Those of an unknown time come last: what they say holds now.
    let is_end = |missed: &Missed| {
        matches!(missed.input, Input::Channel { event: ChannelEvent::Gone { .. }, .. })
    };
    differences.missed.sort_by_key(|missed| (missed.at.is_none(), missed.at, is_end(missed)));
    for (channel, found) in &asterisk.channels {
        if known.contains(channel) {
            continue;
        }
        match &found.role {
            Role::Caller { .. } => differences.strangers.push((channel.clone(), found.clone())),
            Role::Other(_) if LegId::of_channel(channel).is_none() => {
                differences.strangers.push((channel.clone(), found.clone()));
            }
            // Left behind by a process that died over it.
            Role::Leg(_) | Role::Probe => differences.orphans.push(channel.clone()),
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

/// How a channel went that is not there any more: as its mark says, or as far as it was known.
fn gone(mark: Option<&Ended>, presence: Presence) -> ChannelEvent {
    match mark {
        Some(Ended { end, .. }) => {
            ChannelEvent::Gone { cause: end.cause, sip_code: end.sip_code, state: end.state }
        }
        None => ChannelEvent::Gone {
            cause: None,
            sip_code: None,
            state: match presence {
                Presence::Up => ChannelState::Up,
                Presence::Ringing => ChannelState::Ringing,
                Presence::Asked | Presence::There => ChannelState::Down,
            },
        },
    }
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
