//! SCRAM keys: derived on few threads, shared while in use, kept once a database confirmed them.
//!
//! A derivation is a thousand times dearer than everything else in a handshake. What is kept is
//! `{salt, iterations, ClientKey, StoredKey, ServerKey}` under a keyed hash of record and password,
//! so that another password is another entry; and only after a database's `v=` was verified, so
//! that nobody can fill the cache with salts of their own. A record of digests brings its keys along.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use hmac::{Hmac, KeyInit, Mac};
use moka::future::Cache;
use sha2::Sha256;
use tokio::sync::{OnceCell, Semaphore};
use zeroize::Zeroizing;

use super::{
    limits::Gate,
    metrics::{CacheAnswer, Ending, Metrics, Phase},
    secrets::{Credential, Digests, Record, RecordKey},
};
use crate::{Error, Result, identity::Principal, secret::Secret, wire::scram::Keys};

const MAX_ENTRIES: u64 = 10_000;
const MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// How long a derivation may wait for a thread.
const MAX_WAIT: Duration = Duration::from_secs(10);

type Name = [u8; 32];
type Derivation = OnceCell<Arc<Keys>>;

/// A salt, and an iteration count.
type Challenge = (Vec<u8>, u32);

/// Keys on hand, and how to come by others.
pub(crate) struct KeyStore {
    naming: Hmac<Sha256>,
    confirmed: Cache<Name, Arc<Keys>>,
    /// What was answered last with a password of which nothing is confirmed, as by v1 nothing is.
    answered: Cache<Name, Arc<Challenge>>,
    /// With which password a challenge was answered when a database confirmed it.
    passwords: Cache<Name, Name>,
    /// Those in use by handshakes under way: whoever comes with the same challenge shares them.
    in_use: Mutex<HashMap<Name, Weak<Derivation>>>,
    threads: Arc<Semaphore>,
    per_principal: Arc<Gate<Principal>>,
    metrics: Arc<Metrics>,
}

/// Why there are no keys for a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKeys {
    /// There is too much to derive, for this identity or for all.
    Overload,
    /// The record has those of another salt or iteration count, and no password to derive others of.
    AnotherChallenge,
}

/// Keys in the hands of one handshake.
pub(crate) struct Held {
    pub(crate) keys: Arc<Keys>,
    _shared: Option<Arc<Derivation>>,
}

impl Held {
    fn kept(keys: Arc<Keys>) -> Self {
        Held {
            keys,
            _shared: None,
        }
    }
}

