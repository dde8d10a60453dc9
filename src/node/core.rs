//! The heart of a node, without any waiting: inputs go through the engine, what comes out goes to
//! the lanes, the writer and the router's state.

mod arrive;
mod found;
mod resync;
mod routing;
mod rows;
mod test_call;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::oneshot;
use tracing::{info, warn};

pub use self::resync::Resync;
use self::routing::Billed;
use self::rows::{row, tell};
pub use self::test_call::{ExpectedTest, test_channel};
use super::adopt::Differences;
use super::bridges::Bridges;
use super::health;
use super::lanes::{Errand, Lanes};
use super::ledger::{self, Answer, Asked, Decided, Ledger, Routing};
use super::load::Load;
use super::writer::Writer;
use crate::ari::translate::Translated;
use crate::clock;
use crate::engine::journal::{self, JournalEntry};
use crate::engine::{CallEvent, ChannelEvent, Command, Engine, Input};
use crate::model::call::{CallRecord, CallStatus};
use crate::model::id::{AccountId, BridgeId, CallId, ChannelId, LegId};
use crate::model::objects::account::DEFAULT_ACCOUNT;
use crate::model::slot::{Holding, Scope};
use crate::model::time::Timestamp;
use crate::routing::decide::{self, Decision, LiveLeg, State};
use crate::routing::sessions::Sessions;
use crate::routing::snapshot::Snapshot;
use crate::store::{JournalBody, Record};

pub struct Core {
    pub engine: Engine,
    pub lanes: Lanes,
    pub load: Load,
    pub ledger: Ledger,
    snapshot: Arc<Snapshot>,
    state: State,
    bridges: Bridges,
    trunks: health::Trunks,
    writer: Writer,
    kept: HashMap<CallId, Kept>,
    sessions: Sessions,
    /// What was billed lately, which the store may not know yet.
    billed: Vec<Billed>,
    /// Test calls that were originated and have not arrived yet.
    awaited_tests: HashMap<CallId, oneshot::Sender<()>>,
    /// Events that came while Asterisk's state was not known; `None` when it is.
    held_back: Option<Vec<Translated>>,
    /// Who is in which bridge, while what was missed of Asterisk is made up for; empty otherwise.
    bridged: BTreeMap<BridgeId, Vec<ChannelId>>,
    /// Commands that failed meanwhile.
    failed_meanwhile: Vec<Input>,
    /// Callers whose calls the store knows, of shortly before this process; none once Asterisk's
    /// state was read.
    written: Option<BTreeSet<ChannelId>>,
    /// What the last periodic comparison saw: acted upon when it is seen again.
    suspected: Differences,
    /// Up to this moment all that happened in Asterisk was heard, also by an earlier process.
    heard_at: Option<Timestamp>,
    /// When the Asterisk we know was started.
    startup_time: Option<String>,
    /// Its version, once it was reached.
    version: Option<String>,
    /// When this process began.
    up_since: Timestamp,
    /// Calls taken over from the journal that Asterisk has not confirmed yet.
    must_adopt: bool,
}

/// What is remembered of a call under way.
#[derive(Clone, Copy, Debug)]
struct Kept {
    /// Whose it is.
    account: AccountId,
    /// The number of its next journal entry.
    next_line: u32,
    /// The time of the last one: nothing comes before it.
    last_at: Timestamp,
}

/// A [`JournalEntry`] as it is written.
#[derive(Serialize)]
struct Line<'a> {
    at: Timestamp,
    input: &'a Input,
    commands: Vec<&'a Command>,
}

impl Core {
    pub fn new(snapshot: Arc<Snapshot>, lanes: Lanes, writer: Writer, ledger: Ledger) -> Self {
        Self {
            engine: Engine::default(),
            lanes,
            load: Load::default(),
            ledger,
            snapshot,
            state: State::default(),
            bridges: Bridges::default(),
            trunks: health::Trunks::default(),
            writer,
            kept: HashMap::new(),
            sessions: Sessions::default(),
            billed: Vec::new(),
            awaited_tests: HashMap::new(),
            held_back: Some(Vec::new()),
            bridged: BTreeMap::new(),
            failed_meanwhile: Vec::new(),
            written: Some(BTreeSet::new()),
            suspected: Differences::default(),
            heard_at: None,
            startup_time: None,
            version: None,
            up_since: clock::now(),
            must_adopt: false,
        }
    }

