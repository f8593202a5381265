//! The metrics that the original Authenticator has.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::MetricType,
};

use super::catalogue::Catalogue;

/// Under the names that the original's dashboards know.
#[derive(Default)]
pub(super) struct Original {
    pub(super) requests: OriginalMetric,
    pub(super) responses: OriginalMetric,
    pub(super) error_responses: OriginalMetric,
    pub(super) identity_verification_attempts: OriginalMetric,
    pub(super) identity_verification_failures: OriginalMetric,
    pub(super) identity_matching_attempts: OriginalMetric,
    pub(super) identity_matching_failures: OriginalMetric,
    pub(super) password_retrieval_attempts: OriginalMetric,
    pub(super) password_retrieval_failures: OriginalMetric,
    pub(super) password_retrieval_unauthorized: OriginalMetric,
    pub(super) request_milliseconds: OriginalMetric,
    pub(super) aws_request_milliseconds: OriginalMetric,
    pub(super) password_request_milliseconds: OriginalMetric,
}

impl Original {
    pub(super) fn register(&self, catalogue: &mut Catalogue) {
        for (name, help, metric) in [
            ("requests", "Calls received", &self.requests),
            ("responses", "Calls answered", &self.responses),
            (
                "error_responses",
                "Calls that ended with an error",
                &self.error_responses,
            ),
            (
                "identity_verification_attempts",
                "Questions to the cloud who somebody is",
                &self.identity_verification_attempts,
            ),
            (
                "identity_verification_failures",
                "Questions without a good answer",
                &self.identity_verification_failures,
            ),
            (
                "identity_matching_attempts",
                "Comparisons of an identity with a record",
                &self.identity_matching_attempts,
            ),
            (
                "identity_matching_failures",
                "Comparisons in which they did not match",
                &self.identity_matching_failures,
            ),
            (
                "password_retrieval_attempts",
                "Records looked up",
                &self.password_retrieval_attempts,
            ),
            (
                "password_retrieval_failures",
                "Records that could not be looked up",
                &self.password_retrieval_failures,
            ),
            (
                "password_retrieval_unauthorized",
                "Records refused to whoever asked",
                &self.password_retrieval_unauthorized,
            ),
            (
                "request_milliseconds",
                "Time of the latest call",
                &self.request_milliseconds,
            ),
            (
                "aws_request_milliseconds",
                "Time of the latest question to STS",
                &self.aws_request_milliseconds,
            ),
            (
                "password_request_milliseconds",
                "Time of the latest look-up of a record",
                &self.password_request_milliseconds,
            ),
        ] {
            catalogue.register(format!("approzium_total_{name}"), help, metric.clone());
        }
    }
}

/// OpenMetrics gives every counter the ending `_total`, and these names are fixed without it: so
/// they are exposed with no type, which `rate()` does not mind.
#[derive(Clone, Debug, Default)]
pub(super) struct OriginalMetric(Arc<AtomicU64>);

impl OriginalMetric {
    pub(super) fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set(&self, time: Duration) {
        let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.0.store(milliseconds, Ordering::Relaxed);
    }
}

impl EncodeMetric for OriginalMetric {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let value = i64::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        encoder.encode_gauge(&value)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Unknown
    }
}
