//! Whose a proof of the v1 API is: whoever used it first.
//!
//! The original's SDKs sign one proof and use it for every login of the next minutes, so that it
//! cannot be good once only. It is good for one holder: the address that it came from first, and the
//! client certificate shown there. Who took it from elsewhere has nothing.

#[cfg(feature = "redis")]
mod redis;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

#[cfg(feature = "redis")]
pub use self::redis::{RedisReplays, RedisReplaysBuilder};
use super::{
    limits::{locked, most_within, neighbourhood},
    listener::Peer,
    metrics::Metrics,
    sts,
};
use crate::identity::aws::{PresignedProof, Skew};

/// Remembers holders of proofs.
#[tonic::async_trait]
pub(crate) trait ReplayStore: Send + Sync + 'static {
    /// Whether `holder` used the `proof` first, or uses it first now. Both are hashes. What is kept
    /// is kept for `keep_for`, counted from the first use: afterwards nobody accepts the proof.
    async fn is_held_by(
        &self,
        proof: &[u8; 32],
        holder: &[u8; 32],
        keep_for: Duration,
    ) -> Result<bool, ReplayStoreUnavailable>;

    /// Follows the files that it has from now on until `end`.
    fn keep_current(&self, _: &Arc<Metrics>, _end: &CancellationToken) {}
}

/// It cannot be said who used a proof first; why, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplayStoreUnavailable(pub(crate) String);

impl fmt::Display for ReplayStoreUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// For how long a proof that is good yet for so long is to be kept; `None` if it is no longer good.
///
/// Who brought it to another replica, whose clock is behind, or brought it here before its end and was
/// then kept waiting, must still be seen to be the second.
pub(crate) fn keep_for(remaining: Duration) -> Option<Duration> {
    (!remaining.is_zero()).then(|| remaining + beyond_its_end())
}

fn beyond_its_end() -> Duration {
    Skew::default().future + sts::BUDGET
}

/// Who holds what this peer brings: its address, for IPv6 its /64, and its certificate.
pub(crate) fn holder(peer: &Peer) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(neighbourhood(peer.address.ip()).to_string());
    // No address has it, so that the two cannot run together.
    hash.update([0]);
    if let Some(certificate) = &peer.certificate {
        hash.update(certificate);
    }
    hash.finalize().into()
}

/// The holders of one replica's proofs.
#[derive(Debug)]
pub(crate) struct InMemory {
    /// As many proofs as STS is asked about while one is kept. Beyond, new ones would be refused:
    /// to forget one that is alive would give it away.
    most: usize,
    proofs: Mutex<HashMap<[u8; 32], Held>>,
}

#[derive(Debug)]
struct Held {
    by: [u8; 32],
    until: Instant,
}

impl InMemory {
    /// For who asks STS so often, about each proof before it comes here.
    pub(crate) fn new(sts_calls_per_second: u32) -> Self {
        let longest = PresignedProof::longest_life() + beyond_its_end();
        InMemory {
            most: most_within(sts_calls_per_second, longest),
            proofs: Mutex::default(),
        }
    }

    fn is_held(
        &self,
        proof: &[u8; 32],
        holder: &[u8; 32],
        keep_for: Duration,
        now: Instant,
    ) -> Result<bool, ReplayStoreUnavailable> {
        let mut proofs = locked(&self.proofs);
        if let Some(held) = proofs.get(proof).filter(|held| held.until > now) {
            return Ok(held.by == *holder);
        }
        if proofs.len() >= self.most {
            proofs.retain(|_, held| held.until > now);
        }
        if proofs.len() >= self.most {
            let problem = "there are too many proofs to remember";
            return Err(ReplayStoreUnavailable(problem.into()));
        }
        let held = Held {
            by: *holder,
            until: now + keep_for,
        };
        proofs.insert(*proof, held);
        Ok(true)
    }
}

#[tonic::async_trait]
impl ReplayStore for InMemory {
    async fn is_held_by(
        &self,
        proof: &[u8; 32],
        holder: &[u8; 32],
        keep_for: Duration,
    ) -> Result<bool, ReplayStoreUnavailable> {
        self.is_held(proof, holder, keep_for, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authenticator::limits::Rate;

    const LIFE: Duration = Duration::from_secs(900);

    #[test]
    fn a_proof_is_its_first_holders_for_as_long_as_it_lives() {
        let (store, now) = (InMemory::new(1), Instant::now());
        let held = |proof, holder, now| store.is_held(&[proof; 32], &[holder; 32], LIFE, now);
        assert_eq!(held(1, 1, now), Ok(true));
        let last = now + LIFE - Duration::from_millis(1);
        for (holder, at) in [(1, now), (2, now), (1, last), (2, last)] {
            assert_eq!(held(1, holder, at), Ok(holder == 1));
        }
        assert_eq!(held(2, 2, now), Ok(true));
    }

    /// The clocks of two replicas, and of STS, which may answer one of two questions late.
    #[test]
    fn a_proof_is_kept_beyond_its_end_and_not_taken_after_it() {
        assert_eq!(keep_for(Duration::ZERO), None);
        let (store, now) = (InMemory::new(1), Instant::now());
        let left = Duration::from_millis(1);
        let held =
            |holder, now| store.is_held(&[1; 32], &[holder; 32], keep_for(left).unwrap(), now);
        assert_eq!(held(1, now), Ok(true));
        let late = now + left + Skew::default().future + sts::BUDGET;
        assert_eq!(held(2, late - Duration::from_millis(1)), Ok(false));
        assert_eq!(held(2, late), Ok(true));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_nothing_alive_is_forgotten() {
        let (store, now) = (InMemory::new(2), Instant::now());
        // For as long as one is kept, and what may come at once.
        assert_eq!(store.most, 2 * (25 * 60 + 10 + 10));
        for number in 0..store.most {
            assert_eq!(store.is_held(&proof(number), &[1; 32], LIFE, now), Ok(true));
        }
        let another = proof(store.most);
        assert!(store.is_held(&another, &[1; 32], LIFE, now).is_err());
        assert_eq!(store.is_held(&proof(0), &[2; 32], LIFE, now), Ok(false));
        let later = now + LIFE;
        assert_eq!(store.is_held(&another, &[1; 32], LIFE, later), Ok(true));
        assert_eq!(store.proofs.lock().unwrap().len(), 1);
    }

    /// However often STS may be asked, and for as long as a proof may be good.
    #[test]
    fn no_proof_that_sts_was_asked_about_is_one_too_many() {
        for per_second in [1, 3] {
            let store = InMemory::new(per_second);
            let (rate, start) = (Rate::new(per_second, per_second), Instant::now());
            let life = keep_for(PresignedProof::longest_life()).unwrap();
            let mut asked = 0;
            for tenth in 0..40 * 60 * 10 {
                let now = start + Duration::from_millis(tenth * 100);
                while rate.allow((), now) {
                    let held = store.is_held(&proof(asked), &[1; 32], life, now);
                    assert_eq!(held, Ok(true), "{per_second} a second, after {tenth}");
                    asked += 1;
                }
            }
            assert!(asked > store.most);
        }
    }

    fn proof(number: usize) -> [u8; 32] {
        let mut proof = [0; 32];
        proof[..8].copy_from_slice(&number.to_be_bytes());
        proof
    }
}
