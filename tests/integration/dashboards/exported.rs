//! The Authenticator's metrics by OTLP: what its own endpoint shows, through a real collector, in a
//! real Prometheus.

use std::collections::{BTreeMap, BTreeSet};

use approzium_peers::peer;

use super::{Stack, expressions::nothing_left};
use crate::authenticator::{
    client::{Client, both, start},
    process::{Dev, record, until},
};

const JOB: &str = "approzium-authenticator";
/// What collectors say of where a metric comes from.
const OF_COLLECTORS: [&str; 4] = ["job", "instance", "exported_", "otel_scope_"];

#[tokio::test]
async fn what_the_authenticator_counts_is_exported_by_the_same_names_and_labels() {
    let stack = peer!(Stack::start());
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", stack.jaeger.otlp_grpc()),
        ("OTEL_METRICS_EXPORTER", "prometheus, otlp"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "200"),
    ];
    let dev = Dev::start_within(&record("app", ""), &[], &variables).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    let (mut handshake, _) = client.accepted(&token, "app").await;
    let salt = b"sixteen bytes ok";
    handshake.scram(both(&[]), salt, 4096).await.unwrap();
    client.start(start(&token, "nobody")).await.refusal().await;

    nothing_left("series that are not exported", async || {
        let shown: BTreeSet<Series> = dev.metrics().await.lines().filter_map(series).collect();
        assert!(shown.len() > 40, "{shown:?}");
        let found = stack.prometheus.query(&format!("{{job=\"{JOB}\"}}")).await;
        let found: BTreeSet<Series> = found
            .unwrap()
            .into_iter()
            .map(|mut sample| {
                let name = sample.labels.remove("__name__").unwrap();
                sample.labels.retain(|label, _| {
                    !OF_COLLECTORS.iter().any(|theirs| label.starts_with(theirs))
                });
                Series {
                    name,
                    labels: sample.labels,
                }
            })
            .collect();
        let missing = shown.difference(&found);
        missing.map(|series| format!("{series:?}")).collect()
    })
    .await;

    let counted = "decision=\"denied\",reason=\"no_record\"";
    let query = format!("approzium_decisions_total{{job=\"{JOB}\",{counted}}}");
    let denied = stack.prometheus.query(&query).await.unwrap();
    let values: Vec<_> = denied.iter().map(|sample| sample.value).collect();
    let series = format!("approzium_decisions_total{{{counted}}}");
    assert_eq!(values, [dev.metric(&series).await]);
}

/// Whether or not another variable says that they are to be sent: nothing else says where.
#[tokio::test]
async fn a_collector_of_metrics_alone_is_sent_them() {
    let stack = peer!(Stack::start());
    for (instance, exporter) in [("unsaid", ""), ("said", "otlp")] {
        let attributes = format!("service.instance.id={instance}");
        let variables = [
            (
                "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
                stack.jaeger.otlp_grpc(),
            ),
            ("OTEL_METRICS_EXPORTER", exporter),
            ("OTEL_METRIC_EXPORT_INTERVAL", "200"),
            ("OTEL_RESOURCE_ATTRIBUTES", &attributes),
        ];
        let _dev = Dev::start_within(&record("app", ""), &[], &variables).await;
        let query = format!("approzium_build_info{{job=\"{JOB}\", instance=\"{instance}\"}}");
        until("the metric", async || {
            let found = stack.prometheus.query(&query).await.unwrap();
            (!found.is_empty()).then_some(())
        })
        .await;
    }
}

/// However long the interval is.
#[tokio::test]
async fn what_was_counted_last_is_sent_before_the_process_ends() {
    let stack = peer!(Stack::start());
    let variables = [
        (
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            stack.jaeger.otlp_grpc(),
        ),
        ("OTEL_METRIC_EXPORT_INTERVAL", "3600000"),
    ];
    let mut dev = Dev::start_within(&record("app", ""), &[], &variables).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    client.start(start(&token, "nobody")).await.refusal().await;
    dev.process.terminate();
    assert!(dev.process.ended().await.success());

    let query = format!("approzium_decisions_total{{job=\"{JOB}\",reason=\"no_record\"}}");
    let counted = until("the last count", async || {
        stack.prometheus.query(&query).await.unwrap().pop()
    });
    assert_eq!(counted.await.value, 1.0);
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
}

/// A line of the exposition.
fn series(line: &str) -> Option<Series> {
    let (series, _value) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))?;
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.trim_end_matches('}').split(',');
    let labels = labels.filter_map(|label| label.split_once('='));
    let labels = labels.map(|(label, value)| {
        let value = value.trim_matches('"');
        // 1.0, for a collector, is 1.
        let value = match value.parse::<f64>() {
            Ok(bound) if label == "le" && bound.is_finite() => bound.to_string(),
            _ => value.to_owned(),
        };
        (label.to_owned(), value)
    });
    Some(Series {
        name: name.to_owned(),
        labels: labels.collect(),
    })
}
