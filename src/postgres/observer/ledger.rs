//! What the wrapper has announced, so that nothing is shown twice.
//!
//! An announcement stands for one request that is about to be sent. Which of two requests with the
//! same text it stands for does not matter: one of them is the wrapper's, and either way the other
//! is shown once, with the same words.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use super::scene::undisturbed;
use crate::{opentelemetry::Due, postgres::numbers::Numbers, wire::postgres::MAX_TEXT_LENGTH};

/// The announcements on one connection.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Makes keys that nobody can aim at.
    hashes: RandomState,
    entries: Mutex<Entries>,
    /// Whether there are spans that nobody has made yet.
    is_due: AtomicBool,
    /// Operations under way.
    running: AtomicUsize,
    /// Whether anything was given up that may be on its way: it seldom is.
    lingers: AtomicBool,
    /// Preparations that were not announced.
    strangers: AtomicU64,
}

#[derive(Debug, Default)]
struct Entries {
    counts: Counts,
    /// Spans that nobody has made yet.
    due: Vec<Due>,
    /// What was given up since the connection was last polled.
    given_up: Vec<Key>,
    /// What was given up before that.
    leaving: Vec<Key>,
}

/// By what a request is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::postgres) enum Key {
    /// A run of the statement that the driver gave this number.
    Statement(u64),
    /// A run of a text, by its hash.
    Text(u64),
    /// A text that is only prepared.
    Preparation(u64),
}

impl Key {
    /// The same text, but only prepared.
    pub(in crate::postgres) fn of_preparation(self) -> Option<Self> {
        match self {
            Key::Text(hash) => Some(Key::Preparation(hash)),
            Key::Statement(_) | Key::Preparation(_) => None,
        }
    }
}

/// Announcements of one key.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// Not met yet.
    open: usize,
    /// Of those, as many as may yet be prepared.
    unprepared: usize,
    /// Operations that may still send a request.
    running: usize,
    /// Requests of operations that were given up, which may be on their way.
    lingering: usize,
    /// It was to commit, and a transaction that had failed was rolled back.
    rolled_back: bool,
}

impl Ledger {
    /// Of a text, however much of it is at hand: a comment at its end, which names the trace, does
    /// not count.
    pub(super) fn hash(&self, text: &[u8]) -> u64 {
        self.hashes.hash_one(essence(text))
    }

    /// Something is about to be sent, whose span is to be made once it is.
    pub(super) fn announce(&self, key: Key, due: Option<Due>) {
        self.running.fetch_add(1, Ordering::SeqCst);
        let mut entries = self.entries();
        let count = entries.counts.of(key);
        count.open += 1;
        count.unprepared += 1;
        count.running += 1;
        self.push(&mut entries, due);
    }

    /// A span is to be made.
    pub(super) fn begin_later(&self, due: Option<Due>) {
        self.push(&mut self.entries(), due);
    }

    /// The connection has nothing else to do.
    pub(super) fn begin_due(&self) {
        if !self.is_due.load(Ordering::Acquire) || !self.is_due.swap(false, Ordering::AcqRel) {
            return;
        }
        let mut due = mem::take(&mut self.entries().due);
        // What makes a span may be the application's: not within the lock.
        for span in due.drain(..) {
            undisturbed(|| span.begin());
        }
        let mut entries = self.entries();
        if entries.due.capacity() == 0 {
            // Its room is kept for the next.
            entries.due = due;
        }
    }

    /// The operation has ended: none of its requests is on its way. Whether it was
    /// [rolled back](Self::roll_back).
    pub(super) fn withdraw(&self, key: Key) -> bool {
        let mut rolled_back = false;
        self.entries().change(key, |count| {
            count.running = count.running.saturating_sub(1);
            rolled_back = mem::take(&mut count.rolled_back);
        });
        self.running.fetch_sub(1, Ordering::SeqCst);
        rolled_back
    }

    /// What was to commit was a rollback: who announced it will be told.
    pub(super) fn roll_back(&self, key: Key) {
        self.entries().change(key, |count| count.rolled_back = true);
    }

    /// Nobody waits for the operation any more; its request may be on its way.
    pub(super) fn give_up(&self, key: Key) {
        let mut entries = self.entries();
        entries.given_up.push(key);
        entries.change(key, |count| {
            count.running = count.running.saturating_sub(1);
            count.lingering += 1;
        });
        self.lingers.store(true, Ordering::SeqCst);
        self.running.fetch_sub(1, Ordering::SeqCst);
    }

