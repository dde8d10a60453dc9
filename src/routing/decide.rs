//! One question, one answer: which destination takes this call now?
//!
//! [`decide`] chooses and commits in one step: a limit is never exceeded, not for an instant. Who has
//! to ask elsewhere in between (several nodes share their limits) calls [`choose`] and [`commit`]
//! itself.

use std::collections::BTreeSet;

pub use super::ask::{Ask, Attempt, Decision, Left, LiveLeg, News, Report, Would};
use super::choose::{By, Choice, Ledger, choose, passed_over};
use super::slots::Scope;
use super::snapshot::{FlowPlan, Held, Snapshot};
pub use super::state::State;
use super::sticky::{Tie, Took};
use crate::model::stickiness::StickyOn;
use crate::model::throttle::CapCount;
use crate::model::timeline::{Candidate, Unroutable};

/// Chooses a destination for `ask` and takes its slots, or says why there is none.
///
/// Never fails: a flow that is gone is [`Unroutable::FlowGone`].
pub fn decide(snapshot: &Snapshot, state: &mut State, ask: &Ask) -> Decision {
    state.prepare(snapshot, ask.flow, ask.at);
    let mut choice = Choice::default();
    choose(snapshot, state, ask, &Ledger::default(), &mut choice);
    let decision = decision(snapshot, state, ask, &choice);
    commit(snapshot, state, ask, &choice);
    decision
}

/// A choice in words for the engine and the timeline. To be asked for before the commit, which
/// changes what a test call would have changed.
#[must_use]
pub fn decision(snapshot: &Snapshot, state: &State, ask: &Ask, choice: &Choice) -> Decision {
    let Some(plan) = snapshot.flow(ask.flow) else {
        return Decision::Unroutable { reason: Unroutable::FlowGone, candidates: Vec::new() };
    };
    let mut candidates = candidates(plan, choice);
    if let Some(chosen) = candidates.iter_mut().find(|one| one.verdict.is_chosen()) {
        chosen.passed_over = passed_over(snapshot, state, ask, choice);
    }
    if let Some(way) = choice.way(plan) {
        let would = ask.is_test.then(|| Box::new(would(snapshot, state, ask, choice)));
        return Decision::Picked { offer: way.offer.clone(), candidates, would };
    }
    if let Some((way, verdict)) = plan.fallback.as_ref().zip(choice.refused()) {
        return Decision::Refused { name: way.offer.name.clone(), verdict };
    }
    let reason = choice.reason().unwrap_or(Unroutable::Mixed);
    Decision::Unroutable { reason, candidates }
}

/// How every destination was judged.
#[must_use]
pub fn candidates(plan: &FlowPlan, choice: &Choice) -> Vec<Candidate> {
    let lines = plan.lines.iter().zip(choice.verdicts());
    lines
        .map(|(line, verdict)| Candidate {
            destination: line.destination.id,
            name: line.destination.name.clone(),
            priority: line.destination.priority,
            weight: line.destination.weight,
            verdict,
            passed_over: Vec::new(),
        })
        .collect()
}

/// Does what follows from a choice: takes the slots, turns the wheel, counts for rates and caps.
///
/// `false` if it cannot any more, because the configuration or what throttles leave has changed
/// since: then nothing was done, and the question is to be asked anew. Directly behind [`choose`] it
/// always can. The slots are taken without looking at limits again: who shares them with other nodes
/// has asked there.
pub fn commit(snapshot: &Snapshot, state: &mut State, ask: &Ask, choice: &Choice) -> bool {
    let Some((flow, plan)) = snapshot.layout.flow(ask.flow) else {
        return false;
    };
    let Some(way) = choice.way(plan).filter(|_| choice.is_of(snapshot)) else {
        return false;
    };
    state.follow(snapshot);
    let Some(picked) = choice.picked() else {
        state.send(ask.leg, None, &way.held(), false);
        return true;
    };
    let line = &plan.lines[picked.line];
    let is_first = ask.tried.is_empty();
    let is_begun = picked.by == By::NextTrunk;
    let here = &mut state.flows[flow];
    let of_line = line.gate.as_deref().filter(|_| !is_begun);
    let meters = [
        of_line.map(|gate| (gate, &mut here.lines[picked.line].meter)),
        plan.gate.as_deref().filter(|_| is_first).map(|gate| (gate, &mut here.meter)),
    ];
    let is_refused =
        meters.iter().flatten().any(|(gate, meter)| gate.refuses(meter, ask.at).is_some());
    if is_refused {
        return false;
    }
    if !ask.is_test {
        let is_counted = meters.iter().any(Option::is_some);
        for (gate, meter) in meters.into_iter().flatten() {
            meter.begin(gate, ask.at);
        }
        let is_turned = choice.move_wheel(&mut here.wheel);
        if is_counted {
            state.mark_counted(flow);
        }
        if is_turned {
            state.mark_turned(flow);
        }
        if let Some(caller) = ask.caller.as_ref()
            && plan.flow.stickiness.on == StickyOn::Offered
        {
            state.bind(
                plan,
                flow,
                caller,
                line.destination.id,
                Took { on: StickyOn::Offered, at: ask.at },
            );
        }
    }
    state.send(ask.leg, Some((flow, picked.line)), &way.held(), !ask.is_test);
    true
}

