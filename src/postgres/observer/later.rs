//! What was seen and need not be understood yet.
//!
//! An application waits for the answer to its query, so what is done with an answer before it is handed
//! on holds the query up. Where nothing is to be shown when an answer comes, since the wrapper shows
//! its queries itself, it is put off until the next request is written: then the database is at work.

use ::opentelemetry::Context;

use super::parents::Ended;

/// What is put off, in its order.
#[derive(Default)]
pub(super) struct Later {
    bytes: Vec<u8>,
    steps: Vec<Step>,
}

enum Step {
    /// So many bytes.
    Read(usize),
    Polled(Polled),
}

/// One thing that was put off.
pub(super) enum Seen<'a> {
    Read(&'a [u8]),
    Polled(Polled),
}

/// A poll of the connection that has ended, and how things stood then.
pub(super) struct Polled {
    /// Who had woken it.
    pub(super) caller: Option<Context>,
    pub(super) ended: Ended,
    /// Whether the wrapper was doing something.
    pub(super) busy: bool,
    /// Whether who wakes it is noted.
    pub(super) notes: bool,
}

impl Later {
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Puts off what was read, if there is room for it, and it does not look like an error: who
    /// announced what failed will announce it no more.
    pub(super) fn read(&mut self, bytes: &[u8]) -> bool {
        let has_room = bytes.first() != Some(&b'E')
            && self.bytes.len().saturating_add(bytes.len()) <= MAX_BYTES
            && self.steps.len() < MAX_STEPS;
        if has_room {
            self.bytes.extend_from_slice(bytes);
            self.steps.push(Step::Read(bytes.len()));
        }
        has_room
    }

    /// Puts off what a poll means behind what was read; gives it back if there is nothing before it,
    /// or no room.
    pub(super) fn polled(&mut self, poll: Polled) -> Option<Polled> {
        if self.is_empty() || self.steps.len() >= MAX_STEPS {
            return Some(poll);
        }
        self.steps.push(Step::Polled(poll));
        None
    }

    /// Shows what was put off, up to the first failure. Nothing is put off any more.
    pub(super) fn drain<E>(
        &mut self,
        mut show: impl FnMut(Seen<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut bytes = self.bytes.as_slice();
        let shown = self.steps.drain(..).try_for_each(|step| match step {
            Step::Read(length) => {
                let (read, rest) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
                bytes = rest;
                show(Seen::Read(read))
            }
            Step::Polled(poll) => show(Seen::Polled(poll)),
        });
        self.bytes.clear();
        shown
    }
}

/// Most answers are shorter. What is longer costs the database and the driver more than to look at it.
const MAX_BYTES: usize = 1_024;

/// An answer comes in one piece or two, and the connection is polled for it once or twice.
const MAX_STEPS: usize = 8;
