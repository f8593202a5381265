//! When the caller of a request is certain.
//!
//! The driver hands requests over in a queue, and tells nobody who sent them. But a send wakes the
//! connection's task on the sender's own thread, where the sender's span is the current one. Only
//! the first send since the connection last looked wakes it. So what is known, each time that the
//! connection has been polled, is who woke it, and which requests it then wrote. The one who woke
//! it sent the request
//! - if it was the only request,
//! - if everything that had been sent was written,
//! - if nothing else could have woken it, and no earlier sender is late in doing so,
//! - and if nobody else is known to use the connection: nothing was under way before, neither here
//!   nor in the wrapper, and no two queries ever were at once.
//!
//! In all other cases the parent is unknown. That is also so for a query behind a `Close` which the
//! driver sent for a dropped statement: the two senders need not be the same, nor their spans.

use ::opentelemetry::Context;

/// What is known of those who use one connection.
#[derive(Debug, Default)]
pub(super) struct Parents {
    /// Two queries were under way at once: who sends what will never be certain again.
    shared: bool,
    /// So many senders that nobody waits for may still be about to wake the connection.
    late: usize,
    /// The last poll left nothing but a send to wake the connection.
    quiet: bool,
    /// Queries that are not answered.
    under_way: usize,
    /// As it was at the end of the last poll.
    was_under_way: bool,
    /// Requests since then.
    taken: usize,
    last: Option<Kind>,
}

/// What a request means for those who use the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Somebody waits for the answer, and does nothing else meanwhile.
    Query,
    /// The driver waits for the answer, while a query of its may be under way.
    LookUp,
    /// Nobody waits: a statement was dropped, a transaction, a copy.
    Farewell,
}

/// How a poll of the connection ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ended {
    /// Every answer that was there was read, and handed on.
    pub(super) read: bool,
    /// Every request that was there was written.
    pub(super) written: bool,
}

/// What the wrapper does on the connection meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrapper {
    Idle,
    /// Something: the request may be its own.
    Busy,
    /// Something else, while a request was written that is not its own.
    Concurrent,
}

impl Parents {
    pub(super) fn asked(&mut self, kind: Kind) {
        self.taken += 1;
        self.last = Some(kind);
        if kind == Kind::Query {
            self.shared |= self.under_way > 0;
            self.under_way += 1;
        }
    }

    pub(super) fn answered(&mut self, kind: Kind) {
        if kind == Kind::Query {
            self.under_way = self.under_way.saturating_sub(1);
        }
    }

    /// A query was asked of which no more is to be known, until it is [recalled](Self::recalled).
    pub(super) fn held(&mut self) {
        self.taken += 1;
        self.last = Some(Kind::Query);
    }

    /// The query that was held is to be answered as any other.
    pub(super) fn recalled(&mut self) {
        self.under_way += 1;
    }

    /// The last poll ended while a query was held that was not answered.
    pub(super) fn polled_while_held(&mut self) {
        self.was_under_way = true;
    }

