//! Whose spans go where, and which end.

use std::time::Duration;

use approzium::{
    AuthClient,
    opentelemetry::{Instrumentation, QueryText, instrument, instrument_with, uninstrument},
    postgres,
};
use approzium_peers::eventually;
use opentelemetry::{global, trace::Status};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};

use super::fixture::{Fixture, attribute};

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

    async fn connect(&self, fixture: &Fixture) -> postgres::Client {
        connect(fixture, self.instrumentation()).await
    }

    fn spans(&self) -> Vec<SpanData> {
        self.exporter.get_finished_spans().unwrap()
    }

    fn texts(&self) -> Vec<String> {
        self.spans()
            .iter()
            .filter_map(|span| attribute(span, "db.query.text"))
            .collect()
    }
}

async fn connect(fixture: &Fixture, own: Instrumentation) -> postgres::Client {
    let nobody = AuthClient::builder("localhost:1")
        .instrumentation(own)
        .build()
        .unwrap();
    postgres::connect_with(&fixture.config(), &nobody)
        .await
        .unwrap()
}

async fn run(client: &postgres::Client, text: &str) {
    client.query(text, &[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_with_their_own_run_beside_each_other_and_mix_nothing() {
    let fixture = Fixture::start().await;
    let (one, other) = (Pipeline::new(), Pipeline::new());
    let (of_one, of_other, common) = (
        one.connect(&fixture).await,
        other.connect(&fixture).await,
        fixture.connect().await,
    );
    let turns = async |client: &postgres::Client, text: &str| {
        for _ in 0..20 {
            run(client, text).await;
        }
    };
    tokio::join!(
        turns(&of_one, "SELECT 1 \"one\""),
        turns(&of_other, "SELECT 1 \"other\""),
        turns(&common, "SELECT 1 \"common\""),
    );
    assert_eq!(one.texts(), vec!["SELECT ? \"one\""; 20]);
    assert_eq!(other.texts(), vec!["SELECT ? \"other\""; 20]);
    assert!(fixture.spans().is_empty(), "nobody asked for these");
    for pipeline in [&one, &other] {
        let spans = pipeline.spans();
        let connects = spans.iter().filter(|span| span.name == "connect localhost");
        assert_eq!(connects.count(), 1);
    }

    // What everybody does is nothing to them.
    instrument();
    uninstrument();
    run(&of_one, "SELECT 2").await;
    assert_eq!(one.texts().len(), 21);
}

#[tokio::test]
async fn the_last_call_holds_also_for_what_is_open_and_prepared() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let prepared = client.prepare("SELECT $1::int4").await.unwrap();
    let (one, other) = (Pipeline::new(), Pipeline::new());
    let query = async || {
        client.query(&prepared, &[&1]).await.unwrap();
    };
    query().await;
    instrument_with(one.instrumentation());
    query().await;
    instrument_with(other.instrumentation());
    query().await;
    query().await;
    uninstrument();
    query().await;
    assert_eq!(one.texts(), ["SELECT $1::int4"]);
    assert_eq!(other.texts(), ["SELECT $1::int4"; 2]);
    assert!(fixture.spans().is_empty());
}

#[tokio::test]
async fn a_global_provider_that_is_installed_later_gets_the_spans() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    instrument();
    run(&client, "SELECT 1").await;
    let later = Pipeline::new();
    global::set_tracer_provider(later.provider.clone());
    run(&client, "SELECT 1").await;
    assert_eq!(later.texts(), ["SELECT ?"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_when_it_is_switched_off_ends_as_usual() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let blocker = fixture.connect().await;
    run(&blocker, "SELECT pg_advisory_lock(7)").await;
    let pipeline = Pipeline::new();
    instrument_with(pipeline.instrumentation());
    let waiting = tokio::spawn(async move {
        run(&client, "SELECT pg_advisory_lock(7)").await;
        client
    });
    let waits = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    eventually("a query that waits", Duration::from_secs(10), async || {
        (!fixture.sql(waits).await.is_empty()).then_some(())
    })
    .await;
    uninstrument();
    assert!(pipeline.texts().is_empty());
    run(&blocker, "SELECT pg_advisory_unlock(7)").await;
    let client = waiting.await.unwrap();
    run(&client, "SELECT 'no span'").await;
    let spans = pipeline.spans();
    assert_eq!(spans.len(), 1, "{spans:?}");
    assert_eq!(spans[0].status, Status::Unset);
    assert_eq!(attribute(&spans[0], "error.type"), None);
}

#[tokio::test]
async fn a_text_can_be_left_out_and_rows_be_added() {
    let fixture = Fixture::start().await;
    let pipeline = Pipeline::new();
    let own = pipeline
        .instrumentation()
        .query_text(QueryText::Off)
        .returned_rows(true);
    let client = connect(&fixture, own).await;
    run(&client, "SELECT relname FROM pg_class LIMIT 3").await;
    let spans = pipeline.spans();
    let span = spans
        .iter()
        .find(|span| span.name == "SELECT pg_class")
        .unwrap();
    assert_eq!(attribute(span, "db.query.text"), None);
    assert_eq!(
        attribute(span, "db.collection.name").as_deref(),
        Some("pg_class")
    );
    assert_eq!(
        attribute(span, "db.response.returned_rows").as_deref(),
        Some("3")
    );
}
