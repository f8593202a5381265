//! Metrics into memory.

use std::collections::BTreeMap;

use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::{
    InMemoryMetricExporter, SdkMeterProvider,
    data::{AggregatedMetrics, Metric, MetricData},
};

/// A meter provider, and what was measured with it.
pub(crate) struct Meters {
    pub(crate) provider: SdkMeterProvider,
    exporter: InMemoryMetricExporter,
}

/// What is known of one combination of labels.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) sum: f64,
    /// How often it was measured; of a counter, nothing.
    pub(crate) count: Option<u64>,
}

impl Meters {
    pub(crate) fn start() -> Self {
        let exporter = InMemoryMetricExporter::default();
        let provider = SdkMeterProvider::builder()
            .with_periodic_exporter(exporter.clone())
            .build();
        Meters { provider, exporter }
    }

    pub(crate) fn points(&self) -> Vec<Point> {
        self.exporter.reset();
        self.provider.force_flush().unwrap();
        let collected = self.exporter.get_finished_metrics().unwrap();
        collected
            .iter()
            .flat_map(|one| one.scope_metrics())
            .flat_map(|scope| scope.metrics())
            .flat_map(points)
            .collect()
    }

    pub(crate) fn named(&self, name: &str) -> Vec<Point> {
        let mut points = self.points();
        points.retain(|point| point.name == name);
        points
    }

    #[track_caller]
    pub(crate) fn only(&self, name: &str) -> Point {
        let mut points = self.named(name);
        assert_eq!(points.len(), 1, "{name}: {points:#?}");
        points.remove(0)
    }
}

impl Point {
    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }
}

fn points(metric: &Metric) -> Vec<Point> {
    match metric.data() {
        AggregatedMetrics::F64(data) => of_data(metric.name(), data, |value| value),
        AggregatedMetrics::U64(data) => of_data(metric.name(), data, |value| value as f64),
        AggregatedMetrics::I64(data) => of_data(metric.name(), data, |value| value as f64),
    }
}

fn of_data<T: Copy>(name: &str, data: &MetricData<T>, number: fn(T) -> f64) -> Vec<Point> {
    let point = |labels, sum, count| Point {
        name: name.to_owned(),
        labels,
        sum: number(sum),
        count,
    };
    match data {
        MetricData::Sum(sum) => sum
            .data_points()
            .map(|one| point(labels(one.attributes()), one.value(), None))
            .collect(),
        MetricData::Histogram(histogram) => histogram
            .data_points()
            .map(|one| point(labels(one.attributes()), one.sum(), Some(one.count())))
            .collect(),
        MetricData::Gauge(gauge) => gauge
            .data_points()
            .map(|one| point(labels(one.attributes()), one.value(), None))
            .collect(),
        MetricData::ExponentialHistogram(_) => panic!("{name} is measured otherwise"),
    }
}

fn labels<'a>(attributes: impl Iterator<Item = &'a KeyValue>) -> BTreeMap<String, String> {
    attributes
        .map(|one| (one.key.to_string(), one.value.to_string()))
        .collect()
}
