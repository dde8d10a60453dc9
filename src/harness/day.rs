//! A day of logged calls run again through a configuration: what the same callers would have met.
//!
//! The decisions are those of the server, with slots held and given back at the moments the calls
//! would have done so; only the world around them is made up, by these rules:
//!
//! * A call that anybody answered is answered wherever it goes, after the same ringing and for the
//!   same conversation, unless it rings there for a shorter time.
//! * An attempt that failed fails in the same way, after the same time, on its own destination.
//! * A call that nobody answered is not answered elsewhere either: it rings there until the ring
//!   time is over, and the caller hangs up when they did.
//! * A fallback number is no destination: a call that only it answered is one that nobody took, and
//!   neither its conversation nor its cost counts. It holds its slots as long as it did, or, where the
//!   call did not come to it, for the time it rings.
//! * Nothing is remembered from before the period but the calls that were still live.
//! * Balances are not replayed: a prepaid account does not run out.
//! * A trunk is as its calls show it, and nothing else: what Asterisk said of its endpoint is not
//!   logged, so every endpoint is taken for online.
//! * A call arrives on the master where it arrived; if nobody owns its DID there, its flow may have
//!   taken the DID along to another one. Where it arrived on a master that is not known, it belongs
//!   to the only flow with its DID; to nobody, if there are several.
//!
//! Pure: calls in, figures out, the same every time. Reading calls and printing figures is not done
//! here.

use std::collections::BTreeMap;

pub use super::figures::{Figures, LoggedCall, Period, Share, logged};
use crate::model::billing::Charge;
use crate::model::call::LegRecord;
use crate::model::cause::{CallResult, Outcome};
use crate::model::id::{CallId, DestinationId, LegId};
use crate::model::number::CallerKey;
use crate::model::stickiness::RepeatAction;
use crate::model::time::Timestamp;
use crate::model::timeline::Unroutable;
use crate::routing::decide::{self, Ask, Decision, Left, LiveLeg, News, Report, State};
use crate::routing::snapshot::{FlowPlan, Offer, Snapshot};

/// Runs `calls` through `snapshot`; in any order.
#[must_use]
pub fn replay(snapshot: &Snapshot, calls: &[LoggedCall], period: Period) -> Figures {
    let mut day = Day::new(snapshot, period);
    for logged in calls {
        if logged.call.started_at < period.from {
            day.carry_over(logged);
        } else if logged.call.started_at < period.to {
            day.plan(logged.call.started_at, logged.call.id, Event::Arrives(logged));
        }
    }
    while let Some((key, event)) = day.events.pop_first() {
        day.happen(key.at, event);
    }
    day.figures
}

/// What is due, in order of time; whoever goes makes room for whoever comes at the same moment.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Due {
    at: Timestamp,
    comes: bool,
    call: CallId,
}

#[derive(Clone, Copy, Debug)]
enum Event<'a> {
    /// The attempt that rings is answered.
    Answers(CallId),
    Arrives(&'a LoggedCall),
    /// The attempt that rings comes to nothing.
    Fails(CallId, End),
    /// The conversation is over.
    HangsUp(CallId),
    /// A leg is over that counts for nothing: from before the period, or to a fallback number.
    Leaves(LegId, Option<DestinationId>),
}

/// Why an attempt came to nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// The flow's time for ringing is over.
    Budget,
    Caller,
    Destination(News),
}

struct Day<'a> {
    snapshot: &'a Snapshot,
    period: Period,
    state: State,
    events: BTreeMap<Due, Event<'a>>,
    calls: BTreeMap<CallId, Call<'a>>,
    live: BTreeMap<DestinationId, u32>,
    figures: Figures,
}

/// A call under way.
struct Call<'a> {
    logged: &'a LoggedCall,
    plan: &'a FlowPlan,
    caller: Option<CallerKey>,
    repeat: Option<RepeatAction>,
    counts: bool,
    tried: Vec<decide::Attempt>,
    budget_ends: Timestamp,
    attempt: Option<Attempt>,
}

/// The destination that has the call.
#[derive(Clone, Debug)]
struct Attempt {
    leg: LegId,
    destination: DestinationId,
    offer: Offer,
    answer: Option<Answer>,
}

/// How an answered call goes, wherever it is answered.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_field_names, reason = "the unit belongs to each of the names")]
struct Answer {
    /// From dialling to the answer.
    after_ms: i64,
    /// Of that, from the first ring on.
    rang_ms: i64,
    /// From the answer to the end of the leg.
    lasts_ms: i64,
    talk_ms: i64,
}

