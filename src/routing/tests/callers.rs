//! Callers who come back.

use super::*;
use crate::model::cause::Outcome;
use crate::model::memory::Remembered;
use crate::model::number::Caller;
use crate::model::objects::destination::DestinationState;
use crate::model::opening_hours::OpeningHours;
use crate::model::stickiness::{RepeatCount, RepeatRule, Stickiness, StickyOn, StickyWindow};

const CALLER: &str = "12025550100";
const OTHER: &str = "12025550199";

fn sticky(destinations: &[(u128, i32, u32)]) -> World {
    let mut world = World::new(destinations);
    let window = StickyWindow::Rolling { sec: 3_600, sliding: true };
    world.change(|world| {
        world.flow().stickiness = Stickiness { window, ..Stickiness::default() };
    });
    world
}

fn again(caller: &str) -> Asked<'_> {
    Asked { caller: Some(caller), ..Asked::default() }
}

#[test]
fn a_caller_stays_with_who_answered() {
    let mut world = sticky(&[(1, 1, 1), (1, 1, 1)]);
    let (leg, first) = world.from(CALLER);
    assert_eq!(first.unwrap(), "a");
    world.tell(leg, 0, Some(CALLER), News::Failed(Outcome::Busy));
    assert_eq!(world.talk(CALLER), "b", "who did not answer does not keep them");
    assert_eq!(world.talk(OTHER), "a");
    for _ in 0..3 {
        let verdicts = world.verdicts(&again(CALLER));
        assert_eq!(verdicts, [Verdict::StickyElsewhere, Verdict::ChosenSticky]);
    }
    world.wait_sec(3_600);
    assert_eq!(world.talk(CALLER), "b", "up to and with the last second");
    world.wait_sec(3_600);
    world.now = world.now.plus_ms(1);
    assert_eq!(world.verdicts(&again(CALLER))[1], Verdict::NotItsTurn);
}

#[test]
fn the_day_is_the_flows() {
    let mut world = sticky(&[(1, 1, 1), (1, 1, 1)]);
    world.change(|world| {
        world.flow().time_zone = Some("America/Chicago".parse().unwrap());
        world.flow().stickiness.window = StickyWindow::SameDay;
    });
    world.now = at("2026-11-20T23:59:30-06:00[America/Chicago]");
    assert_eq!(world.talk(CALLER), "a");
    assert_eq!(world.verdicts(&again(CALLER))[0], Verdict::ChosenSticky);
    world.now = at("2026-11-21T00:00:10-06:00[America/Chicago]");
    let chosen = world.verdicts(&again(CALLER));
    assert!(!chosen.contains(&Verdict::ChosenSticky), "{chosen:?}");
    // The zone is looked at when the caller comes, not when the tie was made.
    world.change(|world| world.flow().time_zone = Some("America/Denver".parse().unwrap()));
    assert_eq!(world.verdicts(&again(CALLER))[0], Verdict::ChosenSticky);
}

#[test]
fn a_full_or_paused_destination_lends_its_caller_and_a_disabled_one_loses_them() {
    let mut world = sticky(&[(1, 1, 1), (1, 1, 1)]);
    assert_eq!(world.talk(CALLER), "a");
    world.change(|world| world.line(0).state = DestinationState::Paused);
    let (leg, picked) = world.from(CALLER);
    assert_eq!(picked.unwrap(), "b");
    world.tell(leg, 1, Some(CALLER), News::Failed(Outcome::NoAnswer));
    world.change(|world| world.line(0).state = DestinationState::Active);
    assert_eq!(world.verdicts(&again(CALLER))[0], Verdict::ChosenSticky, "b did not answer");

    world.change(|world| world.line(0).state = DestinationState::Paused);
    assert_eq!(world.talk(CALLER), "b");
    world.change(|world| world.line(0).state = DestinationState::Active);
    assert_eq!(world.verdicts(&again(CALLER))[1], Verdict::ChosenSticky, "b did");

    let _ = world.state.remembered().count();
    world.change(|world| world.line(1).state = DestinationState::Disabled);
    let told: Vec<_> = world.state.remembered().collect();
    assert_eq!(told.len(), 1, "the store forgets it too: {told:?}");
    world.change(|world| world.line(1).state = DestinationState::Active);
    let chosen = world.verdicts(&again(CALLER));
    assert!(!chosen.contains(&Verdict::ChosenSticky), "{chosen:?}");
}

