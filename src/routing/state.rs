//! What changes from call to call: wheels, slots, what throttles have let through, who belongs to
//! whom, which trunk works, what is left of balances.
//!
//! A state is for one configuration, by the places of its lists, and moves on to the next with
//! [`State::follow`]. What outlives the process is handed out as [`Remembered`] and taken back with
//! [`State::recall`]; writing it is the store's business.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::flow_state::{FlowState, may_have_callers};
use super::health::{Circuit, Sign};
use super::repeat::Visits;
use super::slots::{Scope, Slots};
use super::snapshot::{FlowPlan, Held, Layout, Snapshot};
use super::sticky::{self, Took};
use super::throttle::Meter;
use crate::model::billing::{Micros, Tariff};
use crate::model::id::{AccountId, CallId, DestinationId, ForwardingFlowId, LegId, TrunkId};
use crate::model::memory::{Remembered, Throttled, Visit};
use crate::model::number::CallerKey;
use crate::model::stickiness::{RepeatRule, StickyOn};
use crate::model::throttle::CapCount;
use crate::model::time::Timestamp;

use super::ask::{News, Report};

/// Most callers whose calls are counted for one flow; who was longest not heard of goes first.
const MOST_VISITORS: usize = 100_000;

/// The mutable half of routing, of one node.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// What the places below mean.
    layout: Arc<Layout>,
    pub(super) flows: Vec<FlowState>,
    pub(super) trunks: Vec<Circuit>,
    pub(super) slots: Slots<Stake>,
    /// Of prepaid accounts, where known.
    balances: BTreeMap<AccountId, Micros>,
    /// Bindings that have changed since they were last asked for.
    bindings: Vec<(AccountId, Remembered)>,
    /// Flows with volumes that have changed, and with wheels that have turned.
    counted: Vec<usize>,
    turned: Vec<usize>,
}

/// What hangs on a leg that holds slots.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stake {
    /// Place of the flow, and of the line in it.
    pub place: Option<(usize, usize)>,
    pub trunk: Option<usize>,
    /// It counts as ringing, and as under way, for its line.
    rings: bool,
    runs: bool,
    /// And for its flow: one leg of a call at a time does.
    is_of_flow: bool,
}

impl State {
    /// Moves on to another configuration: whatever is in both keeps its standing, its counts, its
    /// callers and its slots.
    pub fn follow(&mut self, snapshot: &Snapshot) {
        if self.follows(snapshot) {
            return;
        }
        self.gather_volumes();
        let old = std::mem::replace(&mut self.layout, Arc::clone(&snapshot.layout));
        let new = &snapshot.layout;
        let mut before = std::mem::take(&mut self.flows);
        for plan in &new.flows {
            let known = old.flow(plan.flow.id);
            let state =
                known.map_or_else(FlowState::default, |(at, _)| std::mem::take(&mut before[at]));
            let (account, flow) = (plan.account, plan.flow.id);
            let bindings = &mut self.bindings;
            let state = state.follow(known.map(|(_, plan)| &**plan), plan, |caller| {
                let caller = caller.clone();
                bindings.push((account, Remembered::Binding { flow, caller, binding: None }));
            });
            self.flows.push(state);
        }
        let turned = self.flows.iter().enumerate().filter(|(_, state)| state.is_turned);
        self.turned = turned.map(|(place, _)| place).collect();
        let circuits = new.trunks.iter().map(|trunk| {
            let at = old.trunk(trunk.id)?;
            (old.trunks[at].reach == trunk.reach).then(|| self.trunks[at])
        });
        self.trunks = circuits.map(Option::unwrap_or_default).collect();
        self.slots.follow(new.limits.iter().map(|limit| limit.scope));
        for stake in self.slots.stakes() {
            stake.place = stake.place.and_then(|(flow, line)| {
                let plan = &old.flows[flow];
                let (at, new) = new.flow(plan.flow.id)?;
                Some((at, new.place(plan.lines[line].destination.id)?))
            });
            stake.trunk = stake.trunk.and_then(|at| new.trunk(old.trunks[at].id));
            if let Some((flow, line)) = stake.place {
                let flow = &mut self.flows[flow];
                stake.count(&mut flow.lines[line].meter, true);
                if stake.is_of_flow {
                    stake.count(&mut flow.meter, true);
                }
            }
        }
    }

