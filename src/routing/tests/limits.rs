//! How many at once, and how many at all.

use std::collections::BTreeSet;

use super::super::choose::{Choice, Ledger, choose};
use super::super::decide::{LiveLeg, commit, readopt};
use super::super::slots::Scope;
use super::*;
use crate::model::cause::Outcome;
use crate::model::objects::destination::DestinationState;
use crate::model::objects::forwarding_flow::Fallback;
use crate::model::throttle::{ArrivalRate, CapCount, CapPeriod, RatePeriod, VolumeCap};
use crate::model::timeline::{Down, LimitScope};

fn cap(count: CapCount, max: u32) -> VolumeCap {
    VolumeCap { per: CapPeriod::Day, count, max }
}

#[test]
fn every_limit_of_a_leg_holds() {
    let full = |scope, max| Verdict::Full { scope, live: max, max };
    let first_is = |world: &mut World, verdict| {
        assert_eq!(world.verdicts(&Asked::default())[0], verdict);
    };
    let two = [(1, 1, 1), (2, 2, 1)];
    let mut world = World::new(&two);
    world.change(|world| world.line(0).max_live = Some(2));
    assert_eq!(world.take(3), "aab");
    first_is(&mut world, full(LimitScope::Destination, 2));

    let mut world = World::new(&two);
    world.change(|world| world.configuration.servers[0].max_live = Some(1));
    assert_eq!(world.take(2), "ab");
    first_is(&mut world, full(LimitScope::Server, 1));

    let mut world = World::new(&two);
    world.change(|world| world.configuration.trunks[0].max_live = Some(1));
    assert_eq!(world.take(2), "ab");
    first_is(&mut world, full(LimitScope::Trunk, 1));

    let mut world = World::new(&two);
    world.change(|world| world.configuration.account.max_live = Some(3));
    assert_eq!(world.take(3), "aaa");
    first_is(&mut world, full(LimitScope::Account, 3));
    assert_eq!(world.next(), Err(Unroutable::AllFull));
}

#[test]
fn a_call_has_one_place_behind_the_cap_of_its_flow_however_many_legs() {
    let mut world = World::new(&[(1, 1, 1), (1, 2, 1)]);
    world.change(|world| world.flow().throttle.caps = vec![cap(CapCount::Answers, 2)]);
    let mut ask = world.question(&Asked::default());
    assert_eq!(name(&decide(&world.snapshot, &mut world.state, &ask)).unwrap(), "a");
    // The first leg is not gone yet.
    ask.leg.no = 2;
    ask.tried.push(tried(0, None));
    assert_eq!(name(&decide(&world.snapshot, &mut world.state, &ask)).unwrap(), "b");
    assert_eq!(world.next().unwrap(), "a");
    assert_eq!(world.next(), Err(Unroutable::FlowCapped));
}

#[test]
fn a_slot_given_back_is_free_for_the_next() {
    let mut world = World::new(&[(1, 1, 1)]);
    world.change(|world| world.line(0).max_live = Some(1));
    let (leg, _) = world.ask(&Asked::default());
    assert_eq!(world.next(), Err(Unroutable::AllFull));
    assert!(world.state.release(leg));
    assert!(!world.state.release(leg));
    assert_eq!(world.next().unwrap(), "a");
}

#[test]
fn of_two_hundred_at_once_ten_get_ten_places() {
    let mut world = World::new(&[(1, 1, 1)]);
    world.change(|world| world.line(0).max_live = Some(10));
    let mut taken: Vec<LegId> = (0..200)
        .map(|_| world.ask(&Asked::default()))
        .filter(|(_, decision)| matches!(decision, Decision::Picked { .. }))
        .map(|(leg, _)| leg)
        .collect();
    assert_eq!(taken.len(), 10);
    for _ in 0..50 {
        assert!(world.state.release(taken.remove(0)));
        let (leg, decision) = world.ask(&Asked::default());
        assert!(matches!(decision, Decision::Picked { .. }), "a tenth fits");
        taken.push(leg);
        assert_eq!(world.next(), Err(Unroutable::AllFull), "and no eleventh");
    }
}

