//! A scenario on the simulator: the whole call in virtual time, with nothing left over.

use super::scenario::{Act, Moment, Played, Scenario};
use crate::engine::sim::Sim;
use crate::model::call::LegRecord;
use crate::model::id::{CallId, ChannelId, LegId};
use crate::model::number::Did;
use crate::model::objects::account::DEFAULT_ACCOUNT;
use crate::model::problem::{Problem, render};
use crate::model::time::Timestamp;
use crate::routing::snapshot::Snapshot;

/// When the simulation begins; any moment will do.
const BEGIN: Timestamp = Timestamp(1_000_000);
/// Longer than any call may last.
const SETTLED_MS: i64 = 24 * 3_600 * 1_000;

/// Plays the calls of a scenario one after the other, until nothing is due any more.
///
/// # Errors
/// What is wrong with the flow, or what is still there in the end: channels, bridges, slots, timers.
pub fn rehearse(scenario: &Scenario) -> Result<Vec<Played>, Vec<String>> {
    let told = |problems: Vec<Problem>| -> Vec<String> {
        problems.iter().map(|problem| render(problem, "flow")).collect()
    };
    let configuration = scenario.configuration().map_err(told)?;
    let snapshot = Snapshot::build(&[(DEFAULT_ACCOUNT, configuration)], Some("master"));
    let mut sim = Sim::new(BEGIN, snapshot);
    let acts: Vec<_> =
        scenario.calls.iter().map(|act| play(&mut sim, &scenario.own_did(), act)).collect();
    sim.run_for_ms(SETTLED_MS);
    let mut left = sim.leftovers();
    let played: Vec<Played> =
        acts.iter().filter_map(|(call, caller)| played(&mut sim, *call, caller)).collect();
    if played.len() < acts.len() {
        left.push("a call without a result".to_owned());
    }
    if left.is_empty() { Ok(played) } else { Err(left) }
}

/// Plays one call until it is over.
fn play(sim: &mut Sim, did: &Did, act: &Act) -> (CallId, ChannelId) {
    let (call, caller) = sim.call(did, act.caller.clone());
    if let Some(hang_up) = act.hangs_up
        && wait_for(sim, call, hang_up.after)
    {
        sim.run_for_ms(i64::from(hang_up.ms));
        sim.hang_up(&caller);
    }
    while sim.engine.call(call).is_some()
        && let Some(at) = sim.next_due()
    {
        sim.run_until(at);
    }
    (call, caller)
}

fn played(sim: &mut Sim, call: CallId, caller: &ChannelId) -> Option<Played> {
    let record = sim.calls.remove(&call).filter(|record| record.result.is_some())?;
    Some(Played {
        call: record,
        legs: legs(sim, call),
        timeline: sim.timelines.remove(&call).unwrap_or_default(),
        journal: sim.journals.remove(&call).unwrap_or_default(),
        caller_cause: sim.rejections.get(caller).copied(),
        passed_on: sim.passed_on.contains(caller),
    })
}

fn legs(sim: &Sim, call: CallId) -> Vec<LegRecord> {
    let all = LegId { call, no: 0 }..=LegId { call, no: u16::MAX };
    sim.legs.range(all).map(|(_, leg)| leg.clone()).collect()
}

/// Runs until that moment; `false` when it never comes.
fn wait_for(sim: &mut Sim, call: CallId, moment: Moment) -> bool {
    let title = match moment {
        Moment::Answered => "Answered",
        Moment::Ringing => "Ringing",
        Moment::Start => return true,
    };
    loop {
        let timeline = sim.timelines.get(&call).into_iter().flatten();
        if timeline.into_iter().any(|entry| entry.step.title() == title) {
            return true;
        }
        let Some(at) = sim.next_due() else {
            return false;
        };
        sim.run_until(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::scenario::check;

    #[test]
    fn a_broken_promise_is_told_in_plain_words() {
        let text = "\
scenario: Something that does not happen
flow:
  fallback: hang_up
  destinations:
    - { trunk: phones, number: \"1101\" }
expect:
  result: answered
  ended_by: divert
  legs: [busy, answered]
  steps: [Received]
  caller_cause: 16
  passed_on: true
";
        let scenario = Scenario::read(text).unwrap();
        let told = check(&scenario, &rehearse(&scenario).unwrap());
        assert_eq!(
            told,
            [
                "result: promised answered; was busy",
                "legs: promised busy, answered; was busy",
                "steps: promised Received; was Received, Routed, Busy, Ended",
                "caller_cause: promised 16; was 17",
                "passed_on: promised passed on; was kept",
            ]
        );
    }
}
