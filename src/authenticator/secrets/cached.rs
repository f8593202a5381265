//! Records that are asked for over a network, and how long an answer is good.
//!
//! One document a place is asked for, with the records of all its users. An answer is good for the
//! time to live from the moment it was asked for, whether it holds records or none; a failure is
//! good for nobody but those who waited for it, or for a second where the manager did its work:
//! anybody can name a place that it refuses, again and again. However many want one place, one
//! question is under way.
//!
//! A sign of rotation is one against a version of a record: nobody is given that version again
//! unless the secrets manager still has it when asked after the sign. See [`signs`].

mod signs;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use moka::sync::Cache;
use tokio::{
    sync::{Mutex, Semaphore},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use self::signs::{Signs, Standing};
use super::{Freshness, Record, RecordKey, Secrets, Sign, Trouble, Unavailable, place::Place};
use crate::{
    authenticator::{limits::Turns, metrics::Metrics},
    identity::{Principal, VerifiedIdentity},
};

/// A secrets manager, asked over a network.
#[tonic::async_trait]
pub(crate) trait Source: Send + Sync + 'static {
    /// The records of all users of one database; none is not an error.
    async fn fetch(&self, place: &Place) -> Result<Vec<Arc<Record>>, Unavailable>;

    /// Whether records can be had now.
    async fn ready(&self) -> Result<(), Unavailable>;

    /// Follows the files that it has from now on until `end`, and shows what there is to be seen.
    fn keep_current(&self, _: &Arc<Metrics>, _end: &CancellationToken) {}
}

/// How long answers are waited for, and how long they are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetimes {
    ttl: Duration,
    timeout: Duration,
}

impl Lifetimes {
    /// Striking somebody off a record revokes within a minute, whatever is configured.
    pub(crate) const MAX_TTL: Duration = Duration::from_secs(60);
    /// A client gives up after ten seconds.
    pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(9);

    pub(crate) fn with_ttl(self, ttl: Duration) -> Self {
        Lifetimes {
            ttl: ttl.min(Self::MAX_TTL),
            ..self
        }
    }

    pub(crate) fn with_timeout(self, timeout: Duration) -> Self {
        Lifetimes {
            timeout: timeout.min(Self::MAX_TIMEOUT),
            ..self
        }
    }
}

impl Default for Lifetimes {
    fn default() -> Self {
        Lifetimes {
            ttl: Duration::from_secs(10),
            timeout: Duration::from_secs(3),
        }
    }
}

/// How long a secrets manager is taken for ready, or not, without asking it again.
const READINESS: Duration = Duration::from_secs(1);
/// Before a place that the manager does not give us is asked for again.
const FAILURE: Duration = Duration::from_secs(1);
/// Anybody with an identity can name hosts: what they fill is bounded, and what they ask.
const MAX_PLACES: u64 = 10_000;
const MAX_QUESTIONS: usize = 32;
/// Of one account, so that one which names slow places keeps no other waiting.
const MAX_QUESTIONS_OF_ACCOUNT: usize = 16;

/// A [`Source`] and what it said lately.
pub(crate) struct Cached<S> {
    source: S,
    lifetimes: Lifetimes,
    slots: Cache<Place, Arc<Slot>>,
    questions: Semaphore,
    by_account: Turns<Principal>,
    readiness: Mutex<Option<(Instant, Result<(), Unavailable>)>>,
}

#[derive(Default)]
struct Slot {
    /// Held by whoever asks.
    asking: Mutex<()>,
    /// Questions that were begun, and the last of them that was answered: whoever comes knows by
    /// these which answers are to a question that was begun, or to one that was open, after that.
    begun: AtomicU64,
    answered: AtomicU64,
    /// To the last question, be it that there is none.
    last: ArcSwapOption<Answer>,
    /// The last one with records: a failure does not take it from those who may still have it.
    good: ArcSwapOption<Answer>,
    signs: Signs,
}

struct Answer {
    question: u64,
    asked: Instant,
    records: Result<Vec<Arc<Record>>, Unavailable>,
}

impl<S: Source> Cached<S> {
    pub(crate) fn new(source: S, lifetimes: Lifetimes) -> Self {
        Cached {
            source,
            lifetimes,
            slots: Cache::builder()
                .max_capacity(MAX_PLACES)
                .time_to_idle(Lifetimes::MAX_TTL)
                .build(),
            questions: Semaphore::new(MAX_QUESTIONS),
            by_account: Turns::new(MAX_QUESTIONS_OF_ACCOUNT),
            readiness: Mutex::default(),
        }
    }

