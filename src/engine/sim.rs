//! A fake Asterisk on virtual time: the engine's whole world in one thread, in microseconds.
//!
//! It knows what divert uses of ARI and nothing else: channels that ring, answer and hang up, bridges,
//! and the events Asterisk 22.10 sends for them. Its phones behave by the number that is dialled, as
//! those of `asterisk/phones` do, so that one scenario runs on both; `tests/asterisk` compares the
//! two event by event. It has no media, no transport and no faults of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::journal::JournalEntry;
use super::{
    Arrival, CallEvent, ChannelEvent, ChannelState, Command, Engine, FailedCommand, Input, Route,
};
use crate::model::billing::Cdr;
use crate::model::call::{CallRecord, LegRecord};
use crate::model::cause::{HangupCause, Outcome};
use crate::model::id::{BridgeId, CallId, ChannelId, LegId};
use crate::model::number::{Caller, Did};
use crate::model::time::Timestamp;
use crate::model::timeline::TimelineEntry;
use crate::routing::decide::{self, State};
use crate::routing::snapshot::Snapshot;

/// What a command takes to show an effect.
const LATENCY_MS: i64 = 1;

/// What a phone does when it is dialled: a cause and SIP response, or an answer.
#[derive(Clone, Copy, Debug)]
enum Phone {
    /// After so long; it hangs up by itself after `talk_ms`, if that is given.
    Answers {
        rings: bool,
        after_ms: i64,
        talk_ms: Option<i64>,
    },
    Refuses {
        rings: bool,
        after_ms: i64,
        cause: u16,
        sip: u16,
    },
    RingsForEver,
    /// No reply at all.
    Silent,
}

/// What the phones do behind the numbers.
#[derive(Clone, Debug, Default)]
pub struct Phones {
    /// Behind these numbers what was chosen for them.
    pub chosen: BTreeMap<String, Outcome>,
    /// Behind a number that is not in the plan; no such number unless given.
    pub others: Option<Outcome>,
}

impl Phones {
    /// What somebody may choose.
    pub const CHOICES: [Outcome; 9] = [
        Outcome::Answered,
        Outcome::BadNumber,
        Outcome::Busy,
        Outcome::CodecMismatch,
        Outcome::Declined,
        Outcome::NoAnswer,
        Outcome::TrunkFailed,
        Outcome::TrunkRejected,
        Outcome::Unreachable,
    ];

    fn of(&self, endpoint: &str) -> Option<Phone> {
        let (number, trunk) = endpoint.strip_prefix("PJSIP/")?.split_once('@')?;
        if let Some(chosen) = self.chosen.get(number) {
            return Some(choice(*chosen));
        }
        if trunk == "dead" {
            return Some(Phone::Silent);
        }
        let others = || choice(self.others.unwrap_or(Outcome::BadNumber));
        Some(planned(number).unwrap_or_else(others))
    }
}

fn refuses(cause: u16, sip: u16) -> Phone {
    Phone::Refuses { rings: false, after_ms: 0, cause, sip }
}

/// A phone that comes to this.
fn choice(outcome: Outcome) -> Phone {
    match outcome {
        Outcome::Answered => Phone::Answers { rings: true, after_ms: 500, talk_ms: None },
        Outcome::Busy => refuses(17, 486),
        Outcome::CodecMismatch => refuses(58, 488),
        Outcome::Declined => refuses(21, 603),
        Outcome::NoAnswer => Phone::RingsForEver,
        Outcome::Redirected => refuses(23, 302),
        Outcome::TrunkFailed => refuses(34, 503),
        Outcome::TrunkRejected => refuses(21, 403),
        Outcome::Unreachable => refuses(19, 480),
        Outcome::Abandoned | Outcome::BadNumber | Outcome::Cancelled | Outcome::LostRace => {
            refuses(1, 404)
        }
    }
}

/// The numbering plan of `asterisk/phones`: four digits, of which the first two say it.
fn planned(number: &str) -> Option<Phone> {
    if number.len() != 4 || !number.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    Some(match number.get(..2)? {
        "10" => Phone::Answers { rings: true, after_ms: 500, talk_ms: None },
        "11" => refuses(17, 486),
        "12" => Phone::RingsForEver,
        "13" => refuses(21, 603),
        "14" => Phone::Refuses { rings: false, after_ms: 3_000, cause: 17, sip: 486 },
        "15" => Phone::Answers { rings: false, after_ms: 2_000, talk_ms: None },
        "16" => refuses(19, 480),
        "18" => refuses(34, 503),
        "19" => Phone::Answers { rings: false, after_ms: 0, talk_ms: Some(2_000) },
        "20" => Phone::Answers { rings: false, after_ms: 0, talk_ms: None },
        "21" => refuses(38, 500),
        "22" => refuses(21, 403),
        "17" => refuses(1, 404),
        _ => return None,
    })
}