    /// Whether the state is for this configuration.
    #[must_use]
    pub fn follows(&self, snapshot: &Snapshot) -> bool {
        Arc::ptr_eq(&self.layout, &snapshot.layout)
    }

    /// Looks up once what the next decisions on a flow ask each time: what its schedules say.
    pub fn prepare(&mut self, snapshot: &Snapshot, flow: ForwardingFlowId, at: Timestamp) {
        self.follow(snapshot);
        let Some((place, plan)) = snapshot.layout.flow(flow) else {
            return;
        };
        self.flows[place].look_up_hours(plan, at);
    }

    /// Every leg that holds slots, in no order that means anything.
    pub fn holders(&self) -> impl Iterator<Item = LegId> {
        self.slots.holders()
    }

    /// How many legs are dialled or up over the trunk at that place.
    pub(super) fn over_trunk(&self, place: usize) -> u32 {
        let over = self.slots.staked().filter(|stake| stake.trunk == Some(place)).count();
        u32::try_from(over).unwrap_or(u32::MAX)
    }

    /// What `leg` holds.
    pub fn held(&self, leg: LegId) -> impl Iterator<Item = Scope> {
        self.slots.held(leg)
    }

    /// How many legs are live in a scope.
    #[must_use]
    pub fn live(&self, scope: Scope) -> u32 {
        self.slots.live_of(scope)
    }

    /// Gives back what `leg` holds; `false` if it holds nothing.
    pub fn release(&mut self, leg: LegId) -> bool {
        let Some(mut stake) = self.slots.release(leg) else {
            return false;
        };
        self.settle(&mut stake);
        if let Some(trunk) = stake.trunk {
            self.trunks[trunk].forget(leg);
        }
        true
    }

    /// Takes note of how an attempt goes.
    pub fn report(&mut self, snapshot: &Snapshot, now: Timestamp, report: &Report) {
        self.follow(snapshot);
        let sign = match report.news {
            News::Answered | News::Ringing => Sign::Works,
            News::Ended { .. } => Sign::Nothing,
            News::Failed(outcome) => Sign::of(outcome),
            News::NoReply => Sign::Fails,
        };
        let trunk = report.trunk.and_then(|trunk| snapshot.layout.trunk(trunk));
        if let Some(trunk) = trunk {
            self.trunks[trunk].hear(report.leg, sign, now);
        }
        self.move_on(report.leg, report.news);
        let Some(destination) = report.destination.filter(|_| !report.is_test) else {
            return;
        };
        let Some((place, plan)) = snapshot.layout.flow(report.flow) else {
            return;
        };
        match report.news {
            News::Answered => {
                self.count(plan, place, destination, CapCount::Answers, 1, now);
                if let Some(caller) = &report.caller {
                    self.bind(
                        plan,
                        place,
                        caller,
                        destination,
                        Took { on: StickyOn::Answered, at: now },
                    );
                    self.visited(plan, place, caller, |rule, visits| {
                        visits.answer(rule, report.leg.call, destination, now);
                    });
                }
            }
            News::Ended { talk_ms, billed_sec } => {
                let sec = billed_sec.unwrap_or_else(|| talk_ms.saturating_add(999) / 1_000);
                let minutes = u32::try_from(sec.saturating_add(59) / 60).unwrap_or_default();
                let what = CapCount::BillableMinutes;
                self.count(plan, place, destination, what, minutes, now);
            }
            News::Failed(_) | News::NoReply => {
                if let Some(caller) = &report.caller {
                    let had = |_: &_, visits: &mut Visits| visits.had(destination, now);
                    self.visited(plan, place, caller, had);
                }
            }
            News::Ringing => {}
        }
    }

    /// What Asterisk says of the endpoint of a trunk; `None` is not known.
    pub fn set_endpoint(&mut self, trunk: TrunkId, is_online: Option<bool>) {
        if let Some(at) = self.layout.trunk(trunk) {
            self.trunks[at].endpoint_is(is_online);
        }
    }

