//! Trunks that fail, that carry toll-free calls, and that cost.

use strum::VariantNames as _;

use super::super::decide::{Left, LiveLeg, readopt};
use super::super::slots::Scope;
use super::super::standing::trunks;
use super::*;
use crate::model::billing::{Increment, Micros, Rounding};
use crate::model::cause::Outcome;
use crate::model::objects::forwarding_flow::Fallback;
use crate::model::objects::rate_deck::{Rate, RateDeck};
use crate::model::throttle::{CapCount, CapPeriod, Throttle, VolumeCap};
use crate::model::timeline::{Down, LimitScope, PassedOver, Step};

fn deck(prefix: &str) -> RateDeck {
    RateDeck {
        id: DECK,
        name: "deck".to_owned(),
        rates: vec![Rate {
            prefix: prefix.parse().unwrap(),
            per_minute: Micros(10_000),
            increment: Increment { first_sec: 60, step_sec: 60 },
        }]
        .into(),
        bills_ring_time: false,
        rounding: Rounding::Up,
        decimals: 4,
    }
}

#[test]
fn a_failing_trunk_leaves_its_share_to_the_others_in_proportion() {
    let mut world = World::new(&[(1, 1, 2), (2, 1, 2), (2, 1, 1)]);
    for _ in 0..3 {
        let (leg, _) = world.ask(&Asked { tried: &[1, 2], ..Asked::default() });
        world.tell(leg, 0, None, News::Failed(Outcome::TrunkFailed));
    }
    let failing = Verdict::Down { why: Down::Failing { failures: 3 } };
    assert_eq!(world.verdicts(&Asked::default())[0], failing);
    let picks = world.take(30);
    let count = |who| picks.matches(who).count();
    assert_eq!(count('a'), 0);
    assert!((19..=21).contains(&count('b')) && (9..=11).contains(&count('c')), "{picks}");

    world.wait_sec(15);
    let picks = world.take(6);
    assert_eq!(picks.matches('a').count(), 1, "one call finds out: {picks}");
    let probing = Verdict::Down { why: Down::Probing };
    assert_eq!(world.verdicts(&Asked::default())[0], probing);
}

#[test]
fn a_probe_that_rings_brings_the_trunk_back() {
    let mut world = World::new(&[(1, 1, 1)]);
    for _ in 0..3 {
        let (leg, _) = world.ask(&Asked::default());
        world.tell(leg, 0, None, News::NoReply);
    }
    assert_eq!(world.next(), Err(Unroutable::AllDown));
    world.wait_sec(15);
    let (leg, _) = world.ask(&Asked::default());
    assert_eq!(world.next(), Err(Unroutable::AllDown));
    world.tell(leg, 0, None, News::Ringing);
    assert_eq!(world.take(2), "aa");
}

#[test]
fn the_fallback_number_tells_how_its_trunk_works() {
    let mut world = World::new(&[(1, 1, 1)]);
    world.falls_back_to(1, "1002");
    let fallback = |world: &mut World, news| {
        let (leg, _) = world.ask(&Asked { is_fallback: true, ..Asked::default() });
        let (trunk, caller) = (Some(TrunkId::new(1)), None);
        let report =
            Report { leg, flow: FLOW, destination: None, trunk, caller, is_test: false, news };
        world.state.report(&world.snapshot, world.now, &report);
    };
    for _ in 0..3 {
        fallback(&mut world, News::Failed(Outcome::TrunkFailed));
    }
    assert_eq!(world.next(), Err(Unroutable::AllDown));
    world.wait_sec(15);
    fallback(&mut world, News::Ringing);
    assert_eq!(world.take(2), "aa", "it was the call that found out");
}

#[test]
fn an_endpoint_that_is_offline_is_passed_over_until_it_is_back() {
    let mut world = World::new(&[(1, 1, 1), (2, 2, 1)]);
    world.state.set_endpoint(TrunkId::new(1), Some(false));
    let offline = Verdict::Down { why: Down::Offline };
    assert_eq!(world.verdicts(&Asked::default()), [offline, Verdict::Chosen]);
    world.change(|world| world.line(1).weight = 2);
    assert_eq!(world.next().unwrap(), "b", "a reload does not make it online");
    world.state.set_endpoint(TrunkId::new(1), None);
    assert_eq!(world.next().unwrap(), "a");
}