    /// Takes a call over that an earlier process left open.
    pub fn restore(&mut self, record: &CallRecord, journal: &[JournalEntry]) {
        // A line of the journal may have been kept without the rows that follow from it: they are
        // written again, which changes nothing where they are there already.
        for command in journal::restore(&mut self.engine, journal) {
            if let Some(row) = row(record.account, record.id, command) {
                self.writer.push(row);
            }
        }
        if self.engine.call(record.id).is_some() {
            let next_line = u32::try_from(journal.len()).unwrap_or(u32::MAX);
            let last_at = journal.last().map_or(record.started_at, |entry| entry.at);
            self.kept.insert(record.id, Kept { account: record.account, next_line, last_at });
            self.must_adopt = true;
        }
    }

    /// After all [`Core::restore`]: the limits count what lives, which is returned. `known` is what
    /// the store has of it.
    pub fn readopt_slots(&mut self, known: &BTreeMap<LegId, BTreeSet<Scope>>) -> Vec<Holding> {
        let holders: Vec<_> = self.engine.slot_holders().collect();
        let mut held = Vec::with_capacity(holders.len());
        for live in holders {
            held.push(self.readopt(&live, known.get(&live.leg)));
        }
        held
    }

    /// Something of the node itself that a later process must know.
    pub fn keep(&self, row: Record) {
        self.writer.push(row);
    }

    /// Counts one leg that lives.
    fn readopt(&mut self, live: &LiveLeg, known: Option<&BTreeSet<Scope>>) -> Holding {
        let leg = live.leg;
        decide::readopt(&self.snapshot, &mut self.state, live, known);
        let limits = ledger::limits(&self.state, leg);
        let longest_ms = self.engine.longest_ms(leg.call).unwrap_or_default();
        let holding = ledger::holding(self.account(leg.call), leg, limits, longest_ms);
        self.ledger.adopt(holding.clone());
        holding
    }

    fn account(&self, call: CallId) -> AccountId {
        self.kept.get(&call).map_or(DEFAULT_ACCOUNT, |kept| kept.account)
    }

    /// The redials that an earlier process knew of.
    pub fn restore_sessions(&mut self, recent: Vec<CallRecord>) {
        self.written = Some(recent.iter().map(|call| call.channel.clone()).collect());
        self.sessions = Sessions::restored(recent);
    }

    pub fn reload(&mut self, snapshot: Arc<Snapshot>) {
        self.snapshot = snapshot;
        self.state.follow(&self.snapshot);
    }

    /// One input and all that follows from it at once.
    pub fn feed(&mut self, input: Input) {
        self.feed_at(None, input);
    }

    /// The same for something that happened at an earlier time, as far as the call's own time has
    /// not gone further.
    fn feed_at(&mut self, at: Option<Timestamp>, input: Input) {
        let mut inputs = vec![(at, input)];
        while let Some((at, input)) = inputs.pop() {
            let now = clock::now();
            let at = at.map_or(now, |at| self.earliest(&input).max(at).min(now));
            let Some(call) = self.engine.handle(at, input.clone()) else {
                self.late_echo(&input);
                continue;
            };
            let mut commands = Vec::new();
            while let Some((_, command)) = self.engine.poll_command() {
                commands.push(command);
            }
            self.append(call, at, &input, &commands);
            for command in commands {
                let results = self.execute(now, call, command).into_iter();
                inputs.extend(results.map(|input| (None, input)));
            }
        }
        for (account, what) in self.state.remembered() {
            self.writer.push(Record::Remembered { account, what });
        }
    }

