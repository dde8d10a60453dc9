//! Finding a position by key in the time of one look, however many keys there are.
//!
//! This is the one place of the pure layers with a hash map in it. Its order, which changes from run
//! to run, cannot be seen: there is no way to walk over an [`Index`].

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

#[derive(Clone, Debug)]
pub struct Index<K, V>(HashMap<K, V>);

impl<K, V> Default for Index<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, V: Copy> Index<K, V> {
    /// With room for so many keys.
    #[must_use]
    pub fn with_capacity(keys: usize) -> Self {
        Self(HashMap::with_capacity(keys))
    }

    #[must_use]
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key).copied()
    }

    pub fn insert(&mut self, key: K, value: V) {
        self.0.insert(key, value);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_finds_what_was_put_last() {
        let mut index = Index::with_capacity(2);
        index.insert("a".to_owned(), 1);
        index.insert("a".to_owned(), 2);
        assert_eq!((index.get("a"), index.get("b"), index.len()), (Some(2), None, 1));
        assert_eq!(index.remove("a"), Some(2));
        assert!(index.is_empty());
    }
}
