//! Live-call limits: who holds which slots, and how many are held of each.
//!
//! A slot belongs to a leg, not to a counter: taking is all or nothing over every scope a leg needs,
//! and giving back twice changes nothing. This is the one-node form, kept in memory by one task.

use super::index::Index;
use crate::model::id::LegId;
pub use crate::model::slot::{Limit, Scope};

/// Most scopes that one leg is counted in.
pub const MOST_SCOPES: usize = 4;

/// The slots of one leg, with what else depends on it.
#[derive(Clone, Copy, Debug)]
struct Hold<S> {
    leg: LegId,
    /// Numbers of scopes; those behind `count` mean nothing.
    scopes: [u32; MOST_SCOPES],
    count: usize,
    stake: S,
}

/// `S` is what the owner wants to know of a leg when it ends.
///
/// Scopes are known by their number, which is their place in the list handed to [`Slots::follow`].
#[derive(Clone, Debug)]
pub struct Slots<S> {
    index: Index<LegId, usize>,
    holds: Vec<Option<Hold<S>>>,
    free: Vec<usize>,
    /// Behind those of the configuration, those that were removed from it while held.
    scopes: Vec<Scope>,
    live: Vec<u32>,
}

impl<S> Default for Slots<S> {
    fn default() -> Self {
        Self {
            index: Index::default(),
            holds: Vec::new(),
            free: Vec::new(),
            scopes: Vec::new(),
            live: Vec::new(),
        }
    }
}

impl<S: Copy> Slots<S> {
    /// How many slots are held of the scope with this number.
    #[must_use]
    pub fn live(&self, scope: u32) -> u32 {
        self.live.get(scope as usize).copied().unwrap_or_default()
    }

    #[must_use]
    pub fn live_of(&self, scope: Scope) -> u32 {
        let at = self.scopes.iter().position(|known| *known == scope);
        at.map_or(0, |at| self.live[at])
    }

