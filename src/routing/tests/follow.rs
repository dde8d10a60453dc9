//! Changes of configuration, and restarts.

use super::super::choose::{Choice, Ledger, choose};
use super::super::pick::Wheel;
use super::*;
use crate::model::memory::Remembered;
use crate::model::number::Did;

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
