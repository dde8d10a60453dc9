//! One question, one answer: which destination takes this call now?
//!
//! [`decide`] looks at the flow's destinations tier by tier, judges each one, lets the wheel pick
//! among the eligible and takes the slots of the one picked, all in one step: a limit is never
//! exceeded, not for an instant. Everything it changes is in [`State`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::pick::Wheel;
use super::slots::{Limit, Scope, Slots};
use super::snapshot::{FlowPlan, Line, Offer, Snapshot};
use crate::model::cause::Outcome;
use crate::model::destination::DestinationState;
use crate::model::forwarding_flow::Spread;
use crate::model::id::{DestinationId, ForwardingFlowId, LegId, TrunkId};
use crate::model::number::CallerKey;
use crate::model::stickiness::RepeatAction;
use crate::model::time::Timestamp;
use crate::model::timeline::{Candidate, Unroutable, Verdict};

/// The question of one attempt.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Ask {
    /// Who will hold the slots.
    pub leg: LegId,
    pub flow: ForwardingFlowId,
    pub at: Timestamp,
    pub caller: Option<CallerKey>,
    /// The flow's rule about repeated calls holds for this one.
    pub repeat: Option<RepeatAction>,
    pub tried: Vec<DestinationId>,
    /// A test call holds slots but moves no wheel.
    pub is_test: bool,
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

/// How an attempt goes, for what routing remembers: who belongs to whom, how much of a cap is used,
/// which trunk works.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Report {
    pub leg: LegId,
    pub flow: ForwardingFlowId,
    pub destination: DestinationId,
    pub trunk: Option<TrunkId>,
    pub caller: Option<CallerKey>,
    /// A test call tells how a trunk works, and nothing else.
    pub is_test: bool,
    pub news: News,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    Answered,
    /// An answered leg is over; `billed_sec` where it costs.
    Ended {
        talk_ms: i64,
        billed_sec: Option<i64>,
    },
    /// It ended without an answer.
    Failed(Outcome),
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

impl State {
    /// Takes note of how an attempt goes.
    pub fn report(&mut self, _snapshot: &Snapshot, _now: Timestamp, _report: &Report) {}
}

/// Chooses a destination for `ask` and takes its slots, or says why there is none.
///
/// Never fails: a flow that is gone is [`Unroutable::FlowGone`].
pub fn decide(snapshot: &Snapshot, state: &mut State, ask: &Ask) -> Decision {
    match choose(snapshot, state, ask, &[], false) {
        Choice::Line(chosen) => commit(state, ask, *chosen),
        Choice::Nobody { reason, candidates } => Decision::Unroutable { reason, candidates },
    }
}

/// What [`choose`] found.
#[derive(Clone, Debug)]
pub enum Choice {
    Line(Box<Chosen>),
    Nobody { reason: Unroutable, candidates: Vec<Candidate> },
}

/// A destination that may have the call, once its slots are held.
#[derive(Clone, Debug)]
pub struct Chosen {
    pub destination: DestinationId,
    pub limits: Vec<Limit>,
    offer: Offer,
    candidates: Vec<Candidate>,
    priority: i32,
    eligible: Vec<(DestinationId, u32)>,
}

