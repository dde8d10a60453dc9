//! Who is asked first, and who next.

use super::*;
use crate::model::objects::destination::DestinationState;
use crate::model::objects::forwarding_flow::{Fallback, ForwardingFlowState, Spread};
use crate::model::opening_hours::OpeningHours;

#[test]
fn the_lowest_priority_number_takes_every_call_it_can() {
    let mut world = World::new(&[(1, 2, 1), (1, -1, 1)]);
    assert_eq!(world.take(3), "bbb");
    let verdicts = world.verdicts(&Asked { tried: &[1], ..Asked::default() });
    // Lines stand in the order of their priority.
    assert_eq!(verdicts, [Verdict::Tried, Verdict::Chosen]);
}

#[test]
fn weights_share_a_tier_and_round_robin_ignores_them() {
    let mut world = World::new(&[(1, 1, 5), (1, 1, 1), (1, 1, 1)]);
    assert_eq!(world.take(7), "aabacaa");
    let mut world = World::new(&[(1, 1, 5), (1, 1, 1), (1, 1, 0)]);
    world.change(|world| world.flow().spread = Spread::RoundRobin);
    assert_eq!(world.take(4), "abab");
}

#[test]
fn every_reason_is_told() {
    let mut world = World::new(&[(1, 1, 1), (1, 1, 0), (1, 1, 1), (1, 1, 1), (2, 2, 1)]);
    world.change(|world| {
        world.line(0).state = DestinationState::Paused;
        world.line(2).state = DestinationState::Disabled;
        world.line(3).schedule = Some(OpeningHours::default().into());
    });
    let wanted =
        [Verdict::Paused, Verdict::Drained, Verdict::Disabled, Verdict::Closed, Verdict::Chosen];
    assert_eq!(world.verdicts(&Asked::default()), wanted);
}

#[test]
fn the_wheel_moves_on_retries_too() {
    let mut world = World::new(&[(1, 1, 1), (1, 1, 1), (1, 1, 1)]);
    assert_eq!(world.next().unwrap(), "a");
    let (_, second) = world.ask(&Asked { tried: &[0], ..Asked::default() });
    assert_eq!(name(&second).unwrap(), "b");
    assert_eq!(world.take(4), "cbca", "b was moved past, and what it got early it pays back");
}

#[test]
fn a_number_that_did_not_take_the_call_is_not_called_over_another_trunk() {
    let mut world = World::new(&[(1, 1, 1), (1, 2, 1), (1, 3, 1)]);
    let over = |trunk, number: &str| Landing::Trunk {
        trunk: TrunkId::new(trunk),
        number: number.parse().unwrap(),
    };
    world.change(|world| {
        world.line(0).landing = over(1, "+12025550100");
        world.line(1).landing = over(2, "12025550100");
        world.line(2).landing = over(2, "12025550101");
        let number = "12025550100".parse().unwrap();
        world.flow().fallback = Fallback::Number { trunk: TrunkId::new(2), number };
    });
    for (outcome, is_called_again) in [
        (Outcome::Busy, false),
        (Outcome::Declined, false),
        (Outcome::NoAnswer, false),
        (Outcome::Redirected, false),
        (Outcome::TrunkFailed, true),
        (Outcome::TrunkRejected, true),
        (Outcome::Unreachable, true),
        (Outcome::BadNumber, true),
        (Outcome::CodecMismatch, true),
    ] {
        let mut ask = world.question(&Asked::default());
        ask.tried.push(tried(0, Some(outcome)));
        let decision = decide(&world.snapshot, &mut world.state, &ask);
        let wanted = if is_called_again {
            [Verdict::Tried, Verdict::Chosen, Verdict::LowerPriority]
        } else {
            [Verdict::Tried, Verdict::NumberTried, Verdict::Chosen]
        };
        assert_eq!(verdicts(&decision), wanted, "{outcome}");
        world.state.release(ask.leg);
        // Nor as the last resort.
        let mut ask = Ask { is_fallback: true, ..ask };
        let decision = decide(&world.snapshot, &mut world.state, &ask);
        let is_refused = verdicts(&decision) == [Verdict::NumberTried];
        assert_eq!(is_refused, !is_called_again, "{outcome}");
        world.state.release(ask.leg);
        // When none is left, it is told as if all had been tried.
        ask.is_fallback = false;
        ask.tried.push(tried(2, Some(Outcome::TrunkFailed)));
        if !is_called_again {
            let decision = decide(&world.snapshot, &mut world.state, &ask);
            assert_eq!(name(&decision), Err(Unroutable::AllTried));
        }
    }
}