#[test]
fn without_rebinding_another_destination_only_helps_out() {
    let mut world = sticky(&[(1, 1, 1), (1, 1, 1)]);
    world.change(|world| world.flow().stickiness.rebind = false);
    assert_eq!(world.talk(CALLER), "a");
    world.change(|world| world.line(0).state = DestinationState::Paused);
    assert_eq!(world.talk(CALLER), "b");
    world.change(|world| world.line(0).state = DestinationState::Active);
    assert_eq!(world.verdicts(&again(CALLER))[0], Verdict::ChosenSticky);
}

#[test]
fn of_two_first_calls_at_once_the_last_to_be_answered_wins() {
    let mut world = sticky(&[(1, 1, 1), (1, 1, 1)]);
    let (first, _) = world.from(CALLER);
    let (second, _) = world.from(CALLER);
    world.tell(second, 1, Some(CALLER), News::Answered);
    world.tell(first, 0, Some(CALLER), News::Answered);
    assert_eq!(world.verdicts(&again(CALLER))[0], Verdict::ChosenSticky);
}

#[test]
fn a_drained_destination_is_reached_by_its_own_callers_only() {
    let mut world = sticky(&[(1, 1, 1), (1, 1, 1)]);
    assert_eq!(world.talk(CALLER), "a");
    world.change(|world| world.line(0).weight = 0);
    assert_eq!(world.take(3), "bbb");
    assert_eq!(world.verdicts(&again(CALLER))[0], Verdict::ChosenSticky);
    // Also when nobody else of the tier can.
    world.change(|world| world.line(1).state = DestinationState::Paused);
    assert_eq!(world.verdicts(&again(CALLER))[0], Verdict::ChosenSticky);
    assert_eq!(world.next(), Err(Unroutable::Mixed));
}

#[test]
fn a_tie_holds_in_its_tier_unless_it_beats_priorities() {
    let mut world = sticky(&[(1, 1, 1), (1, 2, 1)]);
    world.change(|world| world.line(0).state = DestinationState::Paused);
    assert_eq!(world.talk(CALLER), "b");
    world.change(|world| world.line(0).state = DestinationState::Active);
    assert_eq!(world.verdicts(&again(CALLER)), [Verdict::Chosen, Verdict::LowerPriority]);
    world.change(|world| world.flow().stickiness.beats_priority = true);
    assert_eq!(world.verdicts(&again(CALLER)), [Verdict::StickyElsewhere, Verdict::ChosenSticky]);
}

#[test]
fn being_offered_may_be_enough() {
    let mut world = sticky(&[(1, 1, 1), (1, 1, 1)]);
    world.change(|world| world.flow().stickiness.on = StickyOn::Offered);
    let (leg, _) = world.from(CALLER);
    world.tell(leg, 0, Some(CALLER), News::Failed(Outcome::NoAnswer));
    assert_eq!(world.verdicts(&again(CALLER))[0], Verdict::ChosenSticky);
    // A test call offers, and ties nobody.
    let (_, decision) = world.ask(&Asked { is_test: true, ..again(OTHER) });
    let Decision::Picked { would: Some(would), .. } = decision else {
        panic!("{decision:?}");
    };
    assert_eq!(would.binds_until, Some(world.now.plus_ms(3_600_000)));
    let chosen = world.verdicts(&again(OTHER));
    assert!(!chosen.contains(&Verdict::ChosenSticky), "{chosen:?}");
}

#[test]
fn ties_outlive_the_process() {
    let mut world = sticky(&[(1, 1, 1), (1, 1, 1)]);
    assert_eq!(world.talk(OTHER), "a");
    assert_eq!(world.talk(CALLER), "b");
    let remembered: Vec<_> = world.state.remembered().map(|(_, one)| one).collect();
    world.state = State::default();
    for one in remembered {
        world.state.recall(&world.snapshot, one);
    }
    assert_eq!(world.verdicts(&again(CALLER))[1], Verdict::ChosenSticky);
}