    /// The clock that tells the time of questions was set by so much: rates, spacings and circuits go
    /// on as if it had always been so. Days, hours and windows of callers are those of the calendar.
    pub fn clock_set(&mut self, by_ms: i64) {
        for flow in &mut self.flows {
            flow.meter.move_by(by_ms);
            for line in &mut flow.lines {
                line.meter.move_by(by_ms);
            }
        }
        for circuit in &mut self.trunks {
            circuit.move_by(by_ms);
        }
    }

    /// Asterisk began anew: whether trunks work is to be found out again.
    pub fn forget_trunks(&mut self) {
        self.trunks.fill(Circuit::anew());
    }

    /// What is left of a prepaid account; `None` is not known, and takes for enough.
    pub fn set_balance(&mut self, account: AccountId, balance: Option<Micros>) {
        match balance {
            Some(balance) => self.balances.insert(account, balance),
            None => self.balances.remove(&account),
        };
    }

    /// Lowers a balance that is known.
    pub fn charge(&mut self, account: AccountId, amount: Micros) {
        if let Some(balance) = self.balances.get_mut(&account) {
            balance.0 = balance.0.saturating_sub(amount.0);
        }
    }

    /// Whether a call of the flow's account that costs would go on credit it does not have.
    #[must_use]
    pub fn refuses_cost(&self, plan: &FlowPlan, tariff: Option<&Tariff>) -> bool {
        let costs = tariff.is_some_and(|tariff| tariff.per_minute.0 > 0);
        plan.is_prepaid && costs && self.is_spent(plan.account)
    }

    pub(super) fn is_spent(&self, account: AccountId) -> bool {
        self.balances.get(&account).is_some_and(|balance| balance.0 <= 0)
    }

    /// The flow's rule about callers who call again and again, if it holds for a call at `at`. Ask
    /// before [`State::visit`]: the call itself does not count.
    #[must_use]
    pub fn repeat(&self, plan: &FlowPlan, caller: &CallerKey, at: Timestamp) -> Option<RepeatRule> {
        let rule = plan.flow.repeat_caller?;
        let (place, _) = self.layout.flow(plan.flow.id)?;
        let visits = self.flows[place].visits.get(caller)?;
        visits.are_enough(&rule, at).then_some(rule)
    }

    /// A caller has come; never told of test calls.
    pub fn visit(
        &mut self,
        snapshot: &Snapshot,
        plan: &FlowPlan,
        caller: &CallerKey,
        call: CallId,
        at: Timestamp,
    ) {
        self.follow(snapshot);
        self.add_visit(plan.flow.id, caller, Visit::begun(call, at));
    }

    fn add_visit(&mut self, flow: ForwardingFlowId, caller: &CallerKey, visit: Visit) {
        let layout = Arc::clone(&self.layout);
        if let Some((place, plan)) = layout.flow(flow) {
            self.visited(plan, place, caller, |rule, visits| visits.add(rule, visit));
        }
    }

    /// All that has changed since the last time and must be written soon: bindings and volumes. Ask
    /// often; what is not fetched is kept.
    pub fn remembered(&mut self) -> impl Iterator<Item = (AccountId, Remembered)> {
        self.gather_volumes();
        self.bindings.drain(..)
    }

    /// The wheels that have turned since the last time. To be asked for now and then: one that is
    /// written late costs about a call for each destination.
    pub fn turned_wheels(&mut self) -> Vec<(AccountId, Remembered)> {
        let mut wheels = Vec::new();
        for place in self.turned.drain(..) {
            let (plan, state) = (&self.layout.flows[place], &mut self.flows[place]);
            state.is_turned = false;
            let mut first = 0;
            while first < plan.lines.len() {
                let tier = plan.tier(first);
                let standing = tier
                    .clone()
                    .map(|at| (plan.lines[at].destination.id, state.wheel.standing(at)));
                let priority = plan.lines[first].destination.priority;
                let standing = standing.collect();
                let wheel = Remembered::Wheel { flow: plan.flow.id, priority, standing };
                wheels.push((plan.account, wheel));
                first = tier.end;
            }
        }
        wheels
    }

