//! One call: its stages, and what each event does to it. The heart of the engine.
//!
//! A call ends in three steps: somebody hangs up or nothing is left to try ([`Call::end`]), the
//! channels that are left are hung up, and when the last one is gone the call is closed. Until then its
//! slots stay taken, so that a limit holds for what Asterisk really carries.

use std::collections::BTreeMap;

use super::leg::{Departure, Leg, LegStage};
use super::outcome;
use super::receipt::Draft;
use super::timer::Timers;
use super::{Arrival, CallEvent, ChannelEvent, ChannelState, Command, FailedCommand, Route, Timer};
use crate::model::call::{CallRecord, CallStatus};
use crate::model::cause::{CallResult, EndedBy, HangupCause, Outcome};
use crate::model::id::{CallId, ChannelId, LegId};
use crate::model::stickiness::RepeatRule;
use crate::model::time::Timestamp;
use crate::model::timeline::{Step, TimelineEntry};
use crate::routing::decide::{Attempt, News, Report};

/// How long Asterisk may take over a hang-up before it is told again.
const FAREWELL_MS: i64 = 5_000;
/// How much later than it was set a timer may be heard of.
const LATE_MS: i64 = 1_000;
/// What Asterisk's own limit on a channel allows beyond ours.
pub(super) const GUARD_GRACE_MS: i64 = 60_000;

#[derive(Debug)]
pub(super) struct Call {
    pub record: CallRecord,
    pub route: Option<Route>,
    /// The flow's rule about repeated calls, which holds for this one.
    pub repeat: Option<RepeatRule>,
    pub stage: Stage,
    pub caller: Caller,
    pub legs: BTreeMap<u16, Leg>,
    pub timers: Timers,
    pub tried: Vec<Attempt>,
    /// Nobody is left to try but the fallback number of the flow.
    pub is_falling_back: bool,
    pub last_failure: Option<Outcome>,
    /// Why nobody was called at all.
    pub refusal: Option<CallResult>,
    /// When the ring budget is spent.
    pub budget_ends: Timestamp,
    pub last_leg: u16,
    /// When the conversation or the caller's patience was over, where nobody heard it at that time.
    over_at: Option<Timestamp>,
    /// The leg that the caller talked with.
    answered_leg: Option<u16>,
    /// The number of a leg whose decision is still owed, and may bring slots to give back.
    pub owed: Option<u16>,
    /// Of a test call, until it is handed out.
    pub receipt: Option<Draft>,
    next_step: u32,
}

/// What is known of the caller's channel.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of one channel, not a state")]
pub(super) struct Caller {
    pub is_up: bool,
    pub is_gone: bool,
    pub hears_ringing: bool,
    pub is_bridged: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// Waiting for the decision on the leg with this number.
    Deciding(u16),
    /// Over; waiting for channels to go.
    Ending,
    /// A destination rings, or the fallback number: the leg with this number, which is not taken back.
    Hunting(u16),
    /// On the way back to the dialplan.
    PassingOn,
    Talking {
        leg: u16,
        since: Timestamp,
    },
}

/// Where a call puts its commands.
pub(super) type Out<'a> = &'a mut Vec<Command>;

impl Call {
    pub fn arrive(now: Timestamp, arrival: Arrival, out: Out<'_>) -> Self {
        let record = CallRecord {
            id: arrival.call,
            account: arrival.account,
            did: arrival.did,
            caller: arrival.caller,
            caller_key: arrival.caller_key,
            session: arrival.session,
            is_repeat: arrival.repeat.is_some(),
            flow: arrival.route.as_ref().map(|route| (route.flow, route.name.clone())),
            is_test: arrival.is_test,
            status: CallStatus::Routing,
            started_at: now,
            answered_at: None,
            ended_at: None,
            talk_ms: 0,
            result: None,
            ended_by: None,
            cause: None,
            channel: arrival.channel,
            bridge: arrival.bridge,
        };
        let mut call = Self {
            record,
            route: arrival.route,
            repeat: arrival.repeat,
            stage: Stage::PassingOn,
            caller: Caller { is_up: arrival.is_up, ..Caller::default() },
            legs: BTreeMap::new(),
            timers: Timers::default(),
            tried: Vec::new(),
            is_falling_back: false,
            last_failure: None,
            refusal: None,
            budget_ends: now,
            last_leg: LegId::CALLER,
            over_at: None,
            answered_leg: None,
            owed: None,
            receipt: arrival.is_test.then(|| Draft::new(arrival.counts_as_visit)),
            next_step: 0,
        };
        let received = Step::Received {
            did: call.record.did.clone(),
            caller: call.record.caller.clone(),
            flow: call.route.as_ref().map(|route| route.name.clone()),
            alike: arrival.alike,
            is_test: call.record.is_test,
        };
        call.note(now, received, out);
        if let Some(RepeatRule { calls, within_sec, then, .. }) = call.repeat {
            call.note(now, Step::Repeat { calls, within_sec, then }, out);
        }
        if arrival.is_found {
            call.resume(now);
        } else {
            call.begin(now, out);
        }
        call.save(out);
        call
    }

