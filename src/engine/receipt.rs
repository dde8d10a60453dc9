//! The receipt of a test call: what an ordinary call on the same way would have cost and changed.
//!
//! It is gathered leg by leg from what routing says at each decision, and from how each leg ends;
//! nothing here has any effect.

use super::leg::Leg;
use crate::model::billing::{Cdr, Charge};
use crate::model::throttle::CapCount;
use crate::model::timeline::Receipt;
use crate::routing::decide::Would;

/// A destination was chosen.
pub(super) fn picked(receipt: Option<&mut Receipt>, would: &Would) {
    if let Some(receipt) = receipt {
        receipt.wheel_turns += u32::from(would.turns_wheel);
        receipt.counts_as_visit |= would.visits;
    }
}

/// A leg has ended; `cdr` is what would be billed of it.
pub(super) fn ended(receipt: Option<&mut Receipt>, leg: &Leg, cdr: Option<&Cdr>) {
    let Some(receipt) = receipt else {
        return;
    };
    let was_answered = leg.record.answered_at.is_some();
    if let Some(Cdr { charge, .. }) = cdr {
        let before = receipt.charge.take();
        receipt.charge = Some(before.map_or(*charge, |before| sum(before, *charge)));
    }
    if was_answered && let Some(until) = leg.would.binds_until {
        receipt.sticky = Some((leg.record.name.clone(), Some(until)));
    }
    for (whose, count) in &leg.would.caps {
        let used = match count {
            CapCount::Attempts => 1,
            CapCount::Answers => u32::from(was_answered),
            CapCount::BillableMinutes => minutes(leg, cdr),
        };
        match receipt.caps.iter_mut().find(|(known, what, _)| known == whose && what == count) {
            Some((_, _, before)) => *before += used,
            None if used > 0 => receipt.caps.push((whose.clone(), *count, used)),
            None => {}
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