    async fn answer(
        &self,
        identity: &VerifiedIdentity,
        key: &RecordKey,
        place: &Place,
        freshness: Freshness,
    ) -> Result<Arc<Answer>, Unavailable> {
        let slot = self.slots.get_with_by_ref(place, Arc::default);
        let begun = slot.begun.load(Ordering::Acquire);
        let answered = slot.answered.load(Ordering::Acquire);
        let usual = freshness == Freshness::Usual;
        // Of a question that failed, too, nobody hears who may have what is kept.
        let kept = || {
            let good = slot.good(self.lifetimes.ttl).filter(|_| usual)?;
            (slot.signs.standing(identity, key, &good) == Standing::Good).then_some(good)
        };
        let unless_kept = |answer: Arc<Answer>| match &answer.records {
            Ok(_) => answer,
            Err(_) => kept().unwrap_or(answer),
        };
        if let Some(good) = kept() {
            return Ok(good);
        }
        // Before the place is: others who want the same do not wait for this account.
        let account = identity.principal.whole_account();
        let turn = timeout(self.lifetimes.timeout, self.by_account.take(account));
        let Ok(_turn) = turn.await else {
            return Err(Unavailable::new(
                Trouble::Slow,
                format!(
                    "{MAX_QUESTIONS_OF_ACCOUNT} logins of its account wait for records already: the \
                     secrets manager is slow, or they name many databases that are",
                ),
            ));
        };
        let _asking = slot.asking.lock().await;
        // Somebody else may have asked meanwhile.
        let since = if usual { answered } else { begun };
        let last = slot.last.load_full();
        let shared = last.filter(|last| last.question > since || usual && last.was_just_refused());
        let mut reread = (!usual).then_some(key);
        if let Some(shared) = shared.or_else(|| slot.good(self.lifetimes.ttl).filter(|_| usual)) {
            match slot.signs.standing(identity, key, &shared) {
                Standing::Good => return Ok(unless_kept(shared)),
                Standing::AskAgain => reread = Some(key),
                Standing::Withheld => {
                    return Err(Unavailable::new(
                        Trouble::Throttled,
                        "the database refused this password, and the record was read again a \
                         moment ago",
                    ));
                }
            }
        }
        let answer = self.ask(&slot, place, reread).await;
        if slot.signs.standing(identity, key, &answer) == Standing::Good {
            return Ok(unless_kept(answer));
        }
        // There was a sign against it while it was on its way.
        Ok(unless_kept(self.ask(&slot, place, Some(key)).await))
    }

    /// To be called by who holds `asking`.
    async fn ask(&self, slot: &Slot, place: &Place, reread: Option<&RecordKey>) -> Arc<Answer> {
        let question = slot.begun.fetch_add(1, Ordering::AcqRel) + 1;
        let asked = Instant::now();
        let records = self.within_time(self.source.fetch(place)).await;
        let answer = Arc::new(Answer {
            question,
            asked,
            records,
        });
        slot.signs.settle(&answer, reread);
        if answer.records.is_ok() {
            slot.good.store(Some(answer.clone()));
        }
        slot.last.store(Some(answer.clone()));
        slot.answered.store(question, Ordering::Release);
        answer
    }

    async fn within_time<T>(
        &self,
        question: impl Future<Output = Result<T, Unavailable>>,
    ) -> Result<T, Unavailable> {
        let limit = self.lifetimes.timeout;
        let asking = async {
            // Never closed: without a permit there is no question all the same.
            let Ok(_permit) = self.questions.acquire().await else {
                return Err(Unavailable::new(Trouble::Throttled, "it is not asked"));
            };
            question.await
        };
        timeout(limit, asking).await.unwrap_or_else(|_| {
            Err(Unavailable::new(
                Trouble::Slow,
                format!("no answer within {limit:?}"),
            ))
        })
    }
}

#[tonic::async_trait]
impl<S: Source> Secrets for Cached<S> {
    async fn records(
        &self,
        identity: &VerifiedIdentity,
        key: &RecordKey,
        freshness: Freshness,
    ) -> Result<Vec<Arc<Record>>, Unavailable> {
        let Some(place) = Place::of(key) else {
            return Ok(Vec::new());
        };
        let answer = self.answer(identity, key, &place, freshness).await?;
        let records = answer.records.as_ref().map_err(Clone::clone)?;
        Ok(records
            .iter()
            .filter(|record| record.key == *key)
            .cloned()
            .collect())
    }

    fn suspect(&self, record: &Arc<Record>, sign: Sign) -> bool {
        let Some(place) = Place::of(&record.key) else {
            return false;
        };
        let Some(slot) = self.slots.get(&place) else {
            return true;
        };
        let begun = slot.begun.load(Ordering::Acquire);
        let is_first = slot.signs.note(record, sign, begun);
        let kept = slot.good(self.lifetimes.ttl);
        is_first && kept.is_none_or(|kept| kept.has(record))
    }

    async fn ready(&self) -> Result<(), Unavailable> {
        // Held while it is asked: whoever comes meanwhile gets that answer.
        let mut readiness = self.readiness.lock().await;
        if let Some((at, ready)) = &*readiness
            && at.elapsed() < READINESS
        {
            return ready.clone();
        }
        let ready = self.within_time(self.source.ready()).await;
        *readiness = Some((Instant::now(), ready.clone()));
        ready
    }

    fn keep_current(&self, metrics: &Arc<Metrics>, end: &CancellationToken) {
        self.source.keep_current(metrics, end);
    }
}

impl Slot {
    fn good(&self, ttl: Duration) -> Option<Arc<Answer>> {
        let good = self.good.load_full();
        good.filter(|answer| answer.asked.elapsed() < ttl)
    }
}

impl Answer {
    /// A manager that is away, sealed or slow may answer at any moment, and loses nothing by being
    /// asked.
    fn was_just_refused(&self) -> bool {
        let refused = self.records.as_ref().is_err_and(|unavailable| {
            use Trouble::{Malformed, Refused, Throttled};
            matches!(unavailable.trouble, Refused | Malformed | Throttled)
        });
        refused && self.asked.elapsed() < FAILURE
    }
}

impl<S> fmt::Debug for Cached<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached")
            .field("lifetimes", &self.lifetimes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