    pub fn id(&self) -> CallId {
        self.record.id
    }

    /// The whole life of a call, one line per thing that can happen to it.
    pub fn on_call(&mut self, now: Timestamp, event: CallEvent, out: Out<'_>) {
        match event {
            CallEvent::Adopted => self.adopted(now, out),
            CallEvent::AsteriskRestarted { seen_at } => self.lost(now, seen_at, out),
            CallEvent::ClockSet { by_ms } => self.clock_set(by_ms, out),
            CallEvent::Decided { leg, decision } => self.decided(now, leg, decision, out),
            CallEvent::EndRequested => self.cut(now, out),
            CallEvent::LegFound { leg, offer } => self.leg_found(now, leg, offer, out),
            CallEvent::Expired(timer) => {
                // A timer that was cleared or moved since is not ours any more.
                if self.timers.next().is_some_and(|(at, first)| first == timer && at <= now) {
                    self.timers.clear(timer);
                    self.expired(now, timer, out);
                }
            }
        }
    }

    /// The same for things that happen to the caller's channel …
    pub fn on_caller(&mut self, now: Timestamp, event: &ChannelEvent, out: Out<'_>) {
        match *event {
            ChannelEvent::Gone { cause, state, .. } => {
                let was_up = self.caller.is_up || state == ChannelState::Up;
                self.caller_gone(now, cause, was_up, out);
            }
            ChannelEvent::Missing { seen_at, .. } => {
                self.unheard(now, seen_at);
                self.caller_gone(now, None, true, out);
            }
            ChannelEvent::Answered { .. } | ChannelEvent::Up => self.caller.is_up = true,
            ChannelEvent::CommandFailed { command, .. } => self.command_failed(now, command, out),
            ChannelEvent::Ready | ChannelEvent::Ringing => {}
        }
    }

    /// … and to the channel of a leg.
    pub fn on_leg(&mut self, now: Timestamp, no: u16, event: &ChannelEvent, out: Out<'_>) {
        match *event {
            ChannelEvent::Ready => self.leg_ready(now, no, out),
            ChannelEvent::Ringing => self.leg_ringing(now, no, out),
            ChannelEvent::Answered { at } => self.leg_up(now, no, at, out),
            ChannelEvent::Up => self.leg_up(now, no, now, out),
            ChannelEvent::Gone { cause, sip_code, state } => {
                self.leg_gone(now, no, Departure { at: now, cause, sip_code, state }, out);
            }
            ChannelEvent::Missing { seen_at, state } => {
                if matches!(self.stage, Stage::Talking { leg, .. } if leg == no) {
                    self.unheard(now, seen_at);
                }
                self.leg_gone(now, no, Departure::silent(seen_at, state), out);
            }
            ChannelEvent::CommandFailed { command: FailedCommand::Create, .. } => {
                self.leg_gone(now, no, Departure::silent(now, ChannelState::Down), out);
            }
            ChannelEvent::CommandFailed { .. } => self.leg_failed(now, no, out),
        }
    }

    fn expired(&mut self, now: Timestamp, timer: Timer, out: Out<'_>) {
        match timer {
            Timer::Budget => self.budget_spent(now, out),
            Timer::Farewell => self.hang_up_all(now, out),
            Timer::MaxCall => self.has_lasted(now, out),
            Timer::Ready | Timer::Ring => self.gave_no_sign(now, out),
            Timer::Ringback => self.ring_caller(out),
        }
    }

    /// Nothing is left of it in Asterisk, and nobody owes it an answer.
    pub fn is_over(&self) -> bool {
        let is_empty = self.caller.is_gone && self.legs.is_empty();
        is_empty && self.stage == Stage::Ending && self.owed.is_none()
    }

