//! The call engine: inputs in, commands out, nothing else.
//!
//! No socket, clock, database or random source lives here. Time arrives with every input, ids come
//! with the call or from a counter, and a call keeps the route it started with, so one journal always
//! yields the same commands: that is what `divert replay` checks.
//!
//! The driver owes the engine three things: it feeds one [`Input`], drains
//! [`Engine::poll_command`] to `None`, then waits for the next input or for
//! [`Engine::next_timeout`], whichever comes first; it answers each [`Command::Decide`] with exactly
//! one [`CallEvent::Decided`]; and it carries out the commands of one call in order.

mod call;
mod hunt;
pub mod journal;
mod leg;
pub mod outcome;
mod receipt;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(test)]
mod tests;
mod timer;
mod types;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub use timer::Timer;
pub use types::{
    Arrival, CallEvent, ChannelEvent, ChannelState, Command, FailedCommand, FallbackRoute, Input,
    Route,
};

use crate::model::call::CallRecord;
use crate::model::id::{CallId, ChannelId, LegId};
use crate::model::time::Timestamp;
use crate::routing::decide::LiveLeg;
use call::Call;
use leg::LegStage;

/// All calls on one node.
#[derive(Debug, Default)]
pub struct Engine {
    calls: BTreeMap<CallId, Call>,
    callers: BTreeMap<ChannelId, CallId>,
    commands: VecDeque<(CallId, Command)>,
    /// The next timer of each call that has one, earliest first.
    due: BTreeSet<(Timestamp, CallId)>,
    scratch: Vec<Command>,
}

/// A channel as the engine believes it to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ChannelView {
    pub call: CallId,
    pub leg: u16,
    pub presence: Presence,
}

/// How far a channel has come, as far as we were told.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Presence {
    /// We asked for it; its absence means nothing yet.
    Asked,
    There,
    Ringing,
    Up,
}

impl Engine {
    /// Feed one input. Infallible: an event for a channel we no longer know is a late echo, and the
    /// answer is `None`; otherwise it is the call that took it.
    pub fn handle(&mut self, now: Timestamp, input: Input) -> Option<CallId> {
        match input {
            Input::Arrived(arrival) => Some(self.arrive(now, *arrival)),
            Input::Call { call, event } => self.with(call, |call, out| {
                call.on_call(now, event, out);
            }),
            Input::Channel { channel, event } => {
                if let Some(leg) = LegId::of_channel(&channel) {
                    self.with(leg.call, |call, out| call.on_leg(now, leg.no, &event, out))
                } else {
                    let call = *self.callers.get(&channel)?;
                    self.with(call, |call, out| call.on_caller(now, &event, out))
                }
            }
        }
    }

    /// The next command with the call it belongs to.
    #[must_use]
    pub fn poll_command(&mut self) -> Option<(CallId, Command)> {
        self.commands.pop_front()
    }

    #[must_use]
    pub fn next_timeout(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// One timer that is due, as the input that fires it: feed it and ask again.
    #[must_use]
    pub fn expired(&self, now: Timestamp) -> Option<Input> {
        let &(at, id) = self.due.first()?;
        let (_, timer) = self.calls.get(&id)?.timers.next()?;
        (at <= now).then_some(Input::Call { call: id, event: CallEvent::Expired(timer) })
    }

    /// The calls that are not closed yet.
    pub fn calls(&self) -> impl Iterator<Item = &CallRecord> {
        self.calls.values().map(|call| &call.record)
    }

    #[must_use]
    pub fn call(&self, id: CallId) -> Option<&CallRecord> {
        self.calls.get(&id).map(|call| &call.record)
    }

    /// Longer than this no channel of the call lives, whatever becomes of divert.
    #[must_use]
    pub fn longest_ms(&self, id: CallId) -> Option<i64> {
        self.calls.get(&id).map(Call::longest_ms)
    }

    /// Whether a call of this caller's channel is under way.
    #[must_use]
    pub fn knows_caller(&self, channel: &ChannelId) -> bool {
        self.callers.contains_key(channel)
    }

    /// Whether a call is under way for which this leg may have been dialled, although nothing is
    /// known of it here.
    #[must_use]
    pub fn may_have_lost(&self, leg: LegId) -> bool {
        self.calls.get(&leg.call).is_some_and(|call| call.may_have_lost(leg.no))
    }

    /// The call that a channel belongs to.
    #[must_use]
    pub fn call_of(&self, channel: &ChannelId) -> Option<CallId> {
        match LegId::of_channel(channel) {
            Some(leg) => self.calls.contains_key(&leg.call).then_some(leg.call),
            None => self.callers.get(channel).copied(),
        }
    }

    /// Every channel the engine believes in, to be compared with Asterisk's own list.
    pub fn channels(&self) -> impl Iterator<Item = (ChannelId, ChannelView)> {
        self.calls.values().flat_map(|call| {
            let view = |leg, presence| ChannelView { call: call.id(), leg, presence };
            let caller = (!call.caller.is_gone).then(|| {
                let presence = if call.caller.is_up { Presence::Up } else { Presence::There };
                (call.record.channel.clone(), view(LegId::CALLER, presence))
            });
            let legs = call.legs.values().map(move |leg| {
                let presence = match leg.stage {
                    LegStage::Creating => Presence::Asked,
                    LegStage::Dialled => Presence::There,
                    LegStage::Ringing => Presence::Ringing,
                    LegStage::Up => Presence::Up,
                };
                (leg.channel(), view(leg.record.no, presence))
            });
            caller.into_iter().chain(legs)
        })
    }

    /// The legs that hold slots: what a fresh ledger must count.
    pub fn slot_holders(&self) -> impl Iterator<Item = LiveLeg> {
        self.calls.values().flat_map(|call| {
            call.legs.values().map(|leg| LiveLeg {
                leg: leg.id(),
                account: call.record.account,
                destination: leg.record.destination,
                trunk: leg.record.trunk,
                is_test: call.record.is_test,
                is_up: leg.stage == LegStage::Up,
            })
        })
    }

    fn arrive(&mut self, now: Timestamp, arrival: Arrival) -> CallId {
        let (id, channel) = (arrival.call, arrival.channel.clone());
        let mut out = std::mem::take(&mut self.scratch);
        let call = Call::arrive(now, arrival, &mut out);
        self.callers.insert(channel, id);
        self.settle(id, call, None, out);
        id
    }

    fn with(&mut self, id: CallId, step: impl FnOnce(&mut Call, call::Out<'_>)) -> Option<CallId> {
        let mut call = self.calls.remove(&id)?;
        let before = call.timers.next().map(|(at, _)| at);
        let mut out = std::mem::take(&mut self.scratch);
        step(&mut call, &mut out);
        self.settle(id, call, before, out);
        Some(id)
    }

    /// Puts a call back, or closes it; its commands and timers become the engine's.
    fn settle(&mut self, id: CallId, call: Call, before: Option<Timestamp>, mut out: Vec<Command>) {
        self.commands.extend(out.drain(..).map(|command| (id, command)));
        self.scratch = out;
        if let Some(at) = before {
            self.due.remove(&(at, id));
        }
        if call.is_over() {
            self.callers.remove(&call.record.channel);
            let bridge = call.record.bridge.clone();
            self.commands.push_back((id, Command::Close { bridge }));
            return;
        }
        if let Some((at, _)) = call.timers.next() {
            self.due.insert((at, id));
        }
        self.calls.insert(id, call);
    }
}