#[test]
fn a_lowered_limit_drops_nobody_and_admits_nobody() {
    let mut world = World::new(&[(1, 1, 1)]);
    let legs: Vec<LegId> = (0..3).map(|_| world.ask(&Asked::default()).0).collect();
    world.change(|world| world.line(0).max_live = Some(1));
    assert_eq!(world.state.live(Scope::Destination(destination(0))), 3);
    for leg in legs {
        assert_eq!(world.next(), Err(Unroutable::AllFull));
        world.state.release(leg);
    }
    assert_eq!(world.next().unwrap(), "a");
}

/// One that rings at destination `at`.
fn live(leg: LegId, at: u128, trunk: Option<u128>) -> LiveLeg {
    let (destination, trunk) = (Some(destination(at)), trunk.map(TrunkId::new));
    let account = DEFAULT_ACCOUNT;
    LiveLeg { leg, account, destination, trunk, is_test: false, is_up: false }
}

#[test]
fn the_fallback_number_needs_room_on_its_trunk_and_in_the_account() {
    let ask = Asked { is_fallback: true, ..Asked::default() };
    let fallback = Fallback::Number { trunk: TrunkId::new(2), number: "1002".parse().unwrap() };
    let mut world = World::new(&[(1, 1, 1)]);
    world.change(|world| {
        world.flow().fallback = fallback;
        world.configuration.trunks[1].max_live = Some(1);
        world.configuration.account.max_live = Some(2);
    });
    let (leg, decision) = world.ask(&ask);
    let Decision::Picked { offer, candidates, .. } = decision else {
        panic!("{decision:?}");
    };
    assert_eq!((&*offer.endpoint, offer.destination), ("PJSIP/1002@slave-2", None));
    assert_eq!(candidates, []);
    let held = [Scope::Trunk(TrunkId::new(2)), Scope::Account(DEFAULT_ACCOUNT)];
    assert_eq!(world.state.held(leg).collect::<Vec<_>>(), held);
    let full = |scope, max| [Verdict::Full { scope, live: max, max }];
    assert_eq!(world.verdicts(&ask), full(LimitScope::Trunk, 1));
    world.change(|world| world.configuration.trunks[1].max_live = None);
    assert_eq!(world.next().unwrap(), "a");
    assert_eq!(world.verdicts(&ask), full(LimitScope::Account, 2));
    assert!(world.state.release(leg));
    world.state.set_endpoint(TrunkId::new(2), Some(false));
    assert_eq!(world.verdicts(&ask), [Verdict::Down { why: Down::Offline }]);
    // It was taken out of the flow while the call was on its way.
    world.change(|world| world.flow().fallback = Fallback::Dialplan);
    assert_eq!(name(&world.ask(&ask).1), Err(Unroutable::NoFallback));
}

#[test]
fn legs_that_live_through_a_restart_are_counted() {
    let mut world = World::new(&[(1, 1, 1), (2, 2, 1)]);
    world.change(|world| world.configuration.servers[0].max_live = Some(1));
    let leg = LegId { call: CallId::new(500), no: 1 };
    readopt(&world.snapshot, &mut world.state, &live(leg, 0, None), None);
    assert_eq!(world.next().unwrap(), "b");
    assert!(world.state.release(leg));
    assert_eq!(world.next().unwrap(), "a");
    // One whose destination was removed counts on its trunk, where it still talks.
    let trunk = Scope::Trunk(TrunkId::new(1));
    let before = world.state.live(trunk);
    readopt(&world.snapshot, &mut world.state, &live(leg, 99, Some(1)), None);
    assert_eq!(world.state.live(trunk), before + 1);
    assert!(world.state.release(leg));
    let fallback = LiveLeg { destination: None, ..live(leg, 0, Some(1)) };
    readopt(&world.snapshot, &mut world.state, &fallback, None);
    assert_eq!(world.state.live(trunk), before + 1);
}

#[test]
fn a_leg_whose_destination_has_moved_counts_on_the_trunk_it_is_on() {
    let mut world = World::new(&[(2, 1, 1)]);
    let leg = LegId { call: CallId::new(500), no: 1 };
    readopt(&world.snapshot, &mut world.state, &live(leg, 0, Some(1)), None);
    let count = |id| world.state.live(Scope::Trunk(TrunkId::new(id)));
    assert_eq!((count(1), count(2)), (1, 0));
}

