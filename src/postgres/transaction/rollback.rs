//! The rollback that nobody asks for and nobody waits for.

use std::borrow::Cow;

use ::opentelemetry::{Context, trace::TraceContextExt};

use crate::{opentelemetry::parent, postgres::spans::Spans};

/// Shows the rollback that the driver sends when a transaction is dropped.
pub(super) struct RollbackOnDrop<'a> {
    spans: &'a Spans,
    savepoint: Option<String>,
    /// Where the transaction began.
    began: Option<Context>,
    armed: bool,
}

impl<'a> RollbackOnDrop<'a> {
    pub(super) fn new(spans: &'a Spans, savepoint: Option<String>) -> Self {
        RollbackOnDrop {
            spans,
            savepoint,
            began: spans.caller(),
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
        let _began = self.began.take().filter(|_| outside).map(Context::attach);
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
