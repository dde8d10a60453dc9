//! The receipt of a test call: what an ordinary call on the same way would have cost and changed.
//!
//! It is gathered from what routing says at each decision, and from how each leg goes; nothing here
//! has any effect.

use super::leg::Leg;
use crate::model::billing::{Cdr, Charge};
use crate::model::stickiness::StickyOn;
use crate::model::throttle::CapCount;
use crate::model::timeline::Receipt;
use crate::routing::sticky::{Tie, Took};

/// A receipt in the making.
#[derive(Debug)]
pub(super) struct Draft {
    receipt: Receipt,
    /// To whom the caller would belong by now.
    tie: Option<Tie>,
}

impl Draft {
    pub fn new(counts_as_visit: bool) -> Self {
        Self { receipt: Receipt { counts_as_visit, ..Receipt::default() }, tie: None }
    }

    /// A destination was chosen for `leg`.
    pub fn picked(&mut self, leg: &Leg) {
        self.receipt.wheel_turns += u32::from(leg.would.turns_wheel);
        self.count(leg, CapCount::Attempts, 1);
        if self.tie.is_none() {
            self.tie.clone_from(&leg.would.tie);
        }
        if self.tie.as_ref().is_some_and(|tie| tie.stickiness.on == StickyOn::Offered) {
            self.bind(leg, Took { on: StickyOn::Offered, at: leg.record.started_at });
        }
    }

    /// The leg was answered, and not too late.
    pub fn answered(&mut self, leg: &Leg) {
        self.count(leg, CapCount::Answers, 1);
        if let Some(at) = leg.record.answered_at {
            self.bind(leg, Took { on: StickyOn::Answered, at });
        }
    }

    /// The leg has ended; `cdr` is what would be billed of it.
    pub fn ended(&mut self, leg: &Leg, cdr: Option<&Cdr>) {
        if let Some(Cdr { charge, .. }) = cdr {
            let before = self.receipt.charge.take();
            self.receipt.charge = Some(before.map_or(*charge, |before| sum(before, *charge)));
        }
        self.count(leg, CapCount::BillableMinutes, minutes(leg, cdr));
    }

    pub fn finish(self) -> Receipt {
        self.receipt
    }

    fn bind(&mut self, leg: &Leg, took: Took) {
        let bound = self.tie.as_mut().zip(leg.record.destination);
        if let Some(until) = bound.and_then(|(tie, destination)| tie.bind(destination, took)) {
            self.receipt.sticky = Some((leg.record.name.clone(), Some(until)));
        }
    }

    /// Uses up the caps that count `what`.
    fn count(&mut self, leg: &Leg, what: CapCount, used: u32) {
        let caps = &mut self.receipt.caps;
        for (whose, _) in leg.would.caps.iter().filter(|(_, count)| *count == what) {
            match caps.iter_mut().find(|(known, count, _)| known == whose && *count == what) {
                Some((_, _, before)) => *before += used,
                None if used > 0 => caps.push((whose.clone(), what, used)),
                None => {}
            }
        }
    }
}

fn sum(before: Charge, more: Charge) -> Charge {
    let mut sum = before;
    sum.billed_sec += more.billed_sec;
    sum.amount.0 = sum.amount.0.saturating_add(more.amount.0);
    sum
}

