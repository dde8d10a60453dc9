//! What a call comes to that nobody takes, by the reason.

use super::{DID, flow, snapshot};
use crate::engine::sim::Sim;
use crate::model::cause::CallResult;
use crate::model::number::Caller;
use crate::model::objects::destination::{Destination, DestinationState};
use crate::model::objects::forwarding_flow::{Fallback, ForwardingFlow, ForwardingFlowState};
use crate::model::opening_hours::OpeningHours;
use crate::model::stickiness::{RepeatAction, RepeatCount, RepeatRule};
use crate::model::throttle::{ArrivalRate, CapCount, CapPeriod, RatePeriod, VolumeCap};
use crate::model::time::Timestamp;

/// What a second call of the same caller comes to, a moment after one that was answered and ended.
fn second_call(flow: ForwardingFlow) -> Option<CallResult> {
    let mut sim = Sim::new(Timestamp(1_000_000), snapshot(flow));
    let (did, caller) = (DID.parse().unwrap(), Caller::clean("+12025550199", "Ann"));
    let (_, channel) = sim.call(&did, caller.clone());
    sim.run_for_ms(1_000);
    sim.hang_up(&channel);
    sim.run_for_ms(1_000);
    let (second, _) = sim.call(&did, caller);
    sim.run_for_ms(3_600_000);
    sim.calls[&second].result
}

fn cap() -> VolumeCap {
    VolumeCap { per: CapPeriod::Day, count: CapCount::Answers, max: 1 }
}

fn rate() -> ArrivalRate {
    ArrivalRate { calls: 1, per: RatePeriod::Hour, burst: 1 }
}

#[test]
fn each_reason_to_refuse_a_call_has_a_result_of_its_own() {
    let of_flow = |change: fn(&mut ForwardingFlow)| {
        let mut flow = flow(&["2001"]);
        change(&mut flow);
        second_call(flow).unwrap()
    };
    let rule = |flow: &mut ForwardingFlow| {
        flow.repeat_caller = Some(RepeatRule {
            calls: 1,
            within_sec: 60,
            count: RepeatCount::Any,
            then: RepeatAction::Reject,
        });
    };
    assert_eq!(of_flow(rule), CallResult::RefusedCaller);
    assert_eq!(
        of_flow(|flow| flow.schedule = Some(OpeningHours::default().into())),
        CallResult::Closed
    );
    assert_eq!(of_flow(|flow| flow.throttle.caps.push(cap())), CallResult::Capped);
    assert_eq!(of_flow(|flow| flow.throttle.rate = Some(rate())), CallResult::RateLimited);
    assert_eq!(of_flow(|flow| flow.state = ForwardingFlowState::Paused), CallResult::Paused);
    // The dialplan has it, and the reason is the same.
    let given_back = of_flow(|flow| {
        flow.fallback = Fallback::Dialplan;
        flow.schedule = Some(OpeningHours::default().into());
    });
    assert_eq!(given_back, CallResult::Closed);
    assert_eq!(of_flow(|flow| flow.dids.clear()), CallResult::Unrouted);
}

#[test]
fn where_destinations_refuse_for_several_reasons_the_one_nearest_to_a_conversation_is_told() {
    type Change = fn(&mut Destination);
    let of_destinations = |changes: &[Change]| {
        let mut flow = flow(&["2001", "2002", "2003"][..changes.len()]);
        for (destination, change) in flow.destinations.iter_mut().zip(changes) {
            change(destination);
        }
        second_call(flow).unwrap()
    };
    let is_closed: Change = |it| it.schedule = Some(OpeningHours::default().into());
    let is_capped: Change = |it| it.throttle.caps.push(cap());
    let is_slow: Change = |it| it.throttle.rate = Some(rate());
    let is_paused: Change = |it| it.state = DestinationState::Paused;
    let is_drained: Change = |it| it.state = DestinationState::Draining;
    assert_eq!(of_destinations(&[is_closed]), CallResult::Closed);
    assert_eq!(of_destinations(&[is_capped]), CallResult::Capped);
    assert_eq!(of_destinations(&[is_slow]), CallResult::RateLimited);
    assert_eq!(of_destinations(&[is_paused, is_drained]), CallResult::Paused);
    assert_eq!(of_destinations(&[is_paused, is_closed]), CallResult::Closed);
    assert_eq!(of_destinations(&[is_closed, is_capped, is_paused]), CallResult::Capped);
    assert_eq!(of_destinations(&[is_slow, is_closed]), CallResult::RateLimited);
}
