//! The only place that reads the time and draws ids: everything else is handed both.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::{ContextV7, Timestamp as UuidTimestamp, Uuid};

use crate::model::time::Timestamp;

/// The present moment.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
pub fn now() -> Timestamp {
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
}
