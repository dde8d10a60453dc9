//! Every promise of `tests/scenarios` for real, and event by event as on the simulator.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use divert::harness::rehearse::rehearse;
use divert::harness::scenario::{Act, Moment, Played, Scenario, check, read_folder, stage};
use divert::harness::trace::{Trace, trace};
use divert::model::cause::HangupCause;
use divert::model::id::CallId;
use divert::model::number::Did;

use crate::lab::{Lab, eventually, with_divert};
use crate::phones::{Gone, Line};

/// The longest of them needs half of it.
const LIMIT: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_keeps_its_promise_on_asterisk() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let scenarios = read_folder(&folder).unwrap_or_else(|error| panic!("{error}"));
    assert!(scenarios.len() >= 16, "only {} scenarios", scenarios.len());
    let numbered: Vec<(Did, &Scenario)> = scenarios.iter().enumerate().map(number).collect();
    let flows = numbered.iter().enumerate();
    let flows = flows.map(|(at, (did, scenario))| scenario.flow(&format!("flow {at}"), did));
    with_divert(&stage(&flows.collect::<Vec<_>>()), async |lab| {
        let mut broken = Vec::new();
        for (did, scenario) in &numbered {
            let mut played: Vec<Played> = Vec::new();
            for act in &scenario.calls {
                let before = played.iter().map(|one| one.call.id).collect::<Vec<_>>();
                played.push(play(lab, act, did, &before).await);
            }
            let rehearsed = rehearse(scenario).expect("the simulator has played it in tests/it");
            let mut differences = check(scenario, &played);
            for (played, rehearsed) in played.iter().zip(&rehearsed) {
                let replay = lab.divert.replay(played.call.id);
                differences.extend((!replay.is_empty()).then_some(replay));
                differences.extend(compare(&trace(&rehearsed.journal), &trace(&played.journal)));
            }
            broken.extend(differences.iter().map(|text| format!("{}: {text}", scenario.name)));
        }
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    })
    .await;
}

/// Each calls a number of its own, so that all can be configured at once.
fn number((at, scenario): (usize, &Scenario)) -> (Did, &Scenario) {
    let other = || format!("+1202555{:04}", 1_000 + at).parse().unwrap();
    (scenario.did.clone().unwrap_or_else(other), scenario)
}

/// Plays one call; `before` are those that were played on the same number.
async fn play(lab: &Lab, act: &Act, did: &Did, before: &[CallId]) -> Played {
    let line = lab.phones.call(did, &act.caller).await;
    if let Some(hang_up) = act.hangs_up {
        if wait_for(&line, hang_up.after).await {
            tokio::time::sleep(Duration::from_millis(hang_up.ms.into())).await;
        }
        line.hang_up().await;
    }
    let call = eventually("the call to be in the log", LIMIT, async || {
        let newest = lab.divert.call_on(did).await;
        (!before.contains(&newest)).then_some(newest)
    })
    .await;
    let (detail, journal) = lab.divert.ended(call, LIMIT).await;
    // Whoever was answered by somebody else than divert stands in the fallback.
    let passed_on = eventually("the caller to be hung up or passed on", LIMIT, async || {
        let seen = line.seen();
        let by_others = seen.up.is_some() && detail.call.answered_at.is_none();
        (seen.gone.is_some() || by_others).then_some(by_others)
    })
    .await;
    let gone = line.seen().gone.filter(|_| act.hangs_up.is_none());
    line.hang_up().await;
    Played {
        caller_cause: gone.map(told),
        call: detail.call,
        legs: detail.legs,
        timeline: detail.timeline,
        journal,
        passed_on,
    }
}

/// The cause divert gave: Asterisk makes a 603 of 16 on an unanswered call, and the caller's Asterisk
/// makes 21 of that.
fn told(gone: Gone) -> HangupCause {
    match (gone.cause, gone.sip) {
        (21, Some(603)) => HangupCause::NORMAL,
        (cause, _) => HangupCause(cause),
    }
}

/// `false` when it never comes.
async fn wait_for(line: &Line, moment: Moment) -> bool {
    eventually("the moment to hang up", LIMIT, async || {
        let seen = line.seen();
        let has_come = match moment {
            Moment::Answered => seen.up.is_some(),
            Moment::Ringing => seen.ringing.is_some(),
            Moment::Start => true,
        };
        (has_come || seen.gone.is_some()).then_some(has_come)
    })
    .await
}

/// Where a channel told something else than on the simulator. No difference is tolerated.
fn compare(simulated: &Trace, real: &Trace) -> Vec<String> {
    let mut tracks: BTreeMap<u16, [&[String]; 2]> = BTreeMap::new();
    for (at, trace) in [simulated, real].into_iter().enumerate() {
        for (track, words) in trace {
            tracks.entry(*track).or_default()[at] = words;
        }
    }
    tracks
        .into_iter()
        .filter(|(_, [simulated, real])| simulated != real)
        .map(|(track, [simulated, real])| {
            format!("leg {track}: the simulator told {simulated:?}, Asterisk {real:?}")
        })
        .collect()
}
