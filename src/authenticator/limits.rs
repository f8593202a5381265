//! Bounds on what costs something before, or without, anybody's good name.

mod turns;

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

pub(crate) use self::turns::{Turns, TurnsInAll};

/// How much the Authenticator takes on. The defaults suit one replica that serves thousands of
/// application processes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections in all: 10,000. As many calls are open at a time on those on which somebody proved
    /// who he is.
    pub connections: usize,
    /// The same from one address (for IPv6: one /64): 2,000. To prove an identity, any AWS account
    /// will do: without this bound, one stranger who has one could take all the places there are.
    /// Where applications come through a proxy that hides their addresses, set it higher.
    pub connections_per_address: usize,
    /// Connections that no identity stands behind yet, in all: 1,000. As many calls on them are read at
    /// a time, for which ten times as many may wait, and as many proofs verified. And of whoever is known
    /// as many bring a message at a time that is longer than 8 KiB.
    pub unauthenticated: usize,
    /// The same from one address (for IPv6: one /64): 100.
    pub unauthenticated_per_address: usize,
    /// Calls to STS each second, in all: 100, with bursts of ten times as many. STS's quota is that
    /// of a whole account. A quarter of them is for who proved an identity on his connection before.
    pub sts_calls_per_second: u32,
    /// The same for one address: 20.
    pub sts_calls_per_second_per_address: u32,
    /// Key derivations at a time for one identity, those that wait for a thread included: 16. Whom a
    /// record lets in with a whole account, here and of MD5, has them together with that.
    pub derivations_per_principal: usize,
    /// MD5 answers each second for one identity: 10, with bursts of ten times as many. MD5's salts
    /// are few, and each answer collected is good again when its salt is.
    pub md5_per_second_per_principal: u32,
    /// Logins begun each second for one identity: 1,000, with bursts of ten times as many. One
    /// application in trouble must not take the others' turn.
    pub handshakes_per_second_per_principal: u32,
    /// The same for one address (for IPv6: one /64), whoever they are for, and be it for nobody:
    /// 2,000. Where applications come through a proxy that hides their addresses, set it higher.
    pub handshakes_per_second_per_address: u32,
    /// Databases that one AWS account may newly name each second, whose records are then looked up:
    /// 50, with bursts of ten times as many. One that it named within ten seconds is none. Any
    /// account will do for a session, and each name is a question to the secrets manager. An identity
    /// that a record there admitted within an hour is not kept out by what others of its account name.
    pub lookups_per_second_per_account: u32,
    /// The fewest SCRAM iterations that a database may ask for: 4,096. Fewer make guessing cheap.
    pub min_iterations: u32,
    /// The most: 100,000.
    pub max_iterations: u32,
    /// How long a TLS handshake may take, a client be silent before its first message, and a request
    /// of one message be on its way: 10 s.
    pub handshake_timeout: Duration,
    /// How long a client may take to prove who it is, and so for how long a nonce is good: 60 s, and
    /// never more.
    pub proof_timeout: Duration,
    /// How long an accepted client may take to bring the database's challenge, or its outcome:
    /// 60 s.
    pub challenge_timeout: Duration,
}

/// The longest that a nonce is good for.
pub(crate) const MAX_PROOF_TIMEOUT: Duration = Duration::from_secs(60);

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 10_000,
            connections_per_address: 2_000,
            unauthenticated: 1_000,
            unauthenticated_per_address: 100,
            sts_calls_per_second: 100,
            sts_calls_per_second_per_address: 20,
            derivations_per_principal: 16,
            md5_per_second_per_principal: 10,
            handshakes_per_second_per_principal: 1_000,
            handshakes_per_second_per_address: 2_000,
            lookups_per_second_per_account: 50,
            min_iterations: 4_096,
            max_iterations: 100_000,
            handshake_timeout: Duration::from_secs(10),
            proof_timeout: MAX_PROOF_TIMEOUT,
            challenge_timeout: Duration::from_secs(60),
        }
    }
}

/// Whom a bound counts together: an address, and for IPv6 the /64 that one customer gets.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let prefix = u128::from(v6) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
        v4 => v4,
    }
}

/// A bound on how many are inside at a time, in all and for each key.
#[derive(Debug)]
pub(crate) struct Gate<K: Hash + Eq> {
    in_all: usize,
    for_each: usize,
    inside: Mutex<Inside<K>>,
}

#[derive(Debug)]
struct Inside<K> {
    in_all: usize,
    for_each: HashMap<K, usize>,
}

impl<K: Hash + Eq + Clone> Gate<K> {
    pub(crate) fn new(in_all: usize, for_each: usize) -> Arc<Self> {
        Arc::new(Gate {
            in_all,
            for_each,
            inside: Mutex::new(Inside {
                in_all: 0,
                for_each: HashMap::new(),
            }),
        })
    }

    /// Lets one in, until the pass is dropped.
    pub(crate) fn enter(self: &Arc<Self>, key: K) -> Option<Pass<K>> {
        let mut inside = locked(&self.inside);
        let count = inside.for_each.get(&key).copied().unwrap_or(0);
        if inside.in_all >= self.in_all || count >= self.for_each {
            return None;
        }
        inside.in_all += 1;
        inside.for_each.insert(key.clone(), count + 1);
        Some(Pass {
            gate: self.clone(),
            key,
        })
    }
}

/// A place inside a [`Gate`].
#[derive(Debug)]
pub(crate) struct Pass<K: Hash + Eq> {
    gate: Arc<Gate<K>>,
    key: K,
}

impl<K: Hash + Eq> Drop for Pass<K> {
    fn drop(&mut self) {
        let mut inside = locked(&self.gate.inside);
        inside.in_all -= 1;
        if let Some(count) = inside.for_each.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                inside.for_each.remove(&self.key);
            }
        }
    }
}

