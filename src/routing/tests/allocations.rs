//! The hot part of a decision allocates nothing, once its buffers have grown: what the schedules say,
//! choosing, taking the slots and giving them back.

use allocation_counter::measure;

use super::super::choose::{Choice, Ledger, choose};
use super::super::decide::commit;
use super::*;
use crate::model::billing::{Micros, Rounding};
use crate::model::objects::account::DEFAULT_ACCOUNT;
use crate::model::objects::rate_deck::{Rate, RateDeck};
use crate::model::opening_hours::OpeningHours;
use crate::model::stickiness::StickyWindow;
use crate::model::throttle::{ArrivalRate, CapCount, CapPeriod, RatePeriod, Throttle, VolumeCap};

/// Decides over so many calls, each a second after the last: how often memory was asked for, and what
/// was said of the first destination of all.
fn allocations(world: &mut World, caller: Option<&str>) -> (u64, Verdict) {
    const CALLS: usize = 1_000;
    let asked = Asked { caller, ..Asked::default() };
    let mut asks = || -> Vec<Ask> {
        let next = |_| {
            world.wait_sec(1);
            world.question(&asked)
        };
        (0..CALLS).map(next).collect()
    };
    let (first, second) = (asks(), asks());
    let (snapshot, state) = (Arc::clone(&world.snapshot), &mut world.state);
    let mut choice = Choice::default();
    let mut decide_all = |asks: &[Ask]| {
        for ask in asks {
            state.prepare(&snapshot, ask.flow, ask.at);
            choose(&snapshot, state, ask, &Ledger::default(), &mut choice);
            assert!(commit(&snapshot, state, ask, &choice));
            assert!(state.release(ask.leg));
        }
    };
    decide_all(&first);
    let counted = measure(|| decide_all(&second)).count_total;
    (counted, choice.verdicts().next().unwrap())
}

/// Four destinations within every kind of live-call limit.
fn limited() -> World {
    let mut world = World::new(&[(1, 1, 3), (2, 1, 2), (1, 1, 1), (2, 2, 1)]);
    world.change(|world| {
        world.configuration.account.max_live = Some(9);
        world.configuration.servers.iter_mut().for_each(|server| server.max_live = Some(9));
        world.configuration.trunks.iter_mut().for_each(|trunk| trunk.max_live = Some(9));
        world.flow().destinations.iter_mut().for_each(|one| one.max_live = Some(9));
    });
    world
}

fn bind_callers(world: &mut World) {
    world.configuration.account.time_zone = "America/Chicago".parse().unwrap();
    world.flow().stickiness.window = StickyWindow::SameDay;
}

fn throttle(world: &mut World) {
    let cap = |per, count| VolumeCap { per, count, max: 1_000_000 };
    let throttle = Throttle {
        rate: Some(ArrivalRate { calls: 1, per: RatePeriod::Second, burst: 5 }),
        spacing_sec: Some(1),
        caps: vec![
            cap(CapPeriod::Hour, CapCount::Attempts),
            cap(CapPeriod::Day, CapCount::Answers),
            cap(CapPeriod::Month, CapCount::BillableMinutes),
        ],
    };
    world.flow().destinations.iter_mut().for_each(|one| one.throttle = throttle.clone());
    world.flow().throttle = throttle;
}

fn keep_hours(world: &mut World) {
    // The calls come over several of the edges.
    let day = || ["00:00-14:10", "14:10-14:20", "14:20-24:00"].map(|span| span.parse().unwrap());
    let weekly = [(); 7].map(|()| day().to_vec());
    let schedule = OpeningHours { weekly, ..OpeningHours::default() };
    world.flow().schedule = Some(schedule.clone().into());
    world
        .flow()
        .destinations
        .iter_mut()
        .for_each(|one| one.schedule = Some(schedule.clone().into()));
}

fn price(world: &mut World) {
    let rate = Rate {
        prefix: "1".parse().unwrap(),
        per_minute: "0.01".parse().unwrap(),
        increment: "6/6".parse().unwrap(),
    };
    world.configuration.rate_decks.push(RateDeck {
        id: DECK,
        name: "deck".into(),
        rates: vec![rate].into(),
        bills_ring_time: false,
        rounding: Rounding::Up,
        decimals: 4,
    });
    world.configuration.trunks.iter_mut().for_each(|trunk| trunk.rate_deck = Some(DECK));
    world.configuration.account.prepaid = true;
    world.state.set_balance(DEFAULT_ACCOUNT, Some(Micros(1)));
}

#[test]
fn a_decision_allocates_nothing() {
    let check = |name: &str, parts: &[fn(&mut World)]| {
        let mut world = limited();
        world.change(|world| parts.iter().for_each(|part| part(world)));
        assert_eq!(allocations(&mut world, Some("12025550100")).0, 0, "{name}");
    };
    check("limits", &[]);
    check("caller", &[bind_callers]);
    check("throttles", &[throttle]);
    check("hours", &[keep_hours]);
    check("prices", &[price]);
    check("all", &[bind_callers, throttle, keep_hours, price]);
}

#[test]
fn a_decision_for_a_caller_who_is_known_allocates_nothing() {
    let mut world = limited();
    world.change(bind_callers);
    assert_eq!(world.talk("12025550100"), "a");
    let (counted, verdict) = allocations(&mut world, Some("12025550100"));
    assert_eq!((counted, verdict), (0, Verdict::ChosenSticky));
}

#[test]
fn what_is_measured_would_show() {
    assert_eq!(measure(|| drop(vec![1])).count_total, 1);
}
