//! How often records may be looked up at places that an account has not named lately.
//!
//! A session takes no more than some AWS account, and each new name of a host is a question to the
//! secrets manager. What is counted is what the account did itself, and not what is kept of the
//! place: otherwise its bound would tell which places have records.
//!
//! One role of an account must not keep the others out: where an identity was admitted lately it is
//! looked up for it also beyond the bound. That it was admitted there it knows, and nobody else
//! learns of it, for what is counted, and remembered as named, is the same with it and without.

use std::{
    hash::Hash,
    sync::OnceLock,
    time::{Duration, Instant},
};

use moka::sync::{Cache, CacheBuilder};

use super::{limits::Rate, secrets::RecordKey};
use crate::identity::{Principal, VerifiedIdentity};

/// For how long a place that was named is no new one.
const LATELY: Duration = Duration::from_secs(10);
/// For how long an identity that was admitted at a place is looked up there beyond the bound.
const ADMITTED: Duration = Duration::from_secs(60 * 60);
/// Places that are remembered of each kind. One that is forgotten before its time counts once more.
const MAX_PLACES: u64 = 100_000;

/// A partition and an account of it.
type Account = (String, String);
/// An identity with its unique id, which a role that is made again does not have, and a place.
type Admitted = (Principal, String, String, u16);

pub(crate) struct Lookups {
    named: Cache<(Account, String, u16), ()>,
    admitted: Cache<Admitted, ()>,
    new: OnceLock<Rate<Account>>,
}

impl Lookups {
    pub(crate) fn new() -> Self {
        Lookups {
            named: remembering().time_to_live(LATELY).build(),
            admitted: remembering().time_to_idle(ADMITTED).build(),
            new: OnceLock::new(),
        }
    }

    /// Whether it is looked up for this identity: within `per_second`, or where it was
    /// [admitted](Self::admitted) lately. The bound is that of the first call.
    pub(crate) fn allow(
        &self,
        identity: &VerifiedIdentity,
        key: &RecordKey,
        per_second: u32,
    ) -> bool {
        self.is_seldom(&identity.principal, key, per_second)
            || self.admitted.contains_key(&admitted(identity, key))
    }

    /// A record of this place admits this identity.
    pub(crate) fn admitted(&self, identity: &VerifiedIdentity, key: &RecordKey) {
        let admitted = admitted(identity, key);
        // Each login comes here, and to look renews it.
        if self.admitted.get(&admitted).is_none() {
            self.admitted.insert(admitted, ());
        }
    }

    /// Counts what is within the bound, if the place is new.
    fn is_seldom(&self, principal: &Principal, key: &RecordKey, per_second: u32) -> bool {
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

    #[cfg(test)]
    pub(crate) fn forget_what_was_named(&self) {
        self.named.invalidate_all();
    }
}

fn remembering<K: Hash + Eq + Send + Sync + 'static>() -> CacheBuilder<K, (), Cache<K, ()>> {
    Cache::builder().max_capacity(MAX_PLACES)
}

fn admitted(identity: &VerifiedIdentity, key: &RecordKey) -> Admitted {
    let (principal, id) = (identity.principal.clone(), identity.unique_id().to_owned());
    (principal, id, key.host().to_owned(), key.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(account: &str, role: &str) -> VerifiedIdentity {
        made_as(account, role, "AROAFIRST")
    }

    fn made_as(account: &str, role: &str, id: &str) -> VerifiedIdentity {
        let arn = format!("arn:aws:sts::{account}:assumed-role/{role}/pod-1");
        VerifiedIdentity::new(&arn, &format!("{id}:pod-1")).unwrap()
    }

    fn place(n: usize) -> RecordKey {
        RecordKey::new(&format!("db{n}"), 5432, "app")
    }

    #[test]
    fn new_places_are_few_for_one_account_and_those_named_lately_are_free() {
        let (lookups, checkout) = (Lookups::new(), of("123456789012", "checkout"));
        let named = |identity: &VerifiedIdentity, n| lookups.allow(identity, &place(n), 1);
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
    fn who_was_admitted_at_a_place_is_looked_up_there_whatever_others_of_its_account_name() {
        let (lookups, account) = (Lookups::new(), "123456789012");
        let (checkout, another) = (of(account, "checkout"), of(account, "another"));
        let named = |identity: &VerifiedIdentity, n| lookups.allow(identity, &place(n), 1);
        lookups.admitted(&checkout, &place(0));
        let refused = (100..200).filter(|n| !named(&another, *n)).count();
        assert_eq!(refused, 90);
        assert!(named(&checkout, 0));
        assert!(!named(&checkout, 1), "it was admitted elsewhere");
        // Nobody else learns of it: neither before it was looked up nor since.
        assert!(!named(&another, 0));
        assert!(!named(&made_as(account, "checkout", "AROASECOND"), 0));
    }

    #[test]
    fn it_counts_alike_who_was_admitted_and_who_was_not() {
        for is_admitted in [true, false] {
            let (lookups, checkout) = (Lookups::new(), of("123456789012", "checkout"));
            let named = |n| lookups.allow(&checkout, &place(n), 1);
            if is_admitted {
                lookups.admitted(&checkout, &place(0));
            }
            assert!(named(0));
            assert_eq!((1..100).filter(|n| named(*n)).count(), 9, "{is_admitted}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let lookups = Lookups::new();
        let (named, admitted) = (lookups.named.policy(), lookups.admitted.policy());
        assert_eq!(named.time_to_live(), Some(LATELY));
        assert_eq!(admitted.time_to_idle(), Some(ADMITTED));
        for policy in [named, admitted] {
            assert_eq!(policy.max_capacity(), Some(MAX_PLACES));
        }
    }
}
