//! Arrival rates by the generic cell rate algorithm, which knows no edge of a window at which twice
//! as many could come.
//!
//! The algorithm is that of `governor`; its clock is a time that is handed in, and what it remembers
//! is kept by who asks, so that asking alone changes nothing.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::ops::Add;
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use crate::model::throttle::ArrivalRate;
use crate::model::time::Timestamp;

/// A rate, ready to be asked.
#[derive(Clone, Copy, Debug)]
pub struct Pace(Quota);

/// All that is remembered: when the next arrival was due, had they come evenly; nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Due(Option<u64>);

impl Due {
    /// For a clock that was set.
    #[must_use]
    pub fn moved_by(self, ms: i64) -> Self {
        Self(self.0.map(|due| due.saturating_add_signed(ms.saturating_mul(1_000_000))))
    }
}

impl Pace {
    /// `None` for a rate of nothing, which no configuration has.
    #[must_use]
    pub fn of(rate: &ArrivalRate) -> Option<Self> {
        let (calls, burst) = (NonZeroU32::new(rate.calls)?, NonZeroU32::new(rate.burst)?);
        let quota = Quota::with_period(Duration::from_secs(rate.per.seconds()) / calls.get())?;
        Some(Self(quota.allow_burst(burst)))
    }

    /// What to remember once a call has been let in at `at`; `None` if that is too soon.
    #[must_use]
    pub fn admit(self, due: Due, at: Timestamp) -> Option<Due> {
        let kept = Kept { before: due.0.map(Nanos::from), after: Cell::new(None) };
        // The limiter counts from the time at which it is made, so that is always 1970.
        let limiter: RateLimiter<_, _, _, NoOpMiddleware<Moment>> =
            RateLimiter::new(self.0, kept, HandedIn(Cell::new(Moment(0))));
        limiter.clock().0.set(Moment::of(at));
        limiter.check().ok()?;
        Some(Due(limiter.into_state_store().after.get().map(Nanos::as_u64)))
    }
}

/// Nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Moment(u64);

impl Moment {
    fn of(at: Timestamp) -> Self {
        Self(u64::try_from(at.0).unwrap_or_default().saturating_mul(1_000_000))
    }
}

impl Add<Nanos> for Moment {
    type Output = Self;

    fn add(self, nanos: Nanos) -> Self {
        Self(self.0.saturating_add(nanos.as_u64()))
    }
}

impl Reference for Moment {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_sub(earlier.0).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.checked_sub(duration.as_u64()).unwrap_or(self.0))
    }
}

/// Shows the time it was told.
struct HandedIn(Cell<Moment>);

impl Clock for HandedIn {
    type Instant = Moment;

    fn now(&self) -> Moment {
        self.0.get()
    }
}

/// Keeps what was and what would be apart.
struct Kept {
    before: Option<Nanos>,
    after: Cell<Option<Nanos>>,
}

impl StateStore for Kept {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (answer, after) = measure(self.before)?;
        self.after.set(Some(after));
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::throttle::RatePeriod;

    /// The times of those that are let in, of one that tries every `every_ms`.
    fn admitted(rate: ArrivalRate, every_ms: i64, until_ms: i64) -> Vec<i64> {
        const START: i64 = 1_795_269_787_120;
        let pace = Pace::of(&rate).unwrap();
        let mut due = Due::default();
        let mut admitted = Vec::new();
        let mut ms = 0;
        while ms < until_ms {
            if let Some(next) = pace.admit(due, Timestamp(START + ms)) {
                due = next;
                admitted.push(ms);
            }
            ms += every_ms;
        }
        admitted
    }

    #[test]
    fn calls_are_let_in_evenly_without_a_burst_at_any_edge() {
        let rate = ArrivalRate { calls: 6, per: RatePeriod::Minute, burst: 1 };
        let times = admitted(rate, 100, 60_000);
        assert_eq!(times, [0, 10_000, 20_000, 30_000, 40_000, 50_000]);
    }

    #[test]
    fn a_burst_is_used_once_and_grows_again_in_quiet_times() {
        let rate = ArrivalRate { calls: 1, per: RatePeriod::Second, burst: 3 };
        assert_eq!(admitted(rate, 100, 2_500), [0, 100, 200, 1_000, 2_000]);
        let pace = Pace::of(&rate).unwrap();
        let mut due = Due::default();
        for _ in 0..3 {
            due = pace.admit(due, Timestamp(0)).unwrap();
        }
        assert_eq!(pace.admit(due, Timestamp(0)), None);
        let later = (0..).map_while(|_| {
            due = pace.admit(due, Timestamp(60_000))?;
            Some(())
        });
        assert_eq!(later.count(), 3, "never more than the burst");
    }

    #[test]
    fn asking_alone_uses_nothing() {
        let pace = Pace::of(&ArrivalRate { calls: 1, per: RatePeriod::Hour, burst: 1 }).unwrap();
        let due = Due::default();
        for _ in 0..5 {
            assert!(pace.admit(due, Timestamp(5)).is_some());
        }
    }
}
