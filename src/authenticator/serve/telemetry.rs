//! The Authenticator's own spans, and its metrics if they are asked for, where a collector is named.

use std::{env, time::Duration};

use crate::{
    Result,
    opentelemetry::{
        instrument,
        otlp::{Pipeline, pipeline},
    },
};

const SERVICE_NAME: &str = "approzium-authenticator";

/// How long the last spans may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// It is exported until this is shut down.
pub(super) struct Telemetry(Option<Pipeline>);

/// Exports spans if `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector, and with
/// `OTEL_METRICS_EXPORTER=otlp` metrics, by the global provider. A collector that does not answer
/// costs what it was to get, and nothing else.
pub(super) async fn start() -> Result<Telemetry> {
    let named = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    if !named("OTEL_EXPORTER_OTLP_ENDPOINT") && !named("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
        return Ok(Telemetry(None));
    }
    let pipeline = pipeline().service_name(SERVICE_NAME).build().await?;
    pipeline.set_global();
    instrument();
    Ok(Telemetry(Some(pipeline)))
}

impl Telemetry {
    /// Sends what is left.
    pub(super) async fn shutdown(self) {
        if let Some(pipeline) = self.0
            && let Err(error) = pipeline.shutdown(PATIENCE).await
        {
            ::tracing::warn!(%error, "the last spans or metrics were not exported");
        }
    }
}
