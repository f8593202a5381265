//! The same metrics, by the same names and labels, to a meter of OpenTelemetry.
//!
//! Counters and gauges are not counted twice: whenever the meter is read, it reads the registry.
//! OpenTelemetry has no histogram that could be read so, and the two that there are take each value
//! where the registry's take it.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use ::opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Histogram, Meter},
};
use prometheus_client::{
    encoding::prometheus_protobuf::{
        encode,
        prometheus_data_model::{LabelPair, Metric},
    },
    metrics::MetricType,
};

use super::{BUCKETS, HANDSHAKES, MethodLabels, Metrics, PHASES, PhaseLabels};

impl Metrics {
    /// From now on, and only once, as long as these metrics live.
    pub(crate) fn export(self: &Arc<Self>, meter: &Meter) {
        for entry in self.catalogue.entries() {
            let (metrics, name) = (Arc::downgrade(self), entry.name.clone());
            match entry.kind {
                MetricType::Counter => {
                    let counter = meter.f64_observable_counter(name.clone());
                    let observe = move |observer: &dyn AsyncInstrument<f64>| {
                        for metric in now(&metrics, &format!("{name}_total")) {
                            if let Some(counter) = metric.counter {
                                observer.observe(counter.value, &labels(metric.label));
                            }
                        }
                    };
                    counter
                        .with_description(entry.help)
                        .with_callback(observe)
                        .build();
                }
                // Those without a type count, too. As counters they would be given the ending
                // `_total`, and their names are fixed without it.
                MetricType::Gauge | MetricType::Unknown | MetricType::Info => {
                    let name = match entry.kind {
                        MetricType::Info => format!("{name}_info"),
                        _ => name,
                    };
                    let gauge = meter.f64_observable_gauge(name.clone());
                    let observe = move |observer: &dyn AsyncInstrument<f64>| {
                        for metric in now(&metrics, &name) {
                            if let Some(gauge) = metric.gauge {
                                observer.observe(gauge.value, &labels(metric.label));
                            }
                        }
                    };
                    gauge
                        .with_description(entry.help)
                        .with_callback(observe)
                        .build();
                }
                MetricType::Histogram => {}
            }
        }
        // Who was first stays.
        let _ = self.exported.set(Histograms::of(meter));
    }
}

/// The members of one family.
fn now(metrics: &Weak<Metrics>, name: &str) -> Vec<Metric> {
    let Some(metrics) = metrics.upgrade() else {
        return Vec::new();
    };
    let families = encode(metrics.catalogue.registry()).unwrap_or_default();
    let mut families = families.into_iter();
    families
        .find(|family| family.name == name)
        .map(|family| family.metric)
        .unwrap_or_default()
}

fn labels(labels: Vec<LabelPair>) -> Vec<KeyValue> {
    let labels = labels.into_iter();
    labels
        .map(|label| KeyValue::new(label.name, label.value))
        .collect()
}

/// Of the same names and buckets as the registry's.
#[derive(Debug)]
pub(super) struct Histograms {
    phases: Histogram<f64>,
    handshakes: Histogram<f64>,
}

impl Histograms {
    fn of(meter: &Meter) -> Self {
        let histogram = |name| {
            let histogram = meter.f64_histogram(name);
            histogram.with_boundaries(BUCKETS.to_vec()).build()
        };
        Histograms {
            phases: histogram(PHASES),
            handshakes: histogram(HANDSHAKES),
        }
    }

    pub(super) fn phase(&self, labels: &PhaseLabels, took: Duration) {
        let labels = [
            KeyValue::new("phase", labels.phase.as_str()),
            KeyValue::new("outcome", labels.outcome.as_str()),
        ];
        self.phases.record(took.as_secs_f64(), &labels);
    }