    /// Before this nothing may happen to what an input is about.
    fn earliest(&self, input: &Input) -> Timestamp {
        let call = match input {
            Input::Arrived(_) => None,
            Input::Call { call, .. } => Some(*call),
            Input::Channel { channel, .. } => self.engine.call_of(channel),
        };
        let kept = call.and_then(|call| self.kept.get(&call));
        kept.map_or(Timestamp(0), |kept| kept.last_at)
    }

    /// An event for something we no longer know. A leg of ours that appears now was given up while
    /// Asterisk still worked on it.
    fn late_echo(&mut self, input: &Input) {
        metrics::counter!("divert_late_echoes_total").increment(1);
        if let Input::Call {
            call,
            event: CallEvent::Decided { leg, decision: Decision::Picked { .. } },
        } = input
        {
            // The call ended for good while the question was open.
            self.ledger.release(&mut self.state, LegId { call: *call, no: *leg });
        }
        if let Input::Channel {
            channel,
            event: ChannelEvent::Answered { .. } | ChannelEvent::Ready | ChannelEvent::Up,
        } = input
            && LegId::of_channel(channel).is_some()
        {
            self.lanes.hang_up_orphan(channel.clone());
        }
    }

    /// A [`JournalEntry`] as the journal keeps it: what a replay needs, inputs and commands with an
    /// effect outside. Rows and timeline follow from them.
    fn append(&mut self, call: CallId, at: Timestamp, input: &Input, commands: &[Command]) {
        let Some(kept) = self.kept.get_mut(&call) else {
            return;
        };
        let Kept { account, next_line, last_at } = kept;
        *last_at = at.max(*last_at);
        let commands: Vec<&Command> =
            commands.iter().filter(|command| command.is_effect()).collect();
        match serde_json::value::to_raw_value(&Line { at, input, commands }) {
            Ok(body) => {
                let body = JournalBody(body);
                let seq = *next_line;
                self.writer.push(Record::Journal { account: *account, call, seq, at, body });
                *next_line += 1;
            }
            Err(error) => warn!(call.id = %call, %error, "a line of the journal is lost"),
        }
    }

    /// News from the ledger of live-call limits, and the decisions that waited for it.
    pub fn ledger_heard(&mut self, answer: Answer) {
        let routing = Routing { snapshot: &self.snapshot, state: &mut self.state };
        for input in inputs(self.ledger.heard(routing, answer)) {
            self.feed(input);
        }
    }

    fn execute(&mut self, now: Timestamp, call: CallId, command: Command) -> Vec<Input> {
        let account = self.account(call);
        match command {
            Command::Close { bridge } => {
                self.bridges.give_back(bridge, now);
                self.lanes.close(call);
                self.kept.remove(&call);
            }
            Command::Decide(ask) => {
                let longest_ms = self.engine.longest_ms(call).unwrap_or_default();
                let routing = Routing { snapshot: &self.snapshot, state: &mut self.state };
                return inputs(self.ledger.ask(routing, Asked::new(ask, account, longest_ms)));
            }
            Command::Report(report) => self.state.report(&self.snapshot, now, &report),
            Command::Release { leg } => self.ledger.release(&mut self.state, leg),
            Command::Bill(_) | Command::Note(_) | Command::Save(_) | Command::SaveLeg(_) => {
                tell(call, &command);
                if let Command::Save(record) = &command
                    && let Some(ended_at) = record.ended_at
                {
                    self.sessions.ended(call, ended_at, record.talk_ms);
                }
                let amount = match &command {
                    Command::Bill(cdr) => Some(cdr.charge.amount),
                    _ => None,
                };
                if let Some(row) = row(account, call, command) {
                    self.writer.push(row);
                }
                if let Some(amount) = amount {
                    self.was_billed(now, account, amount);
                }
            }
            // To put them there once more would take them out first: they would not hear each other.
            Command::Connect { bridge, channels } if self.are_bridged(&bridge, &channels) => {}
            command => {
                let must_make_bridge = match &command {
                    Command::Connect { bridge, .. } => self.bridges.must_make(bridge),
                    _ => false,
                };
                self.lanes.send(call, Errand { command, must_make_bridge });
            }
        }
        Vec::new()
    }

