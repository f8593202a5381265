//! Jaeger's Monitor tab.

use std::time::Duration;

use approzium::opentelemetry::otlp;
use approzium_peers::{eventually, jaeger::Measure, peer};
use opentelemetry::trace::{Span, SpanKind, Status, Tracer};

use super::Stack;

const PATIENCE: Duration = Duration::from_secs(60);

async fn pipeline(stack: &Stack) -> otlp::Pipeline {
    otlp::pipeline()
        .service_name("shop")
        .endpoint(stack.jaeger.otlp_grpc())
        .build()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_monitor_tab_has_rates_errors_and_durations_of_spans() {
    let stack = peer!(Stack::start());
    let pipeline = pipeline(&stack).await;
    let tracer = pipeline.tracer("test");
    // A rate needs spans between two scrapes: they are made for as long as it is asked.
    let query = async |name, status| {
        let builder = tracer.span_builder(name).with_kind(SpanKind::Client);
        let mut span = builder.start(&tracer);
        span.set_status(status);
        span.end();
        pipeline.flush(PATIENCE).await.unwrap();
    };
    let monitor = stack.jaeger.query();
    let latest = async |measure| monitor.monitor(measure, "shop", "client").await.unwrap();
    eventually("rates of both, and one's errors", PATIENCE, async || {
        query("SELECT orders", Status::Unset).await;
        query("SELECT nowhere", Status::error("42P01")).await;
        let calls = latest(Measure::Calls).await;
        let errors = latest(Measure::Errors).await;
        let called = |name: &str| calls.get(name).is_some_and(|rate| *rate > 0.0);
        let all_of_one = errors.get("SELECT nowhere") == Some(&1.0);
        let none_of_the_other = errors
            .get("SELECT orders")
            .is_none_or(|share| *share == 0.0);
        (called("SELECT orders") && called("SELECT nowhere") && all_of_one && none_of_the_other)
            .then_some(())
    })
    .await;
    eventually("a duration", PATIENCE, async || {
        query("SELECT orders", Status::Unset).await;
        let durations = latest(Measure::Latency(0.95)).await;
        durations
            .get("SELECT orders")
            .filter(|milliseconds| **milliseconds > 0.0)
            .copied()
    })
    .await;
    // Of the other kinds there are none.
    let server = monitor.monitor(Measure::Calls, "shop", "server").await;
    assert!(server.unwrap().is_empty());
    pipeline.shutdown(PATIENCE).await.unwrap();
}

/// Who makes a table for each report does not make a metric for each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_spans_without_end_are_counted_together() {
    const NAMES: usize = 1_100;
    let stack = peer!(Stack::start());
    let pipeline = pipeline(&stack).await;
    let tracer = pipeline.tracer("test");
    for name in 0..NAMES {
        tracer.start(format!("CREATE report_{name}")).end();
    }
    pipeline.shutdown(PATIENCE).await.unwrap();
    let value = async |expression: &str| {
        let samples = stack.prometheus.query(expression).await.unwrap();
        samples.first().map(|one| one.value)
    };
    eventually("a count of what is too much", PATIENCE, async || {
        let together = r#"traces_span_metrics_calls_total{otel_metric_overflow="true"}"#;
        let several = value(&format!("sum({together})")).await? > 1.0;
        let all = value("sum(traces_span_metrics_calls_total)").await?;
        (several && all == NAMES as f64).then_some(())
    })
    .await;
    let told_apart = value("count(traces_span_metrics_calls_total)").await;
    assert!(told_apart.unwrap() <= 1_001.0, "{told_apart:?}");
}

/// Two pods of a service count as one: neither takes the place of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_of_two_pods_are_one_count() {
    use opentelemetry::KeyValue;
    use opentelemetry_sdk::Resource;

    const OF_EACH: u32 = 3;
    let stack = peer!(Stack::start());
    for pod in ["checkout-1", "checkout-2"] {
        let resource = Resource::builder_empty()
            .with_attribute(KeyValue::new("k8s.pod.name", pod))
            .build();
        let pipeline = otlp::pipeline()
            .service_name("shop")
            .resource(resource)
            .endpoint(stack.jaeger.otlp_grpc())
            .build()
            .await
            .unwrap();
        let tracer = pipeline.tracer("test");
        for _ in 0..OF_EACH {
            tracer.start("SELECT orders").end();
        }
        pipeline.shutdown(PATIENCE).await.unwrap();
    }
    let counts = "traces_span_metrics_calls_total";
    eventually("one count of all", PATIENCE, async || {
        let samples = stack.prometheus.query(counts).await.unwrap();
        match &samples[..] {
            [one] if one.value == f64::from(2 * OF_EACH) => {
                let labels: Vec<_> = one.labels.values().collect();
                assert!(
                    !labels.iter().any(|value| value.contains("checkout")),
                    "{labels:?}"
                );
                Some(())
            }
            _ => None,
        }
    })
    .await;
    // Resources stay with traces: as metrics they would name pods and roles.
    let names = stack.prometheus.names().await.unwrap();
    assert!(!names.iter().any(|name| name == "target_info"), "{names:?}");
}
