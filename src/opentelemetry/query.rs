//! One running query, and what is reported of it.

use std::{
    borrow::Cow,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use ::opentelemetry::{
    Context, KeyValue,
    global::BoxedSpan,
    trace::{Span, SpanBuilder, SpanKind, Status},
};

use super::{
    attributes as key, comment,
    connection::ConnectionInfo,
    failure::Failure,
    instrumentation::{DEFAULTS, Instrumentation},
    metrics::Instruments,
    orphans, parent,
    sql::{Description, Subject},
};
use crate::tracing::query::{Finished, emit, wants_events};

/// The handle of one running query: nothing at all while nobody wants to know of it.
///
/// Dropped before its end, the query was cancelled.
#[derive(Debug)]
pub(crate) struct QuerySpan {
    running: Option<Shared>,
    /// Its span was due when it began.
    is_due: bool,
}

/// A query that somebody else may make the span of. None: it has ended.
type Shared = Arc<Mutex<Option<Running>>>;

/// A span to be made for somebody who waits.
#[derive(Debug)]
pub(crate) struct Due(Shared);

#[derive(Debug)]
struct Running {
    connection: Arc<ConnectionInfo>,
    subject: Subject,
    began: Instant,
    returned_rows: Option<u64>,
    report: Report,
}

/// What OpenTelemetry is told.
#[derive(Debug)]
enum Report {
    /// Nothing: only its event is wanted.
    None,
    /// The span is yet to be begun. Without a parent it is a root that says so.
    Due {
        by: Arc<Instrumentation>,
        parent: Option<Context>,
    },
    Begun(Instrumented),
}

#[derive(Debug)]
struct Instrumented {
    by: Arc<Instrumentation>,
    span: BoxedSpan,
    began: SystemTime,
    instruments: Arc<Instruments>,
    /// Of the measurements.
    labels: Vec<KeyValue>,
}

impl QuerySpan {
    /// Begins a query, whose span is then [due](Self::due).
    ///
    /// To be called where the query's future is first polled: the caller's span of that moment is
    /// the parent. `subject` is called only if somebody wants to know.
    #[inline]
    pub(crate) fn start<S: Into<Subject>>(
        connection: &Arc<ConnectionInfo>,
        subject: impl FnOnce() -> S,
    ) -> Self {
        let instrumentation = connection.settings();
        if instrumentation.is_none() && !wants_events() {
            return QuerySpan::silent();
        }
        let subject = subject().into();
        let parent = || Some(parent());
        QuerySpan::begun(connection, subject, Instant::now(), instrumentation, parent)
    }

    /// Begins a query that was seen on its way, not where it was called for.
    ///
    /// It was sent at `began`. Without a parent that is certain it is a root that says so.
    pub(crate) fn start_observed(
        connection: &Arc<ConnectionInfo>,
        description: &Arc<Description>,
        parent: Option<Context>,
        began: Instant,
    ) -> Self {
        let instrumentation = connection.settings();
        if instrumentation.is_none() && !wants_events() {
            return QuerySpan::silent();
        }
        let subject = Arc::clone(description).into();
        QuerySpan::begun(connection, subject, began, instrumentation, || parent)
    }

    fn begun(
        connection: &Arc<ConnectionInfo>,
        subject: Subject,
        began: Instant,
        instrumentation: Option<Arc<Instrumentation>>,
        parent: impl FnOnce() -> Option<Context>,
    ) -> Self {
        let report = match instrumentation {
            Some(by) => Report::Due {
                by,
                parent: parent(),
            },
            None => Report::None,
        };
        let is_due = matches!(report, Report::Due { .. });
        let running = Running {
            connection: Arc::clone(connection),
            subject,
            began,
            returned_rows: None,
            report,
        };
        QuerySpan {
            running: Some(Arc::new(Mutex::new(Some(running)))),
            is_due,
        }
    }

    fn silent() -> Self {
        QuerySpan {
            running: None,
            is_due: false,
        }
    }

    /// For somebody else who makes the span that is due, as of when the query began, with everything
    /// that is known of it already there for samplers. At the latest its end does. None: there is
    /// none due.
    ///
    /// To be made once the query is on its way: what a span costs is then spent while the database is
    /// at work.
    pub(crate) fn due(&self) -> Option<Due> {
        self.running.clone().filter(|_| self.is_due).map(Due)
    }

    /// A text of the query as it is to be sent: with a comment, where that is wanted.
    pub(crate) fn commented<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let commented = self.with(|running| running.comment(text)).flatten();
        commented.unwrap_or(Cow::Borrowed(text))
    }

    /// Whether anything is reported of the query.
    pub(crate) fn is_recording(&self) -> bool {
        self.running.is_some()
    }

    /// How many rows the query has returned, once that is certain.
    pub(crate) fn rows(&self, returned: u64) {
        self.with(|running| running.returned_rows = Some(returned));
    }

    /// The query succeeded.
    pub(crate) fn finish(mut self) {
        if let Some(running) = self.ending() {
            running.end(None);
        }
    }

    /// The query failed.
    pub(crate) fn fail(mut self, failure: impl FnOnce() -> Failure) {
        if let Some(running) = self.ending() {
            running.end(Some(failure()));
        }
    }

    /// The query has ended, and returned so many rows if that is known.
    pub(crate) fn end(
        mut self,
        failure: impl FnOnce() -> Option<Failure>,
        returned_rows: Option<u64>,
    ) {
        if let Some(mut running) = self.ending() {
            running.returned_rows = returned_rows.or(running.returned_rows);
            running.end(failure());
        }
    }

    /// Leaves nothing behind to end: for streams, which may be polled again.
    pub(crate) fn take(&mut self) -> Self {
        QuerySpan {
            running: self.running.take(),
            is_due: self.is_due,
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Running) -> T) -> Option<T> {
        lock(self.running.as_ref()?).as_mut().map(look)
    }

    /// What is to be ended: whoever has not made its span by now will not.
    fn ending(&mut self) -> Option<Running> {
        let running = self.running.take()?;
        lock(&running).take()
    }
}