#[test]
fn a_leg_counts_where_it_was_seen_to_whatever_has_become_of_its_destination() {
    let leg = LegId { call: CallId::new(500), no: 1 };
    let (server, account) = (Scope::Server(ServerId::new(1)), Scope::Account(DEFAULT_ACCOUNT));
    let gone = Scope::Destination(destination(99));
    let (trunk, moved) = (Scope::Trunk(TrunkId::new(1)), Scope::Destination(destination(0)));
    for (at, destination) in [(99, gone), (0, moved)] {
        let mut world = World::new(&[(2, 1, 1), (1, 2, 1)]);
        world.change(|world| {
            world.configuration.servers[0].max_live = Some(1);
            world.line(0).state = DestinationState::Paused;
        });
        let held = BTreeSet::from([account, destination, server, trunk]);
        readopt(&world.snapshot, &mut world.state, &live(leg, at, Some(1)), Some(&held));
        assert_eq!(world.state.held(leg).collect::<BTreeSet<_>>(), held);
        let full = Verdict::Full { scope: LimitScope::Server, live: 1, max: 1 };
        assert_eq!(world.verdicts(&Asked::default())[1], full, "{destination}");
        world.change(|world| world.line(1).weight = 2);
        assert_eq!(world.state.held(leg).collect::<BTreeSet<_>>(), held, "a reload keeps it");
        assert!(world.state.release(leg));
        assert_eq!(world.next().unwrap(), "b");
    }
}

#[test]
fn a_reload_counts_what_is_under_way_once() {
    for count in [CapCount::Answers, CapCount::BillableMinutes] {
        let mut world = World::new(&[(1, 1, 1)]);
        world.change(|world| world.line(0).throttle.caps = vec![cap(count, 2)]);
        assert_eq!(world.next().unwrap(), "a");
        world.change(|world| world.line(0).weight = 2);
        assert_eq!(world.next().unwrap(), "a", "{count:?}: one of two is held");
        world.change(|world| world.line(0).weight = 1);
        assert_eq!(world.next(), Err(Unroutable::AllThrottled), "{count:?}: and now both");
    }
}

#[test]
fn a_test_call_that_rings_takes_no_place_in_a_cap() {
    let mut world = World::new(&[(1, 1, 1)]);
    let cap = VolumeCap { per: CapPeriod::Total, count: CapCount::Answers, max: 1 };
    world.change(|world| world.line(0).throttle.caps = vec![cap]);
    let (_, test) = world.ask(&Asked { is_test: true, ..Asked::default() });
    assert!(matches!(test, Decision::Picked { .. }));
    assert_eq!(world.next().unwrap(), "a", "the one place is for an ordinary call");
    assert_eq!(world.next(), Err(Unroutable::AllThrottled));
}

#[test]
fn a_leg_that_rings_through_a_restart_keeps_its_place_in_a_cap() {
    let mut world = World::new(&[(1, 1, 1)]);
    let cap = VolumeCap { per: CapPeriod::Total, count: CapCount::Answers, max: 1 };
    world.change(|world| world.line(0).throttle.caps = vec![cap]);
    let leg = LegId { call: CallId::new(500), no: 1 };
    readopt(&world.snapshot, &mut world.state, &live(leg, 0, None), None);
    assert_eq!(world.next(), Err(Unroutable::AllThrottled));
    world.tell(leg, 0, None, News::Failed(Outcome::NoAnswer));
    assert_eq!(world.next().unwrap(), "a");
}

