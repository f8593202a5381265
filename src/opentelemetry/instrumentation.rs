//! What operations report, and where to.

use std::{
    mem,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ::opentelemetry::{
    Context, InstrumentationScope,
    global::{self, BoxedSpan, BoxedTracer},
    metrics::MeterProvider,
    trace::{Span, SpanBuilder, TraceContextExt, Tracer, TracerProvider},
};

use super::{
    attributes,
    metrics::Instruments,
    semconv::{add_old_names, wants_old_names},
};

/// Whether [`CURRENT`] holds: what everything costs while it does not is this load.
static ENABLED: AtomicBool = AtomicBool::new(false);

/// What the last call of [`instrument_with`] said.
static CURRENT: RwLock<Option<Arc<Instrumentation>>> = RwLock::new(None);

/// What holds for events of queries that nothing else is reported of.
pub(super) static DEFAULTS: Instrumentation = Instrumentation::new();

/// Makes a span of every query and every connect from now on, by the global providers.
///
/// The same as [`instrument_with`] and [`Instrumentation::new`].
pub fn instrument() {
    instrument_with(Instrumentation::new());
}

/// Makes a span of every query and every connect from now on, as `instrumentation` says.
///
/// It also holds for connections that are open already, and for what was prepared on them: while
/// there are no spans, an operation costs two atomic loads, and `prepare` keeps the text besides.
/// (Where a subscriber of `tracing` takes warnings, each query is described and timed all the same:
/// it may fail or be [slow](Instrumentation::slow_query).) The last call holds. A client can have [its own](crate::client::AuthClientBuilder::instrumentation).
///
/// ```
/// use approzium::opentelemetry::{Instrumentation, instrument_with};
///
/// # let provider = opentelemetry_sdk::trace::SdkTracerProvider::default();
/// instrument_with(Instrumentation::new().tracer_provider(provider));
/// ```
pub fn instrument_with(instrumentation: Instrumentation) {
    let before = exchange(Some(Arc::new(instrumentation)));
    ENABLED.store(true, Ordering::Relaxed);
    drop(before);
}

/// Makes no more spans.
///
/// Spans that have begun end as usual, and no provider is shut down by this. (One that nobody else
/// has a clone of goes with what held it, and an SDK's provider then sends what is waiting.) Clients that have an
/// [instrumentation of their own](crate::client::AuthClientBuilder::instrumentation) keep it. The
/// [event of a query](crate::tracing#the-event-approziumquery) goes on, by the defaults: who wants no
/// texts on lines either switches off by `instrument_with` and a provider that records nothing.
pub fn uninstrument() {
    ENABLED.store(false, Ordering::Relaxed);
    drop(exchange(None));
}

/// What was there before is to be dropped outside of the lock: it may hold the last clone of a
/// provider, which then shuts down.
fn exchange(instrumentation: Option<Arc<Instrumentation>>) -> Option<Arc<Instrumentation>> {
    let mut current = CURRENT.write().unwrap_or_else(PoisonError::into_inner);
    mem::replace(&mut *current, instrumentation)
}

/// What operations report, and where to: for [`instrument_with`], or for
/// [one client](crate::client::AuthClientBuilder::instrumentation).
///
/// ```
/// use std::time::Duration;
/// use approzium::opentelemetry::{Instrumentation, QueryText};
///
/// let quiet = Instrumentation::new()
///     .query_text(QueryText::Off)
///     .slow_query(Duration::from_millis(200));
/// # drop(quiet);
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is handed to instrument_with or to a client"]
pub struct Instrumentation {
    /// None: the global provider's of the moment.
    tracer: Option<Arc<BoxedTracer>>,
    /// None: those of the global provider of the moment.
    instruments: Option<Arc<Instruments>>,
    query_text: QueryText,
    returned_rows: bool,
    slow_query: Duration,
    sqlcommenter: bool,
}

/// What spans show of a query's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueryText {
    /// A text with parameters (`$1`) as it is; in any other text every literal is replaced by `?`.
    #[default]
    Sanitized,
    /// Nothing. The operation and the table are still named.
    Off,
}

impl Instrumentation {
    /// The defaults: the global providers, sanitised texts.
    pub const fn new() -> Self {
        Instrumentation {
            tracer: None,
            instruments: None,
            query_text: QueryText::Sanitized,
            returned_rows: false,
            slow_query: Duration::from_secs(1),
            sqlcommenter: false,
        }
    }

    /// Where spans go.
    ///
    /// Its type is that of the OpenTelemetry version of this library: another version's provider
    /// does not compile, where the global one would stay silent.
    /// Keep a clone to flush it and to shut it down: of an SDK's provider the last clone does that
    /// by itself when it is dropped, and blocks meanwhile.
    /// Default: the global provider, looked up for each operation, so that one that is installed
    /// later just works.
    pub fn tracer_provider<P>(mut self, provider: P) -> Self
    where
        P: TracerProvider,
        P::Tracer: Tracer + Send + Sync + 'static,
        <P::Tracer as Tracer>::Span: Send + Sync + 'static,
    {
        let tracer = provider.tracer_with_scope(scope());
        self.tracer = Some(Arc::new(BoxedTracer::new(Box::new(tracer))));
        self
    }