    /// A leg is up and the caller waits for it: they talk from here on.
    pub fn talk(&mut self, now: Timestamp, no: u16, out: Out<'_>) {
        for timer in [Timer::Budget, Timer::Ready, Timer::Ring, Timer::Ringback] {
            self.timers.clear(timer);
        }
        let Some(leg) = self.legs.get(&no) else {
            return;
        };
        let (name, channel) = (leg.record.name.clone(), leg.channel());
        if !self.caller.is_up {
            out.push(Command::Answer { channel: self.record.channel.clone() });
        }
        self.connect(channel, out);
        self.stage = Stage::Talking { leg: no, since: now };
        self.answered_leg = Some(no);
        self.record.status = CallStatus::Talking;
        self.record.answered_at = Some(now);
        if let Some(route) = &self.route {
            self.timers.set(Timer::MaxCall, now.plus_ms(route.max_call_ms));
        }
        self.note(now, Step::Answered { leg: no, name }, out);
        self.save(out);
    }

    /// Caller and leg into the call's bridge; the caller may stand in it since the early media.
    pub fn connect(&mut self, leg: ChannelId, out: Out<'_>) {
        let mut channels = Vec::with_capacity(2);
        if !self.caller.is_bridged {
            channels.push(self.record.channel.clone());
            self.caller.is_bridged = true;
        }
        channels.push(leg);
        out.push(Command::Connect { bridge: self.record.bridge.clone(), channels });
    }

    /// `was_up`: it had been answered, as far as is known.
    fn caller_gone(
        &mut self,
        now: Timestamp,
        cause: Option<HangupCause>,
        was_up: bool,
        out: Out<'_>,
    ) {
        if self.caller.is_gone {
            return;
        }
        self.caller.is_gone = true;
        if let Stage::Talking { leg, .. } = self.stage
            && !was_up
        {
            // It gave up in the moment in which it should have been answered: nobody talked.
            self.stage = Stage::Hunting(leg);
            self.answered_leg = None;
            self.record.answered_at = None;
        }
        let result = match self.stage {
            Stage::Talking { .. } => CallResult::Answered,
            Stage::PassingOn => self.refusal.unwrap_or(CallResult::Unrouted),
            _ => CallResult::Abandoned,
        };
        let by = match self.stage {
            Stage::PassingOn => EndedBy::Divert,
            _ => EndedBy::Caller,
        };
        self.end(now, by, result, cause.unwrap_or(HangupCause::NORMAL), out);
    }

    /// What ends the call now was not heard when it happened, but after `seen_at`.
    fn unheard(&mut self, now: Timestamp, seen_at: Timestamp) {
        let heard_at = self.record.answered_at.unwrap_or(self.record.started_at);
        self.over_at = Some(seen_at.max(heard_at).min(now));
    }

    /// An answer or a bridge did not come about: nobody would hear anybody.
    fn command_failed(&mut self, now: Timestamp, command: FailedCommand, out: Out<'_>) {
        match command {
            FailedCommand::Answer | FailedCommand::Connect | FailedCommand::PassOn => {
                self.end(now, EndedBy::Divert, CallResult::Failed, HangupCause::FAILURE, out);
            }
            FailedCommand::Create | FailedCommand::Dial => {}
        }
    }

    /// The longest conversation is over. A timer that is a little late is no longer conversation.
    fn has_lasted(&mut self, now: Timestamp, out: Out<'_>) {
        if let (Stage::Talking { since, .. }, Some(route)) = (self.stage, &self.route) {
            let limit = since.plus_ms(route.max_call_ms);
            self.over_at = Some(limit).filter(|limit| now.since_ms(*limit) < LATE_MS);
        }
        self.cut(now, out);
    }

    /// Ended from our side: a limit, or somebody asked for it.
    fn cut(&mut self, now: Timestamp, out: Out<'_>) {
        let (result, cause) = match self.stage {
            Stage::Talking { .. } => (CallResult::Answered, HangupCause::NORMAL),
            _ => (CallResult::Failed, HangupCause::CONGESTION),
        };
        self.end(now, EndedBy::Divert, result, cause, out);
    }