    /// Takes back what was remembered by an earlier process; bindings with the oldest touched first.
    pub fn recall(&mut self, snapshot: &Snapshot, remembered: Remembered) {
        self.follow(snapshot);
        match remembered {
            Remembered::Binding { flow, caller, binding } => {
                let Some((place, plan)) = snapshot.layout.flow(flow) else {
                    return;
                };
                let ties = &mut self.flows[place].ties;
                if let Some(binding) = binding
                    && may_have_callers(plan, binding.destination)
                {
                    ties.put(caller, binding, sticky::MOST_CALLERS);
                } else {
                    // Disabled, or gone, while nobody was there to forget it.
                    ties.remove(&caller);
                    let forgotten = Remembered::Binding { flow, caller, binding: None };
                    self.bindings.push((plan.account, forgotten));
                }
            }
            Remembered::Volume { of, per, count, since, used } => {
                for (plan, state) in snapshot.layout.flows.iter().zip(&mut self.flows) {
                    let found = match of {
                        Throttled::ForwardingFlow(id) if plan.flow.id == id => {
                            plan.gate.as_deref().map(|gate| (gate, &mut state.meter))
                        }
                        Throttled::ForwardingFlow(_) => None,
                        Throttled::Destination(id) => plan.place(id).and_then(|at| {
                            let gate = plan.lines[at].gate.as_deref()?;
                            Some((gate, &mut state.lines[at].meter))
                        }),
                    };
                    if let Some((gate, meter)) = found {
                        meter.recall(gate, per, count, since, used);
                        return;
                    }
                }
            }
            Remembered::Wheel { flow, priority, standing } => {
                let Some((place, plan)) = snapshot.layout.flow(flow) else {
                    return;
                };
                for (id, standing) in standing {
                    if let Some(at) = plan.place(id)
                        && plan.lines[at].destination.priority == priority
                    {
                        let weights = plan.lines[plan.tier(at)].iter().map(|line| line.weight);
                        self.flows[place].wheel.restore(at, standing, weights);
                    }
                }
            }
        }
    }

    /// Takes back an earlier call from the log, for the rule about callers who come again.
    pub fn recall_visit(
        &mut self,
        snapshot: &Snapshot,
        flow: ForwardingFlowId,
        caller: &CallerKey,
        visit: Visit,
    ) {
        self.follow(snapshot);
        self.add_visit(flow, caller, visit);
    }

    /// A leg was sent somewhere: it holds the slots there and, of a line, its place behind the gates.
    pub(super) fn send(
        &mut self,
        leg: LegId,
        place: Option<(usize, usize)>,
        held: &Held<'_>,
        counts: bool,
    ) {
        let Held { limits, trunk } = *held;
        let mut stake = Stake { place, trunk, ..Stake::default() };
        if let Some((flow, line)) = place.filter(|_| counts) {
            (stake.rings, stake.runs, stake.is_of_flow) = (true, true, true);
            // A call has one place behind the gate of its flow, however many legs it has.
            for no in 1..leg.no {
                let earlier = self.slots.stake(LegId { no, ..leg });
                if let Some(earlier) = earlier.filter(|earlier| earlier.is_of_flow) {
                    earlier.is_of_flow = false;
                    earlier.count(&mut self.flows[flow].meter, false);
                }
            }
            let state = &mut self.flows[flow];
            stake.count(&mut state.lines[line].meter, true);
            stake.count(&mut state.meter, true);
        }
        // A leg that asked before, and got no answer, is sent anew.
        if let Some(mut before) = self.slots.hold(leg, limits, stake) {
            self.settle(&mut before);
        }
        if let Some(trunk) = trunk {
            self.trunks[trunk].begin(leg);
        }
    }

    pub(super) fn mark_turned(&mut self, flow: usize) {
        if !self.flows[flow].is_turned {
            self.flows[flow].is_turned = true;
            self.turned.push(flow);
        }
    }

    pub(super) fn mark_counted(&mut self, flow: usize) {
        if !self.flows[flow].is_counted {
            self.flows[flow].is_counted = true;
            self.counted.push(flow);
        }
    }

