//! Whole calls on virtual time.

use super::{DID, built, configuration, flow, snapshot};
use crate::engine::sim::Sim;
use crate::engine::{CallEvent, Input, Route, journal};
use crate::model::call::CallRecord;
use crate::model::cause::{CallResult, EndedBy, Outcome};
use crate::model::id::{CallId, ChannelId, LegId, TrunkId};
use crate::model::number::Caller;
use crate::model::objects::destination::Landing;
use crate::model::objects::forwarding_flow::{Fallback, ForwardingFlow};
use crate::model::objects::trunk::Reach;
use crate::model::time::Timestamp;

struct Played {
    sim: Sim,
    call: CallId,
    caller: ChannelId,
}

impl Played {
    fn new(flow: ForwardingFlow) -> Self {
        let mut sim = Sim::new(Timestamp(1_000_000), snapshot(flow));
        let caller = Caller::clean("+12025550199", "Ann");
        let (call, caller) = sim.call(&DID.parse().unwrap(), caller);
        Self { sim, call, caller }
    }

    /// Lets the caller hang up at that moment and everything settle.
    fn caller_hangs_up_after_ms(mut self, ms: i64) -> Self {
        self.sim.run_for_ms(ms);
        self.sim.hang_up(&self.caller.clone());
        self.settled()
    }

    fn settled(mut self) -> Self {
        self.sim.run_for_ms(24 * 3_600 * 1_000);
        assert_eq!(self.sim.leftovers(), Vec::<String>::new());
        let journal = &self.sim.journals[&self.call];
        journal::replay(journal).expect("a replay gives the same commands");
        self
    }

    fn record(&self) -> &CallRecord {
        &self.sim.calls[&self.call]
    }

    fn outcomes(&self) -> Vec<Outcome> {
        self.sim.legs.values().map(|leg| leg.outcome.expect("the leg has ended")).collect()
    }

    fn titles(&self) -> Vec<&'static str> {
        self.sim.timelines[&self.call].iter().map(|entry| entry.step.title()).collect()
    }

    fn sentences(&self) -> Vec<String> {
        self.sim.timelines[&self.call].iter().map(|entry| entry.step.sentence()).collect()
    }

    /// What the caller was hung up with from our side.
    fn rejection(&self) -> Option<u16> {
        self.sim.rejections.get(&self.caller).map(|cause| cause.0)
    }
}

#[test]
fn an_answered_call_ends_when_the_caller_hangs_up() {
    let played = Played::new(flow(&["1001"])).caller_hangs_up_after_ms(10_000);
    let record = played.record();
    assert_eq!(record.result, Some(CallResult::Answered));
    assert_eq!(record.ended_by, Some(EndedBy::Caller));
    assert_eq!(record.talk_ms, 10_000 - 502);
    assert_eq!(played.outcomes(), [Outcome::Answered]);
    assert_eq!(played.titles(), ["Received", "Routed", "Ringing", "Answered", "Ended"]);
}

#[test]
fn a_clock_that_is_set_changes_no_length_of_time_and_fires_no_timer() {
    for by_ms in [3_600_000, -900_000, 31_536_000_000] {
        // While it rings, and again while they talk.
        let mut played = Played::new(ForwardingFlow { max_call_sec: 60, ..flow(&["1001"]) });
        played.sim.run_for_ms(300);
        played.sim.set_clock(by_ms);
        played.sim.run_for_ms(5_000);
        assert_eq!(played.sim.calls[&played.call].result, None, "nobody was cut off");
        played.sim.set_clock(-by_ms);
        let played = played.caller_hangs_up_after_ms(10_000);
        assert_eq!(played.record().talk_ms, 300 + 5_000 + 10_000 - 502);
        let leg = played.sim.legs.values().next().unwrap();
        let moments = [leg.started_at, leg.ringing_at.unwrap(), leg.answered_at.unwrap()];
        let before_the_end_ms = moments.map(|at| leg.ended_at.unwrap().since_ms(at));
        assert_eq!(before_the_end_ms, [15_301, 15_299, 14_799], "by {by_ms}");
        let record = played.record();
        let moments = [record.started_at, record.answered_at.unwrap()];
        let before_the_end_ms = moments.map(|at| record.ended_at.unwrap().since_ms(at));
        assert_eq!(before_the_end_ms, [15_300, 14_798], "by {by_ms}");
        assert_eq!(played.titles(), ["Received", "Routed", "Ringing", "Answered", "Ended"]);
    }
    // The longest conversation is as long as ever.
    let mut played = Played::new(ForwardingFlow { max_call_sec: 60, ..flow(&["1001"]) });
    played.sim.run_for_ms(1_000);
    played.sim.set_clock(-900_000);
    let played = played.settled();
    assert_eq!(
        (played.record().talk_ms, played.record().ended_by),
        (60_000, Some(EndedBy::Divert))
    );
}

