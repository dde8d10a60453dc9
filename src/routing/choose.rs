//! Who takes a call, and why nobody else: looking only.
//!
//! [`choose`] changes nothing and, with a [`Choice`] that is used again, allocates nothing. What
//! follows from a choice is done by [`super::decide::commit`].

use std::sync::Arc;

use super::flow_state::FlowState;
use super::pick::{Share, Wheel};
use super::slots::{Limit, Scope};
use super::snapshot::{FlowPlan, Layout, Line, Snapshot, Way};
use super::state::State;
use super::sticky;
use crate::model::cause::Outcome;
use crate::model::memory::Binding;
use crate::model::objects::destination::{DestinationState, Landing};
use crate::model::objects::forwarding_flow::{Fallback, ForwardingFlowState};
use crate::model::stickiness::RepeatAction;
use crate::model::timeline::{PassedOver, Unroutable, Verdict};

use super::ask::{Ask, Attempt};

/// What a node knows of limits that it shares with other nodes; by default it shares none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ledger<'a> {
    /// How many slots all nodes together were heard to hold of some scopes.
    pub live: &'a [(Scope, u32)],
    /// It cannot be asked: nothing that has a limit may be used.
    pub is_away: bool,
}

/// The answer, to be read with the plan of the flow it was made for.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Of each line; empty when the flow itself takes no call.
    verdicts: Vec<Option<Verdict>>,
    /// By which of its ways a line can be reached, where it can.
    ways: Vec<usize>,
    /// Who stood at the wheel together with the one that was picked.
    pub(super) eligible: Vec<Share>,
    picked: Option<Picked>,
    /// Of the fallback number, where that was asked for.
    fallback: Option<Verdict>,
    reason: Option<Unroutable>,
    /// What the places mean.
    layout: Option<Arc<Layout>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Picked {
    /// Place among the lines.
    pub line: usize,
    /// Place among the ways of the line.
    pub way: usize,
    pub by: By,
}

/// What decided.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum By {
    NextTrunk,
    Rule,
    Sticky,
    Wheel,
}

impl Choice {
    /// Why nobody was chosen; `None` when somebody was.
    #[must_use]
    pub fn reason(&self) -> Option<Unroutable> {
        self.reason
    }

    /// How each destination was judged, in the order of the plan's lines; none when the flow itself
    /// takes no call.
    pub fn verdicts(&self) -> impl Iterator<Item = Verdict> {
        self.verdicts.iter().map(|verdict| verdict.unwrap_or(Verdict::NotItsTurn))
    }

    /// Why the fallback number cannot be dialled that was asked for.
    #[must_use]
    pub fn refused(&self) -> Option<Verdict> {
        self.fallback.filter(|verdict| !verdict.is_chosen())
    }

