//! To whom a returning caller belongs, and for how long.
//!
//! Days are those of the flow's zone by its calendar, never 24 hours: a day on which the clocks
//! change is one day. A window holds up to and with its last moment.

use serde::{Deserialize, Serialize};

use crate::model::id::DestinationId;
use crate::model::memory::Binding;
use crate::model::stickiness::{Stickiness, StickyOn, StickyWindow};
use crate::model::time::{Timestamp, Zone};

/// Most callers who are kept for one flow; who was longest not heard of goes first.
pub const MOST_CALLERS: usize = 100_000;

/// Whether `binding` still holds at `at`.
#[must_use]
pub fn holds(window: StickyWindow, zone: &Zone, binding: &Binding, at: Timestamp) -> bool {
    match window {
        StickyWindow::Never => false,
        StickyWindow::SameDay => zone.local(at).date() == zone.local(binding.set_at).date(),
        StickyWindow::Rolling { sec, sliding } => {
            let from = if sliding { binding.touched_at } else { binding.set_at };
            at.since_ms(from) <= i64::from(sec) * 1_000
        }
    }
}

/// The moment from which, or behind which, a binding no longer holds.
#[must_use]
pub fn until(window: StickyWindow, zone: &Zone, binding: &Binding) -> Option<Timestamp> {
    match window {
        StickyWindow::Never => None,
        StickyWindow::SameDay => {
            let next = zone.local(binding.set_at).date().tomorrow().ok();
            next.map(|day| zone.midnight(day))
        }
        StickyWindow::Rolling { sec, sliding } => {
            let from = if sliding { binding.touched_at } else { binding.set_at };
            Some(from.plus_ms(i64::from(sec) * 1_000))
        }
    }
}

/// How and when a destination got a call of a caller.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    pub on: StickyOn,
    pub at: Timestamp,
}

/// What becomes of `before` when `destination` is offered a call of the caller, or answers it; `None`
/// is no change. An offer alone takes no caller from another.
#[must_use]
pub fn bind(
    stickiness: &Stickiness,
    zone: &Zone,
    before: Option<&Binding>,
    destination: DestinationId,
    took: Took,
) -> Option<Binding> {
    let Took { on, at } = took;
    if stickiness.window == StickyWindow::Never {
        return None;
    }
    let new = Binding { destination, set_at: at, touched_at: at };
    match before.filter(|binding| holds(stickiness.window, zone, binding, at)) {
        None => Some(new),
        Some(known) if known.destination == destination => {
            Some(Binding { touched_at: at.max(known.touched_at), ..*known })
        }
        Some(_) => (on == StickyOn::Answered && stickiness.rebind).then_some(new),
    }
}

/// To whom a caller belongs, by the rules of a flow, apart from all others: to find out what a call
/// would change.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Tie {
    pub stickiness: Stickiness,
    pub zone: Zone,
    pub binding: Option<Binding>,
}

impl Tie {
    /// `destination` is offered a call of the caller, or answers it: until when they belong together
    /// then, if that is so.
    pub fn bind(&mut self, destination: DestinationId, took: Took) -> Option<Timestamp> {
        let after = bind(&self.stickiness, &self.zone, self.binding.as_ref(), destination, took)?;
        self.binding = Some(after);
        until(self.stickiness.window, &self.zone, &after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: DestinationId = DestinationId::new(1);
    const B: DestinationId = DestinationId::new(2);

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Zoned>().unwrap().timestamp().as_millisecond())
    }

    fn set(set_at: Timestamp) -> Binding {
        Binding { destination: A, set_at, touched_at: set_at }
    }

    /// Whether a caller of `first` is known at `then`, both with their offset and zone.
    fn same_day(first: &str, then: &str) -> bool {
        let zone: Zone = first.split_once('[').unwrap().1.trim_end_matches(']').parse().unwrap();
        holds(StickyWindow::SameDay, &zone, &set(at(first)), at(then))
    }

