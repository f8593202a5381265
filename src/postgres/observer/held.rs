//! What need not be understood at all.
//!
//! As long as the driver's own client is in nobody's hands, what is written is the wrapper's, which
//! shows it itself. If the wrapper does one thing only, its request, a [run](glance::is_run) of a
//! statement or a text, is held as it is, and forgotten once it is answered and the wrapper knows.
//! Should anybody have to know in between what is under way, since another request is written, its
//! announcement ends early, or its answer is no plain one, it is looked at after all.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use crate::wire::postgres::glance;

/// Whether a request can be held and is, also for those who do not look.
#[derive(Debug, Default)]
pub(super) struct Holding {
    /// Nobody but the wrapper can send.
    ours: AtomicBool,
    /// Announcements whose answers are to be understood.
    attentive: AtomicUsize,
    /// Changed by who looks, but for one step: the wrapper [knows](Self::known) of the answer.
    state: AtomicU8,
}

const NOTHING: u8 = 0;
/// A request that is not answered, or is just being looked at.
const ASKED: u8 = 1;
/// One of which the wrapper does not know yet that it is answered.
const ANSWERED: u8 = 2;

impl Holding {
    /// The driver's client is the wrapper's.
    pub(super) fn keep_to_us(&self) {
        self.ours.store(true, Ordering::Release);
    }

    /// The driver's client is in the application's hands, from now on.
    pub(super) fn hand_out(&self) {
        if self.ours.load(Ordering::Relaxed) {
            self.ours.store(false, Ordering::Release);
        }
    }

    /// The answer to what is announced now is to be understood.
    pub(super) fn attend(&self) {
        self.attentive.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn attend_no_more(&self) {
        self.attentive.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether what is written next can only be the wrapper's, which wants to know no more of it than
    /// when it ends.
    pub(super) fn may_begin(&self) -> bool {
        self.ours.load(Ordering::Acquire) && self.attentive.load(Ordering::SeqCst) == 0
    }

    pub(super) fn asked(&self) {
        self.state.store(ASKED, Ordering::SeqCst);
    }

    pub(super) fn answered(&self) {
        self.state.store(ANSWERED, Ordering::SeqCst);
    }

    pub(super) fn is_unanswered(&self) -> bool {
        self.state.load(Ordering::SeqCst) == ASKED
    }

    pub(super) fn is_any(&self) -> bool {
        self.state.load(Ordering::SeqCst) != NOTHING
    }

    /// The wrapper has the answer to what it announced: nothing is held any more, unless that is the
    /// request of another of its operations.
    pub(super) fn known(&self) -> bool {
        let order = Ordering::SeqCst;
        match self.state.compare_exchange(ANSWERED, NOTHING, order, order) {
            Ok(_) => true,
            Err(state) => state == NOTHING,
        }
    }

    /// What is held is to be looked at: whether it is answered; None if there is nothing.
    pub(super) fn recall(&self) -> Option<bool> {
        if self.state.load(Ordering::SeqCst) == NOTHING {
            return None;
        }
        let asked = |from| {
            self.state
                .compare_exchange(from, ASKED, Ordering::SeqCst, Ordering::SeqCst)
        };
        match asked(ANSWERED) {
            Ok(_) => Some(true),
            Err(NOTHING) => None,
            Err(_) => Some(false),
        }
    }

    pub(super) fn recalled(&self) {
        self.state.store(NOTHING, Ordering::SeqCst);
    }
}

/// The bytes, if they are one run.
pub(super) fn run<'a>(bytes: impl IntoIterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let mut pieces = bytes.into_iter().filter(|piece| !piece.is_empty());
    let (run, None) = (pieces.next()?, pieces.next()) else {
        return None;
    };
    (run.len() <= MAX_BYTES && glance::is_run(run)).then_some(run)
}

/// More than most requests have. What is longer costs the database and the driver more than to look
/// at it.
const MAX_BYTES: usize = 1_024;