    pub(super) fn handshake(&self, labels: &MethodLabels, took: Duration) {
        let labels = [
            KeyValue::new("method", labels.method.as_str()),
            KeyValue::new("outcome", labels.outcome.as_str()),
        ];
        self.handshakes.record(took.as_secs_f64(), &labels);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use ::opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_sdk::metrics::{
        InMemoryMetricExporter, SdkMeterProvider,
        data::{AggregatedMetrics, MetricData},
    };

    use super::*;
    use crate::authenticator::{
        audit::{Decision, Reason},
        metrics::{Ending, Phase},
        secrets::Method,
    };

    /// What was exported last: values by name and labels, and counts of histograms.
    fn exported(
        provider: &SdkMeterProvider,
        exporter: &InMemoryMetricExporter,
    ) -> BTreeMap<String, f64> {
        exporter.reset();
        provider.force_flush().unwrap();
        let mut found = BTreeMap::new();
        let mut note = |name: &str, attributes: Vec<&KeyValue>, value: f64| {
            let labels: BTreeSet<_> = attributes
                .iter()
                .map(|one| format!("{}={}", one.key, one.value))
                .collect();
            let labels: Vec<_> = labels.into_iter().collect();
            found.insert(format!("{name} {}", labels.join(",")), value);
        };
        for resource in exporter.get_finished_metrics().unwrap() {
            for metric in resource.scope_metrics().flat_map(|scope| scope.metrics()) {
                let name = metric.name();
                match metric.data() {
                    AggregatedMetrics::F64(MetricData::Sum(sum)) => {
                        assert!(sum.is_monotonic(), "{name}");
                        for point in sum.data_points() {
                            note(name, point.attributes().collect(), point.value());
                        }
                    }
                    AggregatedMetrics::F64(MetricData::Gauge(gauge)) => {
                        for point in gauge.data_points() {
                            note(name, point.attributes().collect(), point.value());
                        }
                    }
                    AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
                        for point in histogram.data_points() {
                            assert!(point.bounds().eq(BUCKETS), "{name}");
                            note(name, point.attributes().collect(), point.count() as f64);
                        }
                    }
                    other => panic!("{name}: {other:?}"),
                }
            }
        }
        found
    }

    #[test]
    fn a_meter_reads_what_the_registry_holds() {
        let exporter = InMemoryMetricExporter::default();
        let provider = SdkMeterProvider::builder()
            .with_periodic_exporter(exporter.clone())
            .build();
        let metrics = Arc::new(Metrics::default());
        metrics.export(&provider.meter("test"));
        // Families without a member yet are exported once they have one.
        let before = exported(&provider, &exporter);
        assert!(
            !before
                .keys()
                .any(|key| key.starts_with("approzium_decisions"))
        );

        metrics.request_began();
        metrics.certificate(Some((1, 4_102_444_800)));
        metrics.decision(Decision::Denied, Reason::NoRecord);
        metrics.decision(Decision::Denied, Reason::NoRecord);
        metrics.request_ended(Phase::Handshake, Ending::Denied, Duration::from_millis(9));
        metrics.handshake(Some(Method::Md5), Ending::Ok, Duration::from_millis(2));
        metrics.sts_circuit_opened("eu-central-1");
        let after = exported(&provider, &exporter);
        for (key, value) in [
            ("approzium_total_requests ", 1.0),
            ("approzium_total_error_responses ", 1.0),
            ("approzium_decisions decision=denied,reason=no_record", 2.0),
            (
                "approzium_phase_duration_seconds outcome=denied,phase=handshake",
                1.0,
            ),
            (
                "approzium_handshake_duration_seconds method=md5,outcome=ok",
                1.0,
            ),
            ("approzium_streams ", 1.0),
            ("approzium_connections_refused ", 0.0),
            ("approzium_sts_circuit_open region=eu-central-1", 1.0),
            (
                "approzium_certificate_expiry_timestamp_seconds ",
                4_102_444_800.0,
            ),
            (
                concat!("approzium_build_info version=", env!("CARGO_PKG_VERSION")),
                1.0,
            ),
        ] {
            assert_eq!(after.get(key), Some(&value), "{key}: {after:#?}");
        }

        // An Authenticator that ended says nothing more.
        drop(metrics);
        let ended = exported(&provider, &exporter);
        assert!(!ended.contains_key("approzium_streams "), "{ended:#?}");
    }
}
