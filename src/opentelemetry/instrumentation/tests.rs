//! Which provider gets a span.

use std::{sync::atomic::AtomicUsize, time::Instant};

use ::opentelemetry::trace::{
    SpanContext, SpanId, TraceFlags, TraceId, TraceState, noop::NoopTracerProvider,
};
use ::tracing::{Event, Level, Subscriber, subscriber::with_default};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{InMemorySpanExporter, SdkTracerProvider, Span as SdkSpan, SpanData, SpanProcessor},
};
use tracing_subscriber::{
    Layer,
    layer::{self, SubscriberExt},
};

use super::*;
use crate::opentelemetry::{
    ConnectionInfo, Identity, QuerySpan, Server,
    sql::describe,
    testing::{Recorder, attribute},
};

/// The application keeps its provider: the last one that goes shuts the exporter down.
struct Pipeline {
    provider: SdkTracerProvider,
    exporter: InMemorySpanExporter,
}

impl Pipeline {
    fn new() -> Self {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(exporter.clone())
            .build();
        Pipeline { provider, exporter }
    }

    fn instrumentation(&self) -> Instrumentation {
        Instrumentation::new().tracer_provider(self.provider.clone())
    }

    fn spans(&self) -> Vec<SpanData> {
        let mut spans = self.exporter.get_finished_spans().unwrap();
        spans.retain(|span| span.name == "SELECT chosen");
        spans
    }
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

#[test]
fn the_last_call_holds_and_a_client_s_own_holds_for_it_alone() {
    let recorder = Recorder::start();
    let (first, second, third) = (Pipeline::new(), Pipeline::new(), Pipeline::new());
    let (common, special) = (connection(None), connection(Some(third.instrumentation())));
    let run_both = || {
        run(&common);
        run(&special);
    };
    run_both();
    instrument_with(first.instrumentation());
    run_both();
    instrument_with(second.instrumentation());
    run_both();
    run_both();
    instrument();
    run_both();
    uninstrument();
    run_both();
    assert_eq!(recorder.named("SELECT chosen").len(), 2, "before and after");
    let counts = [&first, &second, &third].map(|pipeline| pipeline.spans().len());
    assert_eq!(counts, [1, 2, 6]);
}

#[test]
fn what_runs_ends_where_it_began() {
    let recorder = Recorder::start();
    let pipeline = Pipeline::new();
    instrument_with(pipeline.instrumentation());
    let running = QuerySpan::start(&connection(None), || describe("SELECT FROM chosen"));
    uninstrument();
    assert!(pipeline.spans().is_empty());
    running.finish();
    assert_eq!(pipeline.spans().len(), 1, "and nothing was shut down");
    drop(recorder);
}

/// Runs a query when it is shut down, as an exporter might that logs into a database.
#[derive(Debug)]
struct LastWord;

impl SpanProcessor for LastWord {
    fn on_start(&self, _: &mut SdkSpan, _: &Context) {}
    fn on_end(&self, _: SpanData) {}

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        run(&connection(None));
        Ok(())
    }
}

#[test]
fn a_provider_that_goes_with_its_instrumentation_may_still_ask() {
    let recorder = Recorder::start();
    let handed_over = || {
        let provider = SdkTracerProvider::builder()
            .with_span_processor(LastWord)
            .build();
        instrument_with(Instrumentation::new().tracer_provider(provider));
    };
    handed_over();
    instrument();
    assert_eq!(recorder.named("SELECT chosen").len(), 1);
    handed_over();
    uninstrument();
    assert_eq!(recorder.named("SELECT chosen").len(), 1);
}

#[test]
fn a_text_is_shown_unless_that_is_off() {
    for (query_text, shown) in [(QueryText::Sanitized, true), (QueryText::Off, false)] {
        let pipeline = Pipeline::new();
        let own = pipeline.instrumentation().query_text(query_text);
        run(&connection(Some(own)));
        let span = &pipeline.spans()[0];
        assert_eq!(attribute(span, "db.query.text").is_some(), shown);
        assert_eq!(
            attribute(span, "db.collection.name").as_deref(),
            Some("chosen")
        );
    }
}

#[test]
fn returned_rows_are_for_who_wants_them() {
    for wanted in [false, true] {
        let pipeline = Pipeline::new();
        let own = pipeline.instrumentation().returned_rows(wanted);
        let span = QuerySpan::start(&connection(Some(own)), || describe("SELECT FROM chosen"));
        span.rows(7);
        span.finish();
        let rows = attribute(&pipeline.spans()[0], "db.response.returned_rows");
        assert_eq!(rows.as_deref(), wanted.then_some("7"));
    }
}

#[test]
fn a_query_that_was_only_seen_has_the_parent_that_is_certain_or_none() {
    let pipeline = Pipeline::new();
    let connection = connection(Some(pipeline.instrumentation()));
    let description = Arc::new(describe("SELECT FROM chosen"));
    let caller = Context::new().with_span(pipeline.provider.tracer("test").start("caller"));
    // Whoever polls the connection is not who called.
    let _current = caller.clone().attach();
    for parent in [None, Some(caller.clone())] {
        QuerySpan::start_observed(&connection, &description, parent, Instant::now()).finish();
    }
    let [orphan, child] = &pipeline.spans()[..] else {
        panic!("{:?}", pipeline.spans());
    };
    assert_eq!(orphan.parent_span_id, SpanId::INVALID);
    assert_eq!(
        attribute(orphan, "approzium.parent").as_deref(),
        Some("unknown")
    );
    assert_eq!(child.parent_span_id, caller.span().span_context().span_id());
    assert_eq!(attribute(child, "approzium.parent"), None);
}

/// Counts warnings that a provider is missing.
#[derive(Clone, Default)]
struct Warnings(Arc<AtomicUsize>);

impl<S: Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let here = module_path!().trim_end_matches("::tests");
        if event.metadata().target() == here && *event.metadata().level() == Level::WARN {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// As an application has it that never calls `set_tracer_provider`.
#[test]
fn spans_that_go_nowhere_are_told_of_once() {
    let recorder = Recorder::start();
    let application = Pipeline::new();
    let tracer = application.provider.tracer("application");
    let warnings = Warnings::default();
    let subscriber = tracing_subscriber::registry()
        .with(warnings.clone())
        .with(tracing_opentelemetry::layer().with_tracer(tracer));
    let in_a_span = || {
        let _request = ::tracing::info_span!("request").entered();
        run(&connection(None));
        warnings.0.load(Ordering::Relaxed)
    };
    let in_a_remote_span = || {
        let remote = SpanContext::new(
            TraceId::from_hex("0af7651916cd43dd8448eb211c80319c").unwrap(),
            SpanId::from_hex("b7ad6b7169203331").unwrap(),
            TraceFlags::SAMPLED,
            true,
            TraceState::NONE,
        );
        let _current = Context::new().with_remote_span_context(remote).attach();
        run(&connection(None));
        warnings.0.load(Ordering::Relaxed)
    };
    with_default(subscriber, || {
        assert_eq!(in_a_span(), 0, "there is a provider");
        global::set_tracer_provider(NoopTracerProvider::new());
        assert_eq!(in_a_remote_span(), 0, "nobody here records anything");
        assert_eq!(in_a_span(), 1);
        assert_eq!(in_a_span(), 1);
        instrument_with(application.instrumentation());
        in_a_span();
    });
    assert_eq!(application.spans().len(), 1, "what the warning advises");
    drop(recorder);
}