    /// The connection was polled, after `waker` had woken it; `notes`: whoever wakes it is noted. The
    /// parent of the one request that was written, if it is certain.
    pub(super) fn polled(
        &mut self,
        waker: Option<Context>,
        ended: Ended,
        wrapper: Wrapper,
        notes: bool,
    ) -> Option<Context> {
        self.shared |= wrapper == Wrapper::Concurrent;
        let alone = self.taken == 1 && !self.was_under_way;
        let undisturbed = self.quiet && self.late == 0 && !self.shared && wrapper == Wrapper::Idle;
        let certain = alone && undisturbed && ended.written;
        let seen = usize::from(waker.is_some() && self.quiet);
        match self.last.take() {
            // Nobody is noted who sends through the wrapper.
            Some(last) => {
                let nobody_came = waker.is_none() && notes && wrapper != Wrapper::Busy;
                let late = match last {
                    Kind::Farewell => self.taken - seen,
                    _ => usize::from(nobody_came),
                };
                self.late = self.late.saturating_sub(1) + late;
            }
            None => self.late = self.late.saturating_sub(seen),
        }
        self.taken = 0;
        self.quiet = ended.read && ended.written;
        self.was_under_way = self.under_way > 0;
        waker.filter(|_| certain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: Ended = Ended {
        read: true,
        written: true,
    };

    /// One connection.
    struct Polls(Parents);

    impl Polls {
        /// It has been polled once.
        fn new() -> Self {
            let mut polls = Polls(Parents::default());
            assert_eq!(polls.poll(Some(1)), None);
            polls
        }

        fn poll(&mut self, waker: Option<u32>) -> Option<u32> {
            self.poll_ending(waker, CLEAN, Wrapper::Idle)
        }

        fn poll_ending(
            &mut self,
            waker: Option<u32>,
            ended: Ended,
            wrapper: Wrapper,
        ) -> Option<u32> {
            let waker = waker.map(|sender| Context::new().with_value(sender));
            let parent = self.0.polled(waker, ended, wrapper, true)?;
            parent.get::<u32>().copied()
        }

        /// A query from its writing to its answer.
        fn query(&mut self, waker: Option<u32>) -> Option<u32> {
            self.0.asked(Kind::Query);
            let parent = self.poll(waker);
            self.0.answered(Kind::Query);
            assert_eq!(self.poll(None), None);
            parent
        }
    }

    #[test]
    fn who_sends_alone_is_the_parent() {
        let mut polls = Polls::new();
        assert_eq!(polls.query(Some(7)), Some(7));
        assert_eq!(polls.query(Some(8)), Some(8));
    }

    #[test]
    fn beside_another_request_nobody_is() {
        let mut polls = Polls::new();
        polls.0.asked(Kind::Farewell);
        assert_eq!(polls.query(Some(7)), None);
        polls.0.asked(Kind::LookUp);
        assert_eq!(polls.query(Some(7)), None);
        assert_eq!(polls.query(Some(7)), Some(7));
    }

    #[test]
    fn after_two_queries_at_once_nobody_ever_is() {
        let mut polls = Polls::new();
        polls.0.asked(Kind::Query);
        polls.0.asked(Kind::Query);
        assert_eq!(polls.poll(Some(7)), None);
        polls.0.answered(Kind::Query);
        polls.0.answered(Kind::Query);
        assert_eq!(polls.poll(None), None);
        assert_eq!(polls.query(Some(7)), None);
    }

    #[test]
    fn a_late_sender_is_taken_for_no_other() {
        let mut polls = Polls::new();
        polls.0.asked(Kind::Farewell);
        assert_eq!(polls.poll(None), None);
        assert_eq!(polls.query(Some(7)), None, "this may be the farewell's");
        assert_eq!(polls.query(Some(8)), Some(8));

        polls.0.asked(Kind::Farewell);
        assert_eq!(polls.poll(None), None);
        assert_eq!(polls.poll(Some(7)), None, "here it is");
        assert_eq!(polls.query(Some(8)), Some(8));

        assert_eq!(
            polls.query(None),
            None,
            "of somebody who did not wake it yet"
        );
        assert_eq!(polls.query(Some(7)), None, "perhaps the one before");
        assert_eq!(polls.query(Some(8)), Some(8));
    }

    #[test]
    fn nor_is_any_of_several_late_ones() {
        let mut polls = Polls::new();
        polls.0.asked(Kind::Farewell);
        polls.0.asked(Kind::Farewell);
        assert_eq!(polls.poll(None), None);
        assert_eq!(polls.poll(Some(7)), None, "one of them");
        assert_eq!(polls.query(Some(7)), None, "this may be the other one");
        assert_eq!(polls.query(Some(8)), Some(8));
    }

    #[test]
    fn where_more_than_a_send_wakes_nobody_is() {
        for ended in [
            Ended {
                read: false,
                ..CLEAN
            },
            Ended {
                written: false,
                ..CLEAN
            },
        ] {
            let mut polls = Polls::new();
            assert_eq!(polls.poll_ending(None, ended, Wrapper::Idle), None);
            assert_eq!(polls.query(Some(7)), None);
            assert_eq!(polls.query(Some(7)), Some(7));
        }
        let mut polls = Polls::new();
        polls.0.asked(Kind::Query);
        let unwritten = Ended {
            written: false,
            ..CLEAN
        };
        assert_eq!(polls.poll_ending(Some(7), unwritten, Wrapper::Idle), None);
    }

    #[test]
    fn beside_the_wrapper_nobody_is() {
        let mut polls = Polls::new();
        polls.0.asked(Kind::Query);
        assert_eq!(polls.poll_ending(Some(7), CLEAN, Wrapper::Busy), None);
        polls.0.answered(Kind::Query);
        polls.poll(None);
        assert_eq!(polls.query(Some(7)), Some(7));
        polls.0.asked(Kind::Query);
        assert_eq!(polls.poll_ending(Some(7), CLEAN, Wrapper::Concurrent), None);
        polls.0.answered(Kind::Query);
        polls.poll(None);
        assert_eq!(polls.query(Some(7)), None);
    }
}
