//! A span that ends exactly once, and what is measured with it.

use std::{
    borrow::Cow,
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use ::opentelemetry::{
    Context, KeyValue,
    trace::{SpanBuilder, Status, TraceContextExt},
};
use tokio::time::Instant;

use super::{
    super::{
        attributes as key,
        connection::{place, shared},
        instrumentation::Instrumentation,
        metrics::Outcome,
    },
    Phase,
};
use crate::error::{Error, Kind};

/// The span of a connect or of one of its phases. Dropped before its end, it was cancelled.
#[derive(Debug)]
pub(super) struct OpenSpan {
    pub(super) instrumentation: Arc<Instrumentation>,
    /// None: the whole connect.
    phase: Option<Phase>,
    pub(super) began: Instant,
    pub(super) context: Context,
    /// What became known since the start, written at the end: a second attempt, or a second
    /// address, knows better, and the SDK would keep both.
    late: Mutex<Vec<KeyValue>>,
    ended: AtomicBool,
}

impl OpenSpan {
    pub(super) fn start(
        instrumentation: Arc<Instrumentation>,
        phase: Option<Phase>,
        builder: SpanBuilder,
        parent: &Context,
    ) -> Self {
        let span = instrumentation.begin(builder, parent);
        OpenSpan {
            instrumentation,
            phase,
            began: Instant::now(),
            context: parent.with_span(span),
            late: Mutex::default(),
            ended: AtomicBool::new(false),
        }
    }

    pub(super) fn set(&self, attributes: impl IntoIterator<Item = KeyValue>) {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        for attribute in attributes {
            match late.iter_mut().find(|known| known.key == attribute.key) {
                Some(known) => *known = attribute,
                None => late.push(attribute),
            }
        }
    }

    /// Adds the place, which may have become known since the start.
    pub(super) fn locate(&self) {
        self.set(place().unwrap_or_default().iter().cloned());
    }

    pub(super) fn end(&self) {
        self.end_as(Outcome::Ok, Status::Unset);
    }

    pub(super) fn fail(&self, error: &Error) {
        self.set([
            KeyValue::new(key::ERROR_TYPE, error_type(error)),
            KeyValue::new(key::HOP, error.hop().as_str()),
        ]);
        let sqlstate = error.sqlstate();
        self.set(sqlstate.map(|sqlstate| shared(key::DB_RESPONSE_STATUS_CODE, sqlstate)));
        let request_id = error.request_id();
        self.set(request_id.map(|request_id| shared(key::REQUEST_ID, request_id)));
        self.end_as(Outcome::Error, Status::error(error.to_string()));
    }

    fn end_as(&self, outcome: Outcome, status: Status) {
        if self.ended.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(phase) = self.phase {
            let instruments = self.instrumentation.instruments();
            instruments.phase(phase.name(), outcome, self.began.elapsed());
        }
        let late = mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner));
        let span = self.context.span();
        span.set_attributes(late);
        span.set_status(status);
        span.end();
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        if !self.ended.load(Ordering::Acquire) {
            self.set([KeyValue::new(key::ERROR_TYPE, key::CANCELLED)]);
            self.end_as(Outcome::Cancelled, Status::error(key::CANCELLED));
        }
    }
}

/// `error.type`: the SQLSTATE if the database said no, else one word of a closed list.
fn error_type(error: &Error) -> Cow<'static, str> {
    Cow::Borrowed(match error.kind() {
        Kind::Configuration => "configuration",
        #[cfg(feature = "otlp")]
        Kind::Unready => "configuration",
        Kind::Credentials => "credentials",
        Kind::Unauthenticated => "unauthenticated",
        Kind::PermissionDenied => "permission_denied",
        Kind::Policy => "policy",
        Kind::ResourceExhausted => "resource_exhausted",
        Kind::Unavailable | Kind::Interrupted => "unavailable",
        Kind::Timeout => "timeout",
        Kind::Cancelled => key::CANCELLED,
        Kind::Protocol => "protocol",
        Kind::Database(sqlstate) => return Cow::Owned(sqlstate.clone()),
    })
}