    /// By which of its keys a request was announced. It is no longer.
    pub(super) fn meet(&self, keys: impl IntoIterator<Item = Key>) -> Option<Key> {
        let mut entries = self.entries();
        for key in keys {
            if let Some(count) = entries.counts.find(key)
                && count.open > 0
            {
                count.open -= 1;
                return Some(key);
            }
        }
        None
    }

    /// By which of its keys a preparation was announced; what runs it is then still to be met.
    pub(super) fn meet_preparation(&self, keys: impl IntoIterator<Item = Key>) -> Option<Key> {
        let mut entries = self.entries();
        for key in keys {
            if let Some(count) = entries.counts.find(key)
                && count.unprepared > 0
            {
                count.unprepared -= 1;
                return Some(key);
            }
        }
        None
    }

    /// A statement is prepared that was not announced.
    pub(super) fn stranger(&self) {
        let next = |count: u64| count.checked_add(1);
        let _ = self
            .strangers
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
    }

    /// From now on nobody sees what is prepared.
    pub(super) fn strangers_are_unseen(&self) {
        self.strangers.store(u64::MAX, Ordering::Release);
    }

    /// How many [strangers](Self::stranger) there are, if that is known.
    pub(super) fn strangers(&self) -> Option<u64> {
        let count = self.strangers.load(Ordering::Acquire);
        (count < u64::MAX).then_some(count)
    }

    /// Whether the wrapper is doing something.
    pub(super) fn is_busy(&self) -> bool {
        self.running.load(Ordering::SeqCst) > 0
    }

    /// Whether the wrapper does one thing, and gave nothing up that may be on its way.
    pub(super) fn has_one_at_work(&self) -> bool {
        self.has_one_running() && !self.lingers.load(Ordering::SeqCst)
    }

    pub(super) fn has_one_running(&self) -> bool {
        self.running.load(Ordering::SeqCst) == 1
    }

    /// The connection is about to write what there is.
    pub(super) fn writing(&self) {
        if !self.lingers.load(Ordering::SeqCst) {
            return;
        }
        let mut entries = self.entries();
        let mut given_up = mem::take(&mut entries.given_up);
        entries.leaving.append(&mut given_up);
    }

    /// It has written everything.
    pub(super) fn written(&self) {
        if !self.lingers.load(Ordering::SeqCst) {
            return;
        }
        let mut entries = self.entries();
        for key in mem::take(&mut entries.leaving) {
            entries.change(key, |count| {
                count.lingering = count.lingering.saturating_sub(1);
            });
        }
        self.lingers
            .store(!entries.given_up.is_empty(), Ordering::SeqCst);
    }

