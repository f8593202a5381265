//! One running query, and what is reported of it.

use std::{borrow::Cow, sync::Arc};

use ::opentelemetry::{
    Context, KeyValue,
    global::BoxedSpan,
    trace::{Span, SpanBuilder, SpanKind, Status},
};

use super::{
    attributes as key, connection::ConnectionInfo, instrumentation::Instrumentation, orphans,
    parent, sql::Description,
};

/// The handle of one running query: nothing at all while nobody wants to know of it.
///
/// Dropped before its end, the query was cancelled.
#[derive(Debug)]
pub(crate) struct QuerySpan(Option<Running>);

#[derive(Debug)]
struct Running {
    instrumentation: Arc<Instrumentation>,
    span: BoxedSpan,
}

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
    /// Begins a query, with everything that is known of it already there for samplers.
    ///
    /// To be called where the query's future is first polled: the caller's span of that moment is
    /// the parent. `describe` is called only if somebody wants to know.
    #[inline]
    pub(crate) fn start<D: Into<Arc<Description>>>(
        connection: &Arc<ConnectionInfo>,
        describe: impl FnOnce() -> D,
    ) -> Self {
        let Some(instrumentation) = connection.settings() else {
            return QuerySpan(None);
        };
        let description = describe().into();
        QuerySpan(Some(Running::start(
            instrumentation,
            connection,
            &description,
            Some(&parent()),
        )))
    }

    /// Begins a query that was seen on its way, not where it was called for.
    ///
    /// Without a parent that is certain it is a root that says so.
    pub(crate) fn start_observed(
        connection: &Arc<ConnectionInfo>,
        description: &Arc<Description>,
        parent: Option<Context>,
    ) -> Self {
        let Some(instrumentation) = connection.settings() else {
            return QuerySpan(None);
        };
        if parent.is_none() {
            orphans::found();
        }
        QuerySpan(Some(Running::start(
            instrumentation,
            connection,
            description,
            parent.as_ref(),
        )))
    }

    /// Whether anything is reported of the query.
    pub(crate) fn is_recording(&self) -> bool {
        self.0.is_some()
    }

    /// How many rows the query has returned, once that is certain.
    pub(crate) fn rows(&mut self, returned: u64) {
        if let Some(running) = &mut self.0
            && running.instrumentation.shows_returned_rows()
        {
            let returned = i64::try_from(returned).unwrap_or(i64::MAX);
            running
                .span
                .set_attribute(KeyValue::new(key::DB_RESPONSE_RETURNED_ROWS, returned));
        }
    }

    /// The query succeeded.
    pub(crate) fn finish(mut self) {
        if let Some(running) = self.0.take() {
            running.end(None);
        }
    }

    /// The query failed.
    pub(crate) fn fail(mut self, failure: impl FnOnce() -> Failure) {
        if let Some(running) = self.0.take() {
            running.end(Some(failure()));
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
        QuerySpan(self.0.take())
    }
}

impl Drop for QuerySpan {
    fn drop(&mut self) {
        if let Some(running) = self.0.take() {
            running.end(Some(Failure::cancelled()));
        }
    }
}

impl Running {
    fn start(
        instrumentation: Arc<Instrumentation>,
        connection: &ConnectionInfo,
        description: &Description,
        parent: Option<&Context>,
    ) -> Self {
        const OF_ITS_OWN: usize = 6;
        let of_connection = connection.attributes();
        let mut attributes = Vec::with_capacity(of_connection.len() + OF_ITS_OWN);
        attributes.extend_from_slice(of_connection);
        description.write_attributes(&mut attributes, instrumentation.shows_query_text());
        if parent.is_none() {
            attributes.push(KeyValue::new(key::PARENT, key::UNKNOWN));
        }
        let mut builder =
            SpanBuilder::from_name(description.span_name()).with_kind(SpanKind::Client);
        builder.attributes = Some(attributes);
        let span = match parent {
            Some(parent) => instrumentation.begin(builder, parent),
            None => instrumentation.begin(builder, &Context::new()),
        };
        Running {
            instrumentation,
            span,
        }
    }

    fn end(mut self, failure: Option<Failure>) {
        if let Some(failure) = failure {
            self.span
                .set_attribute(KeyValue::new(key::ERROR_TYPE, failure.error_type));
            if let Some(code) = failure.status_code {
                self.span
                    .set_attribute(KeyValue::new(key::DB_RESPONSE_STATUS_CODE, code));
            }
            self.span.set_status(Status::error(failure.description));
        }
        self.span.end();
    }
}

impl Failure {
    /// The caller gave the query up.
    fn cancelled() -> Self {
        Failure {
            error_type: Cow::Borrowed(key::CANCELLED),
            status_code: None,
            description: Cow::Borrowed(key::CANCELLED),
        }
    }
}