impl<'a> Day<'a> {
    fn new(snapshot: &'a Snapshot, period: Period) -> Self {
        Self {
            snapshot,
            period,
            state: State::default(),
            events: BTreeMap::new(),
            calls: BTreeMap::new(),
            live: BTreeMap::new(),
            figures: Figures::default(),
        }
    }

    fn plan(&mut self, at: Timestamp, call: CallId, event: Event<'a>) {
        let comes = matches!(event, Event::Arrives(_));
        self.events.insert(Due { at, comes, call }, event);
    }

    /// A call from before the period keeps its slots until it ends.
    fn carry_over(&mut self, logged: &LoggedCall) {
        let is_live = |leg: &&LegRecord| leg.ended_at.is_none_or(|end| end > self.period.from);
        let Some(leg) = logged.legs.iter().rfind(is_live) else {
            return;
        };
        let id = LegId { call: leg.call, no: leg.no };
        let live = LiveLeg {
            leg: id,
            account: logged.call.account,
            destination: leg.destination,
            trunk: leg.trunk,
            is_test: false,
            is_up: leg.answered_at.is_some(),
        };
        decide::readopt(self.snapshot, &mut self.state, &live, None);
        if let Some(destination) = leg.destination {
            if let Some(flow) = self.period.name_of(&logged.call) {
                self.figures.share(destination, flow, &leg.name);
            }
            self.goes_live(destination);
        }
        let ended_at = leg.ended_at.unwrap_or(self.period.to);
        self.plan(ended_at, leg.call, Event::Leaves(id, leg.destination));
    }

    fn happen(&mut self, now: Timestamp, event: Event<'a>) {
        match event {
            Event::Answers(call) => self.answers(now, call),
            Event::Arrives(logged) => self.arrives(now, logged),
            Event::Fails(call, end) => self.fails(now, call, end),
            Event::HangsUp(call) => self.hangs_up(now, call),
            Event::Leaves(leg, destination) => {
                self.state.release(leg);
                if let Some(destination) = destination {
                    self.goes(destination);
                }
            }
        }
    }

    fn arrives(&mut self, now: Timestamp, logged: &'a LoggedCall) {
        let (snapshot, call) = (self.snapshot, logged.call.id);
        let Some(plan) = logged.owner(snapshot) else {
            if self.period.flow.is_none() {
                self.figures.calls += 1;
                self.figures.not_taken += 1;
            }
            return;
        };
        let counts = self.period.flow.is_none_or(|only| only == plan.flow.id);
        self.figures.calls += u64::from(counts);
        let caller = snapshot.caller_key(plan, &logged.call.caller);
        self.state.follow(snapshot);
        let repeat = caller.as_ref().and_then(|caller| self.state.repeat(plan, caller, now));
        if let Some(caller) = &caller {
            self.state.visit(snapshot, plan, caller, call, now);
        }
        let budget_ends = now.plus_ms(i64::from(plan.flow.ring_budget_sec) * 1_000);
        let (tried, attempt) = (Vec::new(), None);
        let repeat = repeat.map(|rule| rule.then);
        let under_way = Call { logged, plan, caller, repeat, counts, tried, budget_ends, attempt };
        self.calls.insert(call, under_way);
        self.hunt(now, call);
    }

    /// The next destination, or the end of the hunt.
    fn hunt(&mut self, now: Timestamp, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if call.left() == Left::Nothing || now >= call.budget_ends {
            self.falls_back(now, id);
            return;
        }
        let ask = call.ask(now, false);
        match decide::decide(self.snapshot, &mut self.state, &ask) {
            Decision::Picked { offer, .. } => self.try_destination(now, id, ask.leg, offer),
            Decision::Refused { .. } => {}
            Decision::Unroutable { reason, .. } => {
                // As in the timeline: to have tried all is no refusal.
                if call.counts && reason != Unroutable::AllTried {
                    *self.figures.refusals.entry(word(reason)).or_default() += 1;
                }
                match reason {
                    Unroutable::RepeatCaller => self.not_taken(id),
                    _ => self.falls_back(now, id),
                }
            }
        }
    }

