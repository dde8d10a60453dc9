//! Explaining, and looking ahead.

use super::super::explain::{Closed, SupposedCall, explain, explain_call, live};
use super::*;
use crate::model::id::AccountId;
use crate::model::number::{Caller, Did};
use crate::model::objects::destination::DestinationState;
use crate::model::objects::forwarding_flow::Fallback;
use crate::model::opening_hours::OpeningHours;
use crate::model::stickiness::{RepeatCount, RepeatRule};
use crate::model::throttle::{CapCount, CapPeriod, VolumeCap};
use crate::model::timeline::LimitScope;

/// Everything that could have changed, as far as it shows.
fn picture(world: &World) -> String {
    format!("{:?}", world.state)
}

#[test]
fn what_is_explained_is_what_happens_and_explaining_changes_nothing() {
    let mut world = World::new(&[(1, 1, 5), (1, 1, 1), (2, 2, 1), (1, 1, 3)]);
    world.change(|world| {
        world.line(3).state = DestinationState::Paused;
        world.line(0).throttle.caps =
            vec![VolumeCap { per: CapPeriod::Day, count: CapCount::Attempts, max: 5 }];
    });
    for _ in 0..10 {
        let before = picture(&world);
        let ask = world.question(&Asked::default());
        let told = explain(&world.snapshot, &world.state, &ask);
        assert_eq!(picture(&world), before);
        // The call goes on from one that does not answer to the next.
        let mut ask = Ask { leg: ask.leg, ..ask };
        let mut decision = decide(&world.snapshot, &mut world.state, &ask);
        assert_eq!(told.decision, decision);
        let mut names = Vec::new();
        while let Decision::Picked { offer, .. } = &decision {
            names.push(offer.name.clone());
            let destination = offer.destination.unwrap();
            ask.tried.push(Attempt { destination, trunk: offer.trunk, outcome: None });
            world.state.release(ask.leg);
            ask.leg.no += 1;
            decision = decide(&world.snapshot, &mut world.state, &ask);
        }
        let foretold: Vec<_> = told.then.iter().map(|next| next.name.clone()).collect();
        assert_eq!(names[1..], foretold);
        assert_eq!(told.ends, name(&decision).err());
    }
}

#[test]
fn who_was_not_tried_says_why_at_the_end() {
    let mut world = World::new(&[(1, 1, 1), (1, 1, 1), (1, 2, 1)]);
    world.change(|world| world.line(1).state = DestinationState::Paused);
    let ask = world.question(&Asked::default());
    let told = explain(&world.snapshot, &world.state, &ask);
    let names: Vec<_> = told.then.iter().map(|next| next.name.as_str()).collect();
    assert_eq!((names, told.ends), (vec!["c"], Some(Unroutable::Mixed)));
    assert_eq!(told.ends_with, [Verdict::Paused]);
}

#[test]
fn a_call_is_explained_by_its_number_to_the_account_that_owns_it() {
    let mut world = World::new(&[(1, 1, 1), (1, 2, 1)]);
    let did: Did = "+12025550111".parse().unwrap();
    let never = || Some(OpeningHours::default().into());
    world.change(|world| {
        world.flow().dids = vec![did.clone()];
        world.line(1).schedule = never();
    });
    let explain = |world: &World, account, did: &Did| {
        let caller = Caller::clean("+12025550100", "");
        let call = SupposedCall { did, caller: &caller, at: world.now };
        explain_call(&world.snapshot, &world.state, account, &call)
    };
    let told = explain(&world, DEFAULT_ACCOUNT, &did).unwrap();
    assert_eq!((told.flow, told.closed), (FLOW, None));
    assert_eq!(name(&told.explanation.decision).unwrap(), "a");
    assert_eq!(told.caller_key, Some(CallerKey::kept("12025550100")));
    let closed = Closed { today: Vec::new(), opens_at: None };
    assert_eq!(told.closed_lines, [(destination(1), closed.clone())]);
    assert_eq!(explain(&world, AccountId::new(7), &did), None);
    assert_eq!(explain(&world, DEFAULT_ACCOUNT, &"100".parse().unwrap()), None);
    world.change(|world| world.flow().schedule = never());
    assert_eq!(explain(&world, DEFAULT_ACCOUNT, &did).unwrap().closed, Some(closed.clone()));
    let seen = live(&world.snapshot, &world.state, FLOW, world.now).unwrap();
    assert_eq!((seen.closed, seen.closed_lines.len()), (Some(closed), 1));
}

