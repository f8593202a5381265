//! What a connection of ours and the stream below tell each other while they are polled, which is by
//! one thread at a time.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Waker},
};

use super::parents::Ended;

/// A poll of the connection.
#[derive(Debug, Default)]
pub(super) struct Poll {
    /// A connection of ours polls.
    now: AtomicBool,
    read: AtomicBool,
    written: AtomicBool,
    /// Of the task that polls it.
    waker: Mutex<Option<Waker>>,
    /// How often that has changed.
    changes: AtomicU64,
}

impl Poll {
    /// The task that polls next.
    pub(super) fn by(&self, task: &Waker) {
        let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = waker.as_ref().is_some_and(|waker| waker.will_wake(task));
        if !is_same {
            *waker = Some(task.clone());
            self.changes.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn begin(&self) {
        self.read.store(false, Relaxed);
        self.written.store(false, Relaxed);
        self.now.store(true, Relaxed);
    }

    pub(super) fn end(&self) {
        self.now.store(false, Relaxed);
    }

    pub(super) fn is_now(&self) -> bool {
        self.now.load(Relaxed)
    }

    /// Whether every answer that was there was read.
    pub(super) fn came_to_read(&self, all: bool) {
        self.read.store(all, Relaxed);
    }

    /// Whether every request that was there was written.
    pub(super) fn came_to_write(&self, all: bool) {
        self.written.store(all, Relaxed);
    }

    pub(super) fn ended(&self) -> Ended {
        Ended {
            read: self.read.load(Relaxed),
            written: self.written.load(Relaxed),
        }
    }
}

/// The waker of the task that polls the stream's connection.
#[derive(Debug, Default)]
pub(super) struct Task {
    waker: Option<Waker>,
    /// As many changes as it is of.
    changes: u64,
}

impl Task {
    /// While a connection of ours polls: its task's waker, else the one at hand.
    pub(super) fn context<'a>(&'a mut self, poll: &Poll, cx: &'a Context<'_>) -> Context<'a> {
        if !poll.is_now() {
            return Context::from_waker(cx.waker());
        }
        let changes = poll.changes.load(Relaxed);
        if self.changes != changes {
            self.changes = changes;
            let waker = poll.waker.lock().unwrap_or_else(PoisonError::into_inner);
            self.waker.clone_from(&waker);
        }
        Context::from_waker(self.waker.as_ref().unwrap_or(cx.waker()))
    }
}
