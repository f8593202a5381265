//! What is said of queries whose caller is not known.

use approzium::opentelemetry::{Instrumentation, instrument_with};
use approzium_peers::{eventually, peer};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use serde_json::Value;
use tracing_subscriber::{fmt, layer::SubscriberExt, registry, util::SubscriberInitExt};

use super::{connect, output::Output, run};
use crate::thread::{House, PATIENCE};

#[tokio::test]
async fn of_all_queries_without_a_parent_there_is_one_warning() {
    let house = peer!(House::open(None));
    run(&house, "tracing::orphans::several").await;
}

#[tokio::test]
#[ignore = "an application: of_all_queries_without_a_parent_there_is_one_warning runs it"]
async fn several() {
    let output = Output::default();
    let lines = fmt::layer().json().with_writer(output.writer());
    registry().with(lines).init();
    let spans = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(spans.clone())
        .build();
    instrument_with(Instrumentation::new().tracer_provider(provider));
    let client = connect().await;
    let driver: &tokio_postgres::Client = &client;
    let (one, other) = tokio::join!(
        driver.batch_execute("SELECT 1"),
        driver.batch_execute("SELECT 2")
    );
    one.and(other).unwrap();
    driver.batch_execute("SELECT 3").await.unwrap();
    let marked = || {
        let spans = spans.get_finished_spans().unwrap();
        let attributes = spans.into_iter().flat_map(|span| span.attributes);
        attributes
            .filter(|one| one.key.as_str() == "approzium.parent")
            .count()
    };
    eventually("three orphans", PATIENCE, async || {
        (marked() == 3).then_some(())
    })
    .await;
    let mut warnings = output.objects();
    warnings.retain(|line| line["level"] == "WARN");
    let [warning] = &warnings[..] else {
        panic!("{warnings:#?}");
    };
    let Value::String(said) = &warning["fields"]["message"] else {
        panic!("{warning}");
    };
    for told in ["approzium.parent=unknown", "approzium::postgres::Client"] {
        assert!(said.contains(told), "{said}");
    }
}
