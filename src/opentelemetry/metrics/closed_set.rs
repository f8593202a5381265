//! Labels whose values others write.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, RwLock},
};

/// Longer values are no label.
const LONGEST: usize = 128;

/// The first so many different values that are met.
#[derive(Debug)]
pub(super) struct ClosedSet {
    limit: usize,
    members: RwLock<BTreeSet<Arc<str>>>,
}

impl ClosedSet {
    pub(super) const fn of(limit: usize) -> Self {
        ClosedSet {
            limit,
            members: RwLock::new(BTreeSet::new()),
        }
    }

    /// Whether the value is one of them, or has just become one.
    pub(super) fn admits(&self, value: &str) -> bool {
        if value.len() > LONGEST {
            return false;
        }
        {
            let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
            if members.contains(value) {
                return true;
            }
            if members.len() >= self.limit {
                return false;
            }
        }
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        if members.len() < self.limit {
            members.insert(Arc::from(value));
        }
        members.contains(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ones_stay_and_no_others_come() {
        let set = ClosedSet::of(2);
        assert!(set.admits("orders") && set.admits("items") && set.admits("orders"));
        assert!(!set.admits("canary") && set.admits("items"));
    }

    #[test]
    fn a_long_value_takes_no_place() {
        let set = ClosedSet::of(1);
        assert!(!set.admits(&"x".repeat(LONGEST + 1)));
        assert!(set.admits(&"x".repeat(LONGEST)));
    }
}