impl Drop for QuerySpan {
    fn drop(&mut self) {
        if let Some(running) = self.ending() {
            running.end(Some(Failure::cancelled()));
        }
    }
}

impl Due {
    /// Makes the span, unless the query has ended meanwhile, and records what ended before.
    pub(crate) fn begin(self) {
        let instruments = lock(&self.0).as_mut().and_then(|running| {
            running.begin();
            let begun = running.instrumented()?;
            Some(Arc::clone(&begun.instruments))
        });
        if let Some(instruments) = instruments {
            instruments.record_many();
        }
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, Option<Running>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Running {
    fn instrumented(&self) -> Option<&Instrumented> {
        match &self.report {
            Report::Begun(instrumented) => Some(instrumented),
            Report::None | Report::Due { .. } => None,
        }
    }

    fn wants_comment(&self) -> bool {
        match &self.report {
            Report::Due { by, .. } | Report::Begun(Instrumented { by, .. }) => {
                by.wants_sqlcommenter()
            }
            Report::None => false,
        }
    }

    /// A text with a comment that names the query's span, where that is wanted.
    fn comment<'a>(&mut self, text: &'a str) -> Option<Cow<'a, str>> {
        if !self.wants_comment() {
            return None;
        }
        self.begin();
        let span = self.instrumented()?.span.span_context();
        Some(comment::commented(
            text,
            span,
            self.connection.attribution(),
        ))
    }

    fn begin(&mut self) {
        if matches!(self.report, Report::Due { .. })
            && let Report::Due { by, parent } = mem::replace(&mut self.report, Report::None)
        {
            self.instrument(by, parent.as_ref());
        }
    }

    /// Begins the span; without a parent it is a root that says so.
    fn instrument(&mut self, by: Arc<Instrumentation>, parent: Option<&Context>) {
        const OF_ITS_OWN: usize = 6;
        let of_connection = self.connection.attributes();
        let mut attributes = Vec::with_capacity(of_connection.len() + OF_ITS_OWN);
        attributes.extend_from_slice(of_connection);
        let description = self.subject.description();
        description.write_attributes(&mut attributes, by.shows_query_text());
        if parent.is_none() {
            orphans::found(&by);
            attributes.push(KeyValue::new(key::PARENT, key::UNKNOWN));
        }
        let mut builder =
            SpanBuilder::from_name(description.span_name()).with_kind(SpanKind::Client);
        builder.attributes = Some(attributes);
        let now = SystemTime::now();
        let began = now.checked_sub(self.began.elapsed()).unwrap_or(now);
        builder.start_time = Some(began);
        let span = match parent {
            Some(parent) => by.begin(builder, parent),
            None => by.begin(builder, &Context::new()),
        };
        let instruments = by.instruments();
        let labels = instruments.labels(&self.connection, description);
        self.report = Report::Begun(Instrumented {
            by,
            span,
            began,
            instruments,
            labels,
        });
    }

    fn end(mut self, failure: Option<Failure>) {
        let took = self.began.elapsed();
        self.begin();
        if let Report::Begun(instrumented) = &mut self.report {
            let labels = mem::take(&mut instrumented.labels);
            let instruments = &instrumented.instruments;
            instruments.operation(labels, failure.as_ref(), took, self.returned_rows);
        }
        if wants_events() {
            self.tell(failure.as_ref(), took);
        }
        if let Report::Begun(instrumented) = &mut self.report {
            instrumented.end(took, self.returned_rows, failure);
        }
    }

    fn tell(&self, failure: Option<&Failure>, took: Duration) {
        let instrumented = self.instrumented();
        let wanted = instrumented.map_or(&DEFAULTS, |this| &*this.by);
        emit(&Finished {
            connection: &self.connection,
            description: self.subject.description(),
            shows_text: wanted.shows_query_text(),
            took,
            returned_rows: self.returned_rows,
            failure,
            slow: took >= wanted.slow(),
            context: instrumented.map(|this| this.span.span_context().clone()),
        });
    }
}

impl Instrumented {
    fn end(&mut self, took: Duration, returned_rows: Option<u64>, failure: Option<Failure>) {
        let span = &mut self.span;
        if let Some(rows) = returned_rows.filter(|_| self.by.shows_returned_rows()) {
            let rows = i64::try_from(rows).unwrap_or(i64::MAX);
            span.set_attribute(KeyValue::new(key::DB_RESPONSE_RETURNED_ROWS, rows));
        }
        if let Some(failure) = failure {
            span.set_attribute(KeyValue::new(key::ERROR_TYPE, failure.error_type));
            if let Some(code) = failure.status_code {
                span.set_attribute(KeyValue::new(key::DB_RESPONSE_STATUS_CODE, code));
            }
            span.set_status(Status::error(failure.description));
        }
        // A clock that is set meanwhile changes nothing.
        match self.began.checked_add(took) {
            Some(ended) => span.end_with_timestamp(ended),
            None => span.end(),
        }
    }
}
