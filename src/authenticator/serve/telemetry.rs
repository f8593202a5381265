//! The Authenticator's own spans, where a collector is named.

use std::env;

use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};

use crate::{Error, Result};

const SERVICE_NAME: &str = "approzium-authenticator";

/// Spans are exported until this is shut down.
pub(super) struct Telemetry(Option<SdkTracerProvider>);

/// Exports spans if `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector. A collector that does not
/// answer costs spans, and nothing else.
pub(super) fn start() -> Result<Telemetry> {
    let named = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    if !named("OTEL_EXPORTER_OTLP_ENDPOINT") && !named("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
        return Ok(Telemetry(None));
    }
    let exporter = SpanExporter::builder()
        .with_tonic()
        .build()
        .map_err(|error| Error::configuration(format!("OTEL_EXPORTER_OTLP_ENDPOINT: {error}")))?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name(SERVICE_NAME).build())
        .build();
    ::opentelemetry::global::set_tracer_provider(provider.clone());
    crate::opentelemetry::instrument();
    Ok(Telemetry(Some(provider)))
}

impl Telemetry {
    /// Sends what is left. The exporter works through this runtime, so nobody on it waits.
    pub(super) async fn shutdown(self) {
        if let Some(provider) = self.0 {
            let sent = tokio::task::spawn_blocking(move || provider.shutdown()).await;
            if let Ok(Err(error)) = sent {
                ::tracing::warn!(%error, "the last spans were not exported");
            }
        }
    }
}