    fn try_destination(&mut self, now: Timestamp, id: CallId, leg: LegId, offer: Offer) {
        let (Some(destination), Some(call)) = (offer.destination, self.calls.get_mut(&id)) else {
            return;
        };
        let (trunk, outcome) = (offer.trunk, None);
        let before = call.tried.iter().filter(|one| one.destination == destination).count();
        call.tried.push(decide::Attempt { destination, trunk, outcome });
        let (after_ms, end, answer) = call.fate(destination, before, &offer);
        let mut due = (now.plus_ms(after_ms), end.map(End::Destination));
        if call.budget_ends < due.0 {
            due = (call.budget_ends, Some(End::Budget));
        }
        if let Some(at) = call.gives_up().filter(|at| *at < due.0) {
            due = (at.max(now), Some(End::Caller));
        }
        let (flow, counts) = (call.plan, call.counts);
        // Over its next trunk it is the same call.
        if counts && before == 0 {
            let share = self.figures.share(destination, &flow.flow.name, &offer.name);
            share.calls += 1;
        }
        call.attempt = Some(Attempt { leg, destination, offer, answer });
        self.goes_live(destination);
        let event = due.1.map_or(Event::Answers(id), |end| Event::Fails(id, end));
        self.plan(due.0, id, event);
    }

    fn answers(&mut self, now: Timestamp, id: CallId) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let Some((attempt, answer)) = call.attempt.as_ref().and_then(|a| Some((a, a.answer?)))
        else {
            return;
        };
        let longest = i64::from(call.plan.flow.max_call_sec) * 1_000;
        let ends = now.plus_ms(answer.lasts_ms.min(longest));
        let report = call.report(attempt, News::Answered);
        if call.counts {
            let talk_ms = answer.talk_ms.min(longest);
            let figures = &mut self.figures;
            figures.answered += 1;
            figures.talk_ms += talk_ms;
            if let Some(share) = figures.destinations.get_mut(&attempt.destination) {
                share.answered += 1;
                share.talk_ms += talk_ms;
            }
        }
        self.state.report(self.snapshot, now, &report);
        self.plan(ends, id, Event::HangsUp(id));
    }

    fn hangs_up(&mut self, now: Timestamp, id: CallId) {
        let Some(call) = self.calls.remove(&id) else {
            return;
        };
        let Some((attempt, answer)) = call.attempt.as_ref().and_then(|a| Some((a, a.answer?)))
        else {
            return;
        };
        let longest = i64::from(call.plan.flow.max_call_sec) * 1_000;
        let lasted = answer.lasts_ms.min(longest);
        let charge = attempt.offer.tariff.as_ref();
        let charge: Option<Charge> = charge.map(|tariff| tariff.charge(answer.rang_ms, lasted));
        let billed_sec = charge.map(|charge| charge.billed_sec);
        let news = News::Ended { talk_ms: lasted, billed_sec };
        self.state.report(self.snapshot, now, &call.report(attempt, news));
        self.state.release(attempt.leg);
        self.goes(attempt.destination);
        if let Some(charge) = charge.filter(|_| call.counts) {
            let currency = charge.currency.to_string();
            self.figures.charge(Some(attempt.destination), charge.amount, &currency);
        }
    }

    fn fails(&mut self, now: Timestamp, id: CallId, end: End) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Some(attempt) = call.attempt.take() else {
            return;
        };
        let news = match end {
            End::Budget => News::Failed(Outcome::NoAnswer),
            End::Caller => News::Failed(Outcome::Abandoned),
            End::Destination(news) => news,
        };
        if let (News::Failed(outcome), Some(last)) = (news, call.tried.last_mut()) {
            last.outcome = Some(outcome);
        }
        let report = call.report(&attempt, news);
        self.state.report(self.snapshot, now, &report);
        self.state.release(attempt.leg);
        self.goes(attempt.destination);
        match end {
            End::Budget => self.falls_back(now, id),
            End::Caller => {
                if self.calls.remove(&id).is_some_and(|call| call.counts) {
                    self.figures.abandoned += 1;
                }
            }
            End::Destination(_) => self.hunt(now, id),
        }
    }

    /// Nobody took the call: the fallback number, if the flow has one, takes the slots it needs.
    fn falls_back(&mut self, now: Timestamp, id: CallId) {
        if let Some(call) = self.calls.get(&id)
            && call.plan.fallback.is_some()
        {
            let ask = call.ask(now, true);
            let decision = decide::decide(self.snapshot, &mut self.state, &ask);
            if let Decision::Picked { offer, .. } = decision {
                let lasted_ms = call.logged.fallback_ms().unwrap_or(offer.ring_timeout_ms);
                let ends = now.plus_ms(lasted_ms);
                let gives_up = call.gives_up().map_or(ends, |at| at.max(now));
                self.plan(ends.min(gives_up), id, Event::Leaves(ask.leg, None));
            }
        }
        self.not_taken(id);
    }

    fn not_taken(&mut self, id: CallId) {
        if self.calls.remove(&id).is_some_and(|call| call.counts) {
            self.figures.not_taken += 1;
        }
    }

    fn goes_live(&mut self, destination: DestinationId) {
        let live = self.live.entry(destination).or_default();
        *live += 1;
        if let Some(share) = self.figures.destinations.get_mut(&destination) {
            share.highest_live = share.highest_live.max(*live);
        }
    }

    fn goes(&mut self, destination: DestinationId) {
        if let Some(live) = self.live.get_mut(&destination) {
            *live = live.saturating_sub(1);
        }
    }
}

