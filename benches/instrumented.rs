//! What a span costs a query: `SELECT 1` through the wrapper while instrumented, over the same
//! through the driver's own client, in one run and in turns.
//!
//! Each span has 12 attributes of attribution and goes to a real Jaeger, in batches of the SDK's
//! default size, while the queries run. Printed are the ratio (the goal is at most 1.05), and how
//! many spans were dropped on the way (none). `APPROZIUM_BENCH_SECONDS` sets how long it takes; the default is 20.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench that fails should fail loudly, and prints what it found"
)]

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use approzium::{
    AuthClient,
    opentelemetry::{instrument, uninstrument},
    postgres,
};
use approzium_peers::{Jaeger, Method, Postgres, Rule, eventually};
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter},
};

/// Queries in a turn of one side: two full batches of the exporter's default, so that it drains into
/// Jaeger while they run.
const TURN: u32 = 1024;

/// The first turns warm both sides up.
const WARM_UP: usize = 4;

const ATTRIBUTION: usize = 12;

/// Counts what has arrived.
#[derive(Debug)]
struct Counting {
    exporter: OtlpExporter,
    exported: Arc<AtomicU64>,
}

impl SpanExporter for Counting {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        self.exporter.export(batch).await?;
        self.exported.fetch_add(spans, Ordering::Relaxed);
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let seconds = env::var("APPROZIUM_BENCH_SECONDS");
    let seconds = seconds.map_or(20, |seconds| seconds.parse().expect("a number of seconds"));
    let jaeger = Jaeger::start().await.expect("a Jaeger");
    let exported = Arc::new(AtomicU64::new(0));
    let provider = pipeline(&jaeger, &exported);
    global::set_tracer_provider(provider.clone());
    let (_postgres, client) = connect().await;

    let end = Instant::now() + Duration::from_secs(seconds);
    // In a task of the runtime's, as an application's requests are.
    let turns = tokio::spawn(turns(client, provider.clone(), end));
    let turns = turns.await.unwrap();
    tokio::task::block_in_place(|| provider.shutdown()).unwrap();
    let exported = exported.load(Ordering::Relaxed);
    assert_arrived(&jaeger).await;
    report(&turns, exported);
}

/// What the driver's and the wrapper's queries took, turn by turn.
async fn turns(
    client: postgres::Client,
    provider: SdkTracerProvider,
    end: Instant,
) -> Vec<(Duration, Duration)> {
    let mut turns = Vec::new();
    while Instant::now() < end || turns.len() <= WARM_UP {
        // Neither always comes after the other, and the spans are not the driver's to pay for.
        turns.push(if turns.len() % 2 == 0 {
            let driver = driver_turn(&client).await;
            (driver, wrapper_turn(&client, &provider).await)
        } else {
            let wrapper = wrapper_turn(&client, &provider).await;
            (driver_turn(&client).await, wrapper)
        });
    }
    turns
}

fn report(turns: &[(Duration, Duration)], exported: u64) {
    let made = turns.len() as u64 * u64::from(TURN);
    let measured = &turns[WARM_UP..];
    let ratio =
        |(driver, wrapper): &(Duration, Duration)| wrapper.as_secs_f64() / driver.as_secs_f64();
    let mut ratios: Vec<f64> = measured.iter().map(ratio).collect();
    ratios.sort_by(f64::total_cmp);
    let bare: Duration = measured.iter().map(|(driver, _)| *driver).sum();
    let spanned: Duration = measured.iter().map(|(_, wrapper)| *wrapper).sum();
    let queries = measured.len() as f64 * f64::from(TURN);
    let microseconds = |all: Duration| all.as_secs_f64() * 1e6 / queries;
    println!("SELECT 1, bare:         {:.2} µs", microseconds(bare));
    println!("SELECT 1, instrumented: {:.2} µs", microseconds(spanned));
    println!(
        "ratio: {:.3} in all, {:.3} in the median turn of {}",
        spanned.as_secs_f64() / bare.as_secs_f64(),
        ratios[ratios.len() / 2],
        ratios.len()
    );
    println!(
        "spans: {made} made, {exported} exported, {} dropped",
        made - exported
    );
}

async fn driver_turn(client: &postgres::Client) -> Duration {
    uninstrument();
    let driver: &tokio_postgres::Client = client;
    let start = Instant::now();
    for _ in 0..TURN {
        driver.query_one("SELECT 1", &[]).await.unwrap();
    }
    start.elapsed()
}

async fn wrapper_turn(client: &postgres::Client, provider: &SdkTracerProvider) -> Duration {
    instrument();
    let start = Instant::now();
    for _ in 0..TURN {
        client.query_one("SELECT 1", &[]).await.unwrap();
    }
    let took = start.elapsed();
    tokio::task::block_in_place(|| provider.force_flush()).unwrap();
    took
}

fn pipeline(jaeger: &Jaeger, exported: &Arc<AtomicU64>) -> SdkTracerProvider {
    let exporter = OtlpExporter::builder()
        .with_tonic()
        .with_endpoint(jaeger.otlp_grpc())
        .build()
        .unwrap();
    let exporter = Counting {
        exporter,
        exported: exported.clone(),
    };
    let processor = BatchSpanProcessor::builder(exporter).build();
    SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name("bench").build())
        .with_span_processor(processor)
        .build()
}

/// Where the database trusts, nobody asks the Authenticator: the attribution stands in for its.
async fn connect() -> (Postgres, postgres::Client) {
    let postgres = Postgres::builder()
        .rule(Rule::host("app", Method::Trust))
        .start()
        .await
        .expect("a PostgreSQL");
    postgres.sql("CREATE ROLE app LOGIN").await.unwrap();
    let nobody = AuthClient::new("localhost:1").unwrap();
    let config = format!(
        "host=localhost port={} user=app dbname=postgres sslrootcert={} require_auth=none",
        postgres.port(),
        postgres.ca_path().display()
    );
    let client = postgres::connect_with(&config, &nobody).await.unwrap();
    let attribution = (0..ATTRIBUTION).map(|n| {
        let value: Arc<str> = format!("arn:aws:sts::123456789012:assumed-role/checkout/{n}").into();
        KeyValue::new(format!("approzium.attribution.{n}"), value)
    });
    let client = client.__with_attribution(attribution.collect());
    (postgres, client)
}

/// The spans are in Jaeger, with all their attribution.
async fn assert_arrived(jaeger: &Jaeger) {
    let query = jaeger.query();
    let tags = [("db.operation.name", "SELECT")];
    let found = eventually("a trace", Duration::from_secs(10), async || {
        let traces = query.traces("bench", &tags).await.unwrap();
        traces.into_iter().next()
    })
    .await;
    let span = found.only("SELECT");
    let attribution = |key: &&String| key.starts_with("approzium.");
    assert_eq!(span.tags.keys().filter(attribution).count(), ATTRIBUTION);
}
