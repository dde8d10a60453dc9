//! The only place that reads the time and draws ids: everything else is handed both.

use std::sync::{Mutex, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use uuid::{ContextV7, Timestamp as UuidTimestamp, Uuid};

use crate::model::time::Timestamp;

/// The present moment, steady: read from the wall once at the first call and counted by the
/// monotonic clock from there, so that a wall clock that jumps changes no duration and fires no
/// timer early.
#[must_use]
pub fn now() -> Timestamp {
    static START: OnceLock<(Timestamp, Instant)> = OnceLock::new();
    let (wall, steady) = START.get_or_init(|| (wall(), Instant::now()));
    wall.plus_ms(i64::try_from(steady.elapsed().as_millis()).unwrap_or(i64::MAX))
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
    fn the_steady_clock_starts_at_the_wall() {
        assert!(now().since_ms(wall()).max(wall().since_ms(now())) < 1_000);
        assert!(now() <= now());
    }
}
