//! A bound for which one waits.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, Weak},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::locked;

/// So many at a time for each key. Whoever is one too many waits for one of its own key, in the order
/// in which they came, and keeps no other key waiting.
#[derive(Debug)]
pub(crate) struct Turns<K> {
    for_each: usize,
    /// Of keys that somebody has, or waits for, a turn of.
    keys: Mutex<HashMap<K, Weak<Semaphore>>>,
}

impl<K: Hash + Eq> Turns<K> {
    pub(crate) fn new(for_each: usize) -> Self {
        Turns {
            for_each: for_each.min(Semaphore::MAX_PERMITS),
            keys: Mutex::default(),
        }
    }

    /// Waits for a turn, which ends when it is dropped.
    pub(crate) async fn take(&self, key: K) -> Option<OwnedSemaphorePermit> {
        // Never closed.
        self.of(key).acquire_owned().await.ok()
    }

    fn of(&self, key: K) -> Arc<Semaphore> {
        let mut keys = locked(&self.keys);
        if let Some(turns) = keys.get(&key).and_then(Weak::upgrade) {
            return turns;
        }
        keys.retain(|_, turns| turns.strong_count() > 0);
        let turns = Arc::new(Semaphore::new(self.for_each));
        keys.insert(key, Arc::downgrade(&turns));
        turns
    }
}

/// [`Turns`] of which there are only so many in all, too.
#[derive(Debug)]
pub(crate) struct TurnsInAll<K> {
    for_each: Turns<K>,
    in_all: Arc<Semaphore>,
}

impl<K: Hash + Eq> TurnsInAll<K> {
    pub(crate) fn new(in_all: usize, for_each: usize) -> Self {
        TurnsInAll {
            for_each: Turns::new(for_each),
            in_all: Arc::new(Semaphore::new(in_all.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// As [`Turns::take`]. Who waits for others of its own key has no place in all.
    pub(crate) async fn take(&self, key: K) -> Option<[OwnedSemaphorePermit; 2]> {
        let of_key = self.for_each.take(key).await?;
        let in_all = self.in_all.clone().acquire_owned().await.ok()?;
        Some([of_key, in_all])
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn one_key_waits_for_its_own_turns_and_no_other_does() {
        let turns = Turns::new(2);
        let take = |key| turns.take(key).now_or_never().flatten();
        let (first, _second) = (take("a").unwrap(), take("a").unwrap());
        assert!(take("a").is_none());
        let other = take("b").unwrap();
        drop(first);
        let third = take("a").unwrap();
        assert!(take("a").is_none());
        drop((other, third));
        // Of those who are gone nothing is kept.
        let _fourth = take("c").unwrap();
        assert_eq!(turns.keys.lock().unwrap().len(), 2);
    }
}
