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
use moka::sync::Cache;
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
    pub(crate) fn looks_rotated(&self, record: &Record, salt: &[u8], iterations: u32) -> bool {
        match &record.credential {
            Credential::Digests(digests) => answering(digests, salt, iterations).is_none(),
            Credential::Password(password) => {
                if let Some(keys) = self.confirmed(record, password) {
                    return !keys.fit(salt, iterations);
                }
                let name = self.name(&record.key, Some(password), None);
                let answered = self.answered.get(&name);
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
        let confirmed = self.confirmed(record, password);
        if let Some(keys) = confirmed.filter(|keys| keys.fit(salt, iterations)) {
            self.metrics.cache(CacheAnswer::Hit);
            return Ok(Held::kept(keys));
        }
        self.metrics.cache(CacheAnswer::Miss);
        // Boxed, so that those who find theirs here are small.
        Box::pin(self.new_ones(&record.key, password, principal, salt, iterations)).await
    }

    /// Those that are not on hand.
    async fn new_ones(
        &self,
        record: &RecordKey,
        password: &Arc<Secret>,
        principal: &Principal,
        salt: &[u8],
        iterations: u32,
    ) -> Result<Held, NoKeys> {
        let name = self.name(record, Some(password), Some((salt, iterations)));
        let derivation = self.shared(name);
        let keys = derivation
            .get_or_try_init(|| self.derive(password, principal, salt, iterations))
            .await?
            .clone();
        let answered = Arc::new((salt.to_vec(), iterations));
        let name = self.name(record, Some(password), None);
        self.answered.insert(name, answered);
        Ok(Held {
            keys,
            _shared: Some(derivation),
        })
    }

    /// A database proved that it knows these keys too.
    pub(crate) fn confirm(&self, record: &Record, held: &Held) {
        if let Some(password) = record.credential.password() {
            let name = self.name(&record.key, Some(password), None);
            self.confirmed.insert(name, held.keys.clone());
            let challenge = self.challenge_name(&record.key, &held.keys);
            self.passwords.insert(challenge, name);
        }
    }

    /// Whether a database that asked for these keys' salt has confirmed another password for it:
    /// that it refuses this one says nothing of what it will ask for next.
    pub(crate) fn asked_for_another(&self, record: &Record, held: &Held) -> bool {
        let Some(password) = record.credential.password() else {
            return false;
        };
        let challenge = self.challenge_name(&record.key, &held.keys);
        let confirmed = self.passwords.get(&challenge);
        let this = self.name(&record.key, Some(password), None);
        confirmed.is_some_and(|confirmed| confirmed != this)
    }

    /// The keys that a database confirmed for this password.
    fn confirmed(&self, record: &Record, password: &Secret) -> Option<Arc<Keys>> {
        let name = self.name(&record.key, Some(password), None);
        self.confirmed.get(&name)
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
mod tests;