    /// `caller` is with `destination` now, by an offer or an answer.
    pub(super) fn bind(
        &mut self,
        plan: &FlowPlan,
        place: usize,
        caller: &CallerKey,
        destination: DestinationId,
        took: Took,
    ) {
        let ties = &mut self.flows[place].ties;
        let before = ties.get(caller);
        let after = sticky::bind(&plan.flow.stickiness, &plan.zone, before, destination, took);
        let Some(after) = after.filter(|_| may_have_callers(plan, destination)) else {
            return;
        };
        let gone = ties.put(caller.clone(), after, sticky::MOST_CALLERS);
        let mut tell = |caller, binding| {
            let flow = plan.flow.id;
            self.bindings.push((plan.account, Remembered::Binding { flow, caller, binding }));
        };
        tell(caller.clone(), Some(after));
        if let Some((caller, _)) = gone {
            tell(caller, None);
        }
    }

    /// Something is known of the calls of a caller, if the flow has a rule that asks.
    fn visited(
        &mut self,
        plan: &FlowPlan,
        place: usize,
        caller: &CallerKey,
        note: impl FnOnce(&RepeatRule, &mut Visits),
    ) {
        if let Some(rule) = &plan.flow.repeat_caller {
            let known = &mut self.flows[place].visits;
            let mut visits = known.remove(caller).unwrap_or_default();
            note(rule, &mut visits);
            known.put(caller.clone(), visits, MOST_VISITORS);
        }
    }

    /// Counts for the caps of a destination and of its flow.
    fn count(
        &mut self,
        plan: &FlowPlan,
        place: usize,
        destination: DestinationId,
        what: CapCount,
        more: u32,
        now: Timestamp,
    ) {
        let state = &mut self.flows[place];
        if let Some(gate) = &plan.gate {
            state.meter.add(gate, what, more, now);
        }
        let line = plan.place(destination);
        if let Some((at, gate)) = line.and_then(|at| Some((at, plan.lines[at].gate.as_ref()?))) {
            state.lines[at].meter.add(gate, what, more, now);
        }
        self.mark_counted(place);
    }

    /// What the news change in what is held behind the gates.
    pub(super) fn move_on(&mut self, leg: LegId, news: News) {
        let Some(mut stake) = self.slots.stake(leg).copied() else {
            return;
        };
        match news {
            News::Ringing => return,
            News::Answered => {
                let still = Stake { rings: false, ..stake };
                self.settle(&mut stake);
                stake = still;
                if let Some((flow, line)) = stake.place {
                    let flow = &mut self.flows[flow];
                    stake.count(&mut flow.lines[line].meter, true);
                    if stake.is_of_flow {
                        stake.count(&mut flow.meter, true);
                    }
                }
            }
            News::Ended { .. } | News::Failed(_) | News::NoReply => self.settle(&mut stake),
        }
        if let Some(kept) = self.slots.stake(leg) {
            *kept = stake;
        }
    }

    /// Nothing is held behind the gates any more.
    fn settle(&mut self, stake: &mut Stake) {
        if let Some((flow, line)) = stake.place {
            let flow = &mut self.flows[flow];
            stake.count(&mut flow.lines[line].meter, false);
            if stake.is_of_flow {
                stake.count(&mut flow.meter, false);
            }
        }
        (stake.rings, stake.runs, stake.is_of_flow) = (false, false, false);
    }

    fn gather_volumes(&mut self) {
        for place in self.counted.drain(..) {
            let (plan, state) = (&self.layout.flows[place], &mut self.flows[place]);
            state.is_counted = false;
            let mut tell = |news| self.bindings.push((plan.account, news));
            state.meter.news(Throttled::ForwardingFlow(plan.flow.id), &mut tell);
            for (line, here) in plan.lines.iter().zip(&mut state.lines) {
                here.meter.news(Throttled::Destination(line.destination.id), &mut tell);
            }
        }
    }
}

impl Stake {
    /// Adds what it holds to a meter, or takes it away.
    fn count(&self, meter: &mut Meter, adds: bool) {
        let step = |count: &mut u32, holds: bool| match (holds, adds) {
            (false, _) => {}
            (true, true) => *count += 1,
            (true, false) => *count = count.saturating_sub(1),
        };
        step(&mut meter.ringing, self.rings);
        step(&mut meter.running, self.runs);
    }
}