    /// The call is over, whatever stage it was in; what is left of it in Asterisk is hung up.
    pub fn end(
        &mut self,
        now: Timestamp,
        by: EndedBy,
        result: CallResult,
        cause: HangupCause,
        out: Out<'_>,
    ) {
        if self.stage == Stage::Ending {
            return;
        }
        let over_at = self.over_at.unwrap_or(now);
        if let Stage::Talking { since, .. } = self.stage {
            self.record.talk_ms = over_at.since_ms(since);
        }
        let why = match by {
            EndedBy::Caller => Outcome::Abandoned,
            _ => Outcome::Cancelled,
        };
        // Those taken back before have had their hang-up: a second one would find nobody there, and
        // its 404 could overtake the event that tells why the channel went.
        for leg in self.legs.values_mut().filter(|leg| leg.taken_back.is_none()) {
            leg.take_back(now, why);
            out.push(Command::HangUp { channel: leg.channel(), cause: HangupCause::NORMAL });
        }
        if !self.caller.is_gone {
            out.push(Command::HangUp { channel: self.record.channel.clone(), cause });
        }
        self.stage = Stage::Ending;
        self.timers.clear_all();
        self.record.status = CallStatus::Ended;
        self.record.ended_at = Some(over_at);
        self.record.ended_by = Some(by);
        self.record.result = Some(result);
        self.record.cause = Some(cause);
        self.timers.set(Timer::Farewell, now.plus_ms(FAREWELL_MS));
        let talk_ms = self.record.talk_ms;
        self.note(now, Step::Ended { by, result, talk_ms, cause }, out);
        self.hand_out_receipt(now, out);
        self.save(out);
    }

    /// Once more, for those that should be gone by now.
    fn hang_up_all(&mut self, now: Timestamp, out: Out<'_>) {
        let before = out.len();
        if !self.caller.is_gone && self.stage == Stage::Ending {
            let cause = self.record.cause.unwrap_or(HangupCause::NORMAL);
            out.push(Command::HangUp { channel: self.record.channel.clone(), cause });
        }
        for leg in self.legs.values().filter(|leg| leg.taken_back.is_some()) {
            out.push(Command::HangUp { channel: leg.channel(), cause: HangupCause::NORMAL });
        }
        if out.len() > before {
            self.timers.set(Timer::Farewell, now.plus_ms(FAREWELL_MS));
        }
    }

    /// Takes one leg back; its slots are given back when its channel is gone.
    pub fn take_back(&mut self, now: Timestamp, no: u16, why: Outcome, out: Out<'_>) {
        if let Some(leg) = self.legs.get_mut(&no)
            && leg.taken_back.is_none()
        {
            leg.take_back(now, why);
            out.push(Command::HangUp { channel: leg.channel(), cause: HangupCause::NORMAL });
            self.timers.set(Timer::Farewell, now.plus_ms(FAREWELL_MS));
        }
    }

    /// divert is back after a restart: what may have been lost with the old process is done again.
    fn adopted(&mut self, now: Timestamp, out: Out<'_>) {
        self.owed = None;
        match self.stage {
            Stage::Talking { leg, .. } => {
                let Some(channel) = self.legs.get(&leg).map(Leg::channel) else {
                    return;
                };
                if !self.caller.is_up {
                    out.push(Command::Answer { channel: self.record.channel.clone() });
                }
                self.caller.is_bridged = false;
                self.connect(channel, out);
            }
            Stage::PassingOn => {
                out.push(Command::PassOn { channel: self.record.channel.clone() });
            }
            Stage::Ending => self.hang_up_all(now, out),
            Stage::Hunting(no) => {
                if self.legs.get(&no).is_some_and(|leg| leg.stage == LegStage::Creating) {
                    self.create(now, no, out);
                }
            }
            Stage::Deciding(_) => self.ask(now, out),
        }
        if self.stage != Stage::Ending {
            self.note(now, Step::Adopted, out);
        }
    }

    /// Every length of time stays what it was, and every timer runs as long as it would have.
    fn clock_set(&mut self, by_ms: i64, out: Out<'_>) {
        let Self { record, over_at, .. } = self;
        record.started_at = record.started_at.plus_ms(by_ms);
        for at in [&mut record.answered_at, &mut record.ended_at, over_at].into_iter().flatten() {
            *at = at.plus_ms(by_ms);
        }
        self.budget_ends = self.budget_ends.plus_ms(by_ms);
        if let Stage::Talking { since, .. } = &mut self.stage {
            *since = since.plus_ms(by_ms);
        }
        self.timers.move_by(by_ms);
        for leg in self.legs.values_mut() {
            leg.move_by(by_ms);
            out.push(Command::SaveLeg(Box::new(leg.record.clone())));
        }
        self.save(out);
    }