#[test]
fn an_answered_call_ends_when_the_destination_hangs_up() {
    let played = Played::new(flow(&["1901"])).settled();
    assert_eq!(played.record().ended_by, Some(EndedBy::Destination));
    assert_eq!(played.record().talk_ms, 2_000);
    assert_eq!(played.rejection(), Some(16));
}

#[test]
fn whatever_keeps_a_destination_from_answering_the_next_one_is_tried() {
    for (number, outcome) in [
        ("1101", Outcome::Busy),
        ("1201", Outcome::NoAnswer),
        ("1301", Outcome::Declined),
        ("1601", Outcome::Unreachable),
        ("1701", Outcome::BadNumber),
        ("1801", Outcome::TrunkFailed),
        ("2101", Outcome::TrunkFailed),
        ("2201", Outcome::TrunkRejected),
    ] {
        let played = Played::new(flow(&[number, "1001"])).caller_hangs_up_after_ms(25_000);
        assert_eq!(played.outcomes(), [outcome, Outcome::Answered], "{number}");
        assert_eq!(played.record().result, Some(CallResult::Answered), "{number}");
    }
}

#[test]
fn a_dead_trunk_is_left_for_the_next_destination() {
    let mut flow = flow(&["1001", "1002"]);
    let number = "1001".parse().unwrap();
    flow.destinations[0].landing = Landing::Trunk { trunk: TrunkId::new(2), number };
    flow.ring_timeout_sec = 5;
    let played = Played::new(flow).caller_hangs_up_after_ms(10_000);
    assert_eq!(played.outcomes(), [Outcome::Unreachable, Outcome::Answered]);
}

#[test]
fn a_caller_who_gives_up_ends_everything() {
    let played = Played::new(flow(&["1201", "1001"])).caller_hangs_up_after_ms(3_000);
    assert_eq!(played.record().result, Some(CallResult::Abandoned));
    assert_eq!(played.outcomes(), [Outcome::Abandoned]);
    assert_eq!(played.titles(), ["Received", "Routed", "Ringing", "Ended", "Abandoned"]);
}

#[test]
fn when_all_fail_the_caller_is_told_the_last_reason() {
    for (number, cause, result) in [
        ("1101", 17, CallResult::Busy),
        ("1201", 19, CallResult::NoAnswer),
        ("1301", 16, CallResult::Declined),
        ("1701", 1, CallResult::Failed),
        ("1801", 34, CallResult::Failed),
    ] {
        let played = Played::new(flow(&["1801", number])).settled();
        assert_eq!(played.rejection(), Some(cause), "{number}");
        assert_eq!(played.record().result, Some(result), "{number}");
        assert_eq!(played.record().ended_by, Some(EndedBy::Divert));
    }
}

#[test]
fn the_fallback_number_is_dialled_last() {
    let mut flow = flow(&["1101"]);
    let number = "1002".parse().unwrap();
    flow.fallback = Fallback::Number { trunk: TrunkId::new(1), number };
    let played = Played::new(flow).caller_hangs_up_after_ms(5_000);
    assert_eq!(played.outcomes(), [Outcome::Busy, Outcome::Answered]);
    assert!(played.titles().contains(&"Fallback"));
}

