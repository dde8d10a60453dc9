//! What is known of callers, bounded: who was not heard of for the longest time is forgotten first.

use std::hash::Hash;

use super::index::{Guarded, Index};

/// Values by key, in the order in which they were last put. Finding, putting and removing take the
/// same time however many there are.
#[derive(Clone, Debug)]
pub struct Recent<K, V> {
    index: Index<K, usize, Guarded>,
    entries: Vec<Entry<K, V>>,
    /// Where an entry was removed.
    free: Vec<usize>,
    newest: Option<usize>,
    oldest: Option<usize>,
}

#[derive(Clone, Debug)]
struct Entry<K, V> {
    /// `None` where nothing is.
    held: Option<(K, V)>,
    newer: Option<usize>,
    older: Option<usize>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self {
            index: Index::default(),
            entries: Vec::new(),
            free: Vec::new(),
            newest: None,
            oldest: None,
        }
    }
}

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        let at = self.index.get(key)?;
        self.entries[at].held.as_ref().map(|(_, value)| value)
    }

    /// Makes `key` the newest. With more than `most` of them the oldest goes, and is given back.
    pub fn put(&mut self, key: K, value: V, most: usize) -> Option<(K, V)> {
        let at = if let Some(at) = self.index.get(&key) {
            self.unlink(at);
            self.entries[at].held = Some((key, value));
            at
        } else {
            let entry = Entry { held: Some((key.clone(), value)), newer: None, older: None };
            let at = if let Some(at) = self.free.pop() {
                self.entries[at] = entry;
                at
            } else {
                self.entries.push(entry);
                self.entries.len() - 1
            };
            self.index.insert(key, at);
            at
        };
        self.link_newest(at);
        let oldest = self.oldest.filter(|_| self.index.len() > most)?;
        self.take(oldest)
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.index.get(key)?;
        self.take(at).map(|(_, value)| value)
    }

    /// From the oldest to the newest.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        std::iter::successors(self.oldest, |at| self.entries[*at].newer)
            .filter_map(|at| self.entries[at].held.as_ref().map(|(key, value)| (key, value)))
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    fn take(&mut self, at: usize) -> Option<(K, V)> {
        self.unlink(at);
        let (key, value) = self.entries[at].held.take()?;
        self.index.remove(&key);
        self.free.push(at);
        Some((key, value))
    }

    fn unlink(&mut self, at: usize) {
        let (newer, older) = (self.entries[at].newer.take(), self.entries[at].older.take());
        match newer {
            Some(newer) => self.entries[newer].older = older,
            None => self.newest = older,
        }
        match older {
            Some(older) => self.entries[older].newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_newest(&mut self, at: usize) {
        self.entries[at].older = self.newest;
        match self.newest {
            Some(newest) => self.entries[newest].newer = Some(at),
            None => self.oldest = Some(at),
        }
        self.newest = Some(at);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_list_with_the_newest_last(
            steps in prop::collection::vec((any::<bool>(), 0u8..8, 0u16..1_000), 0..200),
        ) {
            const MOST: usize = 5;
            let (mut recent, mut list) = (Recent::default(), Vec::<(u8, u16)>::new());
            for (put, key, value) in steps {
                let known = list.iter().position(|(k, _)| *k == key).map(|at| list.remove(at));
                if put {
                    list.push((key, value));
                    let gone = (list.len() > MOST).then(|| list.remove(0));
                    prop_assert_eq!(recent.put(key, value, MOST), gone);
                } else {
                    prop_assert_eq!(recent.remove(&key), known.map(|(_, value)| value));
                }
                let walked: Vec<_> = recent.iter().map(|(k, v)| (*k, *v)).collect();
                prop_assert_eq!(&walked, &list);
                prop_assert_eq!(recent.len(), list.len());
                prop_assert_eq!(recent.is_empty(), list.is_empty());
                for (key, value) in &list {
                    prop_assert_eq!(recent.get(key), Some(value));
                }
            }
        }
    }
}