    /// Where [metrics](super::metrics) go.
    ///
    /// Default: the global provider, looked up for each operation.
    pub fn meter_provider(mut self, provider: impl MeterProvider) -> Self {
        self.instruments = Some(Instruments::of(&provider));
        self
    }

    /// What spans show of a query's text. Default: [`QueryText::Sanitized`].
    pub fn query_text(mut self, query_text: QueryText) -> Self {
        self.query_text = query_text;
        self
    }

    /// Whether spans say how many rows came back: `db.response.returned_rows`, which the
    /// conventions leave to who wants it. Default: no.
    pub fn returned_rows(mut self, show: bool) -> Self {
        self.returned_rows = show;
        self
    }

    /// From how long on a query is slow, and its event a warning. Default: 1 s.
    pub fn slow_query(mut self, threshold: Duration) -> Self {
        self.slow_query = threshold;
        self
    }

    /// Whether texts that go to the database end in a comment that names the query's span and who
    /// runs it ([sqlcommenter](https://google.github.io/sqlcommenter/spec/)), for the database's log
    /// and `pg_stat_activity`: `traceparent`, `tracestate`, the role (or the ARN of who has none),
    /// the pod, task or instance, and the request; at most 768 bytes. Default: no.
    ///
    /// The comment stands behind the last statement, before its semicolon. It is left out where the
    /// text has a comment already, where that cannot be told, and of texts longer than 1 MiB.
    ///
    /// It goes with `simple_query`, `batch_execute`, `query_typed` and `execute_typed` and their
    /// variants, and never with what is prepared, where each trace would make another statement of
    /// it. The driver prepares what `query`, `execute` and their variants run, a `&str` as well; and
    /// the statements of a transaction itself are the driver's own.
    pub fn sqlcommenter(mut self, comment: bool) -> Self {
        self.sqlcommenter = comment;
        self
    }

    pub(super) fn shows_query_text(&self) -> bool {
        self.query_text != QueryText::Off
    }

    pub(super) fn shows_returned_rows(&self) -> bool {
        self.returned_rows
    }

    pub(super) fn slow(&self) -> Duration {
        self.slow_query
    }

    pub(crate) fn wants_sqlcommenter(&self) -> bool {
        self.sqlcommenter
    }

    pub(super) fn instruments(&self) -> Arc<Instruments> {
        match &self.instruments {
            Some(instruments) => Arc::clone(instruments),
            None => Instruments::of_global(),
        }
    }

    /// Begins a span.
    pub(super) fn begin(&self, mut builder: SpanBuilder, parent: &Context) -> BoxedSpan {
        if let Some(attributes) = builder.attributes.as_mut().filter(|_| wants_old_names()) {
            add_old_names(attributes);
        }
        if let Some(tracer) = &self.tracer {
            return tracer.build_with_context(builder, parent);
        }
        let span = global::tracer_provider()
            .tracer_with_scope(scope())
            .build_with_context(builder, parent);
        if goes_nowhere(&span, parent) {
            warn_once();
        }
        span
    }
}

impl Default for Instrumentation {
    fn default() -> Self {
        Instrumentation::new()
    }
}

/// The instrumentation of an operation that begins now: the client's own, else everybody's.
#[inline]
pub(crate) fn effective(own: Option<&Arc<Instrumentation>>) -> Option<Arc<Instrumentation>> {
    match own {
        Some(own) => Some(Arc::clone(own)),
        None if !ENABLED.load(Ordering::Relaxed) => None,
        None => CURRENT
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone(),
    }
}

/// Whether there is an instrumentation for everybody.
#[inline]
pub(super) fn is_enabled() -> bool {
    ENABLED.load(Ordering::Relaxed)
}

/// Who makes our spans.
pub(super) const SCOPE: &str = "approzium";

/// No part of it allocates.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(SCOPE)
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(attributes::SCHEMA_URL)
        .build()
}

/// Whether the application records spans, but where the global provider knows nothing of them:
/// without one, a span is only its parent's name once more.
fn goes_nowhere(span: &BoxedSpan, parent: &Context) -> bool {
    !span.is_recording() && {
        let parent = parent.span();
        parent.is_recording() && parent.span_context() == span.span_context()
    }
}

fn warn_once() {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        ::tracing::warn!(
            "queries make no spans: the caller's span is recorded, but there is no global tracer \
             provider; hand the application's own to opentelemetry::global::set_tracer_provider, or \
             to approzium::opentelemetry::instrument_with"
        );
    }
}

#[cfg(test)]
mod tests;
