//! Why, and what next: the same decision as for a call, of which nothing is committed.

use std::borrow::Cow;

use serde::Serialize;

use super::ask::{Ask, Attempt, Decision, Would};
use super::choose::{Choice, Ledger, Supposed, choose, choose_from};
use super::decide::{decision, would};
use super::flow_state::FlowState;
use super::slots::Scope;
use super::snapshot::{FlowPlan, Line, Snapshot};
use super::state::State;
use super::throttle::{Gate, Meter};
use crate::model::id::{AccountId, CallId, DestinationId, ForwardingFlowId, LegId};
use crate::model::number::{Caller, CallerKey, Did};
use crate::model::objects::destination::Destination;
use crate::model::objects::forwarding_flow::Fallback;
use crate::model::opening_hours::{OpeningHours, Span};
use crate::model::stickiness::RepeatRule;
use crate::model::throttle::{CapCount, CapPeriod};
use crate::model::time::{Timestamp, Zone};
use crate::model::timeline::{LimitScope, Unroutable, Verdict};

/// How many of the next new callers are foretold.
const UPCOMING: usize = 20;

/// What would become of one call that came now.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Explanation {
    /// With every destination and how it is judged.
    pub decision: Decision,
    /// What that would change.
    pub would: Would,
    /// Who would be tried next, if each in turn did not answer; nothing else changing meanwhile.
    pub then: Vec<FurtherAttempt>,
    /// Why there is no attempt behind the last; `None` when the call may not have more.
    pub ends: Option<Unroutable>,
    /// How those are judged then that were not tried.
    pub ends_with: Vec<Verdict>,
    /// Where the call goes that nobody took; `None` if the flow is gone, or rejects the caller.
    pub fallback: Option<LastResort>,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct LastResort {
    pub fallback: Fallback,
    /// The name of the trunk of a fallback number.
    pub trunk: Option<String>,
    /// Why the number would not be dialled as things are now: the caller is hung up on instead.
    pub refused: Option<Verdict>,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct FurtherAttempt {
    pub destination: DestinationId,
    pub name: String,
    pub endpoint: String,
    pub verdict: Verdict,
}

/// Hours of what is closed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Closed {
    /// On the day that is asked about.
    pub today: Vec<Span>,
    /// `None` if not within a year.
    pub opens_at: Option<Timestamp>,
}

/// An [`Explanation`] with what belongs to the call as a whole.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ExplainedCall {
    pub flow: ForwardingFlowId,
    pub name: String,
    /// Of the flow.
    pub zone: Zone,
    /// Where the flow is closed.
    pub closed: Option<Closed>,
    /// The destinations that are.
    pub closed_lines: Vec<(DestinationId, Closed)>,
    /// By which the caller is known again.
    pub caller_key: Option<CallerKey>,
    /// The flow's rule about repeated calls, if it holds.
    pub repeat: Option<RepeatRule>,
    pub explanation: Explanation,
}

