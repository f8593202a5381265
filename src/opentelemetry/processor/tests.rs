//! Spans as other libraries make them, through the SDK.

use ::opentelemetry::{
    Value,
    trace::{SpanBuilder, Tracer, TracerProvider},
};
use ::tracing::field::Empty;
use opentelemetry_sdk::trace::{
    InMemorySpanExporter, SdkTracerProvider, SimpleSpanProcessor, TracerProviderBuilder,
};
use tracing_subscriber::layer::SubscriberExt;

use super::*;

const ROLE: &str = "approzium.iam_role";
const POD: &str = "approzium.k8s.pod.name";

fn known() -> Arc<Vec<KeyValue>> {
    Arc::new(vec![
        KeyValue::new(ROLE, "checkout"),
        KeyValue::new(POD, "pod-7"),
    ])
}

fn nothing() -> Arc<Vec<KeyValue>> {
    Arc::default()
}

fn at_start(attribution: fn() -> Arc<Vec<KeyValue>>) -> (SdkTracerProvider, InMemorySpanExporter) {
    recorded(|builder, exporter| {
        builder
            .with_span_processor(AttributionProcessor { attribution })
            .with_span_processor(SimpleSpanProcessor::new(exporter))
    })
}

fn around() -> (SdkTracerProvider, InMemorySpanExporter) {
    let processor = AttributionProcessor { attribution: known };
    recorded(|builder, exporter| {
        builder.with_span_processor(processor.around(SimpleSpanProcessor::new(exporter)))
    })
}

fn recorded(
    with: impl FnOnce(TracerProviderBuilder, InMemorySpanExporter) -> TracerProviderBuilder,
) -> (SdkTracerProvider, InMemorySpanExporter) {
    let exporter = InMemorySpanExporter::default();
    let provider = with(SdkTracerProvider::builder(), exporter.clone()).build();
    (provider, exporter)
}

fn run(
    provider: &SdkTracerProvider,
    library: &'static str,
    kind: SpanKind,
    attributes: &[(&'static str, &'static str)],
) {
    let attributes = attributes
        .iter()
        .map(|(key, value)| KeyValue::new(*key, *value));
    let builder = SpanBuilder::from_name("query")
        .with_kind(kind)
        .with_attributes(attributes);
    provider.tracer(library).build(builder).end();
}

/// Every value under a key of the one span.
fn values(exporter: &InMemorySpanExporter, key: &str) -> Vec<Value> {
    let spans = exporter.get_finished_spans().unwrap();
    let [span] = &spans[..] else {
        panic!("{spans:?}");
    };
    let attributes = span.attributes.iter();
    attributes
        .filter(|one| one.key.as_str() == key)
        .map(|one| one.value.clone())
        .collect()
}

#[test]
fn database_spans_of_others_say_who_and_where() {
    for system in ["db.system.name", "db.system"] {
        for (provider, exporter) in [at_start(known), around()] {
            run(&provider, "sqlx", SpanKind::Client, &[(system, "mysql")]);
            assert_eq!(values(&exporter, ROLE), ["checkout".into()]);
            assert_eq!(values(&exporter, POD), ["pod-7".into()]);
            assert_eq!(values(&exporter, system), ["mysql".into()]);
        }
    }
}

#[test]
fn what_a_span_says_itself_stays() {
    for (provider, exporter) in [at_start(known), around()] {
        let said = [("db.system.name", "redis"), (ROLE, "cache")];
        run(&provider, "redis", SpanKind::Client, &said);
        assert_eq!(values(&exporter, ROLE), ["cache".into()]);
        assert_eq!(values(&exporter, POD), ["pod-7".into()]);
    }
}

#[test]
fn all_other_spans_stay_as_they_are() {
    let database = [("db.system.name", "postgresql")];
    for (library, kind, attributes) in [
        (SCOPE, SpanKind::Client, &database[..]),
        ("sqlx", SpanKind::Internal, &database),
        ("hyper", SpanKind::Client, &[("server.address", "db")]),
    ] {
        for (provider, exporter) in [at_start(known), around()] {
            run(&provider, library, kind.clone(), attributes);
            assert_eq!(values(&exporter, ROLE), []);
            assert_eq!(values(&exporter, POD), []);
        }
    }
    let (provider, exporter) = at_start(nothing);
    run(&provider, "sqlx", SpanKind::Client, &database);
    assert_eq!(values(&exporter, ROLE), []);
}

/// `tracing-opentelemetry` begins a span at its first entry.
#[test]
fn what_tracing_records_late_is_seen_only_at_the_end() {
    for ((provider, exporter), at_the_end) in [(at_start(known), false), (around(), true)] {
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("sqlx"));
        let subscriber = tracing_subscriber::registry().with(layer);
        ::tracing::subscriber::with_default(subscriber, || {
            for entered_first in [false, true] {
                let span =
                    ::tracing::info_span!("query", otel.kind = "client", db.system.name = Empty);
                if entered_first {
                    span.in_scope(|| {});
                }
                span.record("db.system.name", "postgresql");
                span.in_scope(|| {});
                drop(span);
                let expected: &[Value] = match entered_first && !at_the_end {
                    true => &[],
                    false => &["checkout".into()],
                };
                assert_eq!(values(&exporter, ROLE), expected);
                exporter.reset();
            }
        });
    }
}

#[test]
fn a_provider_names_the_service() {
    let processor = AttributionProcessor { attribution: known };
    let named = |name| Resource::builder_empty().with_service_name(name).build();
    let provider = SdkTracerProvider::builder()
        .with_resource(named("of-a-provider"))
        .with_span_processor(processor)
        .build();
    assert_eq!(
        super::super::service_name().as_deref(),
        Some("of-a-provider")
    );
    drop(provider);
    note_service(&named("unknown_service:test"));
    assert_eq!(
        super::super::service_name().as_deref(),
        Some("of-a-provider")
    );
}
