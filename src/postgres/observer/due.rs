//! Spans of the wrapper's that are made while the database is at work.
//!
//! The task that sends a query wakes the connection's, and on the same thread that runs only when the
//! sender waits: what the sender did until then would keep the request from being written. So it
//! leaves its span here, and the connection makes it when it has nothing else to do.

use std::{
    mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::opentelemetry::Due;

/// Those that nobody has made yet.
#[derive(Debug, Default)]
pub(super) struct DueSpans {
    any: AtomicBool,
    spans: Mutex<Vec<Due>>,
}

impl DueSpans {
    pub(super) fn push(&self, due: Due) {
        self.spans().push(due);
        self.any.store(true, Ordering::SeqCst);
    }

    /// The connection has been polled.
    pub(super) fn begin(&self) {
        if !self.any.swap(false, Ordering::SeqCst) {
            return;
        }
        let mut due = mem::take(&mut *self.spans());
        // What makes a span may be the application's: not within the lock.
        for span in due.drain(..) {
            span.begin();
        }
        let mut spans = self.spans();
        if spans.is_empty() {
            // Its room is kept for the next.
            *spans = due;
        }
    }

    fn spans(&self) -> MutexGuard<'_, Vec<Due>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