    fn push(&self, entries: &mut Entries, due: Option<Due>) {
        if let Some(due) = due {
            entries.due.push(due);
            self.is_due.store(true, Ordering::Release);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn change(&mut self, key: Key, change: impl FnOnce(&mut Count)) {
        let Some(count) = self.counts.find(key) else {
            return;
        };
        change(count);
        let may_come = count.running + count.lingering;
        count.open = count.open.min(may_come);
        count.unprepared = count.unprepared.min(may_come);
        if may_come == 0 {
            self.counts.remove(key);
        }
    }
}

/// Announcements by their keys, of which there is mostly one.
#[derive(Debug, Default)]
struct Counts {
    first: Option<(Key, Count)>,
    others: HashMap<Key, Count, Numbers>,
}

impl Counts {
    /// That of a key, made if it is not there.
    fn of(&mut self, key: Key) -> &mut Count {
        let Counts { first, others } = self;
        if first.is_none() && others.is_empty() {
            *first = Some((key, Count::default()));
        }
        match first {
            Some((known, count)) if *known == key => count,
            _ => others.entry(key).or_default(),
        }
    }

    fn find(&mut self, key: Key) -> Option<&mut Count> {
        match &mut self.first {
            Some((known, count)) if *known == key => Some(count),
            _ if self.others.is_empty() => None,
            _ => self.others.get_mut(&key),
        }
    }

    fn remove(&mut self, key: Key) {
        if self.first.take_if(|(known, _)| *known == key).is_none() {
            self.others.remove(&key);
        }
    }
}

/// The part of a text by which it is recognised: without the comment that we may have put behind its
/// last statement, and no more than half of the greatest length, so that such a comment was seen as
/// well. An application's own comment belongs to its text.
fn essence(text: &[u8]) -> &[u8] {
    let whole = text.len() < MAX_TEXT_LENGTH;
    let text = if whole { without_comment(text) } else { text };
    text.get(..MAX_TEXT_LENGTH / 2).unwrap_or(text)
}

fn without_comment(text: &[u8]) -> &[u8] {
    let statements = without_end(text);
    let comment = match statements {
        [.., b'*', b'/'] => statements.windows(2).rposition(|two| two == b"/*"),
        _ => None,
    };
    let (before, comment) = comment
        .and_then(|comment| statements.split_at_checked(comment))
        .unwrap_or((statements, &[]));
    match OURS.iter().any(|ours| comment.starts_with(ours)) {
        true => without_end(before),
        false => statements,
    }
}

/// How a comment of [`crate::opentelemetry`] begins: its keys are sorted.
const OURS: [&[u8]; 2] = [b"/*approzium.", b"/*traceparent="];

fn without_end(text: &[u8]) -> &[u8] {
    let is_end = |byte: &u8| byte.is_ascii_whitespace() || *byte == b';';
    let end = text.iter().rposition(|byte| !is_end(byte));
    text.get(..end.map_or(0, |last| last + 1)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_empty(ledger: &Ledger) -> bool {
        let counts = &ledger.entries().counts;
        counts.first.is_none() && counts.others.is_empty()
    }

    #[test]
    fn an_announcement_is_met_once() {
        let ledger = Ledger::default();
        let key = Key::Text(ledger.hash(b"SELECT 1"));
        assert_eq!(ledger.meet([key]), None);
        ledger.announce(key, None);
        assert!(ledger.is_busy());
        assert_eq!(ledger.meet([Key::Statement(1), key]), Some(key));
        assert_eq!(ledger.meet([key]), None);
        ledger.withdraw(key);
        assert!(!ledger.is_busy());
        assert!(is_empty(&ledger));
    }

    #[test]
    fn what_ended_without_being_met_is_announced_no_more() {
        let ledger = Ledger::default();
        let key = Key::Statement(7);
        ledger.announce(key, None);
        ledger.announce(key, None);
        ledger.withdraw(key);
        assert_eq!(ledger.meet([key]), Some(key), "the other one");
        assert_eq!(ledger.meet([key]), None);
        ledger.withdraw(key);
        assert!(is_empty(&ledger));
    }

    #[test]
    fn who_announced_a_commit_is_told_of_its_rollback() {
        let ledger = Ledger::default();
        let key = Key::Text(ledger.hash(b"COMMIT"));
        ledger.roll_back(key);
        for rolled_back in [true, false] {
            ledger.announce(key, None);
            assert_eq!(ledger.meet([key]), Some(key));
            if rolled_back {
                ledger.roll_back(key);
            }
            assert_eq!(ledger.withdraw(key), rolled_back);
        }
    }

    #[test]
    fn what_was_given_up_lingers_until_everything_is_written() {
        let ledger = Ledger::default();
        let key = Key::Text(ledger.hash(b"ROLLBACK"));
        ledger.announce(key, None);
        ledger.writing();
        ledger.give_up(key);
        // That began before it was given up.
        ledger.written();
        assert_eq!(ledger.meet([key]), Some(key));

        ledger.announce(key, None);
        ledger.give_up(key);
        assert!(!ledger.is_busy());
        ledger.writing();
        ledger.written();
        assert_eq!(ledger.meet([key]), None);
        assert!(is_empty(&ledger));
    }

    #[test]
    fn our_comment_at_the_end_does_not_count() {
        let ledger = Ledger::default();
        let same =
            |one: &str, other: &str| ledger.hash(one.as_bytes()) == ledger.hash(other.as_bytes());
        for commented in [
            "SELECT 1 /*traceparent='00-1'*/",
            "SELECT 1 /*traceparent='00-1'*/; ",
        ] {
            assert!(same("SELECT 1;", commented) && same("SELECT 1", commented));
        }
        assert!(same(
            "SELECT 1",
            "SELECT 1 /*approzium.iam_role='checkout'*/"
        ));
        assert!(!same("SELECT 1", "SELECT 2 /*traceparent='00-1'*/"));
        assert!(!same("SELECT 1 /* a */", "SELECT 1 /* b */"), "theirs");
        assert!(!same("*/", ""));
        let long = "x".repeat(MAX_TEXT_LENGTH / 2);
        assert!(same(&long, &format!("{long} /*traceparent='00-1'*/")));
        let longer = "x".repeat(MAX_TEXT_LENGTH - 3);
        let commented = format!("{longer}/*traceparent*/");
        let seen = &commented[..MAX_TEXT_LENGTH];
        assert!(same(&longer, seen));
    }
}
