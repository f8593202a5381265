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
pub(crate) struct QuerySpan(State);

#[derive(Debug)]
enum State {
    /// Nobody wants to know, or it has ended.
    Silent,
    Own(Running),
    Lent(Lent),
}

/// Where a query waits for its answer, while somebody else may make its span. None: it was answered.
type Lent = Arc<Mutex<Option<Running>>>;

/// A span to be made for somebody who waits.
#[derive(Debug)]
pub(crate) struct Due(Lent);

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
    /// The span is yet to be begun.
    Due {
        by: Arc<Instrumentation>,
        parent: Context,
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
    /// Begins a query, whose span is then due: whom it is [lent](Self::lend) to makes it, or its end.
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
            return QuerySpan(State::Silent);
        }
        let mut running = Running::new(Arc::clone(connection), subject().into());
        if let Some(by) = instrumentation {
            let parent = parent();
            running.report = Report::Due { by, parent };
        }
        QuerySpan(State::Own(running))
    }

    /// Lends the query out, so that somebody else makes the span that is due, as of when the query
    /// began, with everything that is known of it already there for samplers. At the latest its end
    /// does. None: there is none due.
    ///
    /// To be called once the query is on its way: what a span costs is then spent while the database
    /// is at work. Nothing is said of it until it is [reclaimed](Self::reclaim).
    pub(crate) fn lend(&mut self) -> Option<Due> {
        match mem::replace(&mut self.0, State::Silent) {
            State::Own(running) if matches!(running.report, Report::Due { .. }) => {
                let lent = Arc::new(Mutex::new(Some(running)));
                self.0 = State::Lent(Arc::clone(&lent));
                Some(Due(lent))
            }
            other => {
                self.0 = other;
                None
            }
        }
    }

    /// The query was answered: whoever has not made its span by now will not.
    pub(crate) fn reclaim(&mut self) {
        if let State::Lent(lent) = &self.0 {
            let running = lock(lent).take();
            self.0 = running.map_or(State::Silent, State::Own);
        }
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
            return QuerySpan(State::Silent);
        }
        let mut running = Running {
            began,
            ..Running::new(Arc::clone(connection), Arc::clone(description).into())
        };
        if let Some(instrumentation) = instrumentation {
            if parent.is_none() {
                orphans::found(&instrumentation);
            }
            running.instrument(instrumentation, parent.as_ref());
        }
        QuerySpan(State::Own(running))
    }

    /// A text of the query as it is to be sent: with a comment, where that is wanted.
    pub(crate) fn commented<'a>(&mut self, text: &'a str) -> Cow<'a, str> {
        let State::Own(running) = &mut self.0 else {
            return Cow::Borrowed(text);
        };
        if !running.wants_comment() {
            return Cow::Borrowed(text);
        }
        running.begin();
        match running.instrumented() {
            Some(this) => {
                let attribution = running.connection.attribution();
                comment::commented(text, this.span.span_context(), attribution)
            }
            None => Cow::Borrowed(text),
        }
    }

    /// Whether anything is reported of the query.
    pub(crate) fn is_recording(&self) -> bool {
        !matches!(self.0, State::Silent)
    }

    /// How many rows the query has returned, once that is certain.
    pub(crate) fn rows(&mut self, returned: u64) {
        if let State::Own(running) = &mut self.0 {
            running.returned_rows = Some(returned);
        }
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

    /// Ends with the query's result.
    pub(crate) fn end_with<T, E>(self, result: &Result<T, E>, failure: impl FnOnce(&E) -> Failure) {
        match result {
            Ok(_) => self.finish(),
            Err(error) => self.fail(|| failure(error)),
        }
    }

    /// What is to be ended.
    fn ending(&mut self) -> Option<Running> {
        self.reclaim();
        match mem::replace(&mut self.0, State::Silent) {
            State::Own(running) => Some(running),
            State::Silent | State::Lent(_) => None,
        }
    }

    /// Leaves nothing behind to end: for streams, which may be polled again.
    pub(crate) fn take(&mut self) -> Self {
        QuerySpan(mem::replace(&mut self.0, State::Silent))
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
    /// Makes the span, unless the query was answered meanwhile.
    pub(crate) fn begin(self) {
        if let Some(running) = &mut *lock(&self.0) {
            running.begin();
        }
    }
}

fn lock(lent: &Lent) -> MutexGuard<'_, Option<Running>> {
    lent.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Running {
    fn new(connection: Arc<ConnectionInfo>, subject: Subject) -> Self {
        Running {
            connection,
            subject,
            began: Instant::now(),
            returned_rows: None,
            report: Report::None,
        }
    }

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

    fn begin(&mut self) {
        match mem::replace(&mut self.report, Report::None) {
            Report::Due { by, parent } => self.instrument(by, Some(&parent)),
            other => self.report = other,
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
            let Instrumented {
                instruments,
                labels,
                ..
            } = instrumented;
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
