//! The Authenticator's own spans, and its metrics if they are asked for, where a collector is named.

use std::{env, io, time::Duration};

use ::http::Uri;
use ::opentelemetry::global;
use tokio::net::TcpStream;

use crate::{
    Result,
    opentelemetry::{
        instrument,
        otlp::{Pipeline, PipelineBuilder, pipeline},
    },
};

const SERVICE_NAME: &str = "approzium-authenticator";

/// How long the last spans, and a look at a collector, may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// It is exported until this is shut down.
pub(super) struct Telemetry(Option<Pipeline>);

/// Exports spans if `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector, and with
/// `OTEL_METRICS_EXPORTER=otlp` metrics, by the global provider. A collector of its own for either
/// is asked for it: `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` by itself has metrics sent, and no spans.
/// A collector that does not answer costs what it was to get, and nothing else.
pub(super) async fn start() -> Result<Telemetry> {
    let Some(asked) = Asked::of_environment() else {
        return Ok(Telemetry(None));
    };
    let pipeline = asked.pipeline.build().await?;
    if asked.sends_spans {
        pipeline.set_global();
        instrument();
    } else if let Some(metrics) = pipeline.meter_provider() {
        global::set_meter_provider(metrics.clone());
    }
    Ok(Telemetry(Some(pipeline)))
}

/// Whether it could [start](start), as far as that can be known without a connection.
pub(super) fn examine() -> Result<()> {
    Asked::of_environment().map_or(Ok(()), |asked| asked.pipeline.examine())
}

/// What the environment asks for.
struct Asked {
    pipeline: PipelineBuilder,
    sends_spans: bool,
}

impl Asked {
    /// None: nothing is sent.
    fn of_environment() -> Option<Self> {
        let named = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let sends_spans =
            named("OTEL_EXPORTER_OTLP_ENDPOINT") || named("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        let metrics_by_themselves = named("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT");
        if !sends_spans && !metrics_by_themselves {
            return None;
        }
        let mut pipeline = pipeline().service_name(SERVICE_NAME);
        // Which exporter, where it is said, is the other variable's to say.
        if metrics_by_themselves && !named("OTEL_METRICS_EXPORTER") {
            pipeline = pipeline.metrics(true);
        }
        Some(Asked {
            pipeline,
            sends_spans,
        })
    }
}

/// The collectors that are named, each with the variable that does.
pub(super) fn collectors() -> Vec<(&'static str, String)> {
    let variables = [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    ];
    let url = |name| env::var(name).ok().filter(|url| !url.is_empty());
    let named = variables
        .into_iter()
        .filter_map(|name| Some((name, url(name)?)));
    named.collect()
}

/// Whether anything listens there.
pub(super) async fn dial(collector: &Uri) -> io::Result<()> {
    let host = collector.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = match collector.scheme_str() {
        Some("http") => 80,
        _ => 443,
    };
    let port = collector.port_u16().unwrap_or(port);
    let dialled = tokio::time::timeout(PATIENCE, TcpStream::connect((host, port))).await;
    dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    Ok(())
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
