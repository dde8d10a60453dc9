//! Bridges that outlive a call: under load the next call talks in the bridge of the last one, which
//! saves Asterisk a creation and a destruction for each call; idle ones are given up.
//!
//! A bridge id is never used again after the bridge was destroyed.

use std::collections::BTreeSet;

use crate::model::id::BridgeId;
use crate::model::time::Timestamp;

/// How long an unused bridge is kept.
const IDLE_MS: i64 = 3_000;

#[derive(Debug, Default)]
pub struct Bridges {
    /// The one that was used last is taken first, so that the others may grow old.
    free: Vec<(Timestamp, BridgeId)>,
    /// Known to exist in Asterisk, free or not.
    made: BTreeSet<BridgeId>,
}

impl Bridges {
    /// A bridge for a new call: one that is free, or a new name.
    pub fn lend(&mut self, mint: impl FnOnce() -> BridgeId) -> BridgeId {
        self.free.pop().map_or_else(mint, |(_, bridge)| bridge)
    }

    /// Whether the bridge has to be made first; after this it counts as made.
    pub fn must_make(&mut self, bridge: &BridgeId) -> bool {
        self.made.insert(bridge.clone())
    }

    /// Nobody is in it any more.
    pub fn give_back(&mut self, bridge: BridgeId, now: Timestamp) {
        if self.made.contains(&bridge) {
            self.free.push((now, bridge));
        }
    }

    /// For a clock that was set.
    pub fn clock_set(&mut self, by_ms: i64) {
        for (since, _) in &mut self.free {
            *since = since.plus_ms(by_ms);
        }
    }

    /// Forgets those that nobody used for a while and returns them, to be destroyed.
    pub fn retire(&mut self, now: Timestamp) -> Vec<BridgeId> {
        let is_old = |since: &Timestamp| now.since_ms(*since) >= IDLE_MS;
        let old = self.free.iter().take_while(|(since, _)| is_old(since)).count();
        let retired: Vec<BridgeId> = self.free.drain(..old).map(|(_, bridge)| bridge).collect();
        for bridge in &retired {
            self.made.remove(bridge);
        }
        retired
    }

    /// It exists for a call, or waits for one.
    #[must_use]
    pub fn knows(&self, bridge: &BridgeId) -> bool {
        self.made.contains(bridge)
    }

    /// What Asterisk has is all there is: after a reconnect. Free ones are given up, since others may
    /// have used the gap.
    pub fn resync(&mut self, existing: impl IntoIterator<Item = BridgeId>) {
        self.free.clear();
        self.made = existing.into_iter().collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge(name: &str) -> BridgeId {
        BridgeId(name.to_owned())
    }

    #[test]
    fn a_bridge_serves_the_next_call_and_retires_when_idle() {
        let mut bridges = Bridges::default();
        let first = bridges.lend(|| bridge("a"));
        assert!(bridges.must_make(&first));
        bridges.give_back(first.clone(), Timestamp(0));
        assert_eq!(bridges.lend(|| bridge("b")), first);
        assert!(!bridges.must_make(&first), "it exists");
        assert!(bridges.knows(&first));
        assert_eq!(bridges.retire(Timestamp(60_000)), [], "it is in use");
        bridges.give_back(first.clone(), Timestamp(60_000));
        assert_eq!(bridges.retire(Timestamp(60_001)), []);
        assert_eq!(bridges.retire(Timestamp(60_000 + IDLE_MS)), std::slice::from_ref(&first));
        assert!(!bridges.knows(&first));
        assert_ne!(bridges.lend(|| bridge("c")), first, "its name is never used again");
    }

    #[test]
    fn a_bridge_that_was_never_made_is_not_lent_again() {
        let mut bridges = Bridges::default();
        let name = bridges.lend(|| bridge("a"));
        bridges.give_back(name, Timestamp(0));
        assert_eq!(bridges.lend(|| bridge("b")), bridge("b"));
    }
}