    /// Asterisk was restarted under the call.
    fn lost(&mut self, now: Timestamp, seen_at: Timestamp, out: Out<'_>) {
        let result = match self.stage {
            Stage::Talking { .. } => CallResult::Answered,
            _ => CallResult::Failed,
        };
        self.caller.is_gone = true;
        self.unheard(now, seen_at);
        let gone: Vec<u16> = self.legs.keys().copied().collect();
        self.end(now, EndedBy::Restart, result, HangupCause::OUT_OF_ORDER, out);
        out.retain(|command| !matches!(command, Command::HangUp { .. }));
        for no in gone {
            self.leg_gone(now, no, Departure::silent(seen_at, ChannelState::Down), out);
        }
    }

    pub fn note(&mut self, now: Timestamp, step: Step, out: Out<'_>) {
        out.push(Command::Note(TimelineEntry { seq: self.next_step, at: now, step }));
        self.next_step += 1;
    }

    /// Tells routing how an attempt goes.
    pub fn report(&self, leg: &Leg, news: News, out: Out<'_>) {
        if let Some((flow, _)) = &self.record.flow {
            out.push(Command::Report(Report {
                leg: leg.id(),
                flow: *flow,
                destination: leg.record.destination,
                trunk: leg.record.trunk,
                caller: self.record.caller_key.clone(),
                is_test: self.record.is_test,
                news,
            }));
        }
    }

    pub fn save(&self, out: Out<'_>) {
        out.push(Command::Save(Box::new(self.record.clone())));
    }

    /// Removes a leg whose channel is gone: its slots are free, its row is complete.
    pub fn finish_leg(
        &mut self,
        now: Timestamp,
        no: u16,
        departure: Departure,
        out: Out<'_>,
    ) -> Option<Outcome> {
        let mut leg = self.legs.remove(&no)?;
        let Departure { cause, sip_code, state, .. } = departure;
        let ended_at = departure.at.max(leg.heard_at()).min(now);
        let outcome = match leg.taken_back {
            _ if self.answered_leg == Some(no) => Outcome::Answered,
            Some(why) => why,
            None => {
                let rang =
                    if leg.stage >= LegStage::Ringing { ChannelState::Ringing } else { state };
                outcome::of_leg(cause, sip_code, state.max(rang))
            }
        };
        if leg.record.answered_at.is_none() && state == ChannelState::Up {
            // It costs, even though its answer is heard of only now.
            leg.record.answered_at = Some(ended_at);
            if leg.taken_back.is_none() {
                self.report(&leg, News::Answered, out);
                if let Some(receipt) = &mut self.receipt {
                    receipt.answered(&leg);
                }
            }
        }
        leg.record.ended_at = Some(ended_at);
        leg.record.outcome = Some(outcome);
        leg.record.cause = cause;
        leg.record.sip_code = sip_code;
        let longest_ms = self.route.as_ref().map(|route| route.max_call_ms);
        let cdr = leg.cdr(&self.record, longest_ms);
        let news = match (&cdr, leg.paid_time(longest_ms)) {
            (_, None) => News::unanswered(outcome, sip_code),
            (cdr, Some((answered_at, paid_until))) => News::Ended {
                talk_ms: paid_until.since_ms(answered_at),
                billed_sec: cdr.as_ref().map(|cdr| cdr.charge.billed_sec),
            },
        };
        self.report(&leg, news, out);
        out.push(Command::Release { leg: leg.id() });
        if let Some(receipt) = &mut self.receipt {
            receipt.ended(&leg, cdr.as_ref());
        }
        if let Some(cdr) = cdr.filter(|_| !self.record.is_test) {
            out.push(Command::Bill(Box::new(cdr)));
        }
        if outcome != Outcome::Answered {
            let rang_ms = leg.record.ringing_at.map_or(0, |at| ended_at.since_ms(at));
            let name = leg.record.name.clone();
            let step = Step::NotAnswered { leg: no, name, outcome, cause, sip_code, rang_ms };
            self.note(now, step, out);
        }
        out.push(Command::SaveLeg(Box::new(leg.record)));
        self.hand_out_receipt(now, out);
        Some(outcome)
    }

    /// The last word of a test call, when all its legs have ended.
    fn hand_out_receipt(&mut self, now: Timestamp, out: Out<'_>) {
        if self.stage == Stage::Ending
            && self.legs.is_empty()
            && let Some(receipt) = self.receipt.take()
        {
            self.note(now, Step::Receipt(receipt.finish()), out);
        }
    }
}