    #[test]
    fn a_day_is_one_of_the_flows_calendar() {
        for (first, then, same) in [
            // Ten seconds behind midnight is another day, a whole day before it is not.
            (
                "2026-11-20T23:59:30-06:00[America/Chicago]",
                "2026-11-21T00:00:10-06:00[America/Chicago]",
                false,
            ),
            (
                "2026-11-20T00:00:00-06:00[America/Chicago]",
                "2026-11-20T23:59:59.999-06:00[America/Chicago]",
                true,
            ),
            // The same day of the next month, and of the next year.
            (
                "2026-11-20T12:00:00-06:00[America/Chicago]",
                "2026-12-20T12:00:00-06:00[America/Chicago]",
                false,
            ),
            (
                "2026-11-20T12:00:00-06:00[America/Chicago]",
                "2027-11-20T12:00:00-06:00[America/Chicago]",
                false,
            ),
            // One day of UTC, two days there.
            (
                "2026-11-20T23:30:00-06:00[America/Chicago]",
                "2026-11-21T01:00:00-06:00[America/Chicago]",
                false,
            ),
            // Two days of UTC, one day there.
            (
                "2026-11-20T17:30:00-06:00[America/Chicago]",
                "2026-11-20T18:30:00-06:00[America/Chicago]",
                true,
            ),
            // The spring day of 23 hours and the autumn day of 25.
            (
                "2026-03-08T00:30:00-06:00[America/Chicago]",
                "2026-03-08T23:30:00-05:00[America/Chicago]",
                true,
            ),
            (
                "2026-03-08T23:30:00-05:00[America/Chicago]",
                "2026-03-09T00:00:00-05:00[America/Chicago]",
                false,
            ),
            (
                "2026-11-01T00:00:00-05:00[America/Chicago]",
                "2026-11-01T23:59:59-06:00[America/Chicago]",
                true,
            ),
            (
                "2026-11-01T01:30:00-05:00[America/Chicago]",
                "2026-11-01T01:30:00-06:00[America/Chicago]",
                true,
            ),
            (
                "2026-11-01T23:59:59-06:00[America/Chicago]",
                "2026-11-02T00:00:00-06:00[America/Chicago]",
                false,
            ),
            (
                "2026-03-29T01:59:00+01:00[Europe/Berlin]",
                "2026-03-29T03:00:00+02:00[Europe/Berlin]",
                true,
            ),
            (
                "2026-10-25T02:30:00+02:00[Europe/Berlin]",
                "2026-10-25T02:30:00+01:00[Europe/Berlin]",
                true,
            ),
            // Over the day that was left out, and at an offset of 13 hours.
            (
                "2011-12-29T23:59:59-10:00[Pacific/Apia]",
                "2011-12-31T00:00:00+14:00[Pacific/Apia]",
                false,
            ),
            (
                "2026-06-01T00:10:00+13:00[Pacific/Apia]",
                "2026-06-01T23:50:00+13:00[Pacific/Apia]",
                true,
            ),
        ] {
            assert_eq!(same_day(first, then), same, "{first} and {then}");
        }
    }

    #[test]
    fn a_window_holds_up_to_and_with_its_last_moment() {
        let binding =
            Binding { destination: A, set_at: Timestamp(0), touched_at: Timestamp(9_000) };
        let holds = |sliding, ms| {
            holds(StickyWindow::Rolling { sec: 10, sliding }, &Zone::UTC, &binding, Timestamp(ms))
        };
        assert!(holds(false, 10_000) && !holds(false, 10_001));
        assert!(holds(true, 19_000) && !holds(true, 19_001));
    }

    #[test]
    fn the_last_answer_wins_and_its_own_destination_is_only_touched() {
        let window = StickyWindow::Rolling { sec: 60, sliding: true };
        let mut stickiness = Stickiness { window, ..Stickiness::default() };
        let bind = |stickiness: &Stickiness, before: Option<&Binding>, to, ms| {
            bind(
                stickiness,
                &Zone::UTC,
                before,
                to,
                Took { on: StickyOn::Answered, at: Timestamp(ms) },
            )
        };
        let first = bind(&stickiness, None, A, 1_000).unwrap();
        assert_eq!(first, set(Timestamp(1_000)));
        let touched = Binding { touched_at: Timestamp(5_000), ..first };
        assert_eq!(bind(&stickiness, Some(&first), A, 5_000), Some(touched));
        let other = Binding { destination: B, ..set(Timestamp(5_000)) };
        assert_eq!(bind(&stickiness, Some(&first), B, 5_000), Some(other));
        stickiness.rebind = false;
        assert_eq!(bind(&stickiness, Some(&first), B, 5_000), None);
        assert_eq!(bind(&stickiness, Some(&first), B, 61_001).map(|new| new.destination), Some(B));
        stickiness.window = StickyWindow::Never;
        assert_eq!(bind(&stickiness, None, A, 0), None);
    }

    #[test]
    fn the_end_of_a_binding_is_told() {
        let chicago = "America/Chicago".parse().unwrap();
        let start = at("2026-11-01T00:30:00-05:00[America/Chicago]");
        let midnight = at("2026-11-02T00:00:00-06:00[America/Chicago]");
        assert_eq!(until(StickyWindow::SameDay, &chicago, &set(start)), Some(midnight));
        let rolling = StickyWindow::Rolling { sec: 5, sliding: false };
        assert_eq!(until(rolling, &chicago, &set(Timestamp(0))), Some(Timestamp(5_000)));
        assert_eq!(until(StickyWindow::Never, &chicago, &set(start)), None);
    }
}