#[test]
fn a_paused_flow_can_be_tried_by_test_calls_only() {
    let mut world = World::new(&[(1, 1, 1)]);
    world.change(|world| world.flow().state = ForwardingFlowState::Paused);
    assert_eq!(world.next(), Err(Unroutable::FlowPaused));
    let (_, decision) = world.ask(&Asked { is_test: true, ..Asked::default() });
    assert_eq!(name(&decision).as_deref(), Ok("a"));
    let seen = super::super::explain::live(&world.snapshot, &world.state, FLOW, world.now);
    assert_eq!(seen.unwrap().reason, Some(Unroutable::FlowPaused));
    world.change(|world| world.flow().state = ForwardingFlowState::Active);
    assert_eq!(world.next().as_deref(), Ok("a"));
}

#[test]
fn the_most_specific_common_reason_is_given() {
    let mut world = World::new(&[(1, 1, 1), (1, 1, 1)]);
    let set = |world: &mut World, at, state| world.change(|world| world.line(at).state = state);
    set(&mut world, 0, DestinationState::Paused);
    set(&mut world, 1, DestinationState::Paused);
    assert_eq!(world.next(), Err(Unroutable::AllPaused));
    set(&mut world, 0, DestinationState::Disabled);
    assert_eq!(world.next(), Err(Unroutable::Mixed));
    set(&mut world, 1, DestinationState::Disabled);
    assert_eq!(world.next(), Err(Unroutable::AllDisabled));
    let mut world = World::new(&[(1, 1, 1)]);
    world.change(|world| world.line(0).schedule = Some(OpeningHours::default().into()));
    assert_eq!(world.next(), Err(Unroutable::AllClosed));
    world.change(|world| world.flow().schedule = Some(OpeningHours::default().into()));
    assert_eq!(world.next(), Err(Unroutable::FlowClosed));
    world.change(|world| world.flow().state = ForwardingFlowState::Paused);
    assert_eq!(world.next(), Err(Unroutable::FlowPaused));
    let ask = Ask { flow: ForwardingFlowId::new(99), ..world.question(&Asked::default()) };
    let gone = decide(&world.snapshot, &mut world.state, &ask);
    assert_eq!(name(&gone), Err(Unroutable::FlowGone));
}

#[test]
fn hours_are_those_of_the_destinations_zone_and_their_end_is_not_missed() {
    let mut world = World::new(&[(1, 1, 1), (2, 2, 1)]);
    world.change(|world| {
        let office = vec!["09:00-17:00".parse().unwrap()];
        world.configuration.account.time_zone = "Asia/Tokyo".parse().unwrap();
        world.flow().time_zone = Some("Europe/Berlin".parse().unwrap());
        world.line(0).time_zone = Some("America/Chicago".parse().unwrap());
        let schedule = OpeningHours {
            weekly: std::array::from_fn(|_| office.clone()),
            ..OpeningHours::default()
        };
        world.line(0).schedule = Some(schedule.into());
    });
    for (when, who) in [
        ("2026-11-20T08:59:59.999-06:00[America/Chicago]", "b"),
        ("2026-11-20T09:00:00-06:00[America/Chicago]", "a"),
        ("2026-11-20T16:59:59.999-06:00[America/Chicago]", "a"),
        ("2026-11-20T17:00:00-06:00[America/Chicago]", "b"),
        // A question about another time than now is answered for that time.
        ("2026-11-20T12:00:00-06:00[America/Chicago]", "a"),
    ] {
        world.now = at(when);
        assert_eq!(world.next().unwrap(), who, "{when}");
    }
    let plan = world.snapshot.flow(FLOW).unwrap();
    assert_eq!(plan.zone.name(), "Europe/Berlin");
}
