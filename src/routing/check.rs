//! What is wrong, or likely not meant, with a configuration as something that routes calls.
//!
//! The rules between objects are those of `model::check`, applied here to a configuration that is
//! already there. Reading a document applies them by itself.

use std::collections::BTreeMap;

use crate::model::check;
use crate::model::configuration::Configuration;
use crate::model::number::Did;
use crate::model::objects::destination::{Destination, DestinationState, Landing};
use crate::model::objects::forwarding_flow::{Fallback, ForwardingFlow};
use crate::model::places::Places;
use crate::model::problem::Problem;

/// Everything that does not hold; the pointers are into the configuration itself.
#[must_use]
pub fn check(whole: &Configuration) -> Vec<Problem> {
    check::problems(whole, &check::places_of(whole), &BTreeMap::new())
}

/// What is allowed and would route badly, for the objects that `places` knows: flows in which
/// nothing can ring, numbers that lead back to a DID of ours, settings that cannot take effect, and
/// what means something else than people think.
#[must_use]
pub fn advise(whole: &Configuration, places: &Places) -> Vec<Problem> {
    let flows = whole.forwarding_flows.iter();
    let owners: BTreeMap<&str, &ForwardingFlow> =
        flows.flat_map(|flow| flow.dids.iter().map(move |did| (Did::as_str(did), flow))).collect();
    let mut advice = super::misread::misread(whole, places);
    for flow in &whole.forwarding_flows {
        let Some(here) = places.find(flow.id) else {
            continue;
        };
        let takes_new = |one: &Destination| one.state == DestinationState::Active && one.weight > 0;
        if !flow.destinations.iter().any(takes_new) {
            advice.push(Problem::new(
                format!("{here}/destinations"),
                "no_active_destination",
                format!(
                    "nobody takes new callers in forwarding flow {}: no destination is active and \
                     has a weight above 0",
                    flow.name
                ),
                "type state: active and a weight of 1 or more at one; until then new callers go to \
                 the fallback",
            ));
        }
        if flow.ring_timeout_sec > flow.ring_budget_sec {
            advice.push(Problem::new(
                format!("{here}/ring_timeout_sec"),
                "no_effect",
                format!(
                    "one destination may ring {} s, all together only {} s",
                    flow.ring_timeout_sec, flow.ring_budget_sec
                ),
                "type a ring_timeout_sec that is not above ring_budget_sec",
            ));
        }
        let landings = flow.destinations.iter().map(|one| {
            let (key, numbers) = match &one.landing {
                Landing::Slave { .. } => ("did", Vec::new()),
                // As carriers write it, whichever of the three ours are.
                Landing::TollFree { number } => (
                    "toll_free",
                    vec![format!("+1{number}"), format!("1{number}"), number.to_string()],
                ),
                Landing::Trunk { number, .. } => ("number", vec![number.to_string()]),
            };
            (places.find(one.id).map(|at| format!("{at}/{key}")), numbers)
        });
        let fallback = match &flow.fallback {
            Fallback::Number { number, .. } => vec![number.to_string()],
            Fallback::Dialplan | Fallback::HangUp(_) => Vec::new(),
        };
        let fallback = (Some(format!("{here}/fallback/number")), fallback);
        for (pointer, numbers) in landings.chain([fallback]) {
            let ours = numbers.iter().find_map(|number| Some((number, owners.get(&**number)?)));
            if let (Some(pointer), Some((number, owner))) = (pointer, ours) {
                advice.push(Problem::new(
                    pointer,
                    "may_loop",
                    format!("{number} is a DID of forwarding flow {}", owner.name),
                    "check that the carrier does not send the call back here",
                ));
            }
        }
    }
    advice
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::check::places_of;
    use crate::model::id::{DestinationId, ForwardingFlowId, ServerId};

    /// The codes of what is said of one flow with one destination.
    fn advice(edit: impl FnOnce(&mut ForwardingFlow)) -> Vec<&'static str> {
        let landing = Landing::Slave { server: ServerId::new(1), did: "1001".parse().unwrap() };
        let mut flow = ForwardingFlow::new(ForwardingFlowId::new(1), "flow", ServerId::new(1));
        flow.destinations.push(Destination::new(DestinationId::new(1), "a", landing));
        edit(&mut flow);
        let whole = Configuration { forwarding_flows: vec![flow], ..Configuration::default() };
        advise(&whole, &places_of(&whole)).iter().map(|problem| problem.code).collect()
    }

    #[test]
    fn somebody_must_take_new_callers() {
        use DestinationState::{Active, Disabled, Draining, Paused};
        for (state, weight, is_told) in [
            (Active, 1, false),
            (Active, 2, false),
            (Active, 0, true),
            (Draining, 1, true),
            (Paused, 2, true),
            (Disabled, 0, true),
        ] {
            let advice = advice(|flow| {
                (flow.destinations[0].state, flow.destinations[0].weight) = (state, weight);
            });
            let is_there = advice.contains(&"no_active_destination");
            assert_eq!(is_there, is_told, "{state:?} {weight}");
        }
    }

    #[test]
    fn one_may_ring_as_long_as_all_together() {
        for (ring_timeout_sec, is_told) in [(59, false), (60, false), (61, true)] {
            let advice = advice(|flow| {
                (flow.ring_timeout_sec, flow.ring_budget_sec) = (ring_timeout_sec, 60);
            });
            assert_eq!(advice.contains(&"no_effect"), is_told, "{ring_timeout_sec}");
        }
    }

    #[test]
    fn what_a_document_would_refuse_is_a_problem_of_what_is_there() {
        let flow = ForwardingFlow::new(ForwardingFlowId::new(1), "flow", ServerId::new(1));
        let whole = Configuration { forwarding_flows: vec![flow], ..Configuration::default() };
        assert!(check(&whole).iter().any(|problem| problem.pointer.contains("/master")));
        assert_eq!(check(&Configuration::default()), []);
    }
}