/// A bound on how often, in all and for each key: so many a second, and ten seconds' worth at once.
#[derive(Debug)]
pub(crate) struct Rate<K> {
    in_all: Pace,
    for_each: Pace,
    state: Mutex<(Option<Instant>, HashMap<K, Instant>)>,
}

/// Keys that a [`Rate`] remembers before it forgets those that have no debt.
const REMEMBERED: usize = 10_000;

impl<K: Hash + Eq> Rate<K> {
    pub(crate) fn new(in_all: u32, for_each: u32) -> Self {
        Rate {
            in_all: Pace::per_second(in_all),
            for_each: Pace::per_second(for_each),
            state: Mutex::default(),
        }
    }

    /// Whether one more is within the bound; counts it if so.
    pub(crate) fn allow(&self, key: K, now: Instant) -> bool {
        self.allow_if(key, now, || true)
    }

    /// As [`allow`](Self::allow), where another bound has to agree: it is asked last, so that what
    /// either of them refuses counts in neither.
    pub(crate) fn allow_if(&self, key: K, now: Instant, other: impl FnOnce() -> bool) -> bool {
        let mut state = locked(&self.state);
        let (all, each) = &mut *state;
        if each.len() >= REMEMBERED {
            each.retain(|_, paid_until| *paid_until > now);
            if each.len() >= REMEMBERED && !each.contains_key(&key) {
                return false;
            }
        }
        let (Some(all_next), Some(key_next)) = (
            self.in_all.next(*all, now),
            self.for_each.next(each.get(&key).copied(), now),
        ) else {
            return false;
        };
        if !other() {
            return false;
        }
        *all = Some(all_next);
        each.insert(key, key_next);
        true
    }
}

/// The most that a [`Rate`] of so many a second allows within a while.
pub(crate) fn most_within(per_second: u32, time: Duration) -> usize {
    let pace = Pace::per_second(per_second);
    let most = (time + pace.burst).as_nanos() / pace.interval.as_nanos().max(1);
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// The generic cell rate algorithm: one instant is the whole memory.
#[derive(Clone, Copy, Debug)]
struct Pace {
    interval: Duration,
    burst: Duration,
}

impl Pace {
    const BURST: u32 = 10;

    fn per_second(rate: u32) -> Self {
        Pace {
            interval: Duration::from_secs(1) / rate.max(1),
            burst: Duration::from_secs(Self::BURST.into()),
        }
    }

    fn next(self, paid_until: Option<Instant>, now: Instant) -> Option<Instant> {
        let next = paid_until.map_or(now, |until| until.max(now)) + self.interval;
        (next.duration_since(now) <= self.burst).then_some(next)
    }
}

/// One event for each key in a while: how often a client's word may make us read a record again.
#[derive(Debug)]
pub(crate) struct OncePer<K> {
    interval: Duration,
    last: Mutex<HashMap<K, Instant>>,
}

impl<K: Hash + Eq> OncePer<K> {
    pub(crate) fn new(interval: Duration) -> Self {
        OncePer {
            interval,
            last: Mutex::default(),
        }
    }

    pub(crate) fn allow(&self, key: K, now: Instant) -> bool {
        let mut last = locked(&self.last);
        last.retain(|_, at| now.duration_since(*at) < self.interval);
        if last.len() >= REMEMBERED || last.contains_key(&key) {
            return false;
        }
        last.insert(key, now);
        true
    }
}

/// Counters stay right when a thread panics between two of them.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_bounds_each_key_and_all_together() {
        let gate = Gate::new(3, 2);
        let first = gate.enter("a").unwrap();
        let _second = gate.enter("a").unwrap();
        assert!(gate.enter("a").is_none());
        let _third = gate.enter("b").unwrap();
        assert!(gate.enter("c").is_none());
        drop(first);
        assert!(gate.enter("c").is_some());
    }

    #[test]
    fn a_gate_forgets_who_left() {
        let gate = Gate::new(10, 10);
        drop(gate.enter("a"));
        assert!(gate.inside.lock().unwrap().for_each.is_empty());
    }

    #[test]
    fn a_rate_allows_a_burst_and_then_its_pace() {
        let (rate, start) = (Rate::new(1_000, 2), Instant::now());
        assert_eq!((0..100).filter(|_| rate.allow("a", start)).count(), 20);
        assert!(rate.allow("b", start));
        let later = start + Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| rate.allow("a", later)).count(), 2);
    }

    #[test]
    fn a_rate_bounds_all_keys_together() {
        let (rate, start) = (Rate::new(2, 100), Instant::now());
        assert_eq!((0..100).filter(|key| rate.allow(*key, start)).count(), 20);
    }

    #[test]
    fn what_one_of_two_bounds_refuses_counts_in_neither() {
        let (narrow, wide, start) = (Rate::new(100, 1), Rate::new(2, 2), Instant::now());
        let allow = |key| narrow.allow_if(key, start, || wide.allow((), start));
        assert_eq!((0..100).filter(|_| allow("a")).count(), 10);
        assert_eq!((0..100).filter(|_| allow("b")).count(), 10);
        assert!(!allow("c"), "the wide one is used up");
        assert_eq!((0..100).filter(|_| narrow.allow("c", start)).count(), 10);
    }

    #[test]
    fn one_event_for_each_key_in_a_while() {
        let once = OncePer::new(Duration::from_secs(5));
        let start = Instant::now();
        assert!(once.allow("a", start) && once.allow("b", start));
        assert!(!once.allow("a", start + Duration::from_secs(4)));
        assert!(once.allow("a", start + Duration::from_secs(5)));
    }

    #[test]
    fn neighbours_are_counted_together() {
        let of = |text: &str| neighbourhood(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
