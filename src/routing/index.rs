//! Finding a position by key in the time of one look, however many keys there are.
//!
//! This is the one place of the pure layers with a hash map in it. Its order cannot be seen: there is
//! no way to walk over an [`Index`].

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};

/// `H` says how keys are hashed: [`Quick`] for keys that we or the configuration choose, [`Guarded`]
/// for those that come from outside and could be chosen to collide.
#[derive(Clone, Debug)]
pub struct Index<K, V, H = Quick>(HashMap<K, V, H>);

/// Two multiplications for eight bytes.
pub type Quick = BuildHasherDefault<Mixer>;

pub type Guarded = RandomState;

impl<K, V, H: Default> Default for Index<K, V, H> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<K, V, H: Default + BuildHasher> Index<K, V, H>
where
    K: Eq + Hash,
    V: Copy,
{
    /// With room for so many keys.
    #[must_use]
    pub fn with_capacity(keys: usize) -> Self {
        Self(HashMap::with_capacity_and_hasher(keys, H::default()))
    }

    #[must_use]
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key).copied()
    }

    /// What was there before is handed back.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.0.remove(key)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Multiplies by odd numbers without a pattern in their digits, and lets high bits reach low ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mixer(u64);

impl Mixer {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    const OTHER_ODD: u64 = 0xd6e8_feb8_6659_fd93;
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        let mixed = (self.0.rotate_left(23) ^ word).wrapping_mul(Self::ODD);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn finish(&self) -> u64 {
        let mixed = self.0.wrapping_mul(Self::OTHER_ODD);
        mixed ^ (mixed >> 29)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_finds_what_was_put_last() {
        let mut index: Index<String, u8> = Index::with_capacity(2);
        assert_eq!(index.insert("a".to_owned(), 1), None);
        assert_eq!(index.insert("a".to_owned(), 2), Some(1));
        assert_eq!((index.get("a"), index.get("b"), index.len()), (Some(2), None, 1));
        assert!(!index.is_empty());
        assert_eq!(index.remove("a"), Some(2));
        assert!(index.is_empty());
    }

    /// By which a product of `odd` is brought back to what it was made of.
    fn inverse(odd: u64) -> u64 {
        // Newton's method: each step doubles the digits that are right, of which there are three.
        (0..5).fold(odd, |inverse, _| {
            inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse)))
        })
    }

    #[test]
    fn no_digit_of_a_word_gets_lost_on_the_way() {
        let written = |state: u64, word: u64| {
            let mut mixer = Mixer(state);
            mixer.write_u64(word);
            mixer.0
        };
        let finished = |state: u64| Mixer(state).finish();
        for high in [0, u64::MAX] {
            assert_ne!(written(high, 1), written(high, 2), "whatever was written before");
            // What is folded into the low digits are all ones, or all zeros.
            let product = |low: u64| high << 32 | low;
            let word = |low| product(low).wrapping_mul(inverse(Mixer::ODD));
            assert_ne!(written(0, word(1)), written(0, word(2)));
            let state = |low| product(low).wrapping_mul(inverse(Mixer::OTHER_ODD));
            assert_ne!(finished(state(1)), finished(state(2)));
        }
        // The highest digit, which no product moves, reaches the low ones.
        let low = |hash: u64| hash & 0xffff_ffff;
        assert_ne!(low(written(0, 1 << 63)), low(written(0, 0)));
        assert_ne!(finished(1 << 63) << 1, finished(0) << 1);
    }

    #[test]
    fn numbers_in_a_row_are_spread_over_all_places() {
        const KEYS: u64 = 1 << 14;
        let places = |place: fn(u64) -> u64| {
            let hash = |no: u64| Quick::default().hash_one(format!("+1{:010}", 2_000_000_000 + no));
            let taken: std::collections::BTreeSet<u64> =
                (0..KEYS).map(|no| place(hash(no))).collect();
            taken.len()
        };
        // As many keys as places leave a share of 1/e of them empty, if chance has its way.
        for taken in [places(|hash| hash % KEYS), places(|hash| hash >> 50)] {
            assert!((10_100..10_600).contains(&taken), "{taken}");
        }
    }
}
