//! Changes of configuration, and restarts.

use super::super::choose::{Choice, Ledger, choose};
use super::super::pick::Wheel;
use super::*;
use crate::model::memory::{Remembered, Throttled, Visit};
use crate::model::number::Did;
use crate::model::opening_hours::OpeningHours;
use crate::model::stickiness::{RepeatCount, RepeatRule};
use crate::model::throttle::{CapCount, CapPeriod, VolumeCap};

#[test]
fn the_wheels_of_what_is_left_keep_their_standing() {
    let mut world = World::new(&[(1, 1, 1), (1, 1, 1), (1, 1, 1)]);
    assert_eq!(world.take(1), "a");
    world.change(|world| {
        world.flow().destinations.remove(2);
    });
    assert_eq!(world.take(3), "bba", "b has the turns that a and the one removed had");
    world.change(|world| world.flow().destinations.swap(0, 1));
    assert_eq!(world.take(4), "baba", "a place is not a destination");
    world.change(|world| world.configuration.forwarding_flows.clear());
    assert_eq!(world.next(), Err(Unroutable::FlowGone));
    assert!(world.state.turned_wheels().is_empty());
}

#[test]
fn a_change_that_touches_no_number_keeps_all_of_them() {
    let mut world = World::new(&[(1, 1, 1)]);
    let did: Did = "+12025550111".parse().unwrap();
    world.change(|world| world.flow().dids = vec![did.clone()]);
    let mut without = world.configuration.clone();
    without.forwarding_flows[0].dids.clear();
    without.forwarding_flows[0].name = "renamed".to_owned();
    without.account.prepaid = true;
    let again =
        |all: &Configuration| world.snapshot.again(vec![(DEFAULT_ACCOUNT, all.clone())], None);
    let next = again(&without).unwrap();
    assert_eq!(next.owner(&did).unwrap().flow.name, "renamed");
    assert_eq!(next.flow(FLOW).unwrap().flow.dids, [did]);
    assert_eq!((world.snapshot.has_prepaid(), next.has_prepaid()), (false, true));
    without.forwarding_flows[0].id = ForwardingFlowId::new(2);
    assert!(again(&without).is_none(), "the numbers of another flow are not known");
}

#[test]
fn what_is_recalled_counts_where_it_belongs() {
    let mut world = World::new(&[(1, 1, 1)]);
    let (per, count) = (CapPeriod::Day, CapCount::Attempts);
    let (calls, within_sec) = (1, 60);
    world.change(|world| {
        world.flow().throttle.caps = vec![VolumeCap { per, count, max: 5 }];
        let (count, then) = (RepeatCount::Any, RepeatAction::Tag);
        world.flow().repeat_caller = Some(RepeatRule { calls, within_sec, count, then });
        let other = ForwardingFlow { id: ForwardingFlowId::new(2), ..world.flow().clone() };
        world.configuration.forwarding_flows.push(other);
    });
    let since = Timestamp(world.now.0 - world.now.0 % 86_400_000);
    let volume = |flow| Remembered::Volume {
        of: Throttled::ForwardingFlow(ForwardingFlowId::new(flow)),
        per,
        count,
        since,
        used: 5,
    };
    world.state.recall(&world.snapshot, volume(2));
    assert_eq!(world.next().unwrap(), "a");
    world.state.recall(&world.snapshot, volume(1));
    assert_eq!(world.next(), Err(Unroutable::FlowCapped));

    let (plan, key) = (world.snapshot.flow(FLOW).unwrap(), CallerKey::kept("12025550100"));
    let visit = Visit::begun(CallId::new(99), world.now);
    assert_eq!(world.state.repeat(plan, &key, world.now), None);
    world.state.recall_visit(&world.snapshot, FLOW, &key, visit);
    assert_eq!(world.state.repeat(plan, &key, world.now), plan.flow.repeat_caller);
}

#[test]
fn what_is_spaced_stays_so_when_the_clock_is_set() {
    for is_of_flow in [true, false] {
        let mut world = World::new(&[(1, 1, 1)]);
        world.change(|world| {
            let flow = world.flow();
            let line = &mut flow.destinations[0].throttle;
            let throttle = if is_of_flow { &mut flow.throttle } else { line };
            throttle.spacing_sec = Some(60);
        });
        assert_eq!(world.next().unwrap(), "a");
        world.state.clock_set(3_600_000);
        world.wait_sec(3_600 + 59);
        assert!(world.next().is_err());
        world.wait_sec(1);
        assert_eq!(world.next().unwrap(), "a");
    }
}

