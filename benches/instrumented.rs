//! What a span costs a query: `SELECT 1` through the wrapper while instrumented, over the same
//! through the driver alone, on a connection that is not ours, in one run and in turns.
//!
//! The text is not prepared beforehand: the driver does it for each, as it does for applications
//! that pass texts. There is no TLS. Each span has 12 attributes of attribution and goes to a real
//! Jaeger, in batches of the SDK's default size, while the queries run. Printed are the ratio (the
//! goal is at most 1.05), and how many spans were dropped on the way (none).
//! `APPROZIUM_BENCH_SECONDS` sets how long it takes; the default is 20.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench that fails should fail loudly, and prints what it found"
)]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use approzium::{opentelemetry::instrument, postgres};
use approzium_peers::{Jaeger, eventually};
use common::Turns;
use opentelemetry::global;
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter},
};

/// Queries in a turn of one side: two full batches of the exporter's default, so that it drains into
/// Jaeger while they run.
const TURN: u32 = 1024;

const ATTRIBUTION: usize = 12;

const TEXT: &str = "SELECT 1";

/// Counts the queries that have arrived.
#[derive(Debug)]
struct Counting {
    exporter: OtlpExporter,
    exported: Arc<AtomicU64>,
}

impl SpanExporter for Counting {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.iter().filter(|span| span.name == "SELECT").count() as u64;
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
    let jaeger = Jaeger::start().await.expect("a Jaeger");
    let exported = Arc::new(AtomicU64::new(0));
    let made = Arc::new(AtomicU64::new(0));
    let provider = pipeline(&jaeger, &exported);
    global::set_tracer_provider(provider.clone());
    instrument();
    let server = common::server().await;

    // What a session of the server's costs depends on where it happens to run: each turn has one of
    // its own. Both sides run in a task, as an application's requests do.
    let turns: Turns<2> = Turns::take_timed(common::running_time(), async |side| {
        if side == 0 {
            return tokio::spawn(bare(common::bare(&server).await))
                .await
                .unwrap();
        }
        let client = common::wrapped(&server).await;
        made.fetch_add(u64::from(TURN), Ordering::Relaxed);
        let took = tokio::spawn(instrumented(client)).await.unwrap();
        // These spans are not the driver's to pay for.
        tokio::task::block_in_place(|| provider.force_flush()).unwrap();
        took
    })
    .await;
    tokio::task::block_in_place(|| provider.shutdown()).unwrap();
    assert_arrived(&jaeger).await;

    println!("SELECT 1, {} turns of {TURN}:", turns.count());
    println!("bare:         {:.2} µs", turns.microseconds(0, TURN));
    println!("instrumented: {:.2} µs", turns.microseconds(1, TURN));
    println!(
        "ratio: {:.3} in all, {:.3} in the median turn",
        turns.ratio_in_all(1, 0),
        turns.ratio(1, 0)
    );
    let [made, exported] = [made, exported].map(|count| count.load(Ordering::Relaxed));
    println!(
        "spans: {made} made, {exported} exported, {} dropped",
        made - exported
    );
}

async fn bare(client: tokio_postgres::Client) -> Duration {
    let start = Instant::now();
    for _ in 0..TURN {
        client.query_one(TEXT, &[]).await.unwrap();
    }
    start.elapsed()
}

async fn instrumented(client: postgres::Client) -> Duration {
    let start = Instant::now();
    for _ in 0..TURN {
        client.query_one(TEXT, &[]).await.unwrap();
    }
    start.elapsed()
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
