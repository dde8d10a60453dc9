//! Hunting: one destination after another until one answers, then the flow's fallback.
//!
//! Sequential; several destinations at once are a ring group's business.

use super::call::{Call, GUARD_GRACE_MS, Out, Stage};
use super::leg::{Departure, Leg, LegStage};
use super::{Command, FallbackRoute, Route, Timer, outcome};
use crate::model::call::CallStatus;
use crate::model::cause::{CallResult, EndedBy, HangupCause, Outcome};
use crate::model::id::LegId;
use crate::model::objects::forwarding_flow::Ringback;
use crate::model::time::Timestamp;
use crate::model::timeline::{Candidate, Step, Unroutable, Verdict};
use crate::routing::decide::{Ask, Attempt, Decision, Left, News};
use crate::routing::snapshot::Offer;

/// How long Asterisk may take to create a channel.
const READY_MS: i64 = 3_000;
/// What Asterisk's own ring timer is given before ours steps in.
const RING_GRACE_MS: i64 = 2_000;
/// How far Asterisk's ring timer stays behind the ring budget, which is ours to end: at the same
/// moment the two would race.
const BUDGET_GRACE_MS: i64 = 1_000;
/// How long a caller may hear nothing while no destination rings yet.
const RINGBACK_MS: i64 = 1_000;

impl Call {
    /// The first step after arriving.
    pub fn begin(&mut self, now: Timestamp, out: Out<'_>) {
        let Some(route) = &self.route else {
            self.pass_on(out);
            return;
        };
        self.budget_ends = now.plus_ms(route.ring_budget_ms);
        self.timers.set(Timer::Budget, self.budget_ends);
        self.timers.set(Timer::Ringback, now.plus_ms(RINGBACK_MS));
        self.hunt(now, out);
    }

    /// Of a call that is under way already: one of its legs follows, if it has any.
    pub fn resume(&mut self, now: Timestamp) {
        let budget_ms = self.route.as_ref().map_or(0, |route| route.ring_budget_ms);
        self.budget_ends = now.plus_ms(budget_ms);
        self.timers.set(Timer::Budget, self.budget_ends);
        self.stage = Stage::Hunting(self.last_leg);
    }

    /// A leg that rings or has rung, as far as is known.
    pub fn leg_found(&mut self, now: Timestamp, no: u16, offer: Offer, out: Out<'_>) {
        if !self.may_have_lost(no) {
            return;
        }
        (self.last_leg, self.owed) = (no, None);
        self.note_attempt(&offer);
        self.stage = Stage::Hunting(no);
        let (name, endpoint) = (offer.name.clone(), offer.endpoint.clone());
        let mut leg = Leg::new(LegId { call: self.id(), no }, offer, now);
        leg.stage = LegStage::Dialled;
        leg.dialled_at = Some(now);
        self.timers.clear(Timer::Ready);
        self.timers.set(Timer::Ring, now.plus_ms(leg.ring_timeout_ms + RING_GRACE_MS));
        let record = leg.record.clone();
        self.legs.insert(no, leg);
        self.note(now, Step::Routed { leg: no, name, endpoint, candidates: Vec::new() }, out);
        out.push(Command::SaveLeg(Box::new(record)));
        self.guard(out);
    }

    fn note_attempt(&mut self, offer: &Offer) {
        let trunk = offer.trunk;
        let attempt = |destination| Attempt { destination, trunk, outcome: None };
        self.tried.extend(offer.destination.map(attempt));
    }

    /// Whether a leg with this number may have been dialled, although nothing is known of it here.
    pub fn may_have_lost(&self, no: u16) -> bool {
        match self.stage {
            Stage::Deciding(asked) => no >= asked,
            Stage::Hunting(_) => no > self.last_leg,
            Stage::Ending | Stage::PassingOn | Stage::Talking { .. } => false,
        }
    }

    /// The next destination, or the fallback when there may be none.
    fn hunt(&mut self, now: Timestamp, out: Out<'_>) {
        if self.left() == Left::Nothing || now >= self.budget_ends {
            self.fall_back(now, out);
            return;
        }
        self.ask(now, out);
    }