#[test]
fn a_circuit_is_tried_again_as_late_when_the_clock_is_set() {
    let mut world = World::new(&[(1, 1, 1)]);
    for _ in 0..3 {
        let (leg, _) = world.ask(&Asked::default());
        world.tell(leg, 0, None, News::NoReply);
    }
    world.state.clock_set(3_600_000);
    world.wait_sec(3_600 + 14);
    assert_eq!(world.next(), Err(Unroutable::AllDown));
    world.wait_sec(1);
    assert_eq!(world.next().unwrap(), "a");
}

#[test]
fn schedules_are_looked_up_before_they_are_asked() {
    let mut world = World::new(&[(1, 1, 1)]);
    world.change(|world| world.line(0).schedule = Some(OpeningHours::default().into()));
    let before = format!("{:?}", world.state.flows[0].lines);
    world.state.prepare(&world.snapshot, FLOW, world.now);
    assert_ne!(format!("{:?}", world.state.flows[0].lines), before);
}

#[test]
fn a_tier_is_all_lines_of_one_priority() {
    let world = World::new(&[(1, 1, 1), (1, 1, 1), (1, 2, 1), (1, 3, 1), (1, 3, 1), (1, 3, 1)]);
    let plan = world.snapshot.flow(FLOW).unwrap();
    let tiers = (0..6).map(|place| plan.tier(place));
    assert_eq!(tiers.collect::<Vec<_>>(), [0..2, 0..2, 2..3, 3..6, 3..6, 3..6]);
}

#[test]
fn a_weight_that_is_lowered_does_not_leave_a_debt_behind() {
    let mut world = World::new(&[(1, 1, 1_000), (1, 1, 1_000)]);
    world.take(1);
    world.change(|world| {
        world.line(0).weight = 1;
        world.line(1).weight = 1;
    });
    let picks = world.take(10);
    assert!(picks.matches('a').count() >= 4, "{picks}");
}

#[test]
fn a_wheel_outlives_the_process() {
    let mut world = World::new(&[(1, 1, 5), (1, 1, 1), (1, 1, 1), (2, 2, 1)]);
    assert_eq!(world.take(4), "aaba");
    let wheels = world.state.turned_wheels();
    assert_eq!(wheels.len(), 2, "each tier is one: {wheels:?}");
    assert!(world.state.turned_wheels().is_empty(), "told once");
    world.state = State::default();
    for (account, wheel) in wheels {
        assert_eq!(account, DEFAULT_ACCOUNT);
        assert!(matches!(wheel, Remembered::Wheel { flow: FLOW, .. }));
        world.state.recall(&world.snapshot, wheel);
    }
    assert_eq!(world.take(3), "caa");
}

#[test]
fn a_wheel_that_is_recalled_owes_and_is_owed_no_more_than_a_wheel_leads_to() {
    let mut wheel = Wheel::new(1);
    for (remembered, kept) in [(-11, -10), (-10, -10), (0, 0), (10, 10), (11, 10)] {
        wheel.restore(0, remembered, [4, 0, 6].into_iter());
        assert_eq!(wheel.standing(0), kept);
    }
    wheel.restore(0, 99, std::iter::repeat_n(1, 8));
    assert_eq!(wheel.standing(0), 24, "one of eight may be owed three rounds");
    // The weights were lowered while divert was not there.
    let mut world = World::new(&[(1, 1, 1), (1, 1, 1), (1, 2, 1)]);
    let standing = [(0, -1_000), (1, 1_000)].map(|(id, standing)| (destination(id), standing));
    let wheel = Remembered::Wheel { flow: FLOW, priority: 1, standing: standing.into() };
    world.state.recall(&world.snapshot, wheel);
    let picks = world.take(10);
    assert!(picks.matches('a').count() >= 4, "{picks}");
}

#[test]
fn a_wheel_that_turned_is_written_down_after_a_reload_too() {
    let mut world = World::new(&[(1, 1, 1), (1, 1, 1)]);
    world.take(1);
    world.change(|world| world.line(1).max_live = Some(9));
    let wheels = world.state.turned_wheels();
    assert_eq!(wheels.len(), 1);
    assert!(world.state.turned_wheels().is_empty(), "once");
}

#[test]
fn a_state_that_did_not_follow_gives_no_wrong_answer() {
    let mut world = World::new(&[(1, 1, 1), (1, 1, 1)]);
    assert_eq!(world.take(1), "a");
    let (ask, mut choice) = (world.question(&Asked::default()), Choice::default());
    let mut stale = world.state.clone();
    world.change(|world| world.flow().destinations.swap(0, 1));
    let ledger = Ledger::default();
    choose(&world.snapshot, &stale, &ask, &ledger, &mut choice);
    let plan = world.snapshot.flow(FLOW).unwrap();
    assert_eq!(choice.chosen(plan).unwrap().0.destination.name, "b");
    assert_eq!(name(&decide(&world.snapshot, &mut stale, &ask)).unwrap(), "b");
}
