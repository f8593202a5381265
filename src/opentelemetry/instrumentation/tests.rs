//! Which provider gets a span.

use ::opentelemetry::trace::{SpanContext, TraceContextExt};
use ::tracing::{
    Event, Level, Metadata, Subscriber,
    span::{Attributes, Id, Record},
    subscriber::with_default,
};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};

use super::*;
use crate::opentelemetry::{
    ConnectionInfo, Identity, QuerySpan, Server, sql::describe, testing::Recorder,
};

/// The application keeps its provider: the last one that goes shuts the exporter down.
fn pipeline() -> (InMemorySpanExporter, SdkTracerProvider) {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    (exporter, provider)
}

fn connection(own: Option<Instrumentation>) -> Arc<ConnectionInfo> {
    let server = Server {
        host: "db.example",
        port: 5432,
        peer: None,
        database: "shop",
        schema: None,
    };
    ConnectionInfo::postgresql(&server, &Identity::default(), own.map(Arc::new))
}

fn run(connection: &Arc<ConnectionInfo>) {
    QuerySpan::start(connection, || describe("SELECT FROM chosen")).finish();
}

fn count(exporter: &InMemorySpanExporter) -> usize {
    let spans = exporter.get_finished_spans().unwrap();
    let of_ours = spans.iter().filter(|span| span.name == "SELECT chosen");
    of_ours.count()
}

#[test]
fn the_last_call_holds_and_a_client_s_own_holds_for_it_alone() {
    let recorder = Recorder::start();
    let ((first, one), (second, other), (third, own)) = (pipeline(), pipeline(), pipeline());
    let (common, special) = (
        connection(None),
        connection(Some(Instrumentation::new().tracer_provider(own.clone()))),
    );
    let run_both = || {
        run(&common);
        run(&special);
    };
    run_both();
    instrument_with(Instrumentation::new().tracer_provider(one.clone()));
    run_both();
    instrument_with(Instrumentation::new().tracer_provider(other.clone()));
    run_both();
    run_both();
    instrument();
    run_both();
    uninstrument();
    run_both();
    assert_eq!(recorder.named("SELECT chosen").len(), 2, "before and after");
    assert_eq!((count(&first), count(&second), count(&third)), (1, 2, 6));
}

#[test]
fn what_runs_ends_where_it_began() {
    let recorder = Recorder::start();
    let (exporter, provider) = pipeline();
    instrument_with(Instrumentation::new().tracer_provider(provider.clone()));
    let running = QuerySpan::start(&connection(None), || describe("SELECT FROM chosen"));
    uninstrument();
    assert_eq!(count(&exporter), 0);
    running.finish();
    assert_eq!(count(&exporter), 1, "and nothing was shut down");
    drop(recorder);
}

#[test]
fn a_text_is_shown_unless_that_is_off() {
    for (query_text, shown) in [(QueryText::Sanitized, true), (QueryText::Off, false)] {
        let (exporter, provider) = pipeline();
        let own = Instrumentation::new()
            .tracer_provider(provider.clone())
            .query_text(query_text);
        run(&connection(Some(own)));
        let spans = exporter.get_finished_spans().unwrap();
        let keys: Vec<_> = spans[0]
            .attributes
            .iter()
            .map(|one| one.key.as_str())
            .collect();
        assert_eq!(keys.contains(&"db.query.text"), shown, "{keys:?}");
        assert!(keys.contains(&"db.collection.name"));
    }
}

#[test]
fn returned_rows_are_for_who_wants_them() {
    for wanted in [false, true] {
        let (exporter, provider) = pipeline();
        let own = Instrumentation::new()
            .tracer_provider(provider.clone())
            .returned_rows(wanted);
        let mut span = QuerySpan::start(&connection(Some(own)), || describe("SELECT"));
        span.rows(7);
        span.finish();
        let spans = exporter.get_finished_spans().unwrap();
        let rows =
            |one: &&::opentelemetry::KeyValue| one.key.as_str() == "db.response.returned_rows";
        let rows = spans[0].attributes.iter().find(rows);
        let expected = wanted.then_some(::opentelemetry::Value::I64(7));
        assert_eq!(rows.map(|one| one.value.clone()), expected);
    }
}

/// Counts warnings that a provider is missing.
struct Warnings(std::sync::atomic::AtomicUsize);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
            && metadata.target() == module_path!().trim_end_matches("::tests")
    }

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn spans_that_go_nowhere_are_told_of_once() {
    let recorder = Recorder::start();
    let (_, provider) = pipeline();
    let tracer = provider.tracer("application");
    let recorded = Context::new().with_span(tracer.start("request"));
    let remote = SpanContext::new(
        recorded.span().span_context().trace_id(),
        recorded.span().span_context().span_id(),
        ::opentelemetry::TraceFlags::SAMPLED,
        true,
        ::opentelemetry::trace::TraceState::NONE,
    );
    let unrecorded = Context::new().with_remote_span_context(remote);
    let warnings = Arc::new(Warnings(0.into()));
    let within = |context: &Context| {
        let _current = context.clone().attach();
        run(&connection(None));
        warnings.0.load(Ordering::Relaxed)
    };
    with_default(Arc::clone(&warnings), || {
        // There is a provider.
        assert_eq!(within(&recorded), 0);
        global::set_tracer_provider(::opentelemetry::trace::noop::NoopTracerProvider::new());
        // Nobody here records anything.
        assert_eq!((within(&Context::new()), within(&unrecorded)), (0, 0));
        assert_eq!(within(&recorded), 1);
        assert_eq!(within(&recorded), 1);
    });
    drop(recorder);
}
