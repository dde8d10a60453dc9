//! Live-call limits: who holds which slots, and how many are held of each.
//!
//! A slot belongs to a leg, not to a counter: taking is all or nothing over every scope a leg needs,
//! and giving back twice changes nothing. This is the one-node form, kept in memory by one task.

use std::collections::BTreeMap;

use crate::model::id::LegId;
pub use crate::model::slot::{Limit, Scope};

#[derive(Clone, Debug, Default)]
pub struct Slots {
    held: BTreeMap<LegId, Vec<Scope>>,
    live: BTreeMap<Scope, u32>,
}

impl Slots {
    /// The first of `limits` that has no slot free, with how many are held.
    #[must_use]
    pub fn full(&self, limits: &[Limit]) -> Option<(Limit, u32)> {
        limits.iter().find_map(|limit| {
            let live = self.live(limit.scope);
            limit.max.is_some_and(|max| live >= max).then_some((*limit, live))
        })
    }

    /// Takes one slot of each of `limits` for `leg`, or none: `false` if one is full or the leg
    /// holds slots already.
    pub fn take(&mut self, leg: LegId, limits: &[Limit]) -> bool {
        if self.held.contains_key(&leg) || self.full(limits).is_some() {
            return false;
        }
        self.hold(leg, limits.iter().map(|limit| limit.scope).collect());
        true
    }

    /// Counts a leg that lives already, whatever the limits say: after a restart.
    pub fn hold(&mut self, leg: LegId, scopes: Vec<Scope>) {
        self.release(leg);
        for scope in &scopes {
            *self.live.entry(*scope).or_default() += 1;
        }
        self.held.insert(leg, scopes);
    }

    /// Gives back what `leg` holds; `false` if it holds nothing.
    pub fn release(&mut self, leg: LegId) -> bool {
        let Some(scopes) = self.held.remove(&leg) else {
            return false;
        };
        for scope in scopes {
            if let Some(live) = self.live.get_mut(&scope) {
                *live -= 1;
                if *live == 0 {
                    self.live.remove(&scope);
                }
            }
        }
        true
    }

    #[must_use]
    pub fn live(&self, scope: Scope) -> u32 {
        self.live.get(&scope).copied().unwrap_or_default()
    }

    /// What `leg` holds.
    #[must_use]
    pub fn held(&self, leg: LegId) -> &[Scope] {
        self.held.get(&leg).map_or(&[], Vec::as_slice)
    }

    /// Every leg that holds slots.
    pub fn holders(&self) -> impl Iterator<Item = LegId> {
        self.held.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::id::{CallId, DestinationId, ServerId};

    fn leg(no: u16) -> LegId {
        LegId { call: CallId::new(1), no }
    }

    fn limits(destination: Option<u32>, server: Option<u32>) -> [Limit; 2] {
        [
            Limit { scope: Scope::Destination(DestinationId::new(1)), max: destination },
            Limit { scope: Scope::Server(ServerId::new(1)), max: server },
        ]
    }

    #[test]
    fn slots_are_taken_together_or_not_at_all() {
        let mut slots = Slots::default();
        assert!(slots.take(leg(1), &limits(Some(5), Some(1))));
        assert!(!slots.take(leg(2), &limits(Some(5), Some(1))), "the server is full");
        assert_eq!(slots.live(Scope::Destination(DestinationId::new(1))), 1);
        assert!(slots.release(leg(1)));
        assert!(!slots.release(leg(1)), "a second release is nothing");
        assert_eq!(slots.live(Scope::Server(ServerId::new(1))), 0);
    }

    #[test]
    fn a_lowered_limit_drops_nobody_and_admits_nobody() {
        let mut slots = Slots::default();
        for no in 1..=3 {
            assert!(slots.take(leg(no), &limits(Some(3), None)));
        }
        assert!(!slots.take(leg(4), &limits(Some(1), None)));
        slots.release(leg(1));
        slots.release(leg(2));
        assert!(!slots.take(leg(4), &limits(Some(1), None)));
        slots.release(leg(3));
        assert!(slots.take(leg(4), &limits(Some(1), None)));
    }

    proptest! {
        #[test]
        fn the_count_is_always_the_number_of_holders(
            steps in prop::collection::vec((any::<bool>(), 0u16..12), 0..200),
        ) {
            let mut slots = Slots::default();
            for (take, no) in steps {
                if take {
                    slots.take(leg(no), &limits(Some(4), Some(6)));
                } else {
                    slots.release(leg(no));
                }
                let live = slots.live(Scope::Destination(DestinationId::new(1)));
                prop_assert!(live <= 4);
                prop_assert_eq!(live as usize, slots.holders().count());
            }
        }
    }
}