impl KeyStore {
    pub(crate) fn new(per_principal: usize, metrics: Arc<Metrics>) -> Result<Self> {
        let mut process_key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *process_key)
            .map_err(|error| Error::configuration("no random numbers").with_source(error))?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(KeyStore {
            naming: Hmac::new_from_slice(&*process_key)
                .map_err(|_| Error::configuration("no key for the cache"))?,
            confirmed: Cache::builder()
                .max_capacity(MAX_ENTRIES)
                .time_to_live(MAX_AGE)
                .build(),
            answered: Cache::builder()
                .max_capacity(MAX_ENTRIES)
                .time_to_live(MAX_AGE)
                .build(),
            passwords: Cache::builder()
                .max_capacity(MAX_ENTRIES)
                .time_to_live(MAX_AGE)
                .build(),
            in_use: Mutex::default(),
            threads: Arc::new(Semaphore::new(threads)),
            per_principal: Gate::new(usize::MAX, per_principal),
            metrics,
        })
    }

    /// Whether the keys kept for the record are for another salt or other iterations, or the last
    /// answer was where none are kept: the password was set anew since.
    pub(crate) async fn looks_rotated(
        &self,
        record: &Record,
        salt: &[u8],
        iterations: u32,
    ) -> bool {
        match &record.credential {
            Credential::Digests(digests) => answering(digests, salt, iterations).is_none(),
            Credential::Password(password) => {
                if let Some(keys) = self.confirmed(record, password).await {
                    return !keys.fit(salt, iterations);
                }
                let name = self.name(&record.key, Some(password), None);
                let answered = self.answered.get(&name).await;
                answered.is_some_and(|answered| *answered != (salt.to_vec(), iterations))
            }
        }
    }

    /// The keys that answer a challenge with this salt and these iterations.
    pub(crate) async fn keys(
        &self,
        record: &Arc<Record>,
        principal: &Principal,
        salt: &[u8],
        iterations: u32,
    ) -> Result<Held, NoKeys> {
        let password = match &record.credential {
            Credential::Digests(digests) => {
                let keys = answering(digests, salt, iterations);
                return keys.map(Held::kept).ok_or(NoKeys::AnotherChallenge);
            }
            Credential::Password(password) => password,
        };
        let confirmed = self.confirmed(record, password).await;
        if let Some(keys) = confirmed.filter(|keys| keys.fit(salt, iterations)) {
            self.metrics.cache(CacheAnswer::Hit);
            return Ok(Held::kept(keys));
        }
        self.metrics.cache(CacheAnswer::Miss);
        let name = self.name(&record.key, Some(password), Some((salt, iterations)));
        let derivation = self.shared(name);
        let keys = derivation
            .get_or_try_init(|| self.derive(password, principal, salt, iterations))
            .await?
            .clone();
        let answered = Arc::new((salt.to_vec(), iterations));
        let name = self.name(&record.key, Some(password), None);
        self.answered.insert(name, answered).await;
        Ok(Held {
            keys,
            _shared: Some(derivation),
        })
    }

    /// A database proved that it knows these keys too.
    pub(crate) async fn confirm(&self, record: &Record, held: &Held) {
        if let Some(password) = record.credential.password() {
            let name = self.name(&record.key, Some(password), None);
            self.confirmed.insert(name, held.keys.clone()).await;
            let challenge = self.challenge_name(&record.key, &held.keys);
            self.passwords.insert(challenge, name).await;
        }
    }

    /// Whether a database that asked for these keys' salt has confirmed another password for it:
    /// that it refuses this one says nothing of what it will ask for next.
    pub(crate) async fn asked_for_another(&self, record: &Record, held: &Held) -> bool {
        let Some(password) = record.credential.password() else {
            return false;
        };
        let challenge = self.challenge_name(&record.key, &held.keys);
        let confirmed = self.passwords.get(&challenge).await;
        let this = self.name(&record.key, Some(password), None);
        confirmed.is_some_and(|confirmed| confirmed != this)
    }

    /// The keys that a database confirmed for this password.
    async fn confirmed(&self, record: &Record, password: &Secret) -> Option<Arc<Keys>> {
        let name = self.name(&record.key, Some(password), None);
        self.confirmed.get(&name).await
    }

    async fn derive(
        &self,
        password: &Arc<Secret>,
        principal: &Principal,
        salt: &[u8],
        iterations: u32,
    ) -> Result<Arc<Keys>, NoKeys> {
        let began = std::time::Instant::now();
        let derived = self
            .on_a_thread(password.clone(), principal, salt.to_vec(), iterations)
            .await;
        let ending = if derived.is_ok() {
            Ending::Ok
        } else {
            Ending::Failed
        };
        self.metrics
            .phase(Phase::Derivation, ending, began.elapsed());
        derived
    }

    async fn on_a_thread(
        &self,
        password: Arc<Secret>,
        principal: &Principal,
        salt: Vec<u8>,
        iterations: u32,
    ) -> Result<Arc<Keys>, NoKeys> {
        let pass = self
            .per_principal
            .enter(principal.clone())
            .ok_or(NoKeys::Overload)?;
        let permit = tokio::time::timeout(MAX_WAIT, self.threads.clone().acquire_owned())
            .await
            .map_err(|_| NoKeys::Overload)?
            .map_err(|_| NoKeys::Overload)?;
        tokio::task::spawn_blocking(move || {
            // They end with the work, not with whoever waits for it.
            let _bounds = (pass, permit);
            Arc::new(Keys::derive(password.expose_secret(), &salt, iterations))
        })
        .await
        .map_err(|_| NoKeys::Overload)
    }

    fn shared(&self, name: Name) -> Arc<Derivation> {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(derivation) = in_use.get(&name).and_then(Weak::upgrade) {
            return derivation;
        }
        in_use.retain(|_, derivation| derivation.strong_count() > 0);
        let derivation = Arc::new(Derivation::new());
        in_use.insert(name, Arc::downgrade(&derivation));
        derivation
    }

    fn challenge_name(&self, record: &RecordKey, keys: &Keys) -> Name {
        self.name(record, None, Some((keys.salt(), keys.iterations())))
    }

    /// A keyed hash of what the keys belong to. Lengths first, so that no two run together.
    fn name(
        &self,
        record: &RecordKey,
        password: Option<&Secret>,
        challenge: Option<(&[u8], u32)>,
    ) -> Name {
        let mut mac = self.naming.clone();
        let mut part = |bytes: &[u8]| {
            mac.update(&(bytes.len() as u64).to_be_bytes());
            mac.update(bytes);
        };
        part(record.host().as_bytes());
        part(&record.port().to_be_bytes());
        part(record.user().as_bytes());
        part(password.map_or(b"", |password| password.expose_secret()));
        if let Some((salt, iterations)) = challenge {
            part(salt);
            part(&iterations.to_be_bytes());
        }
        mac.finalize().into_bytes().into()
    }
}