    fn are_bridged(&self, bridge: &BridgeId, channels: &[ChannelId]) -> bool {
        let there = self.bridged.get(bridge);
        there.is_some_and(|there| channels.iter().all(|channel| there.contains(channel)))
    }

    /// One event from Asterisk.
    pub fn event(&mut self, event: Translated) {
        if let Some(held_back) = &mut self.held_back {
            held_back.push(event);
            return;
        }
        match event {
            Translated::Arrived { channel, did, caller, already_up } => match did {
                Ok(did) => self.arrive(channel, did, caller, already_up),
                Err((text, error)) => {
                    warn!(channel.id = %channel, "a call on {text:?} is passed on: {error}");
                    self.pass_on_stranger(channel);
                }
            },
            Translated::Channel { channel, event } => self.feed(Input::Channel { channel, event }),
            Translated::Stray { channel, name, args } => self.send_on(channel, &name, &args),
            Translated::TestCaller { channel, call } => self.test_caller_is_up(channel, call),
        }
    }

    pub fn fire_timers(&mut self) {
        while let Some(input) = self.engine.expired(clock::now()) {
            self.feed(input);
        }
    }

    /// Some times a second: the percentage of calls that the dialplan should keep from us.
    pub fn regulate(&mut self) -> u32 {
        let before = self.load.share();
        let share = self.load.tick();
        metrics::gauge!("divert_calls_shed_percent").set(f64::from(share));
        if before == 0 && share > 0 {
            let (lag_ms, commands) = (self.load.lag_ms(), self.lanes.outstanding());
            warn!(lag_ms, commands, "too many calls: a part of the new ones stays in the dialplan");
        } else if before > 0 && share == 0 {
            info!("every call is taken again");
        }
        share
    }

    /// Once a second: bridges nobody uses are given up.
    pub fn tidy(&mut self) {
        if let Some(by_ms) = clock::follow() {
            self.clock_set(by_ms);
        }
        self.forget_tests();
        self.remember_wheels();
        let retired = self.bridges.retire(clock::now());
        self.lanes.destroy(retired);
        let live = u32::try_from(self.engine.calls().count()).unwrap_or(u32::MAX);
        metrics::gauge!("divert_calls_live").set(f64::from(live));
    }

    /// The wall clock was set, and ours with it: so is whatever it has timed.
    fn clock_set(&mut self, by_ms: i64) {
        warn!(by_ms, "the clock was set: calls go on as if it had always shown the present time");
        self.load.clock_set();
        self.state.clock_set(by_ms);
        self.ledger.clock_set(by_ms);
        self.trunks.clock_set(by_ms);
        self.bridges.clock_set(by_ms);
        self.heard_at = self.heard_at.map(|at| at.plus_ms(by_ms));
        self.up_since = self.up_since.plus_ms(by_ms);
        for kept in self.kept.values_mut() {
            kept.last_at = kept.last_at.plus_ms(by_ms);
        }
        for call in self.engine.calls().map(|call| call.id).collect::<Vec<_>>() {
            self.feed(Input::Call { call, event: CallEvent::ClockSet { by_ms } });
        }
    }

    /// Calls that nobody has answered yet.
    #[must_use]
    pub fn calls_in_setup(&self) -> usize {
        let in_setup =
            |call: &&CallRecord| matches!(call.status, CallStatus::Routing | CallStatus::Ringing);
        self.engine.calls().filter(in_setup).count()
    }
}

/// Decisions as what the engine waits for.
fn inputs(decided: Decided) -> Vec<Input> {
    let input = |(leg, decision): (LegId, _)| Input::Call {
        call: leg.call,
        event: CallEvent::Decided { leg: leg.no, decision },
    };
    decided.into_iter().map(input).collect()
}