/// Chooses a destination for `ask` and changes nothing. Those in `lost` turned out to be full
/// elsewhere; with `ledger_away`, nobody with a limit can be asked about.
#[must_use]
pub fn choose(
    snapshot: &Snapshot,
    state: &State,
    ask: &Ask,
    lost: &[DestinationId],
    ledger_away: bool,
) -> Choice {
    let Some(plan) = snapshot.flow(ask.flow) else {
        return Choice::Nobody { reason: Unroutable::FlowGone, candidates: Vec::new() };
    };
    let judge = |line: &Line| {
        exclusion(line, &state.slots, &ask.tried).or_else(|| {
            let is_limited = line.limits.iter().any(|limit| limit.max.is_some());
            if lost.contains(&line.destination.id) {
                Some(Verdict::LostRace)
            } else {
                (ledger_away && is_limited).then_some(Verdict::LedgerAway)
            }
        })
    };
    let mut verdicts: Vec<Option<Verdict>> = plan.lines.iter().map(judge).collect();
    let Some(first) = verdicts.iter().position(Option::is_none) else {
        let reason = common_reason(&verdicts);
        return Choice::Nobody { reason, candidates: candidates(plan, &verdicts) };
    };
    let priority = plan.lines[first].destination.priority;
    let eligible: Vec<(DestinationId, u32)> = plan
        .lines
        .iter()
        .zip(&verdicts)
        .filter(|(line, verdict)| verdict.is_none() && line.destination.priority == priority)
        .map(|(line, _)| (line.destination.id, turning_weight(plan, line)))
        .collect();
    let wheel = state.wheels.get(&(ask.flow, priority));
    let picked = wheel.map_or_else(|| Wheel::default().next(&eligible), |w| w.next(&eligible));
    let picked = picked.unwrap_or(plan.lines[first].destination.id);
    let mut line = &plan.lines[first];
    for (other, verdict) in plan.lines.iter().zip(&mut verdicts) {
        if verdict.is_some() {
            continue;
        }
        *verdict = Some(if other.destination.id == picked {
            line = other;
            Verdict::Chosen
        } else if other.destination.priority == priority {
            Verdict::NotItsTurn
        } else {
            Verdict::LowerPriority
        });
    }
    Choice::Line(Box::new(Chosen {
        destination: picked,
        limits: line.limits.clone(),
        offer: line.offer.clone(),
        candidates: candidates(plan, &verdicts),
        priority,
        eligible,
    }))
}