#[derive(Debug, Default)]
struct Channel {
    state: ChannelState,
    /// What it was created to dial; empty for a caller.
    endpoint: String,
}

#[derive(Debug)]
enum Happening {
    Input(Input),
    /// The channel ends by itself.
    Ends {
        channel: ChannelId,
        cause: u16,
        sip: Option<u16>,
    },
    State {
        channel: ChannelId,
        state: ChannelState,
    },
}

/// One node with its Asterisk and its phones.
#[derive(Debug)]
pub struct Sim {
    pub now: Timestamp,
    pub engine: Engine,
    pub state: State,
    pub calls: BTreeMap<CallId, CallRecord>,
    pub legs: BTreeMap<LegId, LegRecord>,
    pub cdrs: Vec<Cdr>,
    pub timelines: BTreeMap<CallId, Vec<TimelineEntry>>,
    pub journals: BTreeMap<CallId, Vec<JournalEntry>>,
    /// The cause each caller was hung up with from our side.
    pub rejections: BTreeMap<ChannelId, HangupCause>,
    /// Callers given back to the dialplan.
    pub passed_on: BTreeSet<ChannelId>,
    pub phones: Phones,
    snapshot: Snapshot,
    channels: BTreeMap<ChannelId, Channel>,
    bridges: BTreeMap<BridgeId, BTreeSet<ChannelId>>,
    ahead: BTreeMap<(Timestamp, u64), Happening>,
    minted: u64,
}

impl Sim {
    #[must_use]
    pub fn new(now: Timestamp, snapshot: Snapshot) -> Self {
        Self {
            now,
            engine: Engine::default(),
            state: State::default(),
            calls: BTreeMap::new(),
            legs: BTreeMap::new(),
            cdrs: Vec::new(),
            timelines: BTreeMap::new(),
            journals: BTreeMap::new(),
            rejections: BTreeMap::new(),
            passed_on: BTreeSet::new(),
            phones: Phones::default(),
            snapshot,
            channels: BTreeMap::new(),
            bridges: BTreeMap::new(),
            ahead: BTreeMap::new(),
            minted: 0,
        }
    }

    /// A call arrives; its first commands are carried out at once.
    pub fn call(&mut self, did: &Did, caller: Caller) -> (CallId, ChannelId) {
        self.arrive(did, caller, false)
    }

    /// The same as a test.
    pub fn test_call(&mut self, did: &Did, caller: Caller) -> (CallId, ChannelId) {
        self.arrive(did, caller, true)
    }

    fn arrive(&mut self, did: &Did, caller: Caller, is_test: bool) -> (CallId, ChannelId) {
        self.minted += 1;
        let call = CallId::new(u128::from(self.minted));
        let channel = ChannelId(format!("caller.{}", self.minted));
        self.channels.insert(channel.clone(), Channel::default());
        let owner = self.snapshot.owner(did);
        let caller_key = owner.and_then(|plan| self.snapshot.caller_key(plan, &caller));
        let (mut repeat, mut counts_as_visit) = (None, false);
        if let Some((plan, key)) = owner.zip(caller_key.as_ref()) {
            self.state.follow(&self.snapshot);
            repeat = self.state.repeat(plan, key, self.now);
            counts_as_visit = plan.flow.repeat_caller.is_some();
            if !is_test {
                self.state.visit(&self.snapshot, plan, key, call, self.now);
            }
        }
        let route = owner.map(|plan| Route::of(plan));
        let arrival = Arrival {
            call,
            account: owner
                .map_or(crate::model::objects::account::DEFAULT_ACCOUNT, |plan| plan.account),
            channel: channel.clone(),
            did: did.clone(),
            alike: owner.is_none().then(|| self.snapshot.alike(did)).flatten(),
            caller_key,
            caller,
            session: call,
            repeat,
            counts_as_visit,
            is_test,
            is_up: false,
            is_found: false,
            bridge: BridgeId(format!("bridge.{}", self.minted)),
            route: if is_test { route.map(Route::for_test) } else { route },
        };
        self.feed(Input::Arrived(Box::new(arrival)));
        (call, channel)
    }