/// Those of a record's digests that are for this challenge.
fn answering(digests: &Digests, salt: &[u8], iterations: u32) -> Option<Arc<Keys>> {
    digests
        .scram_sha_256
        .iter()
        .find(|keys| keys.fit(salt, iterations))
        .cloned()
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_STANDARD};

    use super::*;
    use crate::authenticator::secrets::records;

    const SALT: &[u8] = b"sixteen bytes ok";

    fn record(password: &str) -> Arc<Record> {
        let yaml = format!(
            "- {{dbhost: db, dbport: 5432, dbuser: app, password: {password}, iam_arn: \
             'arn:aws:iam::123456789012:role/checkout'}}"
        );
        records(yaml.as_bytes()).unwrap().remove(0)
    }

    fn principal() -> Principal {
        Principal::parse("arn:aws:iam::123456789012:role/checkout").unwrap()
    }

    fn store() -> (KeyStore, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::default());
        (KeyStore::new(1, metrics.clone()).unwrap(), metrics)
    }

    #[tokio::test]
    async fn keys_are_kept_only_once_confirmed_and_for_one_password() {
        let (store, metrics) = store();
        let (before, after, principal) = (record("hunter2"), record("hunter3"), principal());
        drop(store.keys(&before, &principal, SALT, 4096).await);
        let held = store.keys(&before, &principal, SALT, 4096).await.unwrap();
        let text = metrics.exposition().unwrap();
        assert!(text.contains("lookups_total{result=\"miss\"} 2"), "{text}");

        store.confirm(&before, &held).await;
        drop(held);
        let again = store.keys(&before, &principal, SALT, 4096).await.unwrap();
        assert!(again.keys.fit(SALT, 4096));
        let text = metrics.exposition().unwrap();
        assert!(text.contains("lookups_total{result=\"hit\"} 1"), "{text}");

        assert!(!store.looks_rotated(&before, SALT, 4096).await);
        assert!(store.looks_rotated(&before, b"another salt", 4096).await);
        assert!(!store.looks_rotated(&after, b"another salt", 4096).await);
    }

    #[tokio::test]
    async fn a_salt_that_was_confirmed_with_a_password_asks_for_no_other() {
        let (store, _) = store();
        let (before, after, principal) = (record("hunter2"), record("hunter3"), principal());
        let of_before = store.keys(&before, &principal, SALT, 4096).await.unwrap();
        let of_after = store.keys(&after, &principal, SALT, 4096).await.unwrap();
        assert!(!store.asked_for_another(&after, &of_after).await);
        store.confirm(&before, &of_before).await;
        assert!(store.asked_for_another(&after, &of_after).await);
        assert!(!store.asked_for_another(&before, &of_before).await);
        let elsewhere = store.keys(&after, &principal, b"another salt", 4096).await;
        assert!(!store.asked_for_another(&after, &elsewhere.unwrap()).await);
    }

    /// By v1 nothing is ever confirmed.
    #[tokio::test]
    async fn a_salt_that_was_not_answered_before_looks_rotated_though_nothing_is_confirmed() {
        let (store, _) = store();
        let (record, principal) = (record("hunter2"), principal());
        assert!(!store.looks_rotated(&record, SALT, 4096).await, "the first");
        drop(store.keys(&record, &principal, SALT, 4096).await.unwrap());
        assert!(!store.looks_rotated(&record, SALT, 4096).await);
        assert!(store.looks_rotated(&record, b"another salt", 4096).await);
        assert!(store.looks_rotated(&record, SALT, 4097).await);
    }

    #[test]
    fn few_keys_are_kept_and_not_for_long() {
        let store = store().0;
        for policy in [
            store.confirmed.policy(),
            store.answered.policy(),
            store.passwords.policy(),
        ] {
            assert!(policy.max_capacity().is_some_and(|most| most <= 10_000));
            let an_hour = Duration::from_secs(60 * 60);
            assert!(policy.time_to_live().is_some_and(|age| age <= an_hour));
        }
    }

    #[tokio::test]
    async fn digests_answer_for_their_own_salt_and_iterations_alone() {
        let (store, metrics) = store();
        let keys = Keys::derive(b"hunter2", SALT, 4096);
        let [salt, client_key, server_key] = [
            keys.salt(),
            keys.client_key().as_slice(),
            keys.server_key().as_slice(),
        ]
        .map(|bytes| BASE64_STANDARD.encode(bytes));
        let yaml = format!(
            "- {{dbhost: db, dbport: 5432, dbuser: app, scram_sha_256: {{salt: {salt}, iterations: \
             4096, client_key: {client_key}, server_key: {server_key}}}, iam_arn: \
             'arn:aws:iam::123456789012:role/checkout'}}"
        );
        let record = records(yaml.as_bytes()).unwrap().remove(0);
        let principal = principal();
        let held = store.keys(&record, &principal, SALT, 4096).await.unwrap();
        assert_eq!(held.keys.client_key(), keys.client_key());
        assert!(!store.looks_rotated(&record, SALT, 4096).await);
        store.confirm(&record, &held).await;

        for (salt, iterations) in [(&b"another salt"[..], 4096), (SALT, 4097)] {
            let refused = store.keys(&record, &principal, salt, iterations).await;
            assert_eq!(refused.err(), Some(NoKeys::AnotherChallenge));
            assert!(store.looks_rotated(&record, salt, iterations).await);
        }
        let text = metrics.exposition().unwrap();
        assert!(!text.contains("phase=\"derivation\""), "{text}");
    }

    #[tokio::test]
    async fn one_challenge_is_derived_once_however_many_wait_for_it() {
        // One derivation at a time for a principal: a second one would be refused.
        let (store, metrics) = store();
        let (record, principal) = (record("hunter2"), principal());
        let all = (0..20).map(|_| store.keys(&record, &principal, SALT, 50_000));
        for held in futures_util::future::join_all(all).await {
            assert!(held.is_ok());
        }
        let text = metrics.exposition().unwrap();
        let derived = "duration_seconds_count{phase=\"derivation\",outcome=\"ok\"} 1";
        assert!(text.contains(derived), "{text}");
    }

    /// On the one thread of this runtime, what derives would have come to its end when first polled.
    #[tokio::test]
    async fn a_derivation_is_done_on_one_of_few_threads_of_its_own() {
        let (store, _) = store();
        let (record, principal) = (record("hunter2"), principal());
        let all = store.threads.available_permits();
        assert!(all <= std::thread::available_parallelism().unwrap().get());
        let busy = store
            .threads
            .clone()
            .acquire_many_owned(all.try_into().unwrap());
        let busy = busy.await.unwrap();

        let mut derivation = std::pin::pin!(store.keys(&record, &principal, SALT, 4096));
        for _ in 0..100 {
            assert!(futures_util::poll!(&mut derivation).is_pending());
            tokio::task::yield_now().await;
        }
        drop(busy);
        assert!(futures_util::poll!(&mut derivation).is_pending());
        assert!(derivation.await.is_ok());
    }

    #[tokio::test]
    async fn derivations_of_one_principal_are_bounded() {
        let (store, _) = store();
        let (record, principal) = (record("hunter2"), principal());
        let _busy = store.per_principal.enter(principal.clone()).unwrap();
        let refused = store.keys(&record, &principal, SALT, 4096).await;
        assert_eq!(refused.err(), Some(NoKeys::Overload));
    }
}
