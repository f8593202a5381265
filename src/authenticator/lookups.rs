//! How often records may be looked up at places that an account has not named lately.
//!
//! A session takes no more than some AWS account, and each new name of a host is a question to the
//! secrets manager. What is counted is what the account did itself, and not what is kept of the
//! place: otherwise its bound would tell which places have records.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use moka::sync::Cache;

use super::{limits::Rate, secrets::RecordKey};
use crate::identity::Principal;

/// For how long a place that was named is no new one.
const LATELY: Duration = Duration::from_secs(10);
/// Places that are remembered. One that is forgotten before its time counts once more.
const MAX_PLACES: u64 = 100_000;

/// A partition and an account of it.
type Account = (String, String);

pub(crate) struct Lookups {
    named: Cache<(Account, String, u16), ()>,
    new: OnceLock<Rate<Account>>,
}

impl Lookups {
    pub(crate) fn new() -> Self {
        Lookups {
            named: Cache::builder()
                .max_capacity(MAX_PLACES)
                .time_to_live(LATELY)
                .build(),
            new: OnceLock::new(),
        }
    }

    /// Whether a look-up for this identity is within `per_second`; counts it if it is and the place
    /// is new. The bound is that of the first call.
    pub(crate) fn allow(&self, principal: &Principal, key: &RecordKey, per_second: u32) -> bool {
        let account = (
            principal.partition().to_owned(),
            principal.account().to_owned(),
        );
        let place = (account.clone(), key.host().to_owned(), key.port());
        if self.named.contains_key(&place) {
            return true;
        }
        let new = self.new.get_or_init(|| Rate::new(u32::MAX, per_second));
        let is_allowed = new.allow(account, Instant::now());
        if is_allowed {
            self.named.insert(place, ());
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(account: &str, role: &str) -> Principal {
        Principal::parse(&format!("arn:aws:iam::{account}:role/{role}")).unwrap()
    }

    #[test]
    fn new_places_are_few_for_one_account_and_those_named_lately_are_free() {
        let (lookups, checkout) = (Lookups::new(), of("123456789012", "checkout"));
        let named = |principal: &Principal, n: usize| {
            let key = RecordKey::new(&format!("db{n}"), 5432, "app");
            lookups.allow(principal, &key, 1)
        };
        for n in 0..10 {
            assert!(named(&checkout, n));
            assert!(named(&checkout, 0), "it is no new one");
        }
        assert!(!named(&checkout, 100));
        assert!(named(&checkout, 9));
        // Roles are made in no time; accounts are not.
        assert!(!named(&of("123456789012", "another"), 100));
        assert!(named(&of("210987654321", "checkout"), 100));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let policy = Lookups::new().named.policy();
        assert_eq!(policy.max_capacity(), Some(MAX_PLACES));
        assert_eq!(policy.time_to_live(), Some(LATELY));
    }
}
