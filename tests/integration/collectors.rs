//! A collector that is dead, slow or refusing costs spans, and each of them is counted. Queries
//! neither wait for it nor end otherwise.

mod collector;
mod tls;
mod workload;

use std::{collections::BTreeMap, time::Duration};

use approzium::opentelemetry::otlp::{Pipeline, pipeline};
use approzium_peers::{eventually, free_port};
use opentelemetry::{global, metrics::MeterProvider};
use opentelemetry_sdk::metrics::{
    InMemoryMetricExporter, PeriodicReader, SdkMeterProvider,
    data::{AggregatedMetrics, MetricData},
};

use crate::{attribution::BlackHole, opentelemetry::fixture::Fixture};
use collector::{Answer, Collector, Resets};
use workload::{FEW, MANY, run};

const PATIENCE: Duration = Duration::from_secs(60);

/// What the queue of the batches holds, and one batch that is on its way.
const HELD_BACK: u64 = 2048 + 512;

/// Less than anybody who retries needs.
const SHORT: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_listens_every_span_is_counted_as_lost() {
    let dead = format!("http://127.0.0.1:{}", free_port());
    lost_at(&dead, &Fixture::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_connections_are_reset_every_span_is_counted_as_lost() {
    let resets = Resets::start().await;
    lost_at(resets.url(), &Fixture::start().await).await;
    assert!(resets.connections() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_collector_says_unavailable_every_span_is_counted_as_lost() {
    let collector = Collector::start(Answer::Unavailable).await;
    lost_at(collector.url(), &Fixture::start().await).await;
    assert!(collector.asked() > 0);
}

/// These exporters, of spans and of metrics, try again beside the application: nothing is exported,
/// and when the pipeline has to end, it says what is lost.
async fn lost_at(endpoint: &str, fixture: &Fixture) {
    let pipeline = pipeline().endpoint(endpoint).metrics(true).build().await;
    let pipeline = pipeline.unwrap();
    pipeline.set_global();
    let made = run(fixture, &pipeline, FEW).await;
    assert_eq!(pipeline.exported_spans(), 0);
    let error = pipeline.shutdown(SHORT).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let lost = format!("{made} were lost");
    assert!(error.to_string().contains(&lost), "{lost}: {error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_collector_says_enough_every_span_is_counted_as_dropped() {
    let fixture = Fixture::start().await;
    let collector = Collector::start(Answer::ResourceExhausted).await;
    let pipeline = pipeline_to(collector.url()).await;
    let made = run(&fixture, &pipeline, FEW).await;
    pipeline.flush(PATIENCE).await.unwrap_err();
    // Without a word on when to come back, nobody tries again.
    assert_eq!(pipeline.dropped_spans(), made);
    assert_eq!(pipeline.exported_spans(), 0);
    pipeline.shutdown(PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_answers_the_queue_overflows_and_is_counted() {
    let fixture = Fixture::start().await;
    let hole = BlackHole::open().await;
    let pipeline = pipeline_to(hole.url()).await;
    let made = run(&fixture, &pipeline, MANY).await;
    // All queries are over, and nobody has said a word.
    assert_eq!((hole.connections(), pipeline.exported_spans()), (1, 0));
    let dropped = pipeline.dropped_spans();
    assert!(dropped >= made - HELD_BACK, "{dropped} of {made}");
    let error = pipeline.shutdown(SHORT).await.unwrap_err();
    let lost = format!("{made} were lost");
    assert!(error.to_string().contains(&lost), "{lost}: {error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_collector_gets_what_was_kept_and_the_rest_is_counted() {
    let fixture = Fixture::start().await;
    let metrics = InMemoryMetricExporter::default();
    let meters = SdkMeterProvider::builder()
        .with_reader(PeriodicReader::builder(metrics.clone()).build())
        .build();
    global::set_meter_provider(meters.clone());
    let collector = Collector::start(Answer::WhenReleased).await;
    let pipeline = pipeline_to(collector.url()).await;

    let made = run(&fixture, &pipeline, MANY).await;
    // All queries are over, and the first batch is not.
    assert_eq!((collector.answered(), pipeline.exported_spans()), (0, 0));
    let overflowed = pipeline.dropped_spans();
    assert!(overflowed >= made - HELD_BACK, "{overflowed} of {made}");

    collector.release();
    let settled = async || {
        // A batch may have waited too long, and is sent again.
        let _ = pipeline.flush(PATIENCE).await;
        let settled = pipeline.exported_spans() + pipeline.dropped_spans();
        (settled == made).then_some(())
    };
    eventually("an account of every span", PATIENCE, settled).await;
    assert!(pipeline.exported_spans() > 0);
    assert!(collector.answered() >= pipeline.exported_spans());

    meters.force_flush().unwrap();
    let (dropped, counted) = (pipeline.dropped_spans(), counted_as_lost(&metrics));
    let lost: Vec<_> = counted
        .values()
        .map(|by_reason| by_reason.values().sum::<u64>())
        .collect();
    assert!(lost.contains(&dropped), "{dropped}: {counted:?}");
    let shut_down = pipeline.shutdown(PATIENCE).await;
    shut_down.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_answers_metrics_are_given_up_in_time_too() {
    let hole = BlackHole::open().await;
    let to_hole = pipeline().endpoint(hole.url()).metrics(true).build().await;
    let pipeline = to_hole.unwrap();
    let meter = pipeline.meter_provider().unwrap().meter("test");
    meter.u64_counter("test").build().add(1, &[]);
    let error = pipeline.shutdown(SHORT).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert!(error.to_string().contains("metrics"), "{error}");
}

async fn pipeline_to(endpoint: &str) -> Pipeline {
    let pipeline = pipeline().endpoint(endpoint).build().await.unwrap();
    pipeline.set_global();
    pipeline
}

/// Spans by the number of their pipeline in this process and by `error.type`.
fn counted_as_lost(exporter: &InMemoryMetricExporter) -> BTreeMap<String, BTreeMap<String, u64>> {
    let finished = exporter.get_finished_metrics().unwrap();
    let last = finished.last().expect("metrics");
    let metrics = last.scope_metrics().flat_map(|scope| scope.metrics());
    let mut lost = BTreeMap::<_, BTreeMap<_, _>>::new();
    for metric in metrics.filter(|metric| metric.name().starts_with("otel.sdk.")) {
        let AggregatedMetrics::U64(MetricData::Sum(sum)) = metric.data() else {
            panic!("{metric:?}");
        };
        for point in sum.data_points() {
            let attribute = |key: &str| {
                let mut attributes = point.attributes();
                let found = attributes.find(|one| one.key.as_str() == key)?;
                Some(found.value.as_str().into_owned())
            };
            let component = attribute("otel.component.name").expect("a component");
            let (_, pipeline) = component.rsplit_once('/').expect("a number");
            if let Some(reason) = attribute("error.type") {
                *lost
                    .entry(pipeline.to_owned())
                    .or_default()
                    .entry(reason)
                    .or_default() += point.value();
            }
        }
    }
    lost
}