/// A toll-free destination, with trunks 1 and 2 that carry such calls in the order 2, 1.
fn toll_free() -> World {
    let mut world = World::new(&[(1, 1, 1)]);
    world.change(|world| {
        world.configuration.account.toll_free_termination = true;
        for (trunk, name) in world.configuration.trunks.iter_mut().zip(["zulu", "alpha"]) {
            trunk.name = name.to_owned();
            trunk.carries_toll_free = true;
        }
        let number = "+18005550199".parse().unwrap();
        world.line(0).landing = Landing::TollFree { number };
    });
    world
}

impl World {
    fn falls_back_to(&mut self, trunk: u128, number: &str) {
        let (trunk, number) = (TrunkId::new(trunk), number.parse().unwrap());
        self.change(|world| world.flow().fallback = Fallback::Number { trunk, number });
    }

    fn endpoint(&mut self) -> String {
        match self.ask(&Asked::default()).1 {
            Decision::Picked { offer, .. } => offer.endpoint,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_trunk_for_toll_free_calls_is_chosen_for_the_user() {
    let mut world = toll_free();
    assert_eq!(world.endpoint(), "PJSIP/18005550199@slave-2", "the first by name");
    world.change(|world| world.configuration.trunks[1].max_live = Some(1));
    assert_eq!(world.endpoint(), "PJSIP/18005550199@slave-1", "the first with room");
    world.change(|world| world.configuration.trunks[1].max_live = None);
    world.state.set_endpoint(TrunkId::new(2), Some(false));
    assert_eq!(world.endpoint(), "PJSIP/18005550199@slave-1", "the first that is up");
    world.change(|world| {
        world.configuration.trunks[0].max_live = Some(1);
    });
    let verdicts = world.verdicts(&Asked::default());
    assert!(matches!(verdicts[..], [Verdict::Full { .. }]), "{verdicts:?}");
    world.change(|world| {
        for trunk in &mut world.configuration.trunks {
            trunk.carries_toll_free = false;
        }
    });
    assert_eq!(world.verdicts(&Asked::default()), [Verdict::NoTrunk]);
}

#[test]
fn of_trunks_that_lead_equally_far_the_first_says_why() {
    let mut world = toll_free();
    world.change(|world| {
        for (trunk, max) in world.configuration.trunks.iter_mut().zip([2, 1]) {
            trunk.max_live = Some(max);
        }
    });
    assert_eq!(world.take(3), "aaa");
    let full = Verdict::Full { scope: LimitScope::Trunk, live: 1, max: 1 };
    assert_eq!(world.verdicts(&Asked::default()), [full], "of the first by name");
    world.state.set_endpoint(TrunkId::new(2), Some(false));
    let full = Verdict::Full { scope: LimitScope::Trunk, live: 2, max: 2 };
    assert_eq!(world.verdicts(&Asked::default()), [full], "which leads farther");
}

#[test]
fn a_choice_tells_of_the_trunks_that_were_passed_over() {
    let mut world = toll_free();
    world.state.set_endpoint(TrunkId::new(2), Some(false));
    let Decision::Picked { candidates, .. } = world.ask(&Asked::default()).1 else {
        panic!("trunk 1 works");
    };
    let verdict = Verdict::Down { why: Down::Offline };
    let over = PassedOver { trunk: "alpha".to_owned(), verdict };
    assert_eq!(candidates[0].passed_over, [over]);
    let step = Step::Routed { leg: 1, name: "a".into(), endpoint: "x".into(), candidates };
    assert!(step.sentence().ends_with(" · trunk alpha skipped: offline"), "{}", step.sentence());
}

#[test]
fn a_toll_free_call_goes_over_the_next_trunk_when_one_failed_for_it() {
    let mut world = toll_free();
    world.change(|world| {
        let second = Destination { id: destination(1), name: "b".into(), ..world.line(0).clone() };
        world.line(0).throttle = Throttle {
            spacing_sec: Some(60),
            caps: vec![VolumeCap { per: CapPeriod::Day, count: CapCount::Attempts, max: 1 }],
            ..Throttle::default()
        };
        world.flow().destinations.push(Destination { priority: 2, ..second });
    });
    assert_eq!(world.next().unwrap(), "a");
    let attempt = |trunk, outcome| Attempt {
        destination: destination(0),
        trunk: TrunkId::new(trunk),
        outcome: Some(outcome),
    };
    for outcome in Outcome::VARIANTS {
        let outcome: Outcome = outcome.parse().unwrap();
        let ask = Ask { tried: vec![attempt(2, outcome)], ..world.question(&Asked::default()) };
        let decision = decide(&world.snapshot, &mut world.state, &ask);
        world.state.release(ask.leg);
        let is_of_trunk =
            [Outcome::TrunkFailed, Outcome::TrunkRejected, Outcome::Unreachable].contains(&outcome);
        if !is_of_trunk {
            assert_eq!(verdicts(&decision)[0], Verdict::Tried, "{outcome}");
        } else if let Decision::Picked { offer, candidates, .. } = decision {
            assert_eq!(offer.endpoint, "PJSIP/18005550199@slave-1", "{outcome}");
            assert_eq!(candidates[0].verdict, Verdict::ChosenNextTrunk);
            let over = PassedOver { trunk: "alpha".to_owned(), verdict: Verdict::TrunkTried };
            assert_eq!(candidates[0].passed_over, [over]);
            let step = Step::Routed { leg: 1, name: "a".into(), endpoint: "x".into(), candidates };
            let said = "a (priority 1, weight 1) · over its next trunk · \
                        trunk alpha skipped: failed for this call";
            assert_eq!(step.sentence(), said);
        } else {
            panic!("{outcome}: {decision:?}");
        }
    }
    let mut asked = |tried: &[Attempt], is_last| {
        let ask = Ask { tried: tried.to_vec(), is_last, ..world.question(&Asked::default()) };
        let decision = decide(&world.snapshot, &mut world.state, &ask);
        world.state.release(ask.leg);
        name(&decision)
    };
    let failed = |trunk| attempt(trunk, Outcome::TrunkFailed);
    assert_eq!(asked(&[failed(2)], true).unwrap(), "a");
    assert_eq!(asked(&[attempt(2, Outcome::Busy)], true), Err(Unroutable::AllTried));
    assert_eq!(asked(&[failed(2), failed(1)], true), Err(Unroutable::AllTried));
    assert_eq!(asked(&[failed(2), failed(1)], false).unwrap(), "b", "no trunk is left");
    // Where somebody chose the trunk, it is the destination that failed.
    world.change(|world| {
        let number = "+18005550199".parse().unwrap();
        world.line(0).landing = Landing::Trunk { trunk: TrunkId::new(2), number };
    });
    let mut ask = world.question(&Asked::default());
    ask.tried.push(failed(2));
    assert_eq!(name(&decide(&world.snapshot, &mut world.state, &ask)).unwrap(), "b");
}

#[test]
fn a_destination_over_several_trunks_is_one_attempt() {
    let attempt = |id, outcome| tried(id, outcome);
    let (failed, busy) = (Some(Outcome::TrunkFailed), Some(Outcome::Busy));
    for (tried, left) in [
        (vec![], Left::Any),
        (vec![attempt(0, failed)], Left::Any),
        (vec![attempt(0, failed), attempt(0, failed)], Left::Any),
        (vec![attempt(0, failed), attempt(0, failed), attempt(1, failed)], Left::NextTrunk),
        (vec![attempt(0, failed), attempt(0, failed), attempt(1, busy)], Left::Nothing),
        (vec![attempt(0, busy), attempt(1, None)], Left::Nothing),
    ] {
        assert_eq!(Left::after(&tried, 2), left, "{tried:?}");
    }
}

#[test]
fn a_toll_free_leg_that_lives_through_a_restart_is_counted_on_its_own_trunk() {
    let mut world = toll_free();
    let leg = LegId { call: CallId::new(500), no: 1 };
    let trunk = Some(TrunkId::new(1));
    let (account, destination) = (DEFAULT_ACCOUNT, Some(destination(0)));
    let leg = LiveLeg { leg, account, destination, trunk, is_test: false, is_up: true };
    readopt(&world.snapshot, &mut world.state, &leg, None);
    let live = |id| world.state.live(Scope::Trunk(TrunkId::new(id)));
    assert_eq!((live(1), live(2)), (1, 0));
}

#[test]
fn an_account_without_toll_free_termination_sends_none() {
    let mut world = toll_free();
    world.change(|world| world.configuration.account.toll_free_termination = false);
    assert_eq!(world.verdicts(&Asked::default()), [Verdict::NoTrunk]);
}

#[test]
fn a_prepaid_account_needs_credit_for_what_costs() {
    let mut world = toll_free();
    world.change(|world| {
        world.configuration.rate_decks = vec![deck("1800")];
        world.configuration.account.rate_deck = Some(DECK);
        world.configuration.account.prepaid = true;
    });
    assert_eq!(world.next().unwrap(), "a", "of a balance that is not known nothing is assumed");
    world.state.set_balance(DEFAULT_ACCOUNT, Some(Micros(20_000)));
    assert_eq!(world.next().unwrap(), "a");
    world.state.charge(DEFAULT_ACCOUNT, Micros(20_000));
    assert_eq!(world.verdicts(&Asked::default()), [Verdict::NoCredit]);
    assert_eq!(world.next(), Err(Unroutable::NoCredit));
    let fallback = |world: &mut World, number: &str| {
        world.falls_back_to(1, number);
        world.verdicts(&Asked { is_fallback: true, ..Asked::default() })
    };
    let costs = fallback(&mut world, "18005550100");
    assert_eq!(costs, [Verdict::NoCredit], "the last number costs as well");
    assert_eq!(fallback(&mut world, "4420"), [Verdict::Unrated], "it has no price");
    world.change(|world| world.configuration.rate_decks = vec![deck("44")]);
    assert_eq!(world.verdicts(&Asked::default()), [Verdict::Unrated]);
    world.change(|world| world.configuration.account.prepaid = false);
    assert_eq!(world.next().unwrap(), "a");
    world.change(|world| world.configuration.rate_decks = vec![deck("1800")]);
    assert_eq!(world.next().unwrap(), "a", "who pays afterwards needs no credit");
    world.change(|world| {
        world.configuration.account.prepaid = true;
        let mut free = deck("1800").rates[0].clone();
        free.per_minute = Micros(0);
        world.configuration.rate_decks[0].rates = vec![free].into();
    });
    assert_eq!(world.next().unwrap(), "a", "what is free needs none");
}

#[test]
fn trunks_are_told_of_with_the_legs_over_each() {
    let mut world = World::new(&[(1, 1, 1), (2, 2, 1)]);
    assert_eq!(world.take(2), "aa");
    let live = |state: &State| -> Vec<(String, u32)> {
        let told = trunks(&world.snapshot, state, world.now).into_iter();
        told.map(|one| (one.name, one.live)).collect()
    };
    let told = |first| [("trunk-1".to_owned(), first), ("trunk-2".to_owned(), 0)];
    assert_eq!(live(&world.state), told(2));
    assert_eq!(live(&State::default()), told(0), "whatever configuration it is for");
}

#[test]
fn whether_trunks_work_is_found_out_again_when_asterisk_began_anew() {
    let mut world = World::new(&[(1, 1, 1)]);
    world.state.set_endpoint(TrunkId::new(1), Some(false));
    assert_eq!(world.next(), Err(Unroutable::AllDown));
    world.state.forget_trunks();
    assert_eq!(world.next().unwrap(), "a");
}

#[test]
fn a_call_is_billed_by_the_trunks_deck_or_else_by_the_accounts() {
    let mut world = toll_free();
    let tariff = |world: &mut World| match world.ask(&Asked::default()).1 {
        Decision::Picked { offer, .. } => offer.tariff.map(|tariff| tariff.deck),
        other => panic!("{other:?}"),
    };
    assert_eq!(tariff(&mut world), None);
    let other = RateDeckId::new(2);
    world.change(|world| {
        let own = RateDeck { id: other, ..deck("") };
        world.configuration.rate_decks = vec![deck("1800"), own];
        world.configuration.account.rate_deck = Some(DECK);
    });
    assert_eq!(tariff(&mut world), Some(DECK));
    world.falls_back_to(2, "18005550199");
    let fallback = |world: &World| {
        let way = world.snapshot.flow(FLOW).unwrap().fallback.as_ref().unwrap();
        way.offer.tariff.as_ref().map(|tariff| tariff.deck)
    };
    assert_eq!(fallback(&world), Some(DECK));
    world.change(|world| world.configuration.trunks[1].rate_deck = Some(other));
    assert_eq!(tariff(&mut world), Some(other));
    assert_eq!(fallback(&world), Some(other));
    // Calls to a slave cost nothing unless its own trunk says so.
    world.change(|world| {
        world.line(0).landing =
            Landing::Slave { server: ServerId::new(1), did: "1001".parse().unwrap() };
    });
    assert_eq!(tariff(&mut world), None);
}