    /// The way that was chosen, to a destination or to the fallback number.
    #[must_use]
    pub fn way<'a>(&self, plan: &'a FlowPlan) -> Option<&'a Way> {
        match self.fallback {
            Some(verdict) => plan.fallback.as_ref().filter(|_| verdict.is_chosen()),
            None => self.chosen(plan).map(|(_, way)| way),
        }
    }

    /// The way to a destination that was chosen, with its line.
    #[must_use]
    pub fn chosen<'a>(&self, plan: &'a FlowPlan) -> Option<(&'a Line, &'a Way)> {
        let picked = self.picked?;
        let line = plan.lines.get(picked.line)?;
        Some((line, line.ways.get(picked.way)?))
    }

    /// The same with the place of the line.
    pub(super) fn picked_of<'a>(&self, plan: &'a FlowPlan) -> Option<(usize, &'a Line, &'a Way)> {
        self.chosen(plan).zip(self.picked).map(|((line, way), picked)| (picked.line, line, way))
    }

    /// What a slot is needed of, sorted by scope, so that all who take several take them in the same
    /// order.
    #[must_use]
    pub fn limits(&self, snapshot: &Snapshot, plan: &FlowPlan) -> Vec<Limit> {
        let Some(way) = self.way(plan) else {
            return Vec::new();
        };
        let limit = |at: &u32| snapshot.layout.limits[*at as usize];
        let mut limits: Vec<Limit> = way.limits.iter().map(limit).collect();
        limits.sort_by_key(|limit| limit.scope);
        limits
    }

    /// Turns the wheel past who was picked; `false` if it does not move for that.
    pub(super) fn move_wheel(&self, wheel: &mut Wheel) -> bool {
        match self.picked {
            None | Some(Picked { by: By::NextTrunk, .. }) => false,
            Some(Picked { line, by: By::Rule | By::Sticky, .. }) => {
                wheel.charge(&self.eligible, line)
            }
            Some(Picked { line, by: By::Wheel, .. }) => {
                wheel.turn(&self.eligible, line);
                true
            }
        }
    }

    /// Whether it was made on this configuration.
    pub(super) fn is_of(&self, snapshot: &Snapshot) -> bool {
        self.layout.as_ref().is_some_and(|layout| Arc::ptr_eq(layout, &snapshot.layout))
    }

    pub(super) fn picked(&self) -> Option<Picked> {
        self.picked
    }

    fn begin(&mut self, layout: &Arc<Layout>) {
        self.layout = Some(Arc::clone(layout));
        self.verdicts.clear();
        self.ways.clear();
        self.eligible.clear();
        self.picked = None;
        self.fallback = None;
        self.reason = None;
    }

    fn is_free(&self, place: usize) -> bool {
        self.verdicts[place].is_none()
    }

    /// Free, or only drained: weight 0 is for new callers.
    fn takes_its_own(&self, place: usize) -> bool {
        matches!(self.verdicts[place], None | Some(Verdict::Drained))
    }
}

/// Looks for who takes the call of `ask`, and writes it into `choice`. Nothing else changes.
pub fn choose(
    snapshot: &Snapshot,
    state: &State,
    ask: &Ask,
    ledger: &Ledger<'_>,
    choice: &mut Choice,
) {
    choice.begin(&snapshot.layout);
    if !state.follows(snapshot) {
        // Slow and right, for who did not let the state follow the configuration.
        let mut state = state.clone();
        state.follow(snapshot);
        return choose(snapshot, &state, ask, ledger, choice);
    }
    let Some((place, plan)) = snapshot.layout.flow(ask.flow) else {
        choice.reason = Some(Unroutable::FlowGone);
        return;
    };
    let flow = &state.flows[place];
    let question = Question { layout: &snapshot.layout, plan, state, flow, ask, ledger };
    if ask.is_fallback {
        question.fall_back(choice);
    } else {
        question.answer(&flow.wheel, choice);
    }
}

/// What a decision takes for given instead of what is.
pub(super) struct Supposed<'a> {
    pub wheel: &'a Wheel,
    /// Slots that others hold besides.
    pub live: &'a [(Scope, u32)],
}

/// The same with a wheel that stands elsewhere and slots that others hold besides, to see what would
/// come next.
pub(super) fn choose_from(
    snapshot: &Snapshot,
    state: &State,
    supposed: &Supposed<'_>,
    ask: &Ask,
    choice: &mut Choice,
) {
    choice.begin(&snapshot.layout);
    let Some((place, plan)) = snapshot.layout.flow(ask.flow) else {
        choice.reason = Some(Unroutable::FlowGone);
        return;
    };
    let flow = &state.flows[place];
    let ledger = &Ledger { live: supposed.live, is_away: false };
    let question = Question { layout: &snapshot.layout, plan, state, flow, ask, ledger };
    question.answer(supposed.wheel, choice);
}

/// The trunks that come before the one chosen, each with what stands in the way.
pub(super) fn passed_over(
    snapshot: &Snapshot,
    state: &State,
    ask: &Ask,
    choice: &Choice,
) -> Vec<PassedOver> {
    let layout = &*snapshot.layout;
    let found = layout.flow(ask.flow).zip(choice.picked()).filter(|_| state.follows(snapshot));
    let Some(((place, plan), picked)) = found else {
        return Vec::new();
    };
    let (flow, ledger) = (&state.flows[place], &Ledger::default());
    let question = Question { layout, plan, state, flow, ask, ledger };
    let over = plan.lines[picked.line].ways[..picked.way].iter().filter_map(|way| {
        let (_, verdict) = question.obstacle(way)?;
        let trunk = layout.trunks[way.trunk as usize].name.clone();
        Some(PassedOver { trunk, verdict })
    });
    over.collect()
}

