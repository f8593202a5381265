//! The token by which the secrets manager lets the Authenticator in, where it takes one that ends.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::MetricType,
};

use super::{Metrics, catalogue::Catalogue};

#[derive(Default)]
pub(super) struct SecretsToken {
    expiry: Seconds,
    lifetime: Seconds,
}

impl SecretsToken {
    pub(super) fn register(&self, catalogue: &mut Catalogue) {
        catalogue.register(
            "approzium_secrets_token_expiry_timestamp_seconds",
            "When the token for the secrets manager ends",
            self.expiry.clone(),
        );
        catalogue.register(
            "approzium_secrets_token_lifetime_seconds",
            "How long the token for the secrets manager was granted for",
            self.lifetime.clone(),
        );
    }
}

impl Metrics {
    /// When the token in use ends, and for how long it was granted; nothing if it does not end.
    #[cfg_attr(
        not(feature = "vault"),
        allow(dead_code, reason = "other secrets managers take none")
    )]
    pub(crate) fn secrets_token(&self, life: Option<(SystemTime, Duration)>) {
        let (ends, granted) = life.unzip();
        let since_1970 = ends.and_then(|ends| ends.duration_since(UNIX_EPOCH).ok());
        self.secrets_token.expiry.set(since_1970);
        self.secrets_token.lifetime.set(granted);
    }
}

/// A gauge of seconds; nothing where there is nothing to show.
#[derive(Clone, Debug, Default)]
struct Seconds(Arc<ArcSwap<Option<Duration>>>);

impl Seconds {
    fn set(&self, value: Option<Duration>) {
        self.0.store(Arc::new(value));
    }
}

impl EncodeMetric for Seconds {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        match **self.0.load() {
            Some(value) => {
                encoder.encode_gauge(&i64::try_from(value.as_secs()).unwrap_or(i64::MAX))
            }
            None => Ok(()),
        }
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}
