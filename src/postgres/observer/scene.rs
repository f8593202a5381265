//! What a conversation takes place in.

use std::{
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{held::Holding, ledger::Ledger};
use crate::opentelemetry::{ConnectionInfo, Failure, QuerySpan};

/// Who else has to do with it, and what comes of it.
///
/// Spans begin and end, and events are told, by what the application has for them. That is not done in
/// the midst of a conversation, which others may wait for, but once it goes on without this.
pub(super) struct Scene<'a> {
    /// None: the login is not over.
    pub(super) connection: Option<&'a Arc<ConnectionInfo>>,
    pub(super) ledger: &'a Ledger,
    pub(super) holding: &'a Holding,
    /// A connection of ours is polling: it will say when it has ended.
    pub(super) polled: bool,
    /// What it was said to may have ended meanwhile.
    pub(super) is_late: Cell<bool>,
    /// It is the wrapper who shows what is seen now.
    pub(super) is_ours: Cell<bool>,
    ended: RefCell<Vec<(QuerySpan, Option<Box<Failure>>)>>,
    went_blind: Cell<bool>,
}

impl<'a> Scene<'a> {
    pub(super) fn new(
        connection: Option<&'a Arc<ConnectionInfo>>,
        ledger: &'a Ledger,
        holding: &'a Holding,
        polled: bool,
    ) -> Self {
        Scene {
            connection,
            ledger,
            holding,
            polled,
            is_late: Cell::new(false),
            is_ours: Cell::new(false),
            ended: RefCell::default(),
            went_blind: Cell::new(false),
        }
    }

    /// Whether there is a use for spans.
    pub(super) fn is_wanted(&self) -> bool {
        self.connection
            .is_some_and(|connection| connection.wants_descriptions())
    }

    /// Whether a query is to be shown that nobody announced.
    pub(super) fn shows(&self) -> bool {
        !self.is_ours.get() && self.is_wanted()
    }

    /// The span is made once the connection has nothing else to do.
    pub(super) fn begin_later(&self, span: &QuerySpan) {
        self.ledger.begin_later(span.due());
    }

    /// The span ends so once the scene does.
    pub(super) fn end_later(&self, span: QuerySpan, failure: Option<Box<Failure>>) {
        self.ended.borrow_mut().push((span, failure));
    }

    /// Nothing is seen from now on.
    pub(super) fn go_blind(&self) {
        self.ledger.strangers_are_unseen();
        self.went_blind.set(true);
    }

    /// The conversation goes on without this.
    pub(super) fn leave(self) {
        if self.went_blind.get() {
            ::tracing::debug!(
                "lost where messages begin: queries that do not go through approzium's own client \
                 make no spans on this connection any more"
            );
        }
        for (span, failure) in self.ended.into_inner() {
            undisturbed(|| match failure {
                Some(failure) => span.fail(|| *failure),
                None => span.finish(),
            });
        }
    }
}

/// Lets the application's samplers, processors and subscribers do what they do. If they panic, which
/// the panic's hook shows, a span is lost: not the connection, which others use too.
pub(super) fn undisturbed(tell: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(tell));
}
