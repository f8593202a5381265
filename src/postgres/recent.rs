//! What was used last, of what may be without number.

use std::{
    borrow::Borrow,
    collections::{HashMap, hash_map::RandomState},
    hash::{BuildHasher, Hash},
};

/// At most so many are remembered; the least recently used one goes.
#[derive(Debug)]
pub(super) struct Recent<K, V, S = RandomState> {
    entries: HashMap<K, Entry<V>, S>,
    uses: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    last_use: u64,
}

/// Of a connection.
pub(super) const REMEMBERED: usize = 512;

impl<K: Eq + Hash + Clone, V: Clone, S: BuildHasher> Recent<K, V, S> {
    pub(super) fn insert(&mut self, key: K, value: V) {
        if self.entries.len() >= REMEMBERED && !self.entries.contains_key(&key) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.last_use);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.entries.remove(&oldest);
            }
        }
        self.uses += 1;
        let last_use = self.uses;
        self.entries.insert(key, Entry { value, last_use });
    }

    pub(super) fn find<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.uses += 1;
        let entry = self.entries.get_mut(key)?;
        entry.last_use = self.uses;
        Some(entry.value.clone())
    }

    pub(super) fn remove<Q>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.entries.remove(key);
    }
}

impl<K, V, S: Default> Default for Recent<K, V, S> {
    fn default() -> Self {
        Recent {
            entries: HashMap::default(),
            uses: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_is_forgotten() {
        let mut recent: Recent<u64, ()> = Recent::default();
        for number in 0..REMEMBERED as u64 {
            recent.insert(number, ());
        }
        assert!(recent.find(&0).is_some());
        recent.insert(1_000_000, ());
        recent.insert(1_000_000, ());
        assert_eq!(recent.entries.len(), REMEMBERED);
        assert!(recent.find(&0).is_some() && recent.find(&1).is_none());
        assert!(recent.find(&2).is_some());
    }
}
