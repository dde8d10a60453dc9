//! What a node has to be told anew when its configuration changes: what was remembered, by it or by
//! another, of the flows, caps and rules that it did not have before.

use std::collections::BTreeSet;

use super::snapshot::{FlowPlan, Snapshot};
use crate::model::id::{AccountId, ForwardingFlowId};
use crate::model::memory::{Remembered, Throttled};
use crate::model::stickiness::RepeatRule;
use crate::model::throttle::{CapCount, CapPeriod};

/// From one configuration to the next.
#[derive(Debug, Default)]
pub struct Recall {
    flows: BTreeSet<ForwardingFlowId>,
    caps: BTreeSet<(Throttled, CapPeriod, CapCount)>,
    /// Rules about callers who call again that are new, or ask for more than before.
    pub rules: Vec<(AccountId, ForwardingFlowId, RepeatRule)>,
}

impl Recall {
    #[must_use]
    pub fn between(old: &Snapshot, new: &Snapshot) -> Self {
        let mut recall = Self::default();
        for plan in new.flows() {
            let before = old.flow(plan.flow.id);
            if before.is_none() {
                recall.flows.insert(plan.flow.id);
            }
            let known: BTreeSet<_> = before.into_iter().flat_map(|before| caps(before)).collect();
            recall.caps.extend(caps(plan).filter(|cap| !known.contains(cap)));
            let rule_before = before.and_then(|before| before.flow.repeat_caller);
            if let Some(rule) = plan.flow.repeat_caller
                && rule_before.is_none_or(|before| asks_for_more(&rule, &before))
            {
                recall.rules.push((plan.account, plan.flow.id, rule));
            }
        }
        recall
    }

    /// Nothing is new.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty() && self.caps.is_empty() && self.rules.is_empty()
    }

    /// Whether this is about something that is new.
    #[must_use]
    pub fn wants(&self, what: &Remembered) -> bool {
        match what {
            Remembered::Binding { flow, .. } | Remembered::Wheel { flow, .. } => {
                self.flows.contains(flow)
            }
            Remembered::Volume { of, per, count, .. } => self.caps.contains(&(*of, *per, *count)),
        }
    }
}

/// Whether more calls are needed to tell if it holds.
fn asks_for_more(rule: &RepeatRule, before: &RepeatRule) -> bool {
    rule.count != before.count || rule.calls > before.calls || rule.within_sec > before.within_sec
}

fn caps(plan: &FlowPlan) -> impl Iterator<Item = (Throttled, CapPeriod, CapCount)> {
    let of_flow = (Throttled::ForwardingFlow(plan.flow.id), &plan.flow.throttle);
    let of_lines = plan
        .lines
        .iter()
        .map(|line| (Throttled::Destination(line.destination.id), &line.destination.throttle));
    std::iter::once(of_flow)
        .chain(of_lines)
        .flat_map(|(of, throttle)| throttle.caps.iter().map(move |cap| (of, cap.per, cap.count)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::configuration::Configuration;
    use crate::model::id::ServerId;
    use crate::model::objects::account::DEFAULT_ACCOUNT;
    use crate::model::objects::forwarding_flow::ForwardingFlow;
    use crate::model::stickiness::{RepeatAction, RepeatCount};
    use crate::model::throttle::VolumeCap;
    use crate::model::time::Timestamp;

    const ID: ForwardingFlowId = ForwardingFlowId::new(1);

    fn snapshot(edit: impl FnOnce(&mut ForwardingFlow)) -> Snapshot {
        let mut flow = ForwardingFlow::new(ID, "flow", ServerId::new(1));
        edit(&mut flow);
        let all = Configuration { forwarding_flows: vec![flow], ..Configuration::default() };
        Snapshot::build(&[(DEFAULT_ACCOUNT, all)], None)
    }

    fn cap(per: CapPeriod) -> VolumeCap {
        VolumeCap { per, count: CapCount::Answers, max: 5 }
    }

    fn volume(per: CapPeriod) -> Remembered {
        let (of, count) = (Throttled::ForwardingFlow(ID), CapCount::Answers);
        Remembered::Volume { of, per, count, since: Timestamp(0), used: 3 }
    }

    #[test]
    fn a_flow_that_is_new_here_brings_all_that_is_known_of_it() {
        let new = snapshot(|flow| flow.throttle.caps = vec![cap(CapPeriod::Day)]);
        let recall = Recall::between(&Snapshot::default(), &new);
        assert!(recall.wants(&volume(CapPeriod::Day)));
        assert!(!recall.wants(&volume(CapPeriod::Month)));
        let wheel = |flow| Remembered::Wheel { flow, priority: 1, standing: Vec::new() };
        assert!(recall.wants(&wheel(ID)));
        assert!(!recall.wants(&wheel(ForwardingFlowId::new(2))));
        assert!(Recall::between(&new, &new).is_empty());
    }

    #[test]
    fn a_flow_a_cap_or_a_rule_alone_is_something_new() {
        let plain = snapshot(|_| {});
        let capped = snapshot(|flow| flow.throttle.caps = vec![cap(CapPeriod::Day)]);
        let (calls, within_sec) = (2, 60);
        let (count, then) = (RepeatCount::Any, RepeatAction::Tag);
        let ruled = snapshot(|flow| {
            flow.repeat_caller = Some(RepeatRule { calls, within_sec, count, then });
        });
        for (old, new) in [(&Snapshot::default(), &plain), (&plain, &capped), (&plain, &ruled)] {
            assert!(!Recall::between(old, new).is_empty());
        }
    }

    #[test]
    fn a_cap_or_rule_that_is_new_brings_what_it_counts() {
        let old = snapshot(|flow| flow.throttle.caps = vec![cap(CapPeriod::Day)]);
        let rule = RepeatRule {
            calls: 2,
            within_sec: 60,
            count: RepeatCount::Any,
            then: RepeatAction::Tag,
        };
        let new = snapshot(|flow| {
            flow.throttle.caps = vec![cap(CapPeriod::Day), cap(CapPeriod::Month)];
            flow.repeat_caller = Some(rule);
        });
        let recall = Recall::between(&old, &new);
        assert!(!recall.wants(&volume(CapPeriod::Day)), "what this node knows better");
        assert!(recall.wants(&volume(CapPeriod::Month)));
        assert_eq!(recall.rules, [(DEFAULT_ACCOUNT, ID, rule)]);
        assert!(Recall::between(&new, &old).is_empty());
        let with = |rule| snapshot(|flow| flow.repeat_caller = Some(rule));
        let rules = |before, after| Recall::between(&with(before), &with(after)).rules.len();
        assert_eq!(rules(rule, RepeatRule { then: RepeatAction::Reject, ..rule }), 0);
        assert_eq!(rules(rule, RepeatRule { calls: 1, within_sec: 59, ..rule }), 0);
        assert_eq!(rules(rule, RepeatRule { calls: 3, ..rule }), 1);
        assert_eq!(rules(rule, RepeatRule { within_sec: 61, ..rule }), 1);
        assert_eq!(rules(rule, RepeatRule { count: RepeatCount::Answered, ..rule }), 1);
    }
}