    fn left(&self) -> Left {
        let most = self.route.as_ref().map_or(0, |route| route.max_attempts);
        Left::after(&self.tried, most)
    }

    /// Asks for a destination for a new leg, or for the fallback number.
    pub fn ask(&mut self, now: Timestamp, out: Out<'_>) {
        self.last_leg += 1;
        let no = self.last_leg;
        self.stage = Stage::Deciding(no);
        self.owed = Some(no);
        if let Some(route) = &self.route {
            out.push(Command::Decide(Ask {
                leg: LegId { call: self.id(), no },
                flow: route.flow,
                at: now,
                caller: self.record.caller_key.clone(),
                repeat: self.repeat.map(|rule| rule.then),
                tried: self.tried.clone(),
                is_last: !self.is_falling_back && self.left() == Left::NextTrunk,
                is_fallback: self.is_falling_back,
                is_test: self.record.is_test,
            }));
        }
    }

    pub fn decided(&mut self, now: Timestamp, no: u16, decision: Decision, out: Out<'_>) {
        let is_awaited = self.stage == Stage::Deciding(no);
        if self.owed == Some(no) {
            self.owed = None;
        }
        match decision {
            Decision::Picked { mut offer, candidates, would } if is_awaited => {
                self.note_attempt(&offer);
                if self.record.is_test {
                    offer.ring_timeout_ms = offer.ring_timeout_ms.min(Route::TEST_MS);
                }
                self.stage = Stage::Hunting(no);
                self.start_leg(now, no, offer, candidates, out);
                if let Some((leg, would)) = self.legs.get_mut(&no).zip(would) {
                    leg.would = *would;
                    if let Some(receipt) = &mut self.receipt {
                        receipt.picked(leg);
                    }
                }
            }
            // The call ended while the question was open.
            Decision::Picked { .. } => {
                out.push(Command::Release { leg: LegId { call: self.id(), no } });
            }
            Decision::Unroutable { reason, candidates } if is_awaited => {
                if self.tried.is_empty() {
                    self.refusal = self.refusal.or_else(|| outcome::refusal(reason, &candidates));
                }
                let is_plain = candidates.iter().all(|one| one.verdict != Verdict::NumberTried);
                if reason != Unroutable::AllTried || !is_plain {
                    self.note(now, Step::Unroutable { reason, candidates }, out);
                }
                match reason {
                    // The rule says what becomes of such a caller, whatever the fallback of the others.
                    Unroutable::RepeatCaller => self.reject(now, Some(HangupCause::USER_BUSY), out),
                    // Flow or fallback number were taken away meanwhile.
                    _ if self.is_falling_back => self.back_to_dialplan(now, out),
                    _ => self.fall_back(now, out),
                }
            }
            Decision::Refused { name, verdict } if is_awaited => {
                self.refusal = self.refusal.or_else(|| outcome::refused(verdict));
                let why = verdict.why_not().unwrap_or_default();
                let what = format!("{name} is not dialled: {why}");
                self.note(now, Step::Fallback { what }, out);
                // Its number has said what became of the call.
                let cause = (verdict != Verdict::NumberTried).then_some(HangupCause::CONGESTION);
                self.reject(now, cause, out);
            }
            Decision::Refused { .. } | Decision::Unroutable { .. } => {}
        }
    }

    fn start_leg(
        &mut self,
        now: Timestamp,
        no: u16,
        offer: Offer,
        candidates: Vec<Candidate>,
        out: Out<'_>,
    ) {
        let (name, endpoint) = (offer.name.clone(), offer.endpoint.clone());
        let leg = Leg::new(LegId { call: self.id(), no }, offer, now);
        let record = leg.record.clone();
        self.legs.insert(no, leg);
        self.create(now, no, out);
        let step = if self.is_falling_back {
            Step::Fallback { what: format!("dialling {endpoint}") }
        } else {
            Step::Routed { leg: no, name, endpoint, candidates }
        };
        self.note(now, step, out);
        out.push(Command::SaveLeg(Box::new(record)));
    }

