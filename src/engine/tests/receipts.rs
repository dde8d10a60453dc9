//! What the receipt of a test call says is what an ordinary call changes that goes the same way.

use super::{DID, flow, snapshot};
use crate::engine::sim::Sim;
use crate::model::id::{CallId, ChannelId};
use crate::model::memory::{Remembered, Throttled};
use crate::model::number::{Caller, Did};
use crate::model::objects::destination::DestinationState;
use crate::model::objects::forwarding_flow::ForwardingFlow;
use crate::model::stickiness::StickyWindow;
use crate::model::stickiness::{RepeatAction, RepeatCount, RepeatRule, Stickiness, StickyOn};
use crate::model::throttle::{CapCount, CapPeriod, VolumeCap};
use crate::model::time::Timestamp;
use crate::model::timeline::{Receipt, Step};
use crate::routing::sticky;

/// A flow that remembers all there is to remember, and calls these numbers in turn.
fn remembering(numbers: &[&str]) -> ForwardingFlow {
    let cap = |count| VolumeCap { per: CapPeriod::Total, count, max: 100 };
    let caps: Vec<VolumeCap> =
        [CapCount::Attempts, CapCount::Answers, CapCount::BillableMinutes].map(cap).into();
    let mut flow = flow(numbers);
    flow.stickiness.window = StickyWindow::Rolling { sec: 3_600, sliding: false };
    flow.repeat_caller = Some(RepeatRule {
        calls: 1,
        within_sec: 3_600,
        count: RepeatCount::Any,
        then: RepeatAction::Tag,
    });
    flow.throttle.caps.clone_from(&caps);
    for destination in &mut flow.destinations {
        destination.throttle.caps.clone_from(&caps);
    }
    flow
}

/// A call that is hung up by its caller after half a minute, if it still goes on.
fn play(
    flow: &ForwardingFlow,
    call: impl Fn(&mut Sim, &Did, Caller) -> (CallId, ChannelId),
) -> Sim {
    let mut sim = Sim::new(Timestamp(1_000_000), snapshot(flow.clone()));
    let (_, caller) = call(&mut sim, &DID.parse().unwrap(), ann());
    sim.run_for_ms(30_000);
    sim.hang_up(&caller);
    sim.run_for_ms(60_000);
    assert_eq!(sim.leftovers(), Vec::<String>::new());
    sim
}

fn ann() -> Caller {
    Caller::clean("+12025550199", "Ann")
}

/// What is remembered of an ordinary call, as a receipt would say it.
fn changed(flow: &ForwardingFlow, sim: &mut Sim) -> Receipt {
    let mut receipt = Receipt::default();
    let name = |of| {
        let mut all = flow.destinations.iter();
        match of {
            Throttled::Destination(id) => all.find(|one| one.id == id).unwrap().name.clone(),
            Throttled::ForwardingFlow(_) => flow.name.clone(),
        }
    };
    let snapshot = snapshot(flow.clone());
    let plan = snapshot.flow(flow.id).unwrap();
    for (_, what) in sim.state.remembered() {
        match what {
            Remembered::Binding { binding, .. } => {
                let binding = binding.unwrap();
                let until = sticky::until(flow.stickiness.window, &plan.zone, &binding);
                let name = name(Throttled::Destination(binding.destination));
                receipt.sticky = Some((name, until));
            }
            Remembered::Volume { of, count, used, .. } => {
                let whose = name(of);
                receipt.caps.retain(|(name, of, _)| *name != whose || *of != count);
                receipt.caps.push((whose, count, used));
            }
            Remembered::Wheel { .. } => {}
        }
    }
    let key = snapshot.caller_key(plan, &ann()).unwrap();
    receipt.counts_as_visit = sim.state.repeat(plan, &key, sim.now).is_some();
    receipt
}

fn sorted(mut receipt: Receipt) -> Receipt {
    receipt.caps.sort_by_key(|(whose, count, _)| (whose.clone(), count.to_string()));
    receipt
}

#[test]
fn a_receipt_says_what_an_ordinary_call_changes() {
    let offered = |numbers: &[&str], rebind, sliding| {
        let window = StickyWindow::Rolling { sec: 3_600, sliding };
        let stickiness =
            Stickiness { window, on: StickyOn::Offered, rebind, beats_priority: false };
        ForwardingFlow { stickiness, ..remembering(numbers) }
    };
    let mut refused = remembering(&["1001"]);
    refused.destinations[0].state = DestinationState::Paused;
    let mut capped = remembering(&["1001"]);
    capped.throttle.caps[0].max = 0;
    let cases = [
        ("answered at once", remembering(&["2001"])),
        ("answered after two seconds", remembering(&["1501"])),
        ("answered by the second", remembering(&["1101", "1501"])),
        ("answered by nobody", remembering(&["1101", "1201"])),
        ("offered and not answered", offered(&["1201"], true, false)),
        ("offered and answered", offered(&["1501"], true, false)),
        ("offered, answered and sliding", offered(&["1501"], true, true)),
        ("offered to two", offered(&["1101", "1501"], true, false)),
        ("offered to two and kept by the first", offered(&["1101", "1501"], false, false)),
        ("refused", refused),
        ("refused by the flow", capped),
    ];
    for (what, flow) in cases {
        let mut sim = play(&flow, Sim::test_call);
        assert_eq!(sim.state.remembered().count(), 0, "{what}");
        assert!(sim.state.turned_wheels().is_empty(), "{what}");
        let steps = sim.timelines.values().flatten().map(|entry| &entry.step);
        let receipts = steps.filter_map(|step| match step {
            Step::Receipt(receipt) => Some(receipt.clone()),
            _ => None,
        });
        let receipts: Vec<Receipt> = receipts.collect();
        let [receipt] = &receipts[..] else { panic!("{what}: {receipts:?}") };

        let mut sim = play(&flow, Sim::call);
        let wheel_turns = u32::try_from(sim.legs.len()).unwrap();
        let wanted = Receipt { wheel_turns, ..changed(&flow, &mut sim) };
        assert!(wanted.counts_as_visit, "{what}");
        assert_eq!(sorted(receipt.clone()), sorted(wanted), "{what}");
    }
}