/// As routing counts them.
fn minutes(leg: &Leg, cdr: Option<&Cdr>) -> u32 {
    let talk = || {
        let (answered, ended) = (leg.record.answered_at?, leg.record.ended_at?);
        Some(ended.since_ms(answered).saturating_add(999) / 1_000)
    };
    let sec = cdr.map(|cdr| cdr.charge.billed_sec).or_else(talk).unwrap_or_default();
    u32::try_from(sec.saturating_add(59) / 60).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use CapCount::{Answers, Attempts, BillableMinutes};

    use super::*;
    use crate::engine::tests::tariff;
    use crate::model::billing::Micros;
    use crate::model::id::{CallId, DestinationId, LegId, TrunkId};
    use crate::model::memory::Binding;
    use crate::model::stickiness::{Stickiness, StickyWindow};
    use crate::model::time::Timestamp;
    use crate::model::time::Zone;
    use crate::routing::decide::Would;
    use crate::routing::snapshot::Offer;

    /// The leg to the destination with this number, chosen at this second.
    fn leg(no: u16, sec: i64, would: Would) -> Leg {
        let offer = Offer {
            destination: Some(DestinationId::new(u128::from(no))),
            name: no.to_string(),
            trunk: TrunkId::new(1),
            tariff: None,
            endpoint: "PJSIP/1@a".into(),
            ring_timeout_ms: 20_000,
        };
        let leg = Leg::new(LegId { call: CallId::new(1), no }, offer, Timestamp(sec * 1_000));
        Leg { would, ..leg }
    }

    fn answer(draft: &mut Draft, leg: &mut Leg, sec: i64) {
        leg.record.answered_at = Some(Timestamp(sec * 1_000));
        draft.answered(leg);
    }

    /// To whom the caller belongs when two destinations are called one after the other, and until
    /// which second: for a minute from when the flow says.
    #[test]
    fn a_caller_is_bound_by_the_rules_of_the_flow_and_at_its_moment() {
        use StickyOn::{Answered, Offered};
        // What binds, whether it slides, whether another rebinds; when each was chosen and answered.
        let table = [
            ((Answered, false, true), vec![(1, None)], None),
            ((Answered, false, true), vec![(1, Some(5))], Some(("1", 65))),
            ((Answered, false, true), vec![(1, None), (21, Some(25))], Some(("2", 85))),
            ((Offered, false, true), vec![(1, None)], Some(("1", 61))),
            ((Offered, false, true), vec![(1, Some(5))], Some(("1", 61))),
            ((Offered, true, true), vec![(1, Some(5))], Some(("1", 65))),
            ((Offered, false, true), vec![(1, None), (21, None)], Some(("1", 61))),
            ((Offered, false, true), vec![(1, None), (21, Some(25))], Some(("2", 85))),
            ((Offered, false, false), vec![(1, None), (21, Some(25))], Some(("1", 61))),
        ];
        for ((on, sliding, rebind), legs, wanted) in table {
            let window = StickyWindow::Rolling { sec: 60, sliding };
            let stickiness = Stickiness { window, on, rebind, ..Stickiness::default() };
            let tie = Some(Tie { stickiness, zone: Zone::UTC, binding: None });
            let mut draft = Draft::new(false);
            for (no, (chosen, answered)) in (1..).zip(&legs) {
                let mut leg = leg(no, *chosen, Would { tie: tie.clone(), ..Would::default() });
                draft.picked(&leg);
                if let Some(sec) = answered {
                    answer(&mut draft, &mut leg, *sec);
                }
                draft.ended(&leg, None);
            }
            let wanted = wanted.map(|(name, sec)| (name.to_owned(), Some(Timestamp(sec * 1_000))));
            assert_eq!(draft.finish().sticky, wanted, "{on} {sliding} {rebind} {legs:?}");
        }
    }

    #[test]
    fn who_belongs_to_another_for_good_is_not_bound() {
        let window = StickyWindow::Rolling { sec: 60, sliding: false };
        let stickiness = Stickiness { window, rebind: false, ..Stickiness::default() };
        let destination = DestinationId::new(9);
        let binding = Binding { destination, set_at: Timestamp(0), touched_at: Timestamp(0) };
        let tie = Some(Tie { stickiness, zone: Zone::UTC, binding: Some(binding) });
        let mut draft = Draft::new(false);
        let mut leg = leg(1, 1, Would { tie, ..Would::default() });
        draft.picked(&leg);
        answer(&mut draft, &mut leg, 5);
        assert_eq!(draft.finish().sticky, None);
    }

    #[test]
    fn each_leg_uses_up_what_it_says() {
        let caps = |of: &[CapCount]| of.iter().map(|count| ("flow".to_owned(), *count)).collect();
        let would = |caps| Would { turns_wheel: true, caps, ..Would::default() };
        let mut draft = Draft::new(true);
        let busy = leg(1, 1, would(caps(&[Attempts, Answers, BillableMinutes])));
        draft.picked(&busy);
        draft.ended(&busy, None);
        let mut talk = leg(2, 2, would(caps(&[Answers, BillableMinutes])));
        draft.picked(&talk);
        answer(&mut draft, &mut talk, 5);
        talk.record.ended_at = Some(Timestamp(66_000));
        draft.ended(&talk, None);
        let receipt = draft.finish();
        let used = |count, used| ("flow".to_owned(), count, used);
        assert_eq!(receipt.caps, [used(Attempts, 1), used(Answers, 1), used(BillableMinutes, 2)]);
        assert_eq!((receipt.wheel_turns, receipt.counts_as_visit), (2, true));
        assert_eq!(receipt.charge, None);
    }

    #[test]
    fn what_several_legs_use_up_is_one_sum() {
        let caps = vec![("flow".to_owned(), BillableMinutes)];
        let mut draft = Draft::new(false);
        for (no, minutes) in [(1, 2), (2, 5)] {
            let mut leg = leg(no, 1, Would { caps: caps.clone(), ..Would::default() });
            leg.record.answered_at = Some(Timestamp(0));
            leg.record.ended_at = Some(Timestamp(minutes * 60_000));
            draft.ended(&leg, None);
        }
        assert_eq!(draft.finish().caps, [("flow".to_owned(), BillableMinutes, 7)]);
        let (one, other) = (tariff().charge(0, 3_000), tariff().charge(0, 4_000));
        let both = sum(one, other);
        assert_eq!((both.billed_sec, both.amount), (7, Micros(one.amount.0 + other.amount.0)));
    }

    /// Routing is told of no answer then, and of what it costs.
    #[test]
    fn an_answer_that_came_too_late_costs_and_is_none() {
        let caps = vec![("a".to_owned(), Answers), ("a".to_owned(), BillableMinutes)];
        let mut draft = Draft::new(false);
        let mut leg = leg(1, 1, Would { caps, ..Would::default() });
        draft.picked(&leg);
        leg.record.answered_at = Some(Timestamp(2_000));
        leg.record.ended_at = Some(Timestamp(2_500));
        let charge = tariff().charge(0, 500);
        let cdr = Cdr {
            call: CallId::new(1),
            leg: 1,
            account: crate::model::objects::account::DEFAULT_ACCOUNT,
            flow: None,
            destination: None,
            trunk: None,
            endpoint: String::new(),
            tariff: tariff(),
            started_at: Timestamp(1_000),
            answered_at: Timestamp(2_000),
            ended_at: Timestamp(2_500),
            charge,
        };
        draft.ended(&leg, Some(&cdr));
        let receipt = draft.finish();
        assert_eq!(receipt.caps, [("a".to_owned(), BillableMinutes, 1)]);
        assert_eq!(receipt.charge, Some(charge));
    }
}