impl Call<'_> {
    fn left(&self) -> Left {
        Left::after(&self.tried, self.plan.flow.max_attempts)
    }

    /// What an attempt at `destination` comes to, which had so many over other trunks before, if
    /// nobody interrupts it: after how long, and either a failure or an answer.
    fn fate(
        &self,
        destination: DestinationId,
        before: usize,
        offer: &Offer,
    ) -> (i64, Option<News>, Option<Answer>) {
        let mut legs = self.logged.legs.iter().filter(|leg| leg.destination == Some(destination));
        let own = legs.nth(before);
        // What the caller or divert cut short says nothing about the destination.
        let failed = own.and_then(|leg| {
            let outcome = leg.outcome.filter(|outcome| {
                !matches!(outcome, Outcome::Abandoned | Outcome::Answered | Outcome::Cancelled)
            })?;
            let news = News::unanswered(outcome, leg.sip_code);
            Some((leg.ended_at?.since_ms(leg.started_at), news))
        });
        if let Some((after_ms, news)) = failed {
            return (after_ms.min(offer.ring_timeout_ms), Some(news), None);
        }
        match self.logged.answer().filter(|answer| answer.after_ms <= offer.ring_timeout_ms) {
            Some(answer) => (answer.after_ms, None, Some(answer)),
            None => (offer.ring_timeout_ms, Some(News::Failed(Outcome::NoAnswer)), None),
        }
    }

    /// When the caller hung up on everybody.
    fn gives_up(&self) -> Option<Timestamp> {
        let call = &self.logged.call;
        call.ended_at.filter(|_| call.result == Some(CallResult::Abandoned))
    }

    /// The question of the next attempt.
    fn ask(&self, now: Timestamp, is_fallback: bool) -> Ask {
        let no = self.tried.len() + 1;
        Ask {
            leg: LegId { call: self.logged.call.id, no: u16::try_from(no).unwrap_or(u16::MAX) },
            flow: self.plan.flow.id,
            at: now,
            caller: self.caller.clone(),
            repeat: self.repeat,
            tried: self.tried.clone(),
            is_last: !is_fallback && self.left() == Left::NextTrunk,
            is_fallback,
            is_test: false,
        }
    }

    fn report(&self, attempt: &Attempt, news: News) -> Report {
        Report {
            leg: attempt.leg,
            flow: self.plan.flow.id,
            destination: Some(attempt.destination),
            trunk: Some(attempt.offer.trunk),
            caller: self.caller.clone(),
            is_test: false,
            news,
        }
    }
}

impl LoggedCall {
    fn owner<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a FlowPlan> {
        let owners = || snapshot.owners(self.call.did.as_str()).map(|plan| &**plan);
        let Some(master) = self.master else {
            return owners().next().filter(|_| owners().nth(1).is_none());
        };
        let own = self.call.flow.as_ref().map(|(flow, _)| *flow);
        let here = owners().find(|plan| plan.flow.master == master);
        here.or_else(|| owners().find(|plan| Some(plan.flow.id) == own))
    }

    /// How the leg went that a destination answered, if one did; a fallback number is none. A
    /// conversation that goes on counts as far as it is known: not at all.
    fn answer(&self) -> Option<Answer> {
        let mut legs = self.legs.iter().filter(|leg| leg.destination.is_some());
        let leg = legs.find(|leg| leg.outcome == Some(Outcome::Answered))?;
        let (answered_at, ended_at) = (leg.answered_at?, leg.ended_at?);
        Some(Answer {
            after_ms: answered_at.since_ms(leg.started_at),
            // Where no ring was told of it counts from the dial, and that was just before.
            rang_ms: answered_at.since_ms(leg.ringing_at.unwrap_or(leg.started_at)),
            lasts_ms: ended_at.since_ms(answered_at),
            talk_ms: self.call.talk_ms,
        })
    }

    /// How long the fallback number had the call, if it came to it.
    fn fallback_ms(&self) -> Option<i64> {
        let leg = self.legs.iter().find(|leg| leg.destination.is_none())?;
        Some(leg.ended_at?.since_ms(leg.started_at))
    }
}

/// The reason in the one word that the API has for it.
fn word(reason: Unroutable) -> String {
    let word = serde_json::to_value(reason).ok();
    word.as_ref().and_then(|word| word.as_str()).unwrap_or("unknown").to_owned()
}