/// Its slots are held: they are counted here, and the wheel moves.
pub fn commit(state: &mut State, ask: &Ask, chosen: Chosen) -> Decision {
    let Chosen { destination, limits, offer, candidates, priority, eligible } = chosen;
    if !ask.is_test {
        state.wheels.entry((ask.flow, priority)).or_default().turn(&eligible, destination);
    }
    state.slots.hold(ask.leg, limits.iter().map(|limit| limit.scope).collect());
    Decision::Picked { offer, candidates }
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
        DestinationState::Active | DestinationState::Draining => {}
    }
    if tried.contains(&destination.id) {
        return Some(Verdict::Tried);
    }
    if destination.weight == 0 || destination.state == DestinationState::Draining {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::account::DEFAULT_ACCOUNT;
    use crate::model::configuration::Configuration;
    use crate::model::destination::{Destination, Landing};
    use crate::model::forwarding_flow::{Fallback, ForwardingFlow, Ringback};
    use crate::model::id::{CallId, ServerId, TrunkId};
    use crate::model::server::{Server, ServerRole};
    use crate::model::timeline::LimitScope;
    use crate::model::trunk::{Reach, Trunk};

    const FLOW: ForwardingFlowId = ForwardingFlowId::new(1);

    /// Two slaves behind one trunk each, and destinations on them.
    struct World {
        configuration: Configuration,
        state: State,
        calls: u128,
    }

    impl World {
        /// Each destination as (slave, priority, weight).
        fn new(destinations: &[(u128, i32, u32)]) -> Self {
            let trunk = |id| Trunk {
                id: TrunkId::new(id),
                name: format!("trunk-{id}"),
                reach: Reach::Endpoint(format!("slave-{id}").parse().unwrap()),
                max_live: None,
                ..Trunk::new(TrunkId::new(0), "", Reach::Endpoint("x".parse().unwrap()))
            };
            let server = |id| Server {
                id: ServerId::new(id),
                name: format!("slave-{id}"),
                role: ServerRole::Slave,
                trunk: Some(TrunkId::new(id)),
                max_live: None,
            };
            let destination =
                |(at, &(slave, priority, weight)): (usize, &(u128, i32, u32))| Destination {
                    id: DestinationId::new(at as u128),
                    name: ["a", "b", "c", "d"][at].to_owned(),
                    landing: Landing::Slave {
                        server: ServerId::new(slave),
                        did: "1001".parse().unwrap(),
                    },
                    priority,
                    weight,
                    max_live: None,
                    ring_timeout_sec: None,
                    state: DestinationState::Active,
                    ..Destination::new(
                        DestinationId::new(0),
                        "",
                        Landing::Trunk { trunk: TrunkId::new(0), number: "0".parse().unwrap() },
                    )
                };
            let flow = ForwardingFlow {
                id: FLOW,
                name: "flow".to_owned(),
                master: ServerId::new(9),
                dids: Vec::new(),
                destinations: destinations.iter().enumerate().map(destination).collect(),
                spread: Spread::Weighted,
                ringback: Ringback::Ring,
                ring_timeout_sec: 20,
                ring_budget_sec: 60,
                max_attempts: 6,
                max_call_sec: 60,
                fallback: Fallback::Dialplan,
                ..ForwardingFlow::new(ForwardingFlowId::new(0), "", ServerId::new(0))
            };
            let configuration = Configuration {
                servers: vec![server(1), server(2)],
                trunks: vec![trunk(1), trunk(2)],
                numbers: Vec::new(),
                forwarding_flows: vec![flow],
                ..Configuration::default()
            };
            Self { configuration, state: State::default(), calls: 0 }
        }

        fn flow(&mut self) -> &mut ForwardingFlow {
            &mut self.configuration.forwarding_flows[0]
        }

        fn snapshot(&self) -> Snapshot {
            Snapshot::build(&[(DEFAULT_ACCOUNT, self.configuration.clone())], None)
        }

        fn ask(&mut self, tried: &[u128], is_test: bool) -> (LegId, Decision) {
            self.calls += 1;
            let leg = LegId { call: CallId::new(self.calls), no: 1 };
            let tried = tried.iter().copied().map(DestinationId::new).collect();
            let ask = Ask {
                leg,
                flow: FLOW,
                at: Timestamp(0),
                caller: None,
                repeat: None,
                tried,
                is_test,
            };
            let snapshot = self.snapshot();
            (leg, decide(&snapshot, &mut self.state, &ask))
        }

        /// The name of whom a new caller gets, or why nobody.
        fn next(&mut self) -> Result<String, Unroutable> {
            match self.ask(&[], false).1 {
                Decision::Picked { offer, .. } => Ok(offer.name),
                Decision::Unroutable { reason, .. } => Err(reason),
            }
        }

        fn take(&mut self, times: usize) -> String {
            (0..times).map(|_| self.next().unwrap()).collect()
        }
    }

    fn verdicts(decision: &Decision) -> Vec<Verdict> {
        let (Decision::Picked { candidates, .. } | Decision::Unroutable { candidates, .. }) =
            decision;
        candidates.iter().map(|candidate| candidate.verdict).collect()
    }

    #[test]
    fn the_lowest_priority_number_takes_every_call_it_can() {
        let mut world = World::new(&[(1, 2, 1), (1, -1, 1)]);
        assert_eq!(world.take(3), "bbb");
        let (_, decision) = world.ask(&[1], false);
        assert_eq!(verdicts(&decision), [Verdict::Tried, Verdict::Chosen]);
    }

    #[test]
    fn weights_share_a_tier_and_round_robin_ignores_them() {
        let mut world = World::new(&[(1, 1, 5), (1, 1, 1), (1, 1, 1)]);
        assert_eq!(world.take(7), "aabacaa");
        let mut world = World::new(&[(1, 1, 5), (1, 1, 1), (1, 1, 0)]);
        world.flow().spread = Spread::RoundRobin;
        assert_eq!(world.take(4), "abab");
    }

    #[test]
    fn every_reason_is_told() {
        let mut world = World::new(&[(1, 1, 1), (1, 1, 0), (1, 1, 1), (2, 2, 1)]);
        world.flow().destinations[0].state = DestinationState::Paused;
        world.flow().destinations[2].state = DestinationState::Disabled;
        let (_, decision) = world.ask(&[], false);
        let wanted = [Verdict::Paused, Verdict::Drained, Verdict::Disabled, Verdict::Chosen];
        assert_eq!(verdicts(&decision), wanted);
    }

    #[test]
    fn the_limits_of_destination_server_and_trunk_all_hold() {
        let full = |scope, max| Verdict::Full { scope, live: max, max };
        let mut world = World::new(&[(1, 1, 1), (2, 2, 1)]);
        world.flow().destinations[0].max_live = Some(2);
        assert_eq!(world.take(3), "aab");
        let (_, decision) = world.ask(&[], false);
        assert_eq!(verdicts(&decision)[0], full(LimitScope::Destination, 2));

        let mut world = World::new(&[(1, 1, 1), (2, 2, 1)]);
        world.configuration.servers[0].max_live = Some(1);
        assert_eq!(world.take(2), "ab");
        let (_, decision) = world.ask(&[], false);
        assert_eq!(verdicts(&decision)[0], full(LimitScope::Server, 1));

        let mut world = World::new(&[(1, 1, 1), (2, 2, 1)]);
        world.configuration.trunks[0].max_live = Some(1);
        assert_eq!(world.take(2), "ab");
        let (_, decision) = world.ask(&[], false);
        assert_eq!(verdicts(&decision)[0], full(LimitScope::Trunk, 1));
    }

    #[test]
    fn a_slot_given_back_is_free_for_the_next() {
        let mut world = World::new(&[(1, 1, 1)]);
        world.flow().destinations[0].max_live = Some(1);
        let (leg, _) = world.ask(&[], false);
        assert_eq!(world.next(), Err(Unroutable::AllFull));
        assert!(world.state.slots.release(leg));
        assert_eq!(world.next().unwrap(), "a");
    }

    #[test]
    fn the_most_specific_common_reason_is_given() {
        let mut world = World::new(&[(1, 1, 1), (1, 1, 1)]);
        for destination in &mut world.flow().destinations {
            destination.state = DestinationState::Paused;
        }
        assert_eq!(world.next(), Err(Unroutable::AllPaused));
        world.flow().destinations[0].state = DestinationState::Disabled;
        assert_eq!(world.next(), Err(Unroutable::Mixed));
        world.flow().destinations[1].state = DestinationState::Disabled;
        assert_eq!(world.next(), Err(Unroutable::AllDisabled));
        let ask = Ask {
            leg: LegId { call: CallId::new(1), no: 1 },
            flow: ForwardingFlowId::new(99),
            at: Timestamp(0),
            caller: None,
            repeat: None,
            tried: Vec::new(),
            is_test: false,
        };
        let gone = decide(&world.snapshot(), &mut world.state, &ask);
        assert!(matches!(gone, Decision::Unroutable { reason: Unroutable::FlowGone, .. }));
    }

    #[test]
    fn a_test_call_holds_a_slot_and_moves_no_wheel() {
        let mut world = World::new(&[(1, 1, 1), (1, 1, 1)]);
        let held = Scope::Destination(DestinationId::new(0));
        for times in 1..=3 {
            let (_, decision) = world.ask(&[], true);
            assert_eq!(verdicts(&decision), [Verdict::Chosen, Verdict::NotItsTurn]);
            assert_eq!(world.state.slots.live(held), times);
        }
        assert_eq!(world.take(2), "ab", "as if the tests had never been");
    }

    #[test]
    fn a_change_of_configuration_keeps_the_wheels_of_what_is_left() {
        let mut world = World::new(&[(1, 1, 1), (1, 1, 1), (1, 1, 1)]);
        assert_eq!(world.take(1), "a");
        world.flow().destinations.remove(2);
        let snapshot = world.snapshot();
        world.state.keep(&snapshot);
        assert_eq!(world.take(3), "bba", "b has the turns that a and the one removed had");
        world.configuration.forwarding_flows.clear();
        let snapshot = world.snapshot();
        world.state.keep(&snapshot);
        assert!(world.state.wheels.is_empty());
    }

    #[test]
    fn legs_that_live_through_a_restart_are_counted() {
        let mut world = World::new(&[(1, 1, 1), (2, 2, 1)]);
        world.configuration.servers[0].max_live = Some(1);
        let leg = LegId { call: CallId::new(500), no: 1 };
        let snapshot = world.snapshot();
        readopt(&snapshot, &mut world.state, leg, DestinationId::new(0));
        assert_eq!(world.next().unwrap(), "b");
        assert!(world.state.slots.release(leg));
        assert_eq!(world.next().unwrap(), "a");
    }
}
