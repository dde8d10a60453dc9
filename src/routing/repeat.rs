//! Callers who come again and again: how often, and who had them the last time.

use std::collections::VecDeque;

use crate::model::id::{CallId, DestinationId};
use crate::model::memory::Visit;
use crate::model::stickiness::{RepeatCount, RepeatRule};
use crate::model::time::Timestamp;

/// The earlier calls of one caller on one flow, as far as its rule asks.
#[derive(Clone, Debug, Default)]
pub struct Visits {
    /// Oldest first.
    seen: VecDeque<Seen>,
    last: Option<(Timestamp, DestinationId)>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// `None` for what comes from the log.
    call: Option<CallId>,
    visit: Visit,
}

impl Visits {
    /// Whether `rule` holds for a call at `at` that is not among the visits.
    #[must_use]
    pub fn are_enough(&self, rule: &RepeatRule, at: Timestamp) -> bool {
        let counts = |seen: &&Seen| {
            let is_counted = rule.count == RepeatCount::Any || seen.visit.answered_by.is_some();
            is_counted && at.since_ms(seen.visit.at) <= i64::from(rule.within_sec) * 1_000
        };
        self.seen.iter().filter(counts).count() >= rule.calls as usize
    }

    /// Who answered the last time anybody did.
    #[must_use]
    pub fn last(&self) -> Option<DestinationId> {
        self.last.map(|(_, destination)| destination)
    }

    /// Another call, or one from the log.
    pub fn add(&mut self, rule: &RepeatRule, call: Option<CallId>, visit: Visit) {
        let behind = self.seen.partition_point(|seen| seen.visit.at <= visit.at);
        self.seen.insert(behind, Seen { call, visit });
        self.answered(visit);
        self.trim(rule);
    }

    /// A call that began at some time was answered; one that is no longer known counts from now.
    pub fn answer(&mut self, rule: &RepeatRule, call: CallId, by: DestinationId, now: Timestamp) {
        let known = self.seen.iter_mut().find(|seen| seen.call == Some(call));
        if let Some(seen) = known {
            seen.visit.answered_by = Some(by);
            self.last = Some((now, by));
            self.trim(rule);
        } else {
            self.add(rule, Some(call), Visit { at: now, answered_by: Some(by) });
        }
    }

    fn answered(&mut self, visit: Visit) {
        if let Some(by) = visit.answered_by
            && self.last.is_none_or(|(at, _)| at <= visit.at)
        {
            self.last = Some((visit.at, by));
        }
    }

    /// The newest that matter: as many as the rule counts, and as many that may still be answered.
    fn trim(&mut self, rule: &RepeatRule) {
        let most = rule.calls as usize;
        let is_of = |seen: &Seen, answered| match rule.count {
            RepeatCount::Any => true,
            RepeatCount::Answered => seen.visit.answered_by.is_some() == answered,
        };
        for answered in [false, true] {
            while self.seen.iter().filter(|seen| is_of(seen, answered)).count() > most {
                if let Some(oldest) = self.seen.iter().position(|seen| is_of(seen, answered)) {
                    self.seen.remove(oldest);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stickiness::RepeatAction;

    const A: DestinationId = DestinationId::new(1);

    fn rule(calls: u32, count: RepeatCount) -> RepeatRule {
        RepeatRule { calls, within_sec: 60, count, then: RepeatAction::Tag }
    }

    fn unanswered(ms: i64) -> Visit {
        Visit { at: Timestamp(ms), answered_by: None }
    }

    #[test]
    fn the_rule_holds_up_to_and_with_its_last_moment() {
        let rule = rule(2, RepeatCount::Any);
        let mut visits = Visits::default();
        visits.add(&rule, Some(CallId::new(1)), unanswered(0));
        assert!(!visits.are_enough(&rule, Timestamp(1_000)));
        visits.add(&rule, Some(CallId::new(2)), unanswered(1_000));
        assert!(visits.are_enough(&rule, Timestamp(60_000)));
        assert!(!visits.are_enough(&rule, Timestamp(60_001)));
    }

    #[test]
    fn only_answered_calls_count_where_the_rule_says_so() {
        let rule = rule(1, RepeatCount::Answered);
        let mut visits = Visits::default();
        for call in 1..=5 {
            visits.add(&rule, Some(CallId::new(call)), unanswered(0));
        }
        assert!(!visits.are_enough(&rule, Timestamp(0)));
        visits.answer(&rule, CallId::new(5), A, Timestamp(10));
        assert!(visits.are_enough(&rule, Timestamp(0)));
        assert_eq!(visits.last(), Some(A));
        assert!(visits.seen.len() <= 2);
    }

    #[test]
    fn memory_is_bounded_by_what_the_rule_asks() {
        let rule = rule(3, RepeatCount::Any);
        let mut visits = Visits::default();
        for ms in 0..100 {
            visits.add(&rule, None, unanswered(ms));
        }
        assert_eq!(visits.seen.len(), 3);
        assert_eq!(visits.seen[0].visit.at, Timestamp(97));
    }
}