    /// The number of a scope, also of one that the configuration does not have any more, and a leg is
    /// about to be counted in.
    pub fn number(&mut self, scope: Scope) -> u32 {
        let known = self.scopes.iter().position(|known| *known == scope);
        let at = known.unwrap_or_else(|| {
            self.scopes.push(scope);
            self.live.push(0);
            self.scopes.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// Counts a leg in every one of `scopes`, whatever their limits: who asks has looked. What it
    /// held before is given back, and what hung on it is handed over.
    pub fn hold(&mut self, leg: LegId, scopes: &[u32], stake: S) -> Option<S> {
        let before = self.release(leg);
        let mut hold = Hold { leg, scopes: [0; MOST_SCOPES], count: 0, stake };
        for scope in scopes.iter().take(MOST_SCOPES) {
            if let Some(live) = self.live.get_mut(*scope as usize) {
                *live += 1;
                hold.scopes[hold.count] = *scope;
                hold.count += 1;
            }
        }
        let at = if let Some(at) = self.free.pop() {
            self.holds[at] = Some(hold);
            at
        } else {
            self.holds.push(Some(hold));
            self.holds.len() - 1
        };
        self.index.insert(leg, at);
        before
    }

    /// Gives back what `leg` holds; `None` if it holds nothing.
    pub fn release(&mut self, leg: LegId) -> Option<S> {
        let at = self.index.remove(&leg)?;
        let hold = self.holds[at].take()?;
        self.free.push(at);
        for scope in &hold.scopes[..hold.count] {
            let live = &mut self.live[*scope as usize];
            *live = live.saturating_sub(1);
        }
        Some(hold.stake)
    }

    pub fn stake(&mut self, leg: LegId) -> Option<&mut S> {
        let at = self.index.get(&leg)?;
        self.holds[at].as_mut().map(|hold| &mut hold.stake)
    }

    /// What `leg` holds.
    pub fn held(&self, leg: LegId) -> impl Iterator<Item = Scope> {
        let hold = self.index.get(&leg).and_then(|at| self.holds[at].as_ref());
        let scopes = hold.map_or(&[][..], |hold| &hold.scopes[..hold.count]);
        scopes.iter().map(|scope| self.scopes[*scope as usize])
    }

    /// Every leg that holds slots, in no order that means anything.
    pub fn holders(&self) -> impl Iterator<Item = LegId> {
        self.holds.iter().flatten().map(|hold| hold.leg)
    }

    /// What hangs on each leg that holds any.
    pub fn staked(&self) -> impl Iterator<Item = &S> {
        self.holds.iter().flatten().map(|hold| &hold.stake)
    }

    pub fn stakes(&mut self) -> impl Iterator<Item = &mut S> {
        self.holds.iter_mut().flatten().map(|hold| &mut hold.stake)
    }

    /// After a change of configuration, whose scopes these are, sorted: everybody holds what they
    /// held.
    pub fn follow(&mut self, sorted: impl Iterator<Item = Scope>) {
        let mut scopes: Vec<Scope> = sorted.collect();
        let configured = scopes.len();
        let moved: Vec<u32> = (0..self.scopes.len())
            .map(|at| {
                let scope = self.scopes[at];
                let new = scopes[..configured].binary_search(&scope).unwrap_or_else(|_| {
                    if self.live[at] > 0 {
                        scopes.push(scope);
                    }
                    scopes.len().saturating_sub(1)
                });
                u32::try_from(new).unwrap_or(u32::MAX)
            })
            .collect();
        let mut live = vec![0; scopes.len()];
        for hold in self.holds.iter_mut().flatten() {
            for scope in &mut hold.scopes[..hold.count] {
                *scope = moved[*scope as usize];
                live[*scope as usize] += 1;
            }
        }
        (self.scopes, self.live) = (scopes, live);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::id::{CallId, DestinationId};

    fn leg(no: u16) -> LegId {
        LegId { call: CallId::new(1), no }
    }

    fn scope(id: u128) -> Scope {
        Scope::Destination(DestinationId::new(id))
    }

    fn slots() -> Slots<()> {
        let mut slots = Slots::default();
        slots.follow([scope(1), scope(2), scope(3)].into_iter());
        slots
    }

    #[test]
    fn what_is_given_back_twice_is_given_back_once() {
        let mut slots = slots();
        slots.hold(leg(1), &[0, 2], ());
        slots.hold(leg(2), &[0], ());
        assert_eq!((slots.live(0), slots.live(1), slots.live_of(scope(3))), (2, 0, 1));
        assert!(slots.release(leg(1)).is_some());
        assert!(slots.release(leg(1)).is_none());
        assert_eq!((slots.live(0), slots.live(2)), (1, 0));
        slots.hold(leg(2), &[1], ());
        assert_eq!((slots.live(0), slots.live(1)), (0, 1), "what it held before is given back");
    }

    #[test]
    fn a_change_of_configuration_moves_no_slot() {
        let mut slots = slots();
        slots.hold(leg(1), &[0, 2], ());
        // The first is removed while it is held, and comes back.
        slots.follow([scope(2), scope(3)].into_iter());
        assert_eq!((slots.live(0), slots.live(1), slots.live_of(scope(1))), (0, 1, 1));
        slots.follow([scope(1), scope(3), scope(4)].into_iter());
        assert_eq!((slots.live(0), slots.live(1), slots.live(2)), (1, 1, 0));
        slots.release(leg(1));
        assert_eq!((slots.live(0), slots.live(1)), (0, 0));
        slots.follow([scope(9)].into_iter());
        assert_eq!(slots.scopes, [scope(9)], "nobody holds the others");
    }

    proptest! {
        #[test]
        fn the_count_is_always_the_number_of_holders(
            steps in prop::collection::vec((any::<bool>(), 0u16..12, 0u32..3), 0..200),
        ) {
            let mut slots = slots();
            for (hold, no, scope) in steps {
                if hold {
                    slots.hold(leg(no), &[scope], ());
                } else {
                    slots.release(leg(no));
                }
                let live: u32 = (0..3).map(|scope| slots.live(scope)).sum();
                prop_assert_eq!(live as usize, slots.holders().count());
            }
        }
    }
}