#[test]
fn a_destination_that_was_disabled_meanwhile_keeps_no_callers() {
    let mut world = sticky(&[(1, 1, 1), (1, 1, 1)]);
    assert_eq!(world.talk(CALLER), "a");
    let remembered: Vec<_> = world.state.remembered().map(|(_, one)| one).collect();
    world.state = State::default();
    world.change(|world| world.line(0).state = DestinationState::Disabled);
    for one in remembered {
        world.state.recall(&world.snapshot, one);
    }
    let told: Vec<_> = world.state.remembered().map(|(_, one)| one).collect();
    assert!(matches!(told[..], [Remembered::Binding { binding: None, .. }]), "{told:?}");
    world.change(|world| world.line(0).state = DestinationState::Active);
    let chosen = world.verdicts(&again(CALLER));
    assert!(!chosen.contains(&Verdict::ChosenSticky), "{chosen:?}");
}

#[test]
fn a_caller_of_their_own_is_not_given_away_by_an_offer() {
    let mut world = sticky(&[(1, 1, 1), (1, 1, 1)]);
    world.change(|world| world.flow().stickiness.on = StickyOn::Offered);
    assert_eq!(world.talk(CALLER), "a");
    for state in [DestinationState::Paused, DestinationState::Active] {
        world.change(|world| world.line(0).state = state);
        let (leg, picked) = world.from(CALLER);
        let to = u128::from(picked.unwrap() == "b");
        world.tell(leg, to, Some(CALLER), News::Failed(Outcome::NoAnswer));
    }
    assert_eq!(world.verdicts(&again(CALLER))[0], Verdict::ChosenSticky, "b did not answer");
    world.change(|world| world.line(0).state = DestinationState::Paused);
    assert_eq!(world.talk(CALLER), "b");
    world.change(|world| world.line(0).state = DestinationState::Active);
    assert_eq!(world.verdicts(&again(CALLER))[1], Verdict::ChosenSticky, "b did");
}

#[test]
fn whatever_keeps_callers_out_lends_them_and_they_come_back() {
    for hinder in ["full", "closed", "throttled", "down"] {
        let mut world = sticky(&[(1, 1, 1), (2, 1, 1)]);
        assert_eq!(world.talk(CALLER), "a");
        world.change(|world| {
            let line = world.line(0);
            match hinder {
                "full" => line.max_live = Some(1),
                "closed" => line.schedule = Some(OpeningHours::default().into()),
                "throttled" => line.throttle.spacing_sec = Some(600),
                _ => {}
            }
        });
        let held = (hinder == "full" || hinder == "throttled").then(|| world.from(CALLER));
        world.state.set_endpoint(TrunkId::new(1), Some(hinder != "down"));
        let verdicts = world.verdicts(&again(CALLER));
        assert_eq!(verdicts[1], Verdict::Chosen, "{hinder}: {verdicts:?}");
        if let Some((leg, _)) = held {
            world.tell(leg, 0, Some(CALLER), News::Failed(Outcome::NoAnswer));
        }
        world.change(|world| {
            let line = world.line(0);
            (line.max_live, line.schedule, line.throttle.spacing_sec) = (None, None, None);
        });
        world.state.set_endpoint(TrunkId::new(1), Some(true));
        assert_eq!(world.verdicts(&again(CALLER))[0], Verdict::ChosenSticky, "{hinder}");
    }
}

#[test]
fn nobody_is_known_by_a_number_of_the_flow_itself_or_by_none() {
    let mut world = sticky(&[(1, 1, 1)]);
    world.change(|world| {
        world.flow().dids = vec!["+12025550111".parse().unwrap(), "2025550112".parse().unwrap()];
        world.flow().caller_numbers.country = "1".parse().ok();
    });
    let plan = world.snapshot.flow(FLOW).unwrap();
    let key = |number: &str| {
        let key = world.snapshot.caller_key(plan, &Caller::clean(number, ""));
        key.map(|key| key.as_str().to_owned())
    };
    for nobody in ["12025550111", "+12025550111", "2025550111", "+12025550112", "", "anonymous"] {
        assert_eq!(key(nobody), None, "{nobody}");
    }
    assert_eq!(key("+1 202 555 0100").as_deref(), Some("12025550100"));
    // Nor by what is dialled at home with a prefix; a number of another flow is one like any other.
    world.change(|world| {
        world.flow().dids = vec!["030123456".parse().unwrap()];
        let numbers = &mut world.flow().caller_numbers;
        (numbers.country, numbers.national_prefix) = ("49".parse().ok(), "0".parse().ok());
        let mut other = ForwardingFlow::new(ForwardingFlowId::new(2), "other", ServerId::new(9));
        other.dids = vec!["030123457".parse().unwrap()];
        world.configuration.forwarding_flows.push(other);
    });
    let plan = world.snapshot.flow(FLOW).unwrap();
    let key = |number: &str| world.snapshot.caller_key(plan, &Caller::clean(number, ""));
    assert_eq!(key("+4930123456"), None);
    assert_eq!(key("+4930123457").map(|key| key.to_string()).as_deref(), Some("4930123457"));
}

