//! What is known of Asterisk, and what is made up for after it was not.

use tracing::{info, warn};

use super::Core;
use crate::ari::resync::{Known, Snapshot};
use crate::ari::role::Role;
use crate::clock;
use crate::engine::{
    CallEvent, ChannelEvent, ChannelState, ChannelView, FailedCommand, Input, Presence,
};
use crate::model::id::{BridgeId, CallId, ChannelId};
use crate::model::time::Timestamp;
use crate::node::adopt::{self, Differences, Missed};

/// Why Asterisk's state is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Resync {
    /// The connection is new: events may be lost.
    Connected,
    /// Just to be sure.
    Periodic,
}

impl Core {
    /// Something was heard from Asterisk, so nothing before it was missed; unless the connection is
    /// new, and what happened before it is still to be found out.
    pub fn heard(&mut self) {
        if self.held_back.is_none() {
            self.heard_at = Some(clock::now());
        }
    }

    /// Up to which moment nothing was missed.
    #[must_use]
    pub fn heard_at(&self) -> Option<Timestamp> {
        self.heard_at
    }

    /// The same, as an earlier process knew it.
    pub fn remember_heard(&mut self, at: Option<Timestamp>) {
        self.heard_at = at;
    }

    /// What a command came to. While nobody knows Asterisk's state, a failure says nothing about
    /// the channel.
    pub fn result(&mut self, input: Input) {
        if self.is_sure() {
            self.feed(input);
        } else {
            self.failed_meanwhile.push(input);
        }
    }

    /// Whether Asterisk's state was never read by this process.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.written.is_some()
    }

    /// Whether everything that happens in Asterisk is heard. Until then no timer may decide: what it
    /// waits for may have happened.
    #[must_use]
    pub fn is_sure(&self) -> bool {
        self.held_back.is_none()
    }

    /// Asterisk's state is not known from here on: events wait until [`Core::resynced`]. Those that
    /// wait from an earlier, failed reading are older than what will be read, and are dropped.
    pub fn hold_back(&mut self) {
        self.held_back = Some(Vec::new());
    }

    /// Asterisk's state, read after [`Core::hold_back`] when the connection is new.
    pub fn resynced(&mut self, why: Resync, asterisk: &Snapshot) {
        if why == Resync::Connected {
            self.bridged.clone_from(&asterisk.bridges);
            self.reconnected(asterisk);
            if let Some(written) = self.written.take() {
                self.take_found(&written, asterisk);
            }
        }
        let found = adopt::compare(&self.engine, asterisk);
        let differences = match why {
            Resync::Connected => found,
            Resync::Periodic => {
                let confirmed = found.confirmed_by(&self.suspected);
                self.suspected = found;
                confirmed
            }
        };
        let heard_at = self.heard_at.filter(|_| why == Resync::Connected);
        for missed in differences.missed {
            metrics::counter!("divert_missed_events_total").increment(1);
            let Missed { at, input, .. } = missed.unheard_since(heard_at);
            self.feed_at(at, input);
        }
        for input in std::mem::take(&mut self.failed_meanwhile) {
            self.try_again(input);
        }
        for channel in differences.orphans {
            info!(channel.id = %channel, "hanging up a leg that belongs to no call");
            self.lanes.hang_up_orphan(channel);
        }
        let is_lost = |bridge: &BridgeId| !self.bridges.knows(bridge);
        self.lanes.destroy(differences.empty_bridges.into_iter().filter(is_lost).collect());
        if std::mem::take(&mut self.must_adopt) {
            let calls: Vec<CallId> = self.engine.calls().map(|call| call.id).collect();
            info!(calls = calls.len(), "calls taken over from before the restart");
            for call in calls {
                self.feed(Input::Call { call, event: CallEvent::Adopted });
            }
        }
        for (channel, found) in differences.strangers {
            match found.role {
                Role::Caller { did, .. } => {
                    let is_up = found.state == ChannelState::Up;
                    self.arrive(channel, did, found.caller, is_up);
                }
                role => self.send_on(channel, &found.name, &role.to_string()),
            }
        }
        self.bridged.clear();
        if why == Resync::Connected {
            for event in self.held_back.take().unwrap_or_default() {
                self.event(event);
            }
            self.heard();
        }
    }

    /// A command failed while Asterisk could not be reached. A leg that was told to ring and does
    /// not is left for the next; anything else is done once more, which does no harm.
    fn try_again(&mut self, input: Input) {
        let Input::Channel { channel, event: ChannelEvent::CommandFailed { command, .. } } = &input
        else {
            self.feed(input);
            return;
        };
        let is_silent = |(known, view): (ChannelId, ChannelView)| {
            known == *channel && view.presence == Presence::There
        };
        match self.engine.call_of(channel) {
            Some(call) if *command != FailedCommand::Dial => {
                self.feed(Input::Call { call, event: CallEvent::Adopted });
            }
            _ if self.engine.channels().any(is_silent) => self.feed(input),
            _ => {}
        }
    }

    fn reconnected(&mut self, asterisk: &Snapshot) {
        self.suspected = Differences::default();
        self.version = Some(asterisk.version.clone());
        let before = self.startup_time.replace(asterisk.startup_time.clone());
        let in_use: Vec<BridgeId> = self.engine.calls().map(|call| call.bridge.clone()).collect();
        self.bridges.resync(in_use.into_iter().filter(|b| asterisk.bridges.contains_key(b)));
        if before.as_ref() != Some(&asterisk.startup_time) {
            self.trunks.begin_anew(self.snapshot.trunks(), clock::now());
            self.state.forget_trunks();
        }
        if before.is_some_and(|before| before != asterisk.startup_time) {
            warn!("Asterisk was restarted: its calls are gone");
            let calls: Vec<CallId> = self.engine.calls().map(|call| call.id).collect();
            let seen_at = self.heard_at.unwrap_or_else(clock::now);
            for call in calls {
                self.feed(Input::Call { call, event: CallEvent::AsteriskRestarted { seen_at } });
            }
        }
    }

    /// The channels that should be in Asterisk, whose marks are wanted where they are not.
    #[must_use]
    pub fn known(&self) -> Vec<Known> {
        let known = |(channel, view): (ChannelId, ChannelView)| {
            let caller = self.engine.call(view.call)?.channel.clone();
            let is_up = view.presence == Presence::Up;
            Some(Known { channel, caller, is_up })
        };
        self.engine.channels().filter_map(known).collect()
    }

    /// When Asterisk was started, as an earlier process knew it.
    pub fn remember_startup(&mut self, startup_time: Option<String>) {
        self.startup_time = startup_time;
    }
}
