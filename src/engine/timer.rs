//! The named timers of one call.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strum::Display;

use crate::model::time::Timestamp;

/// What a call waits for. Each name runs at most once at a time; setting it again moves it.
#[derive(Clone, Copy, Debug, Deserialize, Display, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Timer {
    /// All destinations together have rung long enough.
    Budget,
    /// Channels that we hung up should be gone by now.
    Farewell,
    /// The longest conversation is over.
    MaxCall,
    /// The channel we asked for should be there by now.
    Ready,
    /// The present destination has rung long enough.
    Ring,
    /// The caller has heard nothing for long enough.
    Ringback,
}

#[derive(Debug, Default)]
pub(super) struct Timers(BTreeMap<Timer, Timestamp>);

impl Timers {
    pub fn set(&mut self, timer: Timer, at: Timestamp) {
        self.0.insert(timer, at);
    }

    /// Whether it ran.
    pub fn clear(&mut self, timer: Timer) -> bool {
        self.0.remove(&timer).is_some()
    }

    /// Each runs as long as before on a clock that was set.
    pub fn move_by(&mut self, ms: i64) {
        for at in self.0.values_mut() {
            *at = at.plus_ms(ms);
        }
    }

    pub fn clear_all(&mut self) {
        self.0.clear();
    }

    /// The earliest, ties by name.
    pub fn next(&self) -> Option<(Timestamp, Timer)> {
        self.0.iter().map(|(timer, at)| (*at, *timer)).min()
    }
}