#[test]
fn a_phone_that_did_not_take_the_call_is_not_rung_again_for_it() {
    let said = |played: &Played| played.sentences().join("\n");
    let played = Played::new(flow(&["1101", "1101", "1001"])).caller_hangs_up_after_ms(5_000);
    assert_eq!(played.outcomes(), [Outcome::Busy, Outcome::Answered]);
    assert!(said(&played).contains("its number was tried already"), "{}", said(&played));
    // Only the way there failed.
    let played = Played::new(flow(&["1801", "1801", "1001"])).caller_hangs_up_after_ms(5_000);
    assert_eq!(played.outcomes(), [Outcome::TrunkFailed, Outcome::TrunkFailed, Outcome::Answered]);
    // As the last resort neither; then the caller hears what it said.
    let mut flow = flow(&["1201", "1201"]);
    (flow.ring_timeout_sec, flow.ring_budget_sec) = (20, 20);
    let number = "1201".parse().unwrap();
    flow.fallback = Fallback::Number { trunk: TrunkId::new(1), number };
    for budget_sec in [20, 60] {
        flow.ring_budget_sec = budget_sec;
        let played = Played::new(flow.clone()).settled();
        assert_eq!(played.outcomes(), [Outcome::NoAnswer], "{budget_sec} s");
        assert_eq!(played.rejection(), Some(19), "{budget_sec} s");
        assert_eq!(played.record().result, Some(CallResult::NoAnswer));
        assert!(said(&played).contains("its number was tried already"), "{}", said(&played));
    }
}

#[test]
fn a_fallback_number_that_fails_ends_the_call() {
    let mut flow = flow(&["1101"]);
    let number = "1201".parse().unwrap();
    flow.fallback = Fallback::Number { trunk: TrunkId::new(1), number };
    let played = Played::new(flow).settled();
    assert_eq!(played.outcomes(), [Outcome::Busy, Outcome::NoAnswer]);
    assert_eq!(played.rejection(), Some(19));
}

#[test]
fn a_test_call_rings_no_longer_than_is_waited_for_it() {
    let mut flow = flow(&["1201", "1202"]);
    (flow.ring_timeout_sec, flow.ring_budget_sec) = (120, 600);
    let number = "1203".parse().unwrap();
    flow.fallback = Fallback::Number { trunk: TrunkId::new(1), number };
    let mut sim = Sim::new(Timestamp(1_000_000), snapshot(flow));
    let (call, _) = sim.test_call(&DID.parse().unwrap(), Caller::default());
    sim.run_for_ms(24 * 3_600 * 1_000);
    let record = &sim.calls[&call];
    let lasted_ms = record.ended_at.unwrap().since_ms(record.started_at);
    assert!((110_000..=Route::TEST_RING_MS + 5_000).contains(&lasted_ms), "{lasted_ms} ms");
    assert_eq!(sim.legs.len(), 2, "the budget of the destinations, and the fallback number");
}

#[test]
fn a_fallback_number_that_was_taken_away_meanwhile_gives_the_call_back() {
    let mut with_number = flow(&["1201"]);
    let number = "1002".parse().unwrap();
    with_number.fallback = Fallback::Number { trunk: TrunkId::new(1), number };
    let mut sim = Sim::new(Timestamp(0), snapshot(with_number.clone()));
    let (call, channel) = sim.call(&DID.parse().unwrap(), Caller::default());
    sim.run_for_ms(1_000);
    with_number.fallback = Fallback::HangUp(None);
    sim.configure(snapshot(with_number));
    sim.run_for_ms(3_600_000);
    assert_eq!(sim.calls[&call].result, Some(CallResult::Unrouted));
    assert!(sim.passed_on.contains(&channel));
    assert_eq!(sim.leftovers(), Vec::<String>::new());
    let said: Vec<_> = sim.timelines[&call].iter().map(|entry| entry.step.sentence()).collect();
    assert!(said.iter().any(|said| said.contains("was taken away")), "{said:?}");
}

#[test]
fn a_fallback_number_without_room_is_not_dialled_and_the_timeline_says_why() {
    let mut flow = flow(&["1801"]);
    let number = "1002".parse().unwrap();
    flow.fallback = Fallback::Number { trunk: TrunkId::new(2), number };
    let mut configuration = configuration(flow);
    configuration.trunks[1].max_live = Some(1);
    // The simulator's dead trunk, alive for once.
    configuration.trunks[1].reach = Reach::Endpoint("alive".parse().unwrap());
    let mut sim = Sim::new(Timestamp(0), built(configuration));
    let did = DID.parse().unwrap();
    let (first, caller) = sim.call(&did, Caller::default());
    sim.run_for_ms(1_000);
    assert!(sim.calls[&first].answered_at.is_some());
    let (second, channel) = sim.call(&did, Caller::default());
    sim.run_for_ms(1_000);
    assert_eq!(sim.calls[&second].result, Some(CallResult::Failed));
    assert_eq!(sim.rejections[&channel].0, 34);
    let said: Vec<_> = sim.timelines[&second].iter().map(|entry| entry.step.sentence()).collect();
    let why = "fallback 1002 is not dialled: trunk full 1/1".to_owned();
    assert!(said.contains(&why), "{said:?}");
    sim.hang_up(&caller);
    sim.run_for_ms(1_000);
    let (third, _) = sim.call(&did, Caller::default());
    sim.run_for_ms(1_000);
    assert!(sim.calls[&third].answered_at.is_some(), "the slot was given back");
}