/// A flow whose rule holds from the second call within a minute on.
fn repeating(then: RepeatAction, destinations: &[(u128, i32, u32)]) -> World {
    let mut world = World::new(destinations);
    let rule = RepeatRule { calls: 1, within_sec: 60, count: RepeatCount::Any, then };
    world.change(|world| world.flow().repeat_caller = Some(rule));
    world
}

impl World {
    /// A caller arrives; what the rule says.
    fn arrive(&mut self, caller: &str) -> Option<RepeatAction> {
        let key = CallerKey::kept(caller);
        let plan = Arc::clone(self.snapshot.flow(FLOW).unwrap());
        let rule = self.state.repeat(&plan, &key, self.now);
        // The call that the next question is asked for.
        let call = CallId::new(self.calls + 1);
        self.state.visit(&self.snapshot, &plan, &key, call, self.now);
        rule.map(|rule| rule.then)
    }
}

#[test]
fn who_calls_too_often_is_rejected_sent_away_or_marked() {
    let mut world = repeating(RepeatAction::Reject, &[(1, 1, 1), (1, 2, 0)]);
    assert_eq!(world.arrive(CALLER), None);
    let repeat = world.arrive(CALLER);
    assert_eq!(repeat, Some(RepeatAction::Reject));
    assert_eq!(world.arrive(OTHER), None, "each caller for themselves");
    let asked = Asked { repeat, ..again(CALLER) };
    assert_eq!(name(&world.ask(&asked).1), Err(Unroutable::RepeatCaller));
    world.wait_sec(61);
    assert_eq!(world.arrive(CALLER), None);

    let named = Some(RepeatAction::Destination(destination(1)));
    let verdicts = world.verdicts(&Asked { repeat: named, ..again(CALLER) });
    assert_eq!(verdicts, [Verdict::NotItsTurn, Verdict::ChosenByRule], "even a drained one");
    world.change(|world| world.line(1).state = DestinationState::Paused);
    let verdicts = world.verdicts(&Asked { repeat: named, ..again(CALLER) });
    assert_eq!(verdicts, [Verdict::Chosen, Verdict::Paused], "else as usual");

    let tag = Some(RepeatAction::Tag);
    let verdicts = world.verdicts(&Asked { repeat: tag, ..again(CALLER) });
    assert_eq!(verdicts[0], Verdict::Chosen);
}

#[test]
fn who_wants_another_gets_another_while_there_is_one() {
    let mut world = repeating(RepeatAction::Different, &[(1, 1, 1), (1, 2, 1)]);
    let window = StickyWindow::SameDay;
    world.change(|world| world.flow().stickiness.window = window);
    assert_eq!(world.arrive(CALLER), None);
    assert_eq!(world.talk(CALLER), "a");
    let repeat = world.arrive(CALLER);
    assert_eq!(repeat, Some(RepeatAction::Different));
    let asked = Asked { repeat, ..again(CALLER) };
    assert_eq!(world.verdicts(&asked), [Verdict::SameAsLast, Verdict::Chosen]);
    world.change(|world| world.line(1).state = DestinationState::Paused);
    assert_eq!(world.verdicts(&asked), [Verdict::ChosenSticky, Verdict::Paused]);
    // Who only rang had the caller too.
    world.change(|world| world.line(1).state = DestinationState::Active);
    let (leg, picked) = {
        let (leg, decision) = world.ask(&asked);
        (leg, name(&decision))
    };
    assert_eq!(picked.unwrap(), "b");
    world.tell(leg, 1, Some(CALLER), News::Failed(Outcome::NoAnswer));
    assert_eq!(world.verdicts(&asked), [Verdict::ChosenSticky, Verdict::SameAsLast]);
}