    /// A channel hangs up by itself: the caller, or the phone behind a leg.
    pub fn hang_up(&mut self, channel: &ChannelId) {
        let ends = Happening::Ends { channel: channel.clone(), cause: 16, sip: None };
        self.happen(ends);
    }

    /// Runs until nothing is due before `until`, and stands there.
    pub fn run_until(&mut self, until: Timestamp) {
        while let Some(at) = self.next_due().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            if let Some(input) = self.engine.expired(self.now) {
                self.feed(input);
                continue;
            }
            if let Some((_, happening)) = self.ahead.pop_first() {
                self.happen(happening);
            }
        }
        self.now = self.now.max(until);
    }

    pub fn run_for_ms(&mut self, ms: i64) {
        self.run_until(self.now.plus_ms(ms));
    }

    /// Sets the clock, and nothing else: what is ahead is as far ahead as before.
    pub fn set_clock(&mut self, by_ms: i64) {
        self.now = self.now.plus_ms(by_ms);
        let ahead = std::mem::take(&mut self.ahead).into_iter();
        self.ahead = ahead.map(|((at, no), what)| ((at.plus_ms(by_ms), no), what)).collect();
        self.state.clock_set(by_ms);
        for call in self.engine.calls().map(|call| call.id).collect::<Vec<_>>() {
            self.feed(Input::Call { call, event: CallEvent::ClockSet { by_ms } });
        }
    }

    /// The configuration is another one from here on.
    pub fn configure(&mut self, snapshot: Snapshot) {
        self.snapshot = snapshot;
    }

    /// When something happens next, if anything does.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        let ahead = self.ahead.first_key_value().map(|((at, _), _)| *at);
        [ahead, self.engine.next_timeout()].into_iter().flatten().min()
    }

    /// Everything that is still there: empty when nothing leaked.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        let calls = self.engine.calls().map(|call| format!("call {}", call.id));
        let channels = self.channels.keys().map(|channel| format!("channel {channel}"));
        let bridges = self.bridges.keys().map(|bridge| format!("bridge {bridge}"));
        let slots = self.state.holders().map(|leg| format!("slot of leg {}", leg.no));
        let timers = self.engine.next_timeout().map(|at| format!("timer at {at}"));
        calls.chain(channels).chain(bridges).chain(slots).chain(timers).collect()
    }

    fn feed(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let Some(call) = self.engine.handle(self.now, input.clone()) else {
                continue;
            };
            let mut commands = Vec::new();
            while let Some((_, command)) = self.engine.poll_command() {
                commands.push(command);
            }
            for command in &commands {
                inputs.extend(self.execute(call, command));
            }
            let entry = JournalEntry { at: self.now, input, commands };
            self.journals.entry(call).or_default().push(entry);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Input(input) => self.feed(input),
            Happening::State { channel, state } => {
                let Some(known) = self.channels.get_mut(&channel) else {
                    return;
                };
                known.state = state;
                let event = match state {
                    ChannelState::Down => ChannelEvent::Ready,
                    ChannelState::Ringing => ChannelEvent::Ringing,
                    ChannelState::Up => ChannelEvent::Up,
                };
                self.feed(Input::Channel { channel, event });
            }
            Happening::Ends { channel, cause, sip } => {
                let Some(known) = self.channels.remove(&channel) else {
                    return;
                };
                for members in self.bridges.values_mut() {
                    members.remove(&channel);
                }
                // An inbound channel leaves with a StasisEnd, which tells no cause.
                let is_leg = LegId::of_channel(&channel).is_some();
                let event = ChannelEvent::Gone {
                    cause: is_leg.then_some(HangupCause(cause)),
                    sip_code: sip.filter(|_| is_leg),
                    state: known.state,
                };
                self.feed(Input::Channel { channel, event });
            }
        }
    }

    fn later(&mut self, after_ms: i64, happening: Happening) {
        self.minted += 1;
        self.ahead.insert((self.now.plus_ms(after_ms), self.minted), happening);
    }

    fn fails(&mut self, channel: ChannelId, command: FailedCommand, detail: &str) {
        let event = ChannelEvent::CommandFailed { command, detail: detail.to_owned() };
        self.later(LATENCY_MS, Happening::Input(Input::Channel { channel, event }));
    }

    /// Carries out one command; what the router answers comes back at once.
    fn execute(&mut self, call: CallId, command: &Command) -> Option<Input> {
        match command {
            Command::Answer { channel } => {
                let (channel, state) = (channel.clone(), ChannelState::Up);
                self.later(LATENCY_MS, Happening::State { channel, state });
            }
            Command::Bill(cdr) => self.cdrs.push((**cdr).clone()),
            Command::Close { bridge } => {
                self.bridges.remove(bridge);
            }
            Command::Connect { bridge, channels } => self.connect(bridge, channels),
            Command::Create { leg, endpoint, .. } => {
                let channel = leg.channel();
                if self.phones.of(endpoint).is_none() {
                    self.fails(channel, FailedCommand::Create, "Allocation failed");
                } else if !self.channels.contains_key(&channel) {
                    let state = ChannelState::Down;
                    let created = Channel { state, endpoint: endpoint.clone() };
                    self.channels.insert(channel.clone(), created);
                    self.later(LATENCY_MS, Happening::State { channel, state });
                }
            }
            Command::Decide(ask) => {
                let decision = decide::decide(&self.snapshot, &mut self.state, ask);
                let event = CallEvent::Decided { leg: ask.leg.no, decision };
                return Some(Input::Call { call, event });
            }
            Command::Dial { leg, timeout_ms, .. } => self.dial(&leg.channel(), *timeout_ms),
            Command::Guard { .. } | Command::Ring { .. } => {}
            Command::HangUp { channel, cause } => {
                if LegId::of_channel(channel).is_none() && self.channels.contains_key(channel) {
                    self.rejections.insert(channel.clone(), *cause);
                }
                let ends = if self.channels.contains_key(channel) {
                    Happening::Ends { channel: channel.clone(), cause: cause.0, sip: None }
                } else {
                    // 404: it is gone already.
                    Happening::Input(Input::Channel {
                        channel: channel.clone(),
                        event: ChannelEvent::Gone {
                            cause: None,
                            sip_code: None,
                            state: ChannelState::Down,
                        },
                    })
                };
                self.later(LATENCY_MS, ends);
            }
            Command::Note(entry) => {
                self.timelines.entry(call).or_default().push(entry.clone());
            }
            Command::PassOn { channel } => {
                self.passed_on.insert(channel.clone());
                let ends = Happening::Ends { channel: channel.clone(), cause: 16, sip: None };
                self.later(LATENCY_MS, ends);
            }
            Command::Release { leg } => {
                self.state.release(*leg);
            }
            Command::Report(report) => self.state.report(&self.snapshot, self.now, report),
            Command::Save(record) => {
                self.calls.insert(call, (**record).clone());
            }
            Command::SaveLeg(record) => {
                let id = LegId { call: record.call, no: record.no };
                self.legs.insert(id, (**record).clone());
            }
        }
        None
    }

    fn connect(&mut self, bridge: &BridgeId, channels: &[ChannelId]) {
        // All or none, as Asterisk does it.
        if let Some(ghost) = channels.iter().find(|id| !self.channels.contains_key(id)) {
            self.fails(ghost.clone(), FailedCommand::Connect, "Channel not found");
            return;
        }
        let members = self.bridges.entry(bridge.clone()).or_default();
        members.extend(channels.iter().cloned());
    }

    fn dial(&mut self, channel: &ChannelId, timeout_ms: i64) {
        // ARI counts in whole seconds.
        let timeout_ms = (timeout_ms + 999) / 1_000 * 1_000;
        let known = self.channels.get(channel);
        let Some(behaviour) = known.and_then(|known| self.phones.of(&known.endpoint)) else {
            self.fails(channel.clone(), FailedCommand::Dial, "Channel not found");
            return;
        };
        let ringing = Happening::State { channel: channel.clone(), state: ChannelState::Ringing };
        let ends = |cause, sip| Happening::Ends { channel: channel.clone(), cause, sip: Some(sip) };
        match behaviour {
            Phone::Answers { rings, after_ms, talk_ms } => {
                if rings {
                    self.later(LATENCY_MS, ringing);
                }
                let up = Happening::State { channel: channel.clone(), state: ChannelState::Up };
                self.later(LATENCY_MS + after_ms, up);
                if let Some(talk_ms) = talk_ms {
                    let gone = Happening::Ends { channel: channel.clone(), cause: 16, sip: None };
                    self.later(LATENCY_MS + after_ms + talk_ms, gone);
                }
            }
            Phone::Refuses { rings, after_ms, cause, sip } => {
                if rings {
                    self.later(LATENCY_MS, ringing);
                }
                self.later(LATENCY_MS + after_ms, ends(cause, sip));
            }
            Phone::RingsForEver => {
                self.later(LATENCY_MS, ringing);
                self.later(timeout_ms, ends(19, 480));
            }
            Phone::Silent => self.later(timeout_ms, ends(19, 480)),
        }
    }
}