#[test]
fn the_dialplan_takes_back_what_nobody_wants() {
    let mut flow = flow(&["1101"]);
    flow.fallback = Fallback::Dialplan;
    let played = Played::new(flow).settled();
    assert_eq!(played.record().result, Some(CallResult::Unrouted));
    assert!(played.sim.passed_on.contains(&played.caller));
    assert_eq!(played.rejection(), None);
}

#[test]
fn a_number_nobody_owns_goes_back_to_the_dialplan() {
    let mut flow = flow(&["1001"]);
    flow.dids.clear();
    let played = Played::new(flow).settled();
    assert_eq!(played.record().result, Some(CallResult::Unrouted));
    assert_eq!(played.record().flow, None);
    assert!(played.outcomes().is_empty());
}

#[test]
fn a_number_that_is_known_but_for_its_plus_is_told_of() {
    for (dialled, owned, said) in [
        ("12025550100", "+12025550100", "did you mean +12025550100? Does your carrier send the +?"),
        ("+12025550100", "12025550100", "did you mean 12025550100? Does your carrier send a +"),
        ("+12025550100", "2025550100", "no forwarding flow owns this number"),
    ] {
        let mut flow = flow(&["1001"]);
        flow.dids = vec![owned.parse().unwrap()];
        let mut sim = Sim::new(Timestamp(0), snapshot(flow));
        let (call, _) = sim.call(&dialled.parse().unwrap(), Caller::default());
        let received = sim.timelines[&call][0].step.sentence();
        assert!(received.contains(said), "{received}");
        assert_eq!(received.contains("did you mean"), said.contains("did you mean"));
    }
}

#[test]
fn the_ring_budget_bounds_all_attempts_together() {
    let mut flow = flow(&["1201", "1202", "1203", "1204"]);
    flow.ring_budget_sec = 50;
    let played = Played::new(flow).settled();
    assert_eq!(played.outcomes().len(), 3, "20 s, 20 s and what is left of 50 s");
    let length_ms = played.record().ended_at.unwrap().since_ms(played.record().started_at);
    assert!((50_000..50_100).contains(&length_ms), "{length_ms}");
    assert_eq!(played.rejection(), Some(19));
}

#[test]
fn no_more_destinations_are_tried_than_the_flow_allows() {
    let mut flow = flow(&["1101", "1102", "1103"]);
    flow.max_attempts = 2;
    assert_eq!(Played::new(flow).settled().outcomes(), [Outcome::Busy, Outcome::Busy]);
}

#[test]
fn the_longest_conversation_is_cut() {
    let mut flow = flow(&["1001"]);
    flow.max_call_sec = 60;
    let played = Played::new(flow).settled();
    assert_eq!(played.record().talk_ms, 60_000);
    assert_eq!(played.record().ended_by, Some(EndedBy::Divert));
    assert_eq!(played.record().result, Some(CallResult::Answered));
}

#[test]
fn a_full_flow_rejects_and_says_so() {
    let mut flow = flow(&["1001"]);
    flow.destinations[0].max_live = Some(1);
    let mut sim = Sim::new(Timestamp(0), snapshot(flow));
    let did = DID.parse().unwrap();
    let (_, first) = sim.call(&did, Caller::default());
    sim.run_for_ms(1_000);
    let (second, channel) = sim.call(&did, Caller::default());
    sim.run_for_ms(1_000);
    assert_eq!(sim.calls[&second].result, Some(CallResult::Full));
    assert_eq!(sim.rejections[&channel].0, 34);
    let said = sim.timelines[&second].iter().map(|entry| entry.step.sentence());
    assert!(said.into_iter().any(|text| text.contains("every destination is full")));
    sim.hang_up(&first);
    sim.run_for_ms(1_000);
    let (third, _) = sim.call(&did, Caller::default());
    sim.run_for_ms(1_000);
    assert!(sim.calls[&third].answered_at.is_some(), "the slot was given back");
}

