//! `approzium::query`: an application without OpenTelemetry, with the subscriber that everybody has.

use std::time::Duration;

use approzium::{
    AuthClient,
    opentelemetry::{Instrumentation, QueryText, instrument_with},
    postgres::{self, Client},
    tracing::attributed,
};
use approzium_peers::peer;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use serde_json::Value;
use tokio::time::timeout;
use tracing::{Instrument, Level, instrument::WithSubscriber};
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, registry};

use super::{
    connect,
    output::{Output, ours},
    run,
};
use crate::thread::{House, application::CHECKOUT};

#[tokio::test]
async fn a_plain_subscriber_shows_queries() {
    let house = peer!(House::open(None));
    run(&house, "tracing::events::each_query_is_one").await;
    run(&house, "tracing::events::what_is_slow_is_a_warning").await;
}

/// Nothing is instrumented, and no client is the default one.
#[tokio::test]
#[ignore = "an application: a_plain_subscriber_shows_queries runs it"]
async fn each_query_is_one() {
    let client = AuthClient::from_env().unwrap();
    let database = std::env::var("DATABASE").unwrap();
    let database = postgres::connect_with(&database, &client).await.unwrap();
    approzium::attribution::current().await;

    let output = Output::default();
    let lines = fmt::layer().json().with_writer(output.writer());
    async {
        let request = tracing::info_span!("request", path = "/orders");
        queries(&database).instrument(request).await;
    }
    .with_subscriber(registry().with(ours()).with(lines))
    .await;

    let events = output.objects();
    let told: Vec<_> = events.iter().map(told).collect();
    let expected = [
        (
            "DEBUG",
            "SELECT",
            "SELECT note FROM orders WHERE id = $1",
            "",
        ),
        ("DEBUG", "PREPARE", "SELECT id FROM orders", ""),
        ("DEBUG", "SELECT", "SELECT id FROM orders", ""),
        ("DEBUG", "UPDATE", "UPDATE orders SET note = ?", ""),
        ("WARN", "SELECT", "SELECT * FROM nowhere", "42P01"),
        ("WARN", "SELECT", "SELECT pg_sleep(?)", "cancelled"),
    ];
    assert_eq!(told, expected);
    for event in &events {
        assert_eq!(event["span"]["path"], "/orders", "{event}");
        let fields = &event["fields"];
        assert!(fields["duration_ms"].as_f64().unwrap() > 0.0, "{event}");
        assert!(fields["approzium.request_id"].is_string(), "{event}");
        assert_eq!(fields["approzium.iam_arn"], client.iam_arn().unwrap());
        assert_eq!(fields["approzium.k8s.pod.name"], CHECKOUT.name, "{event}");
        assert_eq!(fields["trace_id"], Value::Null, "{event}");
    }

    // It is the only client: who it is, the process is.
    let output = Output::default();
    let lines = fmt::layer().json().map_event_format(attributed);
    let lines = lines.with_writer(output.writer());
    tracing::subscriber::with_default(registry().with(lines), || tracing::info!("outside"));
    let line = output.object("outside");
    assert_eq!(line["approzium.iam_arn"], client.iam_arn().unwrap());
}

/// Level, operation, text and `error.type` of an event.
fn told(event: &Value) -> (&str, &str, &str, &str) {
    let fields = &event["fields"];
    let text = |key| fields[key].as_str().unwrap_or_default();
    let level = event["level"].as_str().unwrap();
    let operation = text("db.operation.name");
    (level, operation, text("db.query.text"), text("error.type"))
}

async fn queries(client: &Client) {
    let select = "SELECT note FROM orders WHERE id = $1";
    client.query(select, &[&7]).await.unwrap();
    let prepared = client.prepare("SELECT id FROM orders").await.unwrap();
    client.query(&prepared, &[]).await.unwrap();
    let update = "UPDATE orders SET note = 'new'";
    client.batch_execute(update).await.unwrap();
    let missing = client.query_typed("SELECT * FROM nowhere", &[]).await;
    missing.unwrap_err();
    let slow = client.query_typed("SELECT pg_sleep(3600)", &[]);
    timeout(Duration::from_millis(1), slow).await.unwrap_err();
}

#[tokio::test]
#[ignore = "an application: a_plain_subscriber_shows_queries runs it"]
async fn what_is_slow_is_a_warning() {
    let client = connect().await;
    let output = Output::default();
    let warnings = Targets::new().with_target("approzium::query", Level::WARN);
    let lines = fmt::layer().json().with_writer(output.writer());
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let instrumentation = Instrumentation::new()
        .tracer_provider(provider)
        .query_text(QueryText::Off);
    async {
        instrument_with(instrumentation.clone());
        client.query_typed("SELECT 'fast'", &[]).await.unwrap();
        instrument_with(instrumentation.slow_query(Duration::ZERO));
        client.query_typed("SELECT 'slow'", &[]).await.unwrap();
    }
    .with_subscriber(registry().with(warnings).with(lines))
    .await;

    let event = output.object("slow query");
    assert_eq!(output.objects().len(), 1);
    assert_eq!(event["fields"]["slow"], true);
    assert_eq!(event["fields"]["db.query.text"], Value::Null);
    let spans = exporter.get_finished_spans().unwrap();
    let span = &spans.last().unwrap().span_context;
    assert_eq!(spans.len(), 2);
    assert_eq!(event["fields"]["trace_id"], *span.trace_id().to_string());
    assert_eq!(event["fields"]["span_id"], *span.span_id().to_string());
}