/// How a flow stands for new callers.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct FlowLive {
    pub flow: ForwardingFlowId,
    pub at: Timestamp,
    /// Of the flow.
    pub zone: Zone,
    /// Where the flow is closed.
    pub closed: Option<Closed>,
    /// The destinations that are.
    pub closed_lines: Vec<(DestinationId, Closed)>,
    /// Why it takes no new caller; `None` if it does.
    pub reason: Option<Unroutable>,
    /// Who gets the next new callers, the first at the front, if nobody hangs up meanwhile. What is
    /// too fast now is taken to stay so.
    pub upcoming: Vec<Upcoming>,
    /// Why there is nobody behind the last of them; `None` if there is.
    pub ends: Option<Unroutable>,
    /// How the destinations are judged then.
    pub ends_with: Vec<Verdict>,
    /// Of the flow itself.
    pub caps: Vec<CapLive>,
    pub destinations: Vec<DestinationLive>,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Upcoming {
    pub destination: DestinationId,
    pub name: String,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct DestinationLive {
    pub destination: DestinationId,
    pub name: String,
    pub priority: i32,
    pub weight: u32,
    /// How a new caller finds it; `None` where the flow itself takes none.
    pub verdict: Option<Verdict>,
    /// Of a thousand new callers, as things are now.
    pub share_permille: u32,
    pub limits: Vec<LimitLive>,
    pub caps: Vec<CapLive>,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct LimitLive {
    pub scope: LimitScope,
    /// Which, where a destination has several.
    pub trunk: Option<String>,
    pub live: u32,
    pub max: Option<u32>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct CapLive {
    pub per: CapPeriod,
    pub count: CapCount,
    /// With what is held for calls under way.
    pub used: u32,
    pub max: u32,
}

/// A call that somebody asks about.
#[derive(Clone, Copy, Debug)]
pub struct SupposedCall<'a> {
    /// Where it arrives.
    pub did: &'a Did,
    pub caller: &'a Caller,
    pub at: Timestamp,
}

/// What would become of a call; `None` if no flow of `account` owns its DID.
#[must_use]
pub fn explain_call(
    snapshot: &Snapshot,
    state: &State,
    account: AccountId,
    call: &SupposedCall<'_>,
) -> Option<ExplainedCall> {
    let SupposedCall { did, caller, at } = *call;
    let plan = snapshot.owner(did).filter(|plan| plan.account == account)?;
    let caller_key = snapshot.caller_key(plan, caller);
    let repeat = caller_key.as_ref().and_then(|key| state.repeat(plan, key, at));
    let ask = Ask {
        leg: LegId { call: CallId::new(0), no: 1 },
        flow: plan.flow.id,
        at,
        caller: caller_key.clone(),
        repeat: repeat.map(|rule| rule.then),
        tried: Vec::new(),
        is_last: false,
        is_fallback: false,
        is_test: false,
    };
    let explanation = explain(snapshot, state, &ask);
    let (flow, name) = (plan.flow.id, plan.flow.name.clone());
    let zone = plan.zone.clone();
    let closed_lines = closed_lines(plan, at);
    let closed = closed(plan.hours.as_deref(), &zone, at);
    Some(ExplainedCall { flow, name, zone, closed, closed_lines, caller_key, repeat, explanation })
}

/// The decision on `ask`, and what would follow if nobody answered.
#[must_use]
pub fn explain(snapshot: &Snapshot, state: &State, ask: &Ask) -> Explanation {
    let state = following(snapshot, state);
    let mut choice = Choice::default();
    choose(snapshot, &state, ask, &Ledger::default(), &mut choice);
    let mut explanation = Explanation {
        decision: decision(snapshot, &state, ask, &choice),
        would: would(snapshot, &state, ask, &choice),
        then: Vec::new(),
        ends: choice.reason(),
        ends_with: untried(&choice),
        fallback: None,
    };
    let Some((place, plan)) = snapshot.layout.flow(ask.flow) else {
        return explanation;
    };
    // The rule about repeated calls goes before the fallback.
    let is_rejected = explanation.ends == Some(Unroutable::RepeatCaller);
    if !is_rejected {
        explanation.fallback = Some(last_resort(snapshot, &state, plan, ask));
    }
    let mut wheel = state.flows[place].wheel.clone();
    let mut ask = ask.clone();
    while let Some((line, way)) = choice.chosen(plan) {
        choice.move_wheel(&mut wheel);
        ask.tried.push(Attempt {
            destination: line.destination.id,
            trunk: way.offer.trunk,
            outcome: None,
        });
        if ask.tried.len() >= plan.flow.max_attempts as usize {
            break;
        }
        choose_from(snapshot, &state, &Supposed { wheel: &wheel, live: &[] }, &ask, &mut choice);
        explanation.then.extend(further(plan, &choice));
        explanation.ends = choice.reason();
        explanation.ends_with = untried(&choice);
    }
    explanation
}

fn untried(choice: &Choice) -> Vec<Verdict> {
    choice.verdicts().filter(|verdict| *verdict != Verdict::Tried).collect()
}

/// Of what is closed at `at`: its hours of that day, and when it opens.
fn closed(schedule: Option<&OpeningHours>, zone: &Zone, at: Timestamp) -> Option<Closed> {
    let schedule = schedule.filter(|schedule| !schedule.state(zone, at).0)?;
    let today = schedule.spans(zone.local(at).date()).to_vec();
    Some(Closed { today, opens_at: schedule.next_opening(zone, at) })
}

fn closed_lines(plan: &FlowPlan, at: Timestamp) -> Vec<(DestinationId, Closed)> {
    let lines = plan.lines.iter().filter_map(|line| {
        let closed = closed(line.hours.as_deref(), &line.zone, at)?;
        Some((line.destination.id, closed))
    });
    lines.collect()
}

fn last_resort(snapshot: &Snapshot, state: &State, plan: &FlowPlan, ask: &Ask) -> LastResort {
    let fallback = plan.flow.fallback.clone();
    let Fallback::Number { trunk, .. } = fallback else {
        return LastResort { fallback, trunk: None, refused: None };
    };
    let mut choice = Choice::default();
    let ask = Ask { is_fallback: true, ..ask.clone() };
    choose(snapshot, state, &ask, &Ledger::default(), &mut choice);
    let trunk = snapshot.trunks().find(|one| one.id == trunk).map(|trunk| trunk.name.clone());
    LastResort { fallback, trunk, refused: choice.refused() }
}

fn further(plan: &FlowPlan, choice: &Choice) -> Option<FurtherAttempt> {
    let (line, way) = choice.chosen(plan)?;
    Some(FurtherAttempt {
        destination: line.destination.id,
        name: line.destination.name.clone(),
        endpoint: way.offer.endpoint.clone(),
        verdict: choice.verdicts().find(|verdict| verdict.is_chosen())?,
    })
}

/// Who is next in line on a flow, and how every destination stands; `None` if there is no such flow.
#[must_use]
pub fn live(
    snapshot: &Snapshot,
    state: &State,
    flow: ForwardingFlowId,
    at: Timestamp,
) -> Option<FlowLive> {
    let state = following(snapshot, state);
    let (place, plan) = snapshot.layout.flow(flow)?;
    let here = &state.flows[place];
    let nobody = Ask {
        leg: LegId { call: CallId::new(0), no: 1 },
        flow,
        at,
        caller: None,
        repeat: None,
        tried: Vec::new(),
        is_last: false,
        is_fallback: false,
        is_test: false,
    };
    let mut choice = Choice::default();
    choose(snapshot, &state, &nobody, &Ledger::default(), &mut choice);

    let (upcoming, ends, ends_with) = upcoming(snapshot, &state, plan, here, nobody.clone());
    let verdicts: Vec<Verdict> = choice.verdicts().collect();
    let lines = plan.lines.iter().enumerate();
    let destinations = lines
        .map(|(at, line)| DestinationLive {
            destination: line.destination.id,
            name: line.destination.name.clone(),
            priority: line.destination.priority,
            weight: line.destination.weight,
            verdict: verdicts.get(at).copied(),
            share_permille: share_permille(&choice, at),
            limits: limits(snapshot, &state, line),
            caps: caps(line.gate.as_deref(), &here.lines[at].meter, nobody.at),
        })
        .collect();
    let caps = caps(plan.gate.as_deref(), &here.meter, at);
    Some(FlowLive {
        flow,
        at,
        zone: plan.zone.clone(),
        closed: closed(plan.hours.as_deref(), &plan.zone, at),
        closed_lines: closed_lines(plan, at),
        reason: choice.reason(),
        upcoming,
        ends,
        ends_with,
        caps,
        destinations,
    })
}

/// The next new callers, each of whom keeps a slot and a place behind the caps; and why there are no
/// more.
fn upcoming(
    snapshot: &Snapshot,
    state: &State,
    plan: &FlowPlan,
    here: &FlowState,
    mut ask: Ask,
) -> (Vec<Upcoming>, Option<Unroutable>, Vec<Verdict>) {
    let room = |gate: Option<&Gate>, meter: &Meter| {
        let caps = caps(gate, meter, ask.at).into_iter();
        caps.map(|cap| cap.max.saturating_sub(cap.used)).min().unwrap_or(u32::MAX)
    };
    let lines = plan.lines.iter().zip(&here.lines);
    let mut rooms: Vec<u32> =
        lines.map(|(line, here)| room(line.gate.as_deref(), &here.meter)).collect();
    let room = room(plan.gate.as_deref(), &here.meter) as usize;
    let mut wheel = here.wheel.clone();
    let mut live: Vec<(Scope, u32)> = Vec::new();
    let mut upcoming = Vec::new();
    let mut choice = Choice::default();
    while upcoming.len() < UPCOMING.min(room) {
        choose_from(snapshot, state, &Supposed { wheel: &wheel, live: &live }, &ask, &mut choice);
        let Some((at, line, way)) = choice.picked_of(plan) else {
            let reason = choice.reason();
            // Whoever is marked as tried here has had as many as the caps allow.
            let is_capped = reason == Some(Unroutable::AllTried);
            let reason = if is_capped { Some(Unroutable::AllThrottled) } else { reason };
            return (upcoming, reason, untried(&choice));
        };
        choice.move_wheel(&mut wheel);
        for (limit, _) in &way.limited {
            let scope = snapshot.layout.limits[*limit as usize].scope;
            match live.iter_mut().find(|(known, _)| *known == scope) {
                Some((_, live)) => *live += 1,
                None => live.push((scope, state.slots.live(*limit) + 1)),
            }
        }
        let Destination { id, name, .. } = &line.destination;
        rooms[at] -= 1;
        if rooms[at] == 0 {
            ask.tried.push(Attempt { destination: *id, trunk: way.offer.trunk, outcome: None });
        }
        upcoming.push(Upcoming { destination: *id, name: name.clone() });
    }
    (upcoming, (room < UPCOMING).then_some(Unroutable::FlowCapped), Vec::new())
}

fn share_permille(choice: &Choice, at: usize) -> u32 {
    let total: u64 = choice.eligible.iter().map(|share| u64::from(share.weight)).sum();
    let own = choice.eligible.iter().find(|share| share.at == at);
    let own = own.map_or(0, |share| u64::from(share.weight));
    (own * 1_000).checked_div(total).and_then(|share| u32::try_from(share).ok()).unwrap_or_default()
}

/// Each once, over all ways that lead to the line.
fn limits(snapshot: &Snapshot, state: &State, line: &Line) -> Vec<LimitLive> {
    let mut seen = Vec::new();
    for way in &line.ways {
        for at in &way.limits {
            if !seen.iter().any(|(known, _)| known == at) {
                seen.push((*at, way));
            }
        }
    }
    let limits = seen.into_iter().map(|(at, way)| {
        let limit = snapshot.layout.limits[at as usize];
        let scope = limit.scope.kind();
        let trunk = &snapshot.layout.trunks[way.trunk as usize];
        LimitLive {
            scope,
            trunk: (scope == LimitScope::Trunk).then(|| trunk.name.clone()),
            live: state.slots.live(at),
            max: limit.max,
        }
    });
    limits.collect()
}

fn caps(gate: Option<&Gate>, meter: &Meter, at: Timestamp) -> Vec<CapLive> {
    let standing = gate.map(|gate| gate.standing(meter, at)).unwrap_or_default().into_iter();
    standing
        .map(|(cap, used)| CapLive { per: cap.per, count: cap.count, used, max: cap.max })
        .collect()
}

fn following<'a>(snapshot: &Snapshot, state: &'a State) -> Cow<'a, State> {
    if state.follows(snapshot) {
        return Cow::Borrowed(state);
    }
    let mut state = state.clone();
    state.follow(snapshot);
    Cow::Owned(state)
}