/// What committing would change beside the slots, and the answer later.
pub(super) fn would(snapshot: &Snapshot, state: &State, ask: &Ask, choice: &Choice) -> Would {
    let found = snapshot.layout.flow(ask.flow).filter(|_| state.follows(snapshot));
    let Some((at, plan)) = found else {
        return Would::default();
    };
    let is_first = ask.tried.is_empty();
    let visits = is_first && ask.caller.is_some() && plan.flow.repeat_caller.is_some();
    let Some(picked) = choice.picked() else {
        return Would { visits, ..Would::default() };
    };
    let line = &plan.lines[picked.line];
    let here = &state.flows[at];
    let is_attempt = picked.by != By::NextTrunk;
    let of_line = line.gate.as_deref().map(|gate| (&line.destination.name, gate, is_attempt));
    // To its flow a call is one attempt, however many it takes.
    let of_flow = plan.gate.as_deref().map(|gate| (&plan.flow.name, gate, is_first));
    let caps = [of_line, of_flow].into_iter().flatten().flat_map(|(whose, gate, is_attempt)| {
        let counts = gate.counts().filter(move |count| is_attempt || *count != CapCount::Attempts);
        counts.map(|count| (whose.clone(), count))
    });
    let tie = ask.caller.as_ref().map(|caller| Tie {
        stickiness: plan.flow.stickiness,
        zone: plan.zone.clone(),
        binding: here.ties.get(caller).copied(),
    });
    let binds_until = tie.clone().and_then(|mut tie| {
        tie.bind(line.destination.id, Took { on: StickyOn::Answered, at: ask.at })
    });
    Would {
        turns_wheel: match picked.by {
            By::Rule | By::Sticky => here.wheel.charges(&choice.eligible, picked.line),
            By::NextTrunk => false,
            By::Wheel => true,
        },
        caps: caps.collect(),
        binds_until,
        tie,
        visits,
    }
}

/// Counts a leg that lives already, after a restart: where it is, also if its destination has moved
/// to another server or trunk since, or is gone. `held` is what it was seen to hold, if that is known:
/// else it is what its destination would need there now.
pub fn readopt(
    snapshot: &Snapshot,
    state: &mut State,
    live: &LiveLeg,
    held: Option<&BTreeSet<Scope>>,
) {
    state.follow(snapshot);
    let layout = &snapshot.layout;
    let place = layout.flows.iter().enumerate().find_map(|(flow, plan)| {
        let line = plan.place(live.destination?)?;
        Some((flow, line))
    });
    let way = place.and_then(|(flow, line)| {
        let mut ways = layout.flows[flow].lines[line].ways.iter();
        ways.find(|way| live.trunk.is_none_or(|trunk| way.offer.trunk == trunk))
    });
    let limits = match (held, way) {
        (Some(held), _) => held.iter().map(|scope| state.slots.number(*scope)).collect(),
        (None, Some(way)) => way.limits.clone(),
        (None, None) => {
            let scopes = [
                live.destination.map(Scope::Destination),
                live.trunk.map(Scope::Trunk),
                Some(Scope::Account(live.account)),
            ];
            scopes.into_iter().flatten().filter_map(|scope| layout.limit(scope)).collect()
        }
    };
    let trunk = live.trunk.or(way.map(|way| way.offer.trunk));
    let trunk = trunk.and_then(|trunk| layout.trunk(trunk));
    state.send(live.leg, place, &Held { limits: &limits, trunk }, !live.is_test);
    if live.is_up {
        state.move_on(live.leg, News::Answered);
    }
}
