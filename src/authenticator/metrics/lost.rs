//! What this process said and nobody took. It is counted where it is lost.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};

use crate::{authenticator::logging, opentelemetry::otlp};

/// Of the exporter.
#[derive(Debug)]
pub(super) struct DroppedSpans;

impl EncodeMetric for DroppedSpans {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.encode_counter::<NoLabelSet, _, u64>(&otlp::lost(), None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

/// Of the log.
#[derive(Debug)]
pub(super) struct LostLines;

impl EncodeMetric for LostLines {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.encode_counter::<NoLabelSet, _, u64>(&logging::lost(), None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}
