//! Metrics into memory.

use std::collections::BTreeMap;

use opentelemetry_sdk::metrics::{
    InMemoryMetricExporter, SdkMeterProvider,
    data::{AggregatedMetrics, Metric, MetricData},
};

/// A meter provider, and what was measured with it.
pub(in crate::opentelemetry) struct Meters {
    pub(in crate::opentelemetry) provider: SdkMeterProvider,
    exporter: InMemoryMetricExporter,
}

/// What is known of one combination of labels.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::opentelemetry) struct Point {
    pub(in crate::opentelemetry) name: String,
    pub(in crate::opentelemetry) unit: String,
    pub(in crate::opentelemetry) labels: BTreeMap<String, String>,
    pub(in crate::opentelemetry) sum: f64,
    /// How often it was measured; of a counter, nothing.
    pub(in crate::opentelemetry) count: Option<u64>,
    pub(in crate::opentelemetry) bounds: Vec<f64>,
}

impl Meters {
    pub(in crate::opentelemetry) fn start() -> Self {
        let exporter = InMemoryMetricExporter::default();
        let provider = SdkMeterProvider::builder()
            .with_periodic_exporter(exporter.clone())
            .build();
        Meters { provider, exporter }
    }

    pub(in crate::opentelemetry) fn points(&self) -> Vec<Point> {
        self.exporter.reset();
        self.provider.force_flush().unwrap();
        let collected = self.exporter.get_finished_metrics().unwrap();
        let metrics = collected
            .iter()
            .flat_map(|one| one.scope_metrics())
            .flat_map(|scope| scope.metrics());
        metrics.flat_map(points).collect()
    }

    pub(in crate::opentelemetry) fn named(&self, name: &str) -> Vec<Point> {
        let mut points = self.points();
        points.retain(|point| point.name == name);
        points
    }

    #[track_caller]
    pub(in crate::opentelemetry) fn only(&self, name: &str) -> Point {
        let mut points = self.named(name);
        assert_eq!(points.len(), 1, "{points:?}");
        points.remove(0)
    }
}

impl Point {
    #[track_caller]
    pub(in crate::opentelemetry) fn assert_labels(&self, expected: &[(&str, &str)]) {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let expected: BTreeMap<_, _> = expected.iter().map(owned).collect();
        assert_eq!(self.labels, expected, "{}", self.name);
    }
}

fn points(metric: &Metric) -> Vec<Point> {
    match metric.data() {
        AggregatedMetrics::F64(data) => of_data(metric, data, |value| value),
        AggregatedMetrics::U64(data) => of_data(metric, data, |value| value as f64),
        AggregatedMetrics::I64(data) => of_data(metric, data, |value| value as f64),
    }
}

fn of_data<T: Copy>(metric: &Metric, data: &MetricData<T>, number: fn(T) -> f64) -> Vec<Point> {
    let point = |labels: BTreeMap<_, _>, sum, count, bounds| Point {
        name: metric.name().to_owned(),
        unit: metric.unit().to_owned(),
        labels,
        sum: number(sum),
        count,
        bounds,
    };
    macro_rules! labels {
        ($of:expr) => {
            $of.attributes()
                .map(|one| (one.key.to_string(), one.value.to_string()))
                .collect()
        };
    }
    match data {
        MetricData::Sum(sum) => sum
            .data_points()
            .map(|one| point(labels!(one), one.value(), None, Vec::new()))
            .collect(),
        MetricData::Histogram(histogram) => histogram
            .data_points()
            .map(|one| {
                let bounds = one.bounds().collect();
                point(labels!(one), one.sum(), Some(one.count()), bounds)
            })
            .collect(),
        MetricData::Gauge(gauge) => gauge
            .data_points()
            .map(|one| point(labels!(one), one.value(), None, Vec::new()))
            .collect(),
        MetricData::ExponentialHistogram(_) => {
            panic!("{} is neither", metric.name())
        }
    }
}
