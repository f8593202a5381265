//! One trace from the application's connect into the Authenticator.

use approzium::{
    opentelemetry::{instrument, uninstrument},
    postgres::Connector,
};
use approzium_peers::peer;
use opentelemetry::{
    Context, global,
    trace::{FutureExt, Span, SpanId, Status, TraceContextExt, Tracer},
};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};

use super::{Authenticator, PASSWORD, config, connect, server, string, verified};
use crate::opentelemetry::exclusively;

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_shows_its_phases_and_what_the_authenticator_did() {
    let _process = exclusively().await;
    let server = peer!(server(15));
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    global::set_tracer_provider(provider);
    let authenticator = Authenticator::start().await;
    authenticator.record(server.port(), "app", PASSWORD);
    authenticator.record(server.port(), "absent", PASSWORD);
    instrument();

    let text = string(&server, "app", &verified(&server));
    let spans = recorded(&exporter, async {
        connect(&authenticator, &text).await.unwrap();
    })
    .await;
    let connect_span = only(&spans, "connect localhost");
    assert_eq!(connect_span.status, Status::Unset);
    // The session was there before.
    assert!(!spans.iter().any(|span| span.name == "session"));
    for phase in ["dial", "tls", "startup", "challenge", "database"] {
        let phase = only(&spans, phase);
        assert_eq!(phase.parent_span_id, id(connect_span));
        assert_eq!(phase.status, Status::Unset, "{phase:?}");
    }
    let challenge = only(&spans, "challenge");
    // No one's time is in another's.
    assert!(only(&spans, "startup").end_time <= only(&spans, "database").start_time);
    assert!(challenge.end_time <= only(&spans, "database").start_time);
    let answered = spans
        .iter()
        .find(|span| span.parent_span_id == id(challenge))
        .expect("the Authenticator's span");
    assert!(
        spans.iter().any(|span| span.parent_span_id == id(answered)),
        "{spans:?}"
    );

    // The driver's own connect, and one that the database refuses.
    let config = config(&string(&server, "absent", &verified(&server)));
    let connector = Connector::new(&config, authenticator.client()).unwrap();
    let spans = recorded(&exporter, async {
        let refused = connector.driver_config().connect(connector).await;
        assert!(refused.is_err());
    })
    .await;
    uninstrument();
    let failed = |span: &SpanData| matches!(span.status, Status::Error { .. });
    assert!(failed(only(&spans, "connect localhost")));
    assert!(failed(only(&spans, "database")));
    assert!(!failed(only(&spans, "challenge")) && !failed(only(&spans, "startup")));
}

/// The spans of the trace in which the work ran.
async fn recorded(
    exporter: &InMemorySpanExporter,
    work: impl Future<Output = ()>,
) -> Vec<SpanData> {
    let span = global::tracer("test").start("test");
    let trace = span.span_context().trace_id();
    work.with_context(Context::new().with_span(span)).await;
    let mut spans = exporter.get_finished_spans().unwrap();
    spans.retain(|span| span.span_context.trace_id() == trace);
    spans
}

fn only<'a>(spans: &'a [SpanData], name: &str) -> &'a SpanData {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    match found[..] {
        [span] => span,
        _ => panic!("{} spans named {name:?} among {spans:#?}", found.len()),
    }
}

fn id(span: &SpanData) -> SpanId {
    span.span_context.span_id()
}
