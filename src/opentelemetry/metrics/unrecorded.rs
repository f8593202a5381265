//! Measurements of operations that have ended, until they are recorded.
//!
//! To record one costs more than all else that a query's end does: each instrument looks its labels up
//! anew. So whoever waits for a query does not wait for that. It is done while the database is at work
//! on the next one, and at the latest before anybody reads what was measured.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ::opentelemetry::KeyValue;

/// An operation that has ended.
pub(super) struct Measurement {
    pub(super) labels: Vec<KeyValue>,
    pub(super) took: Duration,
    pub(super) returned_rows: Option<u64>,
}

#[derive(Default)]
pub(super) struct Unrecorded(Mutex<Vec<Measurement>>);

impl Unrecorded {
    /// Whether there is room for more.
    pub(super) fn push(&self, measurement: Measurement) -> bool {
        let mut waiting = self.lock();
        waiting.push(measurement);
        waiting.len() < MAX_WAITING
    }

    /// Whether there are enough to be worth it.
    pub(super) fn are_many(&self) -> bool {
        self.lock().len() >= MANY
    }

    pub(super) fn drain(&self, mut record: impl FnMut(Measurement)) {
        let mut waiting = mem::take(&mut *self.lock());
        if waiting.is_empty() {
            return;
        }
        // The meter is the application's: not within the lock.
        waiting.drain(..).for_each(&mut record);
        let mut left = self.lock();
        if left.capacity() == 0 {
            // Its room is kept for the next.
            *left = waiting;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Measurement>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One behind another they cost less: the processor has to learn the way through the meter once.
const MANY: usize = 16;

/// As many queries as may end while none begins.
const MAX_WAITING: usize = 64;
