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
    seen: VecDeque<Visit>,
    last: Option<(Timestamp, DestinationId)>,
}

impl Visits {
    /// Whether `rule` holds for a call at `at` that is not among the visits.
    #[must_use]
    pub fn are_enough(&self, rule: &RepeatRule, at: Timestamp) -> bool {
        let counts = |visit: &&Visit| {
            let is_counted = rule.count == RepeatCount::Any || visit.is_answered;
            is_counted && at.since_ms(visit.at) <= i64::from(rule.within_sec) * 1_000
        };
        self.seen.iter().filter(counts).count() >= rule.calls as usize
    }

    /// Who had the caller the last time: answered, or was the last to be tried.
    #[must_use]
    pub fn last(&self) -> Option<DestinationId> {
        self.last.map(|(_, destination)| destination)
    }

    /// Another call, or one from the log; a call that is known already stays as it is.
    pub fn add(&mut self, rule: &RepeatRule, visit: Visit) {
        if self.seen.iter().any(|known| known.call == visit.call) {
            return;
        }
        if let Some(to) = visit.sent_to {
            self.had(to, visit.at);
        }
        let behind = self.seen.partition_point(|known| known.at <= visit.at);
        self.seen.insert(behind, visit);
        self.trim(rule);
    }

    /// A call was answered.
    pub fn answer(&mut self, rule: &RepeatRule, call: CallId, by: DestinationId, now: Timestamp) {
        self.had(by, now);
        if let Some(visit) = self.seen.iter_mut().find(|visit| visit.call == call) {
            (visit.sent_to, visit.is_answered) = (Some(by), true);
        } else if rule.count == RepeatCount::Answered {
            // Its beginning made room for newer ones, of which none was answered yet.
            let visit = Visit { sent_to: Some(by), is_answered: true, ..Visit::begun(call, now) };
            self.seen.push_back(visit);
        }
        self.trim(rule);
    }

    /// `to` had the caller, answered or not.
    pub fn had(&mut self, to: DestinationId, at: Timestamp) {
        if self.last.is_none_or(|(last, _)| last <= at) {
            self.last = Some((at, to));
        }
    }

    /// The newest that matter: as many as the rule counts, and as many that may still be answered.
    fn trim(&mut self, rule: &RepeatRule) {
        let most = rule.calls as usize;
        match rule.count {
            RepeatCount::Any => self.keep_newest(most, |_| true),
            RepeatCount::Answered => {
                self.keep_newest(most, |visit| visit.is_answered);
                self.keep_newest(most, |visit| !visit.is_answered);
            }
        }
    }

    fn keep_newest(&mut self, most: usize, is_of: impl Fn(&Visit) -> bool) {
        while self.seen.iter().filter(|visit| is_of(visit)).count() > most {
            if let Some(oldest) = self.seen.iter().position(&is_of) {
                self.seen.remove(oldest);
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

    fn unanswered(call: u128, ms: i64) -> Visit {
        Visit::begun(CallId::new(call), Timestamp(ms))
    }

    #[test]
    fn the_rule_holds_up_to_and_with_its_last_moment() {
        let rule = rule(2, RepeatCount::Any);
        let mut visits = Visits::default();
        visits.add(&rule, unanswered(1, 0));
        assert!(!visits.are_enough(&rule, Timestamp(1_000)));
        visits.add(&rule, unanswered(2, 1_000));
        assert!(visits.are_enough(&rule, Timestamp(60_000)));
        assert!(!visits.are_enough(&rule, Timestamp(60_001)));
    }

    #[test]
    fn only_answered_calls_count_where_the_rule_says_so() {
        let rule = rule(1, RepeatCount::Answered);
        let mut visits = Visits::default();
        for call in 1..=5 {
            visits.add(&rule, unanswered(call, 0));
        }
        assert!(!visits.are_enough(&rule, Timestamp(0)));
        visits.answer(&rule, CallId::new(1), A, Timestamp(10));
        assert!(visits.are_enough(&rule, Timestamp(10)), "also one that had made room");
        let answered = Visit { sent_to: Some(A), is_answered: true, ..unanswered(1, 10) };
        assert!(visits.seen.contains(&answered), "and it is that one");
        // One that is not known and would not have counted does not count by its answer.
        let any = RepeatRule { count: RepeatCount::Any, ..rule };
        let mut visits = Visits::default();
        visits.answer(&any, CallId::new(1), A, Timestamp(10));
        assert!(!visits.are_enough(&any, Timestamp(10)));
        assert_eq!(visits.last(), Some(A));
        assert!(visits.seen.len() <= 2);
    }

    #[test]
    fn a_call_counts_once_however_often_it_is_told() {
        let rule = rule(2, RepeatCount::Any);
        let mut visits = Visits::default();
        visits.add(&rule, unanswered(1, 0));
        // Read from the log while it is under way.
        visits.add(&rule, Visit { sent_to: Some(A), ..unanswered(1, 0) });
        visits.answer(&rule, CallId::new(1), A, Timestamp(5_000));
        assert!(!visits.are_enough(&rule, Timestamp(5_000)));
        // Two more, and the first is none of those that are counted: its answer makes it no newer.
        visits.add(&rule, unanswered(2, 10_000));
        visits.add(&rule, unanswered(3, 20_000));
        visits.answer(&rule, CallId::new(1), A, Timestamp(30_000));
        assert!(!visits.are_enough(&rule, Timestamp(75_000)));
    }

    #[test]
    fn who_was_tried_last_had_the_caller() {
        let mut visits = Visits::default();
        visits.had(A, Timestamp(5));
        visits.had(DestinationId::new(2), Timestamp(3));
        assert_eq!(visits.last(), Some(A), "not who was before");
        visits.had(DestinationId::new(2), Timestamp(5));
        assert_eq!(visits.last(), Some(DestinationId::new(2)));
    }

    #[test]
    fn memory_is_bounded_by_what_the_rule_asks() {
        let rule = rule(3, RepeatCount::Any);
        let mut visits = Visits::default();
        for ms in 0..100 {
            visits.add(&rule, unanswered(ms, i64::try_from(ms).unwrap()));
        }
        assert_eq!(visits.seen.len(), 3);
        assert_eq!(visits.seen[0].at, Timestamp(97));
        // Of those that are answered, and of those that may still be, as many each.
        let rule = RepeatRule { count: RepeatCount::Answered, ..rule };
        let mut visits = Visits::default();
        for no in 0..100 {
            let visit = unanswered(no, i64::try_from(no).unwrap());
            visits.add(&rule, Visit { is_answered: no % 2 == 0, ..visit });
        }
        let kept: Vec<i64> = visits.seen.iter().map(|visit| visit.at.0).collect();
        assert_eq!(kept, [94, 95, 96, 97, 98, 99]);
    }
}