    pub fn create(&mut self, now: Timestamp, no: u16, out: Out<'_>) {
        let Some(leg) = self.legs.get(&no) else {
            return;
        };
        out.push(Command::Create {
            leg: leg.id(),
            destination: leg.record.destination,
            trunk: leg.record.trunk,
            endpoint: leg.record.endpoint.clone(),
            originator: self.record.channel.clone(),
            limit_ms: self.longest_ms(),
            is_test: self.record.is_test,
        });
        self.timers.set(Timer::Ready, now.plus_ms(READY_MS));
    }

    /// For each leg anew, since the caller may have got another limit from the dialplan when the leg
    /// before ended; and behind its `Dial`, so that it costs the caller no time.
    fn guard(&self, out: Out<'_>) {
        let channel = self.record.channel.clone();
        out.push(Command::Guard { channel, limit_ms: self.longest_ms() });
    }

    /// Longer than this no channel of the call may live, whatever becomes of divert.
    pub fn longest_ms(&self) -> i64 {
        self.route.as_ref().map_or(GUARD_GRACE_MS, |route| {
            route.ring_budget_ms + route.max_call_ms + GUARD_GRACE_MS
        })
    }

    pub fn leg_ready(&mut self, now: Timestamp, no: u16, out: Out<'_>) {
        let budget_left_ms = self.budget_ends.since_ms(now);
        let is_fallback = self.is_falling_back;
        let is_ours = self.stage == Stage::Hunting(no);
        let Some(leg) = self.legs.get_mut(&no) else {
            return;
        };
        if !is_ours || leg.stage != LegStage::Creating {
            return;
        }
        leg.stage = LegStage::Dialled;
        leg.dialled_at = Some(now);
        let timeout_ms = if is_fallback {
            leg.ring_timeout_ms
        } else {
            leg.ring_timeout_ms.min(budget_left_ms + BUDGET_GRACE_MS)
        };
        let (id, channel) = (leg.id(), leg.channel());
        self.timers.clear(Timer::Ready);
        self.timers.set(Timer::Ring, now.plus_ms(timeout_ms + RING_GRACE_MS));
        if self.route.as_ref().is_some_and(|route| route.ringback == Ringback::EarlyMedia) {
            self.connect(channel, out);
        }
        out.push(Command::Dial { leg: id, caller: self.record.channel.clone(), timeout_ms });
        self.guard(out);
    }

    pub fn leg_ringing(&mut self, now: Timestamp, no: u16, out: Out<'_>) {
        let Some(leg) = self.legs.get_mut(&no) else {
            return;
        };
        if leg.stage != LegStage::Dialled || leg.taken_back.is_some() {
            return;
        }
        leg.stage = LegStage::Ringing;
        leg.record.ringing_at = Some(now);
        let name = leg.record.name.clone();
        self.ring_caller(out);
        self.note(now, Step::Ringing { leg: no, name }, out);
        if let Some(leg) = self.legs.get(&no) {
            self.report(leg, News::Ringing, out);
        }
        if self.record.status == CallStatus::Routing {
            self.record.status = CallStatus::Ringing;
            self.save(out);
        }
    }

    pub fn ring_caller(&mut self, out: Out<'_>) {
        self.timers.clear(Timer::Ringback);
        if !self.caller.hears_ringing {
            self.caller.hears_ringing = true;
            out.push(Command::Ring { channel: self.record.channel.clone() });
        }
    }

    /// `at` is when it was answered: earlier, where nobody listened.
    pub fn leg_up(&mut self, now: Timestamp, no: u16, at: Timestamp, out: Out<'_>) {
        let is_awaited = self.stage == Stage::Hunting(no);
        let Some(leg) = self.legs.get_mut(&no) else {
            return;
        };
        if leg.stage == LegStage::Up {
            return;
        }
        leg.stage = LegStage::Up;
        leg.record.answered_at = Some(at.max(leg.heard_at()).min(now));
        let was_taken_back = leg.taken_back.is_some();
        let record = leg.record.clone();
        // Too late, it costs but nobody talked: the caller does not belong there.
        if let Some(leg) = self.legs.get(&no).filter(|_| !was_taken_back) {
            self.report(leg, News::Answered, out);
            if let Some(receipt) = &mut self.receipt {
                receipt.answered(leg);
            }
        }
        if is_awaited {
            self.talk(now, no, out);
        }
        out.push(Command::SaveLeg(Box::new(record)));
    }

