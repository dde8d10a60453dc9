//! One question, one answer: which destination takes this call now?
//!
//! [`decide`] looks at the flow's destinations tier by tier, judges each one, lets the wheel pick
//! among the eligible and takes the slots of the one picked, all in one step: a limit is never
//! exceeded, not for an instant. Everything it changes is in [`State`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::pick::Wheel;
use super::slots::{Scope, Slots};
use super::snapshot::{FlowPlan, Line, Snapshot};
use crate::model::destination::DestinationState;
use crate::model::forwarding_flow::Spread;
use crate::model::id::{DestinationId, ForwardingFlowId, LegId};
use crate::model::timeline::{Candidate, Unroutable, Verdict};

/// The question of one attempt.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Ask {
    /// Who will hold the slots.
    pub leg: LegId,
    pub flow: ForwardingFlowId,
    pub tried: Vec<DestinationId>,
    /// A test call holds slots but moves no wheel.
    pub is_test: bool,
}

/// What to dial, ready for the engine.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Offer {
    /// `None` for the fallback number of a flow.
    pub destination: Option<DestinationId>,
    pub name: String,
    /// `PJSIP/1001@trunk`.
    pub endpoint: String,
    pub ring_timeout_ms: i64,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The slots of `offer` are held by the asking leg until they are released.
    Picked {
        offer: Offer,
        candidates: Vec<Candidate>,
    },
    Unroutable {
        reason: Unroutable,
        candidates: Vec<Candidate>,
    },
}

/// What changes from decision to decision: the wheels and the slots of one node.
#[derive(Clone, Debug, Default)]
pub struct State {
    wheels: BTreeMap<(ForwardingFlowId, i32), Wheel>,
    pub slots: Slots,
}

impl State {
    /// After a change of configuration: wheels of flows and tiers that are gone are dropped, the
    /// others keep their standing.
    pub fn keep(&mut self, snapshot: &Snapshot) {
        self.wheels.retain(|(flow, priority), wheel| {
            let Some(plan) = snapshot.flow(*flow) else {
                return false;
            };
            let weights: BTreeMap<DestinationId, u32> = tier(plan, *priority)
                .map(|line| (line.destination.id, turning_weight(plan, line)))
                .collect();
            wheel.keep(&weights);
            !weights.is_empty()
        });
    }
}

/// Chooses a destination for `ask` and takes its slots, or says why there is none.
///
/// Never fails: a flow that is gone is [`Unroutable::FlowGone`].
pub fn decide(snapshot: &Snapshot, state: &mut State, ask: &Ask) -> Decision {
    let Some(plan) = snapshot.flow(ask.flow) else {
        return Decision::Unroutable { reason: Unroutable::FlowGone, candidates: Vec::new() };
    };
    let mut verdicts: Vec<Option<Verdict>> =
        plan.lines.iter().map(|line| exclusion(line, &state.slots, &ask.tried)).collect();
    let Some(first) = verdicts.iter().position(Option::is_none) else {
        let reason = common_reason(&verdicts);
        return Decision::Unroutable { reason, candidates: candidates(plan, &verdicts) };
    };
    let priority = plan.lines[first].destination.priority;
    let eligible: Vec<(DestinationId, u32)> = plan
        .lines
        .iter()
        .zip(&verdicts)
        .filter(|(line, verdict)| verdict.is_none() && line.destination.priority == priority)
        .map(|(line, _)| (line.destination.id, turning_weight(plan, line)))
        .collect();

    let wheel = state.wheels.entry((ask.flow, priority)).or_default();
    let picked = wheel.next(&eligible).unwrap_or(plan.lines[first].destination.id);
    if !ask.is_test {
        wheel.turn(&eligible, picked);
    }

    let mut offer = None;
    for (line, verdict) in plan.lines.iter().zip(&mut verdicts) {
        if verdict.is_some() {
            continue;
        }
        *verdict = Some(if line.destination.id == picked {
            // It was found to have room just now, and nobody else can have come in between.
            state.slots.take(ask.leg, &line.limits);
            offer = Some(line.offer.clone());
            Verdict::Chosen
        } else if line.destination.priority == priority {
            Verdict::NotItsTurn
        } else {
            Verdict::LowerPriority
        });
    }
    let candidates = candidates(plan, &verdicts);
    match offer {
        Some(offer) => Decision::Picked { offer, candidates },
        None => Decision::Unroutable { reason: Unroutable::Mixed, candidates },
    }
}

/// Counts a leg that lives already, after a restart.
pub fn readopt(snapshot: &Snapshot, state: &mut State, leg: LegId, destination: DestinationId) {
    let line = snapshot
        .flows()
        .flat_map(|plan| &plan.lines)
        .find(|line| line.destination.id == destination);
    let scopes = line.map_or_else(
        || vec![Scope::Destination(destination)],
        |line| line.limits.iter().map(|limit| limit.scope).collect(),
    );
    state.slots.hold(leg, scopes);
}

fn tier(plan: &FlowPlan, priority: i32) -> impl Iterator<Item = &Line> {
    plan.lines.iter().filter(move |line| line.destination.priority == priority)
}

/// Round-robin is the wheel with equal weights; 0 drains either way.
fn turning_weight(plan: &FlowPlan, line: &Line) -> u32 {
    match plan.flow.spread {
        Spread::RoundRobin => line.destination.weight.min(1),
        Spread::Weighted => line.destination.weight,
    }
}

/// Why a destination cannot take this call; `None` if it can.
fn exclusion(line: &Line, held: &Slots, tried: &[DestinationId]) -> Option<Verdict> {
    let destination = &line.destination;
    match destination.state {
        DestinationState::Disabled => return Some(Verdict::Disabled),
        DestinationState::Paused => return Some(Verdict::Paused),
        DestinationState::Active => {}
    }
    if tried.contains(&destination.id) {
        return Some(Verdict::Tried);
    }
    if destination.weight == 0 {
        return Some(Verdict::Drained);
    }
    let (full, live) = held.full(&line.limits)?;
    Some(Verdict::Full { scope: full.scope.kind(), live, max: full.max.unwrap_or_default() })
}

/// The most specific reason that all share.
fn common_reason(verdicts: &[Option<Verdict>]) -> Unroutable {
    let all = |wanted: fn(&Verdict) -> bool| {
        !verdicts.is_empty() && verdicts.iter().all(|verdict| verdict.as_ref().is_some_and(wanted))
    };
    if all(|verdict| matches!(verdict, Verdict::Tried)) {
        Unroutable::AllTried
    } else if all(|verdict| matches!(verdict, Verdict::Full { .. })) {
        Unroutable::AllFull
    } else if all(|verdict| matches!(verdict, Verdict::Paused)) {
        Unroutable::AllPaused
    } else if all(|verdict| matches!(verdict, Verdict::Disabled)) {
        Unroutable::AllDisabled
    } else {
        Unroutable::Mixed
    }
}

fn candidates(plan: &FlowPlan, verdicts: &[Option<Verdict>]) -> Vec<Candidate> {
    let candidate = |(line, verdict): (&Line, &Option<Verdict>)| Candidate {
        destination: line.destination.id,
        name: line.destination.name.clone(),
        priority: line.destination.priority,
        weight: line.destination.weight,
        verdict: verdict.unwrap_or(Verdict::NotItsTurn),
    };
    plan.lines.iter().zip(verdicts).map(candidate).collect()
}