#[test]
fn an_explanation_ends_where_the_call_may_not_go_on() {
    let mut world = World::new(&[(1, 1, 1), (1, 1, 1), (1, 1, 1)]);
    world.change(|world| {
        world.flow().max_attempts = 2;
        world.flow().fallback = Fallback::HangUp(None);
    });
    let ask = world.question(&Asked::default());
    let told = explain(&world.snapshot, &world.state, &ask);
    assert_eq!((told.then.len(), told.ends), (1, None));
    let hang_up = Fallback::HangUp(None);
    assert_eq!(told.fallback.map(|last| (last.fallback, last.refused)), Some((hang_up, None)));
    assert!(told.would.turns_wheel);
    let gone = Ask { flow: ForwardingFlowId::new(7), ..ask };
    let told = explain(&world.snapshot, &world.state, &gone);
    assert_eq!((told.ends, told.fallback), (Some(Unroutable::FlowGone), None));
}

/// A caller has called, whatever becomes of the call; to its flow it is one attempt.
#[test]
fn what_a_call_would_change_is_told_of_any_attempt_and_of_a_refused_one() {
    let mut world = World::new(&[(1, 1, 1), (1, 1, 1)]);
    let cap = |count| VolumeCap { per: CapPeriod::Day, count, max: 5 };
    world.change(|world| {
        world.flow().repeat_caller = Some(RepeatRule {
            calls: 1,
            within_sec: 60,
            count: RepeatCount::Any,
            then: RepeatAction::Tag,
        });
        world.flow().throttle.caps = vec![cap(CapCount::Attempts), cap(CapCount::Answers)];
    });
    let would = |world: &mut World, tried: &[u128]| {
        let asked = Asked { caller: Some("12025550100"), tried, ..Asked::default() };
        let ask = world.question(&asked);
        let would = explain(&world.snapshot, &world.state, &ask).would;
        let counts: Vec<CapCount> = would.caps.iter().map(|(_, count)| *count).collect();
        (would.visits, counts)
    };
    assert_eq!(would(&mut world, &[]), (true, vec![CapCount::Attempts, CapCount::Answers]));
    assert_eq!(would(&mut world, &[0]), (false, vec![CapCount::Answers]));
    for line in [0, 1] {
        world.change(|world| world.line(line).state = DestinationState::Paused);
    }
    assert_eq!(would(&mut world, &[]), (true, vec![]));
}

#[test]
fn a_fallback_number_is_explained_as_it_would_be_decided() {
    let mut world = World::new(&[(1, 1, 1)]);
    world.change(|world| {
        let (trunk, number) = (TrunkId::new(2), "1002".parse().unwrap());
        world.flow().fallback = Fallback::Number { trunk, number };
        world.configuration.trunks[1].max_live = Some(1);
    });
    for busy in [false, true] {
        let mut ask = world.question(&Asked::default());
        let told = explain(&world.snapshot, &world.state, &ask).fallback.unwrap();
        assert_eq!(told.trunk.as_deref(), Some("trunk-2"));
        ask.is_fallback = true;
        let decision = decide(&world.snapshot, &mut world.state, &ask);
        match decision {
            Decision::Picked { .. } => assert_eq!((busy, told.refused), (false, None)),
            Decision::Refused { verdict, .. } => {
                assert_eq!((busy, told.refused), (true, Some(verdict)));
            }
            Decision::Unroutable { .. } => panic!("{decision:?}"),
        }
    }
}