struct Question<'a> {
    layout: &'a Layout,
    plan: &'a FlowPlan,
    state: &'a State,
    flow: &'a FlowState,
    ask: &'a Ask,
    ledger: &'a Ledger<'a>,
}

impl Question<'_> {
    fn answer(&self, wheel: &Wheel, choice: &mut Choice) {
        if self.ask.tried.is_empty()
            && let Some(reason) = self.flow_refuses()
        {
            choice.reason = Some(reason);
            return;
        }
        for place in 0..self.plan.lines.len() {
            let (verdict, way) = match self.judge(place) {
                Ok(way) => (None, way),
                Err((verdict, way)) => (Some(verdict), way),
            };
            choice.verdicts.push(verdict);
            choice.ways.push(way);
        }
        let begun = self.begun().filter(|place| choice.takes_its_own(*place));
        self.spare_the_last(choice);
        let free = (0..self.plan.lines.len()).find(|at| choice.is_free(*at));
        let picked = if let Some(line) = begun {
            Some((line, By::NextTrunk))
        } else if self.ask.is_last {
            // What the others would say is not asked.
            choice.verdicts.clear();
            choice.reason = Some(Unroutable::AllTried);
            return;
        } else if let Some(line) = self.named_by_rule(choice) {
            Some((line, By::Rule))
        } else if let Some(line) = self.own_of_caller(choice, free) {
            Some((line, By::Sticky))
        } else {
            free.map(|first| (first, By::Wheel))
        };
        let Some((mut line, by)) = picked else {
            choice.reason = Some(common_reason(&choice.verdicts));
            return;
        };
        for at in self.plan.tier(line) {
            if choice.is_free(at) {
                choice.eligible.push(Share { at, weight: self.plan.lines[at].weight });
            }
        }
        if by == By::Wheel {
            line = wheel.next(&choice.eligible).unwrap_or(line);
        }
        choice.picked = Some(Picked { line, way: choice.ways[line], by });
        self.say_why(line, by, choice);
    }

    /// The fallback number is for calls that the flow itself refuses, so only its way is looked at.
    fn fall_back(&self, choice: &mut Choice) {
        match &self.plan.fallback {
            Some(way) => {
                let obstacle = self.obstacle(way).map(|(_, verdict)| verdict);
                let is_tried = match &self.plan.flow.fallback {
                    Fallback::Number { trunk, number } => {
                        self.has_declined(&Landing::Trunk { trunk: *trunk, number: number.clone() })
                    }
                    Fallback::Dialplan | Fallback::HangUp(_) => false,
                };
                let obstacle = is_tried.then_some(Verdict::NumberTried).or(obstacle);
                choice.fallback = Some(obstacle.unwrap_or(Verdict::Chosen));
            }
            None => choice.reason = Some(Unroutable::NoFallback),
        }
    }

    /// Why the flow takes no call now, whatever its destinations would.
    fn flow_refuses(&self) -> Option<Unroutable> {
        if self.plan.flow.state == ForwardingFlowState::Paused && !self.ask.is_test {
            return Some(Unroutable::FlowPaused);
        }
        if !self.flow.is_open(self.plan, self.ask.at) {
            return Some(Unroutable::FlowClosed);
        }
        if self.ask.repeat == Some(RepeatAction::Reject) {
            return Some(Unroutable::RepeatCaller);
        }
        let gate = self.plan.gate.as_ref()?;
        match gate.refuses(&self.flow.meter, self.ask.at)? {
            Verdict::Capped { .. } => Some(Unroutable::FlowCapped),
            _ => Some(Unroutable::FlowTooFast),
        }
    }

    /// The way to a destination, or why it cannot take this call. One that is only drained has a way
    /// all the same.
    fn judge(&self, place: usize) -> Result<usize, (Verdict, usize)> {
        let line = &self.plan.lines[place];
        let here = &self.flow.lines[place];
        let (destination, at) = (&line.destination, self.ask.at);
        let no = |verdict| Err((verdict, 0));
        match destination.state {
            DestinationState::Disabled => return no(Verdict::Disabled),
            DestinationState::Paused => return no(Verdict::Paused),
            DestinationState::Active | DestinationState::Draining => {}
        }
        let is_begun = self.begun() == Some(place);
        if !is_begun && self.ask.tried.iter().any(|attempt| attempt.destination == destination.id) {
            return no(Verdict::Tried);
        }
        if self.has_declined(&destination.landing) {
            return no(Verdict::NumberTried);
        }
        if !here.is_open(line, at) {
            return no(Verdict::Closed);
        }
        let way = self.way(line);
        if is_begun && way.is_err() {
            return no(Verdict::Tried);
        }
        if let Err(verdict @ (Verdict::Down { .. } | Verdict::NoTrunk)) = way {
            return no(verdict);
        }
        // Over another trunk it is still the same attempt, which was counted.
        let gate = line.gate.as_ref().filter(|_| !is_begun);
        let refused = gate.and_then(|gate| gate.refuses(&here.meter, at));
        if let Some(verdict) = refused {
            return no(verdict);
        }
        match way {
            Err(verdict) => no(verdict),
            Ok(way) if line.drains() => Err((Verdict::Drained, way)),
            Ok(way) => Ok(way),
        }
    }

    /// The place of the destination whose attempt is not over, although its leg is: divert chose the
    /// trunk among several, and that trunk failed.
    fn begun(&self) -> Option<usize> {
        let last = self.ask.tried.last()?;
        let has_failed = last.outcome.is_some_and(Outcome::is_of_trunk);
        let place = self.plan.place(last.destination).filter(|_| has_failed)?;
        let landing = &self.plan.lines[place].destination.landing;
        matches!(landing, Landing::TollFree { .. }).then_some(place)
    }

    /// Whether this trunk to the destination failed for this call.
    fn has_failed(&self, way: &Way) -> bool {
        self.ask.tried.iter().any(|attempt| {
            attempt.trunk == way.offer.trunk
                && way.offer.destination == Some(attempt.destination)
                && attempt.outcome.is_some_and(Outcome::is_of_trunk)
        })
    }

    /// Whether who answers there was called already and did not take the call.
    fn has_declined(&self, landing: &Landing) -> bool {
        let said_no = |attempt: &&Attempt| attempt.outcome.is_some_and(Outcome::is_of_callee);
        let numbers = &self.plan.flow.caller_numbers;
        self.ask.tried.iter().filter(said_no).any(|attempt| {
            let tried = self.plan.line(attempt.destination);
            tried.is_some_and(|line| line.destination.landing.is_same_phone(landing, numbers))
        })
    }

    /// The first way that can be gone, or how far the best one leads.
    fn way(&self, line: &Line) -> Result<usize, Verdict> {
        let mut best = (0, Verdict::NoTrunk);
        for (at, way) in line.ways.iter().enumerate() {
            let Some(obstacle) = self.obstacle(way) else {
                return Ok(at);
            };
            if obstacle.0 > best.0 {
                best = obstacle;
            }
        }
        Err(best.1)
    }

    /// What stands in a way, and how far along; `None` if nothing.
    fn obstacle(&self, way: &Way) -> Option<(u8, Verdict)> {
        let failed = self.has_failed(way).then_some((1, Verdict::TrunkTried));
        let why = self.state.trunks[way.trunk as usize].down(self.ask.at);
        failed
            .or_else(|| Some((1, Verdict::Down { why: why? })))
            .or_else(|| Some((2, self.full(way)?)))
            .or_else(|| Some((3, self.unpaid(way)?)))
    }

    fn full(&self, way: &Way) -> Option<Verdict> {
        if self.ledger.is_away && !way.limited.is_empty() {
            return Some(Verdict::LedgerAway);
        }
        way.limited.iter().find_map(|&(at, max)| {
            let scope = || self.layout.limits[at as usize].scope;
            let here = self.state.slots.live(at);
            let heard = self.ledger.live.iter().find(|(known, _)| *known == scope());
            let live = heard.map_or(here, |(_, live)| here.max(*live));
            (live >= max).then(|| Verdict::Full { scope: scope().kind(), live, max })
        })
    }

    fn unpaid(&self, way: &Way) -> Option<Verdict> {
        if self.plan.is_prepaid && way.is_unrated {
            return Some(Verdict::Unrated);
        }
        let tariff = way.offer.tariff.as_deref();
        self.state.refuses_cost(self.plan, tariff).then_some(Verdict::NoCredit)
    }

    /// Where the repeat rule asks for another than the last one, that one is left out, unless there
    /// is no other.
    fn spare_the_last(&self, choice: &mut Choice) {
        if self.ask.repeat != Some(RepeatAction::Different) {
            return;
        }
        let last = self.ask.caller.as_ref().and_then(|caller| self.flow.last_of(caller));
        let Some(last) = last.and_then(|last| self.plan.place(last)) else {
            return;
        };
        let others = (0..self.plan.lines.len()).filter(|at| *at != last);
        if choice.takes_its_own(last) && others.into_iter().any(|at| choice.is_free(at)) {
            choice.verdicts[last] = Some(Verdict::SameAsLast);
        }
    }

    fn named_by_rule(&self, choice: &Choice) -> Option<usize> {
        let Some(RepeatAction::Destination(named)) = self.ask.repeat else {
            return None;
        };
        self.plan.place(named).filter(|place| choice.takes_its_own(*place))
    }

    /// The caller's own destination, in its own tier, unless it beats the priorities. `free` is the
    /// first that can take the call at all.
    fn own_of_caller(&self, choice: &Choice, free: Option<usize>) -> Option<usize> {
        let binding = self.binding()?;
        let place = self.plan.place(binding.destination)?;
        let priority = |at: usize| self.plan.lines[at].destination.priority;
        let is_its_turn = self.plan.flow.stickiness.beats_priority
            || free.is_none_or(|free| priority(place) <= priority(free));
        (is_its_turn && choice.takes_its_own(place)).then_some(place)
    }

    fn binding(&self) -> Option<&Binding> {
        let known = self.flow.ties.get(self.ask.caller.as_ref()?)?;
        let window = self.plan.flow.stickiness.window;
        sticky::holds(window, &self.plan.zone, known, self.ask.at).then_some(known)
    }

    fn say_why(&self, picked: usize, by: By, choice: &mut Choice) {
        let priority = self.plan.lines[picked].destination.priority;
        for (line, verdict) in self.plan.lines.iter().zip(&mut choice.verdicts) {
            if verdict.is_none() {
                *verdict = Some(match by {
                    _ if line.destination.priority > priority => Verdict::LowerPriority,
                    By::Sticky => Verdict::StickyElsewhere,
                    By::NextTrunk | By::Rule | By::Wheel => Verdict::NotItsTurn,
                });
            }
        }
        choice.verdicts[picked] = Some(match by {
            By::NextTrunk => Verdict::ChosenNextTrunk,
            By::Rule => Verdict::ChosenByRule,
            By::Sticky => Verdict::ChosenSticky,
            By::Wheel => Verdict::Chosen,
        });
    }
}

/// The most specific reason that all share.
fn common_reason(verdicts: &[Option<Verdict>]) -> Unroutable {
    let reason = |verdict: &Option<Verdict>| {
        Some(match (*verdict)? {
            Verdict::Capped { .. } | Verdict::Spacing { .. } | Verdict::TooFast => {
                Unroutable::AllThrottled
            }
            Verdict::Closed => Unroutable::AllClosed,
            Verdict::Disabled => Unroutable::AllDisabled,
            Verdict::Down { .. } => Unroutable::AllDown,
            Verdict::Full { .. } => Unroutable::AllFull,
            Verdict::NoCredit | Verdict::Unrated => Unroutable::NoCredit,
            Verdict::Paused => Unroutable::AllPaused,
            Verdict::NumberTried | Verdict::Tried => Unroutable::AllTried,
            _ => return None,
        })
    };
    let first = verdicts.first().and_then(reason);
    first
        .filter(|first| verdicts.iter().all(|verdict| reason(verdict) == Some(*first)))
        .unwrap_or(Unroutable::Mixed)
}
