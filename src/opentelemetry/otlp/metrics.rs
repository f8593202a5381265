//! Metrics, by the way that spans go.

use ::opentelemetry::KeyValue;
use opentelemetry_otlp::{MetricExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::{Resource, metrics::SdkMeterProvider};

use super::{not_built, settings::Signal};
use crate::Result;

const INSTANCE_ID: &str = "service.instance.id";

/// To the endpoint, else to that of the environment.
pub(super) fn exporter(endpoint: Option<&str>) -> Result<MetricExporter> {
    let mut exporter = MetricExporter::builder().with_tonic();
    if let Some(tls) = Signal::Metrics.tls(endpoint)? {
        exporter = exporter.with_tls_config(tls);
    }
    if let Some(endpoint) = endpoint {
        exporter = exporter.with_endpoint(endpoint);
    }
    exporter.build().map_err(not_built)
}

/// A provider whose metrics go by the exporter.
pub(super) fn provider(exporter: MetricExporter, of_spans: &Resource) -> SdkMeterProvider {
    SdkMeterProvider::builder()
        .with_resource(nameless(of_spans))
        .with_periodic_exporter(exporter)
        .build()
}

/// The service, and which of its processes: what a metrics store makes labels of. Roles and places
/// stay with spans and log lines.
fn nameless(of_spans: &Resource) -> Resource {
    let kept = of_spans.iter().filter(|(key, _)| {
        ["service.", "telemetry.", "deployment."]
            .iter()
            .any(|group| key.as_str().starts_with(group))
    });
    let kept: Vec<KeyValue> = kept
        .map(|(key, value)| KeyValue::new(key.clone(), value.clone()))
        .collect();
    let is_told_apart = kept.iter().any(|one| one.key.as_str() == INSTANCE_ID);
    // Without it, the counts of two processes of a service would replace each other.
    let own = (!is_told_apart).then(instance_id).flatten();
    Resource::builder_empty()
        .with_attributes(kept.into_iter().chain(own))
        .build()
}

fn instance_id() -> Option<KeyValue> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).ok()?;
    let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(KeyValue::new(INSTANCE_ID, id))
}

#[cfg(test)]
mod tests {
    use ::opentelemetry::Key;

    use super::*;

    #[test]
    fn a_resource_of_metrics_names_the_process_and_nobody() {
        let of_spans = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", "checkout"),
                KeyValue::new("approzium.iam_arn", "arn:aws:iam::1:role/checkout"),
                KeyValue::new("k8s.pod.name", "checkout-7"),
            ])
            .build();
        let (one, other) = (nameless(&of_spans), nameless(&of_spans));
        let keys: Vec<_> = one.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys.len(), 2, "{keys:?}");
        assert_eq!(one.get(&Key::new("service.name")), Some("checkout".into()));
        let id = |of: &Resource| of.get(&Key::new(INSTANCE_ID)).unwrap();
        assert_ne!(id(&one), id(&other));
        // Who has one keeps it.
        assert_eq!(id(&nameless(&one)), id(&one));
    }
}