#[test]
fn calls_are_spread_by_weight() {
    let mut flow = flow(&["2001", "2002", "2003"]);
    for (destination, weight) in flow.destinations.iter_mut().zip([5, 1, 1]) {
        destination.priority = 1;
        destination.weight = weight;
    }
    let mut sim = Sim::new(Timestamp(0), snapshot(flow));
    let mut taken = Vec::new();
    for _ in 0..7 {
        let (call, caller) = sim.call(&DID.parse().unwrap(), Caller::default());
        sim.run_for_ms(1_000);
        sim.hang_up(&caller);
        sim.run_for_ms(10_000);
        taken.push(sim.legs[&LegId { call, no: 1 }].name.clone());
    }
    assert_eq!(taken, ["2001", "2001", "2002", "2001", "2003", "2001", "2001"]);
    assert_eq!(sim.leftovers(), Vec::<String>::new());
}

#[test]
fn a_restart_of_asterisk_closes_a_talking_call_truthfully() {
    let mut played = Played::new(flow(&["1001"]));
    played.sim.run_for_ms(5_000);
    let call = played.call;
    let restarted =
        Input::Call { call, event: CallEvent::AsteriskRestarted { seen_at: played.sim.now } };
    assert_eq!(played.sim.engine.handle(played.sim.now, restarted), Some(call));
    let mut released = 0;
    while let Some((_, command)) = played.sim.engine.poll_command() {
        match command {
            crate::engine::Command::Save(record) => {
                assert_eq!(record.ended_by, Some(EndedBy::Restart));
                assert_eq!(record.result, Some(CallResult::Answered));
            }
            crate::engine::Command::HangUp { .. } => panic!("there is nothing left to hang up"),
            crate::engine::Command::Release { .. } => released += 1,
            _ => {}
        }
    }
    assert_eq!(released, 1);
    assert_eq!(played.sim.engine.calls().count(), 0);
    assert_eq!(played.sim.engine.next_timeout(), None);
}

#[test]
fn a_call_rebuilt_from_its_journal_goes_on_where_it_was() {
    let mut played = Played::new(flow(&["1101", "1001"]));
    played.sim.run_for_ms(5_000);
    let mut engine = crate::engine::Engine::default();
    journal::restore(&mut engine, &played.sim.journals[&played.call]);
    assert_eq!(
        engine.channels().collect::<Vec<_>>(),
        played.sim.engine.channels().collect::<Vec<_>>()
    );
    played.sim.engine = engine;
    let played = played.caller_hangs_up_after_ms(1_000);
    assert_eq!(played.record().ended_by, Some(EndedBy::Caller));
    assert_eq!(played.outcomes(), [Outcome::Busy, Outcome::Answered]);
}

#[test]
fn a_toll_free_number_is_dialled_over_its_next_trunk_within_one_attempt() {
    let mut of = configuration(flow(&["1001", "1001"]));
    of.account.toll_free_termination = true;
    for trunk in &mut of.trunks {
        trunk.carries_toll_free = true;
    }
    let flow = &mut of.forwarding_flows[0];
    flow.max_attempts = 1;
    let number = "+18005550199".parse().unwrap();
    flow.destinations[0].landing = Landing::TollFree { number };
    let mut sim = Sim::new(Timestamp(1_000_000), built(of));
    sim.phones.others = Some(Outcome::Answered);
    let (call, caller) = sim.call(&DID.parse().unwrap(), Caller::default());
    sim.run_for_ms(30_000);
    sim.hang_up(&caller);
    let played = Played { sim, call, caller }.settled();
    assert_eq!(played.record().result, Some(CallResult::Answered));
    assert_eq!(played.outcomes(), [Outcome::Unreachable, Outcome::Answered]);
    let legs: Vec<_> = played.sim.legs.values().map(|leg| &*leg.endpoint).collect();
    assert_eq!(legs, ["PJSIP/18005550199@dead", "PJSIP/18005550199@phones"]);
    assert!(played.sentences()[3].contains(" · over its next trunk · trunk dead skipped"));
}