#[test]
fn the_next_twenty_are_foretold() {
    let mut world = World::new(&[(1, 1, 5), (1, 1, 3), (2, 1, 2), (2, 2, 1)]);
    world.change(|world| {
        world.line(2).max_live = Some(3);
        world.configuration.trunks[0].max_live = Some(100);
    });
    world.take(3);
    let before = picture(&world);
    let seen = live(&world.snapshot, &world.state, FLOW, world.now).unwrap();
    assert_eq!(picture(&world), before);
    let foretold: String = seen.upcoming.iter().map(|next| next.name.as_str()).collect();
    assert_eq!(foretold.len(), 20);
    let shares: Vec<u32> = seen.destinations.iter().map(|one| one.share_permille).collect();
    assert_eq!(shares, [500, 300, 200, 0]);
    let scopes: Vec<_> =
        seen.destinations[2].limits.iter().map(|one| (one.scope, one.live, one.max)).collect();
    let wanted = [
        (LimitScope::Destination, 1, Some(3)),
        (LimitScope::Server, 1, None),
        (LimitScope::Trunk, 1, None),
        (LimitScope::Account, 3, None),
    ];
    assert_eq!(scopes, wanted);
    let trunks = seen.destinations[2].limits.iter().map(|one| one.trunk.as_deref());
    assert_eq!(trunks.collect::<Vec<_>>(), [None, None, Some("trunk-2"), None]);
    assert_eq!(world.take(20), foretold);
    assert_eq!(foretold.matches('c').count(), 2, "then it is full");
    assert_eq!(seen.ends, None);
}

#[test]
fn limits_and_caps_end_what_is_foretold() {
    let cap = |max| vec![VolumeCap { per: CapPeriod::Day, count: CapCount::Answers, max }];
    let mut world = World::new(&[(1, 1, 1), (2, 1, 1), (2, 2, 1)]);
    world.change(|world| {
        world.line(0).max_live = Some(2);
        world.line(1).throttle.caps = cap(4);
        world.line(2).throttle.caps = cap(3);
    });
    let foretell = |world: &World| {
        let seen = live(&world.snapshot, &world.state, FLOW, world.now).unwrap();
        let names: String = seen.upcoming.iter().map(|next| next.name.as_str()).collect();
        (names, seen.ends)
    };
    let (names, ends) = foretell(&world);
    assert_eq!((names.as_str(), ends), ("ababbbccc", Some(Unroutable::Mixed)));
    assert_eq!(world.take(9), names);
    assert_eq!(world.next(), Err(Unroutable::Mixed));
    assert_eq!(foretell(&world).0, "");

    let mut world = World::new(&[(1, 1, 1)]);
    world.change(|world| world.line(0).throttle.caps = cap(2));
    assert_eq!(foretell(&world), ("aa".to_owned(), Some(Unroutable::AllThrottled)));
    world.change(|world| world.flow().throttle.caps = cap(1));
    assert_eq!(foretell(&world), ("a".to_owned(), Some(Unroutable::FlowCapped)));
    world.change(|world| world.line(0).max_live = Some(1));
    world.change(|world| world.flow().throttle.caps = cap(9));
    assert_eq!(foretell(&world), ("a".to_owned(), Some(Unroutable::AllFull)));

    // What comes behind the twentieth is not asked, whatever would limit it.
    for (of_flow, of_line) in [(20, 99), (99, 20)] {
        let mut world = World::new(&[(1, 1, 1)]);
        world.change(|world| {
            world.flow().throttle.caps = cap(of_flow);
            world.line(0).throttle.caps = cap(of_line);
        });
        assert_eq!(foretell(&world), ("a".repeat(20), None));
    }
}

#[test]
fn who_is_passed_over_says_why_and_a_flow_without_anybody_says_so() {
    let mut world = World::new(&[(1, 1, 1), (1, 2, 1)]);
    world.change(|world| world.line(0).state = DestinationState::Paused);
    let see = |world: &World| live(&world.snapshot, &world.state, FLOW, world.now).unwrap();
    let seen = see(&world);
    let verdicts: Vec<_> = seen.destinations.iter().map(|one| one.verdict.unwrap()).collect();
    assert_eq!(verdicts, [Verdict::Paused, Verdict::Chosen]);
    assert_eq!(seen.upcoming[0].name, "b");
    world.change(|world| world.line(1).state = DestinationState::Paused);
    let seen = see(&world);
    assert_eq!((seen.reason, seen.upcoming.len()), (Some(Unroutable::AllPaused), 0));
    assert_eq!(live(&world.snapshot, &world.state, ForwardingFlowId::new(7), world.now), None);
    assert!(serde_json::to_string(&seen).is_ok());
}
