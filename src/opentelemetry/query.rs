//! The span of one query.

use std::{
    borrow::{Borrow, Cow},
    mem,
};

use ::opentelemetry::{
    KeyValue,
    global::BoxedSpan,
    trace::{Span, SpanBuilder, SpanKind, Status, Tracer},
};

use super::{
    attributes as key, connection::ConnectionInfo, is_enabled, parent, sql::Description, tracer,
};

/// The span of a query: nothing at all while not instrumented.
///
/// Dropped before its end, the query was cancelled.
#[derive(Debug)]
pub(crate) struct QuerySpan(Option<BoxedSpan>);

/// How a query failed, as a driver tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// `error.type`: the SQLSTATE, or one word of a closed list.
    pub(crate) error_type: Cow<'static, str>,
    /// The SQLSTATE, if the database itself said no.
    pub(crate) status_code: Option<String>,
    /// For people; holds no value of the query.
    pub(crate) description: Cow<'static, str>,
}

impl QuerySpan {
    /// Begins a query's span, with everything that is known of it already there for samplers.
    ///
    /// To be called where the query's future is first polled: the caller's span of that moment is
    /// the parent. `describe` is called only while instrumented.
    #[inline]
    pub(crate) fn start<D: Borrow<Description>>(
        connection: &ConnectionInfo,
        describe: impl FnOnce() -> D,
    ) -> Self {
        if !is_enabled() {
            return QuerySpan(None);
        }
        QuerySpan(Some(start(connection, describe().borrow())))
    }

    /// The query succeeded.
    pub(crate) fn finish(mut self) {
        if let Some(span) = &mut self.0.take() {
            span.end();
        }
    }

    /// The query failed.
    pub(crate) fn fail(mut self, failure: impl FnOnce() -> Failure) {
        if let Some(span) = &mut self.0.take() {
            let failure = failure();
            span.set_attribute(KeyValue::new(key::ERROR_TYPE, failure.error_type));
            if let Some(code) = failure.status_code {
                span.set_attribute(KeyValue::new(key::DB_RESPONSE_STATUS_CODE, code));
            }
            span.set_status(Status::error(failure.description));
            span.end();
        }
    }

    /// Ends with the query's result.
    pub(crate) fn end_with<T, E>(self, result: &Result<T, E>, failure: impl FnOnce(&E) -> Failure) {
        match result {
            Ok(_) => self.finish(),
            Err(error) => self.fail(|| failure(error)),
        }
    }

    /// Leaves nothing behind to end: for streams, which may be polled again.
    pub(crate) fn take(&mut self) -> Self {
        QuerySpan(mem::take(&mut self.0))
    }
}

fn start(connection: &ConnectionInfo, description: &Description) -> BoxedSpan {
    const OF_ITS_OWN: usize = 5;
    let of_connection = connection.attributes();
    let mut attributes = Vec::with_capacity(of_connection.len() + OF_ITS_OWN);
    attributes.extend_from_slice(of_connection);
    description.write_attributes(&mut attributes);
    let mut builder = SpanBuilder::from_name(description.span_name()).with_kind(SpanKind::Client);
    builder.attributes = Some(attributes);
    tracer().build_with_context(builder, &parent())
}

impl Drop for QuerySpan {
    fn drop(&mut self) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(key::ERROR_TYPE, key::CANCELLED));
            span.set_status(Status::error(key::CANCELLED));
            span.end();
        }
    }
}