#[test]
fn a_node_that_shares_its_limits_asks_elsewhere() {
    let mut world = World::new(&[(1, 1, 1), (1, 1, 1), (2, 2, 1)]);
    world.change(|world| {
        world.line(0).max_live = Some(5);
        world.line(1).max_live = Some(5);
    });
    let ask = world.question(&Asked::default());
    let plan = Arc::clone(world.snapshot.flow(FLOW).unwrap());
    let mut choice = Choice::default();
    let mut look = |world: &World, live: &[(Scope, u32)], is_away| {
        let ledger = Ledger { live, is_away };
        choose(&world.snapshot, &world.state, &ask, &ledger, &mut choice);
        choice.clone()
    };
    let first = look(&world, &[], false);
    let scopes: Vec<_> =
        first.limits(&world.snapshot, &plan).iter().map(|limit| (limit.scope, limit.max)).collect();
    let wanted = [
        (Scope::Account(DEFAULT_ACCOUNT), None),
        (Scope::Destination(destination(0)), Some(5)),
        (Scope::Server(ServerId::new(1)), None),
        (Scope::Trunk(TrunkId::new(1)), None),
    ];
    assert_eq!(scopes, wanted);
    // Other nodes took what this one saw free.
    let second = look(&world, &[(Scope::Destination(destination(0)), 5)], false);
    let told: Vec<_> = second.verdicts().collect();
    let full = Verdict::Full { scope: LimitScope::Destination, live: 5, max: 5 };
    assert_eq!(told, [full, Verdict::Chosen, Verdict::LowerPriority]);
    let away: Vec<_> = look(&world, &[], true).verdicts().collect();
    assert_eq!(away, [Verdict::LedgerAway, Verdict::LedgerAway, Verdict::Chosen]);

    // What was chosen on another configuration is not committed.
    world.change(|world| world.line(0).weight = 2);
    assert!(!commit(&world.snapshot, &mut world.state, &ask, &second));
    assert_eq!(world.state.holders().count(), 0);
}

#[test]
fn a_choice_changes_nothing_and_a_test_call_only_takes_its_slots() {
    let mut world = World::new(&[(1, 1, 1), (1, 1, 1)]);
    world.change(|world| {
        world.line(0).max_live = Some(4);
        world.line(0).throttle.caps = vec![cap(CapCount::Attempts, 2), cap(CapCount::Answers, 1)];
        world.flow().throttle.spacing_sec = Some(1);
    });
    for live in 1..=3 {
        let (leg, decision) = world.ask(&Asked { is_test: true, ..Asked::default() });
        assert_eq!(verdicts(&decision), [Verdict::Chosen, Verdict::NotItsTurn]);
        let Decision::Picked { would: Some(would), .. } = decision else {
            panic!("{decision:?}");
        };
        assert!(would.turns_wheel && !would.visits && would.binds_until.is_none());
        let caps = [("a".to_owned(), CapCount::Attempts), ("a".to_owned(), CapCount::Answers)];
        assert_eq!(would.caps, caps);
        assert_eq!(world.state.live(Scope::Destination(destination(0))), live);
        let report = Report {
            leg,
            flow: FLOW,
            destination: Some(destination(0)),
            trunk: None,
            caller: None,
            is_test: true,
            news: News::Answered,
        };
        world.state.report(&world.snapshot, world.now, &report);
    }
    assert_eq!(world.state.remembered().count(), 0);
    assert!(world.state.turned_wheels().is_empty());
    assert_eq!(world.next().unwrap(), "a", "as if the tests had never been");
}

#[test]
fn a_destination_whose_rate_is_used_up_leaves_the_call_to_others() {
    let mut world = World::new(&[(1, 1, 1), (2, 2, 1)]);
    let rate = ArrivalRate { calls: 1, per: RatePeriod::Minute, burst: 2 };
    world.change(|world| world.line(0).throttle.rate = Some(rate));
    assert_eq!(world.take(3), "aab");
    assert_eq!(world.verdicts(&Asked::default()), [Verdict::TooFast, Verdict::Chosen]);
    world.wait_sec(60);
    assert_eq!(world.take(2), "ab");
    // A reload forgets nothing of it.
    world.change(|world| world.line(1).weight = 2);
    assert_eq!(world.take(1), "b");
    world.change(|world| world.line(1).throttle.spacing_sec = Some(10));
    assert_eq!(world.next().unwrap(), "b");
    assert_eq!(world.next(), Err(Unroutable::AllThrottled));
}