    pub fn leg_gone(&mut self, now: Timestamp, no: u16, departure: Departure, out: Out<'_>) {
        let Some(outcome) = self.finish_leg(now, no, departure, out) else {
            return;
        };
        match self.stage {
            Stage::Talking { leg, .. } if leg == no => {
                let cause = departure.cause.unwrap_or(HangupCause::NORMAL);
                self.end(now, EndedBy::Destination, CallResult::Answered, cause, out);
            }
            Stage::Hunting(at) if at == no => self.attempt_failed(now, outcome, out),
            _ => {}
        }
    }

    /// A command on a leg failed while its channel exists: the attempt is over.
    pub fn leg_failed(&mut self, now: Timestamp, no: u16, out: Out<'_>) {
        match self.stage {
            Stage::Hunting(at) if at == no => {
                self.take_back(now, no, Outcome::TrunkFailed, out);
                self.attempt_failed(now, Outcome::TrunkFailed, out);
            }
            Stage::Talking { leg, .. } if leg == no => {
                self.end(now, EndedBy::Divert, CallResult::Failed, HangupCause::FAILURE, out);
            }
            _ => {}
        }
    }

    /// Asterisk's own timer should have ended the attempt, or its channel never came.
    pub fn gave_no_sign(&mut self, now: Timestamp, out: Out<'_>) {
        let Stage::Hunting(no) = self.stage else {
            return;
        };
        let outcome = self.silent_outcome(no);
        self.take_back(now, no, outcome, out);
        self.attempt_failed(now, outcome, out);
    }

    pub fn budget_spent(&mut self, now: Timestamp, out: Out<'_>) {
        if let Stage::Hunting(no) = self.stage {
            let outcome = self.silent_outcome(no);
            self.take_back(now, no, outcome, out);
            self.note_failure(outcome);
            self.fall_back(now, out);
        }
    }

    fn silent_outcome(&self, no: u16) -> Outcome {
        let rang = self.legs.get(&no).is_some_and(|leg| leg.stage >= LegStage::Ringing);
        if rang { Outcome::NoAnswer } else { Outcome::Unreachable }
    }

    fn attempt_failed(&mut self, now: Timestamp, outcome: Outcome, out: Out<'_>) {
        self.timers.clear(Timer::Ready);
        self.timers.clear(Timer::Ring);
        self.note_failure(outcome);
        if self.is_falling_back {
            self.reject(now, None, out);
        } else {
            self.hunt(now, out);
        }
    }

    fn note_failure(&mut self, outcome: Outcome) {
        self.last_failure = Some(outcome);
        if !self.is_falling_back
            && let Some(attempt) = self.tried.last_mut()
        {
            attempt.outcome = Some(outcome);
        }
    }

    fn fall_back(&mut self, now: Timestamp, out: Out<'_>) {
        for timer in [Timer::Budget, Timer::Ready, Timer::Ring] {
            self.timers.clear(timer);
        }
        match self.route.as_ref().map(|route| route.fallback.clone()) {
            Some(FallbackRoute::Number) => {
                self.is_falling_back = true;
                self.ask(now, out);
            }
            Some(FallbackRoute::HangUp(cause)) => self.reject(now, cause, out),
            Some(FallbackRoute::Dialplan) | None => self.back_to_dialplan(now, out),
        }
    }

    fn back_to_dialplan(&mut self, now: Timestamp, out: Out<'_>) {
        let what = "back to the dialplan".to_owned();
        self.note(now, Step::Fallback { what }, out);
        self.pass_on(out);
    }

    fn pass_on(&mut self, out: Out<'_>) {
        self.timers.clear_all();
        self.stage = Stage::PassingOn;
        out.push(Command::PassOn { channel: self.record.channel.clone() });
    }

    /// Hang up on the caller, saying why.
    fn reject(&mut self, now: Timestamp, cause: Option<HangupCause>, out: Out<'_>) {
        let (result, why) = match self.last_failure {
            Some(failure) => (outcome::result(failure), outcome::rejection(failure)),
            None => (self.refusal.unwrap_or(CallResult::Failed), HangupCause::CONGESTION),
        };
        self.end(now, EndedBy::Divert, result, cause.unwrap_or(why), out);
    }
}
