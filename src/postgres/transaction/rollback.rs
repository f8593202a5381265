//! The rollback that nobody asks for and nobody waits for.

use std::borrow::Cow;

use ::opentelemetry::{
    Context,
    trace::{SpanContext, TraceContextExt},
};

use crate::{opentelemetry::parent, postgres::spans::Spans};

/// Shows the rollback that the driver sends when a transaction is dropped.
pub(super) struct RollbackOnDrop<'a> {
    spans: &'a Spans,
    savepoint: Option<String>,
    /// The span that the transaction began in: not its context, by which it would last longer than
    /// its owner wants.
    began: Option<SpanContext>,
    armed: bool,
}

impl<'a> RollbackOnDrop<'a> {
    pub(super) fn new(spans: &'a Spans, savepoint: Option<String>) -> Self {
        RollbackOnDrop {
            spans,
            savepoint,
            began: spans
                .caller()
                .filter(Context::has_active_span)
                .map(|caller| caller.span().span_context().clone()),
            armed: true,
        }
    }

    /// The savepoint, if it is one; nothing is rolled back.
    pub(super) fn disarm(mut self) -> Option<String> {
        self.armed = false;
        self.savepoint.take()
    }
}

impl Drop for RollbackOnDrop<'_> {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        // Tasks and timeouts drop a transaction outside of every span: it still belongs to where it
        // began.
        let outside = !parent().has_active_span();
        let began = self.began.take().filter(|_| outside);
        let _began = began.map(|began| Context::new().with_remote_span_context(began).attach());
        let savepoint = self.savepoint.take();
        self.spans.composed(|| rollback(savepoint)).sent();
    }
}

/// What the driver sends to roll back, perhaps to a savepoint.
pub(super) fn rollback(savepoint: Option<String>) -> Cow<'static, str> {
    match savepoint {
        Some(savepoint) => Cow::Owned(format!("ROLLBACK TO {savepoint}")),
        None => Cow::Borrowed(ROLLBACK),
    }
}

/// What the driver sends to roll back a transaction.
pub(super) const ROLLBACK: &str = "ROLLBACK";