#[test]
fn a_call_counts_once_for_its_flow_however_many_are_tried() {
    let mut world = World::new(&[(1, 1, 1), (1, 1, 1)]);
    world.change(|world| {
        let rate = ArrivalRate { calls: 1, per: RatePeriod::Minute, burst: 1 };
        world.flow().throttle.rate = Some(rate);
    });
    assert_eq!(world.next().unwrap(), "a");
    let (_, second) = world.ask(&Asked { tried: &[0], ..Asked::default() });
    assert_eq!(name(&second).unwrap(), "b", "the same call goes on");
    assert_eq!(world.next(), Err(Unroutable::FlowTooFast));
    world.change(|world| {
        world.flow().throttle.rate = None;
        world.flow().throttle.caps = vec![cap(CapCount::Attempts, 1)];
    });
    assert_eq!(world.take(1), "b");
    assert_eq!(world.next(), Err(Unroutable::FlowCapped));
}

#[test]
fn a_burst_at_one_below_the_cap_admits_one_and_a_failure_frees_its_place() {
    let mut world = World::new(&[(1, 1, 1)]);
    world.change(|world| world.line(0).throttle.caps = vec![cap(CapCount::Answers, 2)]);
    let (leg, _) = world.ask(&Asked::default());
    world.tell(leg, 0, None, News::Answered);
    let admitted: Vec<LegId> = (0..20)
        .map(|_| world.ask(&Asked::default()))
        .filter(|(_, decision)| matches!(decision, Decision::Picked { .. }))
        .map(|(leg, _)| leg)
        .collect();
    assert_eq!(admitted.len(), 1);
    world.tell(admitted[0], 0, None, News::Failed(Outcome::Busy));
    let (leg, decision) = world.ask(&Asked::default());
    assert_eq!(name(&decision).unwrap(), "a");
    // A decision that came too late for its call is given back without any news.
    world.state.release(leg);
    let (leg, _) = world.ask(&Asked::default());
    world.tell(leg, 0, None, News::Answered);
    world.tell(leg, 0, None, News::Ended { talk_ms: 1, billed_sec: None });
    assert_eq!(world.next(), Err(Unroutable::AllThrottled));
    world.wait_sec(86_400);
    assert_eq!(world.next().unwrap(), "a");
}

#[test]
fn a_retry_keeps_the_place_its_call_has_behind_the_cap_of_the_flow() {
    let mut world = World::new(&[(1, 1, 1), (1, 1, 1)]);
    world.change(|world| world.flow().throttle.caps = vec![cap(CapCount::Answers, 1)]);
    let (first, _) = world.ask(&Asked::default());
    // The first leg is still on its way out when the second is sent.
    let mut ask = world.question(&Asked { tried: &[0], ..Asked::default() });
    ask.leg = LegId { no: 2, ..first };
    assert_eq!(name(&decide(&world.snapshot, &mut world.state, &ask)).unwrap(), "b");
    world.tell(first, 0, None, News::Failed(Outcome::NoAnswer));
    assert_eq!(world.next(), Err(Unroutable::FlowCapped), "its place is taken");
    world.tell(ask.leg, 1, None, News::Failed(Outcome::NoAnswer));
    assert_eq!(world.take(1), "b");
}

#[test]
fn minutes_are_counted_when_they_are_known_and_one_is_held_until_then() {
    let mut world = World::new(&[(1, 1, 1)]);
    world.change(|world| world.line(0).throttle.caps = vec![cap(CapCount::BillableMinutes, 3)]);
    let (leg, _) = world.ask(&Asked::default());
    world.tell(leg, 0, None, News::Answered);
    world.tell(leg, 0, None, News::Ended { talk_ms: 60_001, billed_sec: None });
    let (leg, decision) = world.ask(&Asked::default());
    assert!(matches!(decision, Decision::Picked { .. }), "one of three is left");
    let used =
        Verdict::Capped { per: CapPeriod::Day, count: CapCount::BillableMinutes, used: 3, max: 3 };
    assert_eq!(world.verdicts(&Asked::default()), [used]);
    world.tell(leg, 0, None, News::Answered);
    assert_eq!(world.verdicts(&Asked::default()), [used], "it is still under way");
    world.tell(leg, 0, None, News::Ended { talk_ms: 5_000, billed_sec: Some(60) });
    assert_eq!(world.verdicts(&Asked::default()), [used]);
}
