//! The only place that reads the time and draws ids: everything else is handed both.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use uuid::{ContextV7, Timestamp as UuidTimestamp, Uuid};

use crate::model::time::Timestamp;

/// By how much the wall clock was set while this process ran, as far as it was followed.
static SET_BY_MS: AtomicI64 = AtomicI64::new(0);
/// So far may the wall clock wander off before it is followed.
const TOLERANCE_MS: i64 = 2_000;

/// The present moment, steady: read from the wall once at the first call and counted by the
/// monotonic clock from there, so that a wall clock that jumps changes no duration and fires no
/// timer early. It goes after the wall clock only by [`follow`].
#[must_use]
pub fn now() -> Timestamp {
    static START: OnceLock<(Timestamp, Instant)> = OnceLock::new();
    let (wall, steady) = START.get_or_init(|| (wall(), Instant::now()));
    let elapsed_ms = i64::try_from(steady.elapsed().as_millis()).unwrap_or(i64::MAX);
    wall.plus_ms(elapsed_ms.saturating_add(SET_BY_MS.load(Ordering::Relaxed)))
}

/// Goes after a wall clock that was set, or went on while the machine slept; by how many
/// milliseconds. Whoever calls it owes that to everything that began before: a length of time is no
/// longer the difference of two moments on either side. To be called in one place only.
#[must_use]
pub fn follow() -> Option<i64> {
    let by_ms = off_by(now(), wall())?;
    SET_BY_MS.fetch_add(by_ms, Ordering::Relaxed);
    Some(by_ms)
}

fn off_by(steady: Timestamp, wall: Timestamp) -> Option<i64> {
    let by_ms = wall.0.saturating_sub(steady.0);
    (by_ms.abs() > TOLERANCE_MS).then_some(by_ms)
}

/// What the wall clock says, for those who compare it with another machine's.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A fresh value for an id: a UUID of version 7, so that ids minted later sort later, also within
/// one millisecond.
#[must_use]
pub fn mint() -> u128 {
    static ORDER: Mutex<ContextV7> = Mutex::new(ContextV7::new());
    let order = ORDER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    Uuid::new_v7(UuidTimestamp::now(&*order)).as_u128()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_in_the_order_of_minting() {
        let ids: Vec<u128> = (0..1_000).map(|_| mint()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_wall_clock_that_was_set_is_followed_and_one_that_wanders_is_not() {
        let at = Timestamp(1_000_000);
        assert_eq!(off_by(at, at.plus_ms(TOLERANCE_MS)), None);
        assert_eq!(off_by(at, at.plus_ms(-TOLERANCE_MS)), None);
        assert_eq!(off_by(at, at.plus_ms(3_600_000)), Some(3_600_000));
        assert_eq!(off_by(at, at.plus_ms(-3_600_000)), Some(-3_600_000));
        assert_eq!(follow(), None, "nobody has set it");
    }

    #[test]
    fn the_steady_clock_starts_at_the_wall() {
        assert!(now().since_ms(wall()).max(wall().since_ms(now())) < 1_000);
        assert!(now() <= now());
    }
}
