//! A pipeline to Jaeger, or any collector, with attribution in its resource.
//!
//! ```no_run
//! # async fn example() -> approzium::Result<()> {
//! use std::time::Duration;
//!
//! let pipeline = approzium::opentelemetry::otlp::pipeline()
//!     .service_name("checkout")
//!     .build()
//!     .await?;
//! pipeline.set_global();
//! approzium::opentelemetry::instrument();
//! // … the application …
//! pipeline.shutdown(Duration::from_secs(3)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Spans go by OTLP over gRPC, in batches, from a thread of their own. Below what is set here,
//! OpenTelemetry's environment variables are honoured:
//!
//! - `OTEL_EXPORTER_OTLP_ENDPOINT` (default `http://localhost:4317`), `…_INSECURE`, `…_HEADERS`,
//!   `…_TIMEOUT`; for `https`, `…_CERTIFICATE` (the authority to trust; default: the machine's own
//!   roots), `…_CLIENT_CERTIFICATE` and `…_CLIENT_KEY`, files in PEM that are read once. Each has its
//!   `OTEL_EXPORTER_OTLP_TRACES_…` and `…_METRICS_…` form. A `…_PROTOCOL` other than `grpc` is an
//!   error.
//! - `OTEL_BSP_…`, `OTEL_TRACES_SAMPLER`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`; of metrics
//!   `OTEL_METRICS_EXPORTER` and `OTEL_METRIC_EXPORT_INTERVAL`.
//!
//! Database spans that other instrumentation makes get this process's attribution on their way, as
//! by [`span_processor`].
//!
//! Metrics go the same way [if they are asked for](PipelineBuilder::metrics).
//!
//! A collector that is slow, dead or refusing never holds the application up: when the queue of the
//! batches is full, or an export fails, spans are dropped. They are counted by
//! [`Pipeline::dropped_spans`] and by the metrics that OpenTelemetry has for it,
//! `otel.sdk.processor.span.processed` and `otel.sdk.exporter.span.exported` with an `error.type`,
//! which go to the global `MeterProvider`.

mod counted;
mod metrics;
mod settings;

use std::{borrow::Cow, env, io, sync::Arc, thread, time::Duration};

use ::opentelemetry::{Key, KeyValue, global, trace::TracerProvider};
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig, WithTonicConfig,
};
use opentelemetry_sdk::{
    Resource,
    metrics::SdkMeterProvider,
    propagation::TraceContextPropagator,
    resource::{EnvResourceDetector, SdkProvidedResourceDetector, TelemetryResourceDetector},
    trace::{SdkTracer, SdkTracerProvider},
};

use tokio::sync::oneshot;

use super::span_processor;
use crate::{Error, Hop, Result, attribution, error::Kind};
use counted::Counts;
#[cfg(feature = "authenticator")]
pub(crate) use counted::lost;
use settings::Signal;

/// A pipeline that is about to be built: see the [module](self).
pub fn pipeline() -> PipelineBuilder {
    PipelineBuilder::default()
}

/// What a pipeline is to be. From [`pipeline`].
#[derive(Clone, Debug, Default)]
pub struct PipelineBuilder {
    service_name: Option<String>,
    endpoint: Option<String>,
    resource: Option<Resource>,
    metrics: Option<bool>,
}

impl PipelineBuilder {
    /// The service in Jaeger's search. Default: `OTEL_SERVICE_NAME`, else `unknown_service`.
    pub fn service_name(mut self, name: impl Into<String>) -> Self {
        self.service_name = Some(name.into());
        self
    }

    /// Where spans go, as a URL. Default: `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, else
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, else `http://localhost:4317`.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// Attributes of the application's own. They win over what attribution found.
    pub fn resource(mut self, resource: Resource) -> Self {
        self.resource = Some(resource);
        self
    }

    /// Whether [metrics](super::metrics) go the same way, each minute, or as often as
    /// `OTEL_METRIC_EXPORT_INTERVAL` says in milliseconds. Default: only where
    /// `OTEL_METRICS_EXPORTER` names `otlp`, since a Jaeger by itself takes traces alone.
    ///
    /// Their resource is the service and a `service.instance.id`, drawn anew for each process where
    /// there is none: roles and places are for spans.
    pub fn metrics(mut self, send: bool) -> Self {
        self.metrics = Some(send);
        self
    }

    /// Builds it. Waits for [`attribution`], which has a budget of its own, and
    /// for nothing else: no connection is made yet.
    ///
    /// To be called within a tokio runtime, in which the connection to the collector then lives.
    ///
    /// # Errors
    /// If the endpoint, or one of the environment variables, makes no sense.
    pub async fn build(self) -> Result<Pipeline> {
        let (spans, metrics) = self.exporters()?;
        let (batches, counts) = counted::batches(spans);
        let resource = self.merged_resource().await;
        let metrics = metrics.map(|metrics| metrics::provider(metrics, &resource));
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_span_processor(span_processor().around(batches))
            .build();
        Ok(Pipeline {
            provider,
            metrics,
            counts,
        })
    }

    /// Whether it [can be built](Self::build). Nothing is sent, and nobody dialled.
    ///
    /// # Errors
    /// Those of building it.
    #[cfg(feature = "authenticator")]
    pub(crate) fn examine(&self) -> Result<()> {
        self.exporters().map(drop)
    }

    /// All of it that can fail.
    fn exporters(&self) -> Result<(SpanExporter, Option<MetricExporter>)> {
        let mut exporter = SpanExporter::builder().with_tonic();
        let endpoint = self.endpoint.as_deref();
        if let Some(tls) = Signal::Traces.tls(endpoint)? {
            exporter = exporter.with_tls_config(tls);
        }
        if let Some(endpoint) = endpoint {
            exporter = exporter.with_endpoint(endpoint);
        }
        let spans = exporter.build().map_err(not_built)?;
        let sends_metrics = self.metrics.unwrap_or_else(|| {
            // A list: others may be the application's own.
            env::var("OTEL_METRICS_EXPORTER")
                .is_ok_and(|exporters| exporters.split(',').any(|one| one.trim() == "otlp"))
        });
        let metrics = sends_metrics
            .then(|| metrics::exporter(endpoint))
            .transpose()?;
        Ok((spans, metrics))
    }

    /// Of two values for one key, the later stays.
    async fn merged_resource(self) -> Resource {
        let mut resource = Resource::builder_empty()
            .with_detectors(&[
                Box::new(SdkProvidedResourceDetector),
                Box::new(TelemetryResourceDetector),
            ])
            .with_attributes(attribution::current().await.attributes())
            .with_detector(Box::new(EnvResourceDetector::new()));
        if let Ok(name) = env::var("OTEL_SERVICE_NAME")
            && !name.is_empty()
        {
            resource = resource.with_service_name(name);
        }
        if let Some(own) = self.resource {
            let own = own
                .iter()
                .map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
            resource = resource.with_attributes(own);
        }
        if let Some(name) = self.service_name {
            resource = resource.with_service_name(name);
        }
        with_searchable_service(resource.build())
    }
}

/// A running pipeline.
///
/// Keep it for as long as the application runs, and end it with [`shutdown`](Self::shutdown): spans
/// that are still waiting are lost otherwise.
#[derive(Debug)]
pub struct Pipeline {
    provider: SdkTracerProvider,
    metrics: Option<SdkMeterProvider>,
    counts: Arc<Counts>,
}

impl Pipeline {
    /// Makes it the global provider, of metrics too if they are [sent](PipelineBuilder::metrics),
    /// and W3C Trace Context the global propagator.
    pub fn set_global(&self) {
        global::set_tracer_provider(self.provider.clone());
        if let Some(metrics) = &self.metrics {
            global::set_meter_provider(metrics.clone());
        }
        global::set_text_map_propagator(TraceContextPropagator::new());
    }

    /// A tracer of it, for a layer of `tracing-opentelemetry`.
    pub fn tracer(&self, name: &'static str) -> SdkTracer {
        self.provider.tracer(name)
    }

    /// The provider itself.
    pub fn tracer_provider(&self) -> &SdkTracerProvider {
        &self.provider
    }

    /// The provider of metrics, if they are [sent](PipelineBuilder::metrics).
    pub fn meter_provider(&self) -> Option<&SdkMeterProvider> {
        self.metrics.as_ref()
    }

    /// Spans that the collector took.
    pub fn exported_spans(&self) -> u64 {
        self.counts.exported()
    }

    /// Spans that were lost: the queue was full when they ended, or their export failed.
    pub fn dropped_spans(&self) -> u64 {
        self.counts.dropped()
    }

    /// Sends what is waiting. It may take as long as the SDK lets an export take, but no longer than
    /// `budget` here.
    ///
    /// # Errors
    /// If it was not sent within the budget.
    pub async fn flush(&self, budget: Duration) -> Result<()> {
        let failed = self.counts.failed();
        let (provider, metrics) = (self.provider.clone(), self.metrics.clone());
        let flushed = aside(move || {
            let spans = provider.force_flush();
            let metrics = metrics.map_or(Ok(()), |metrics| metrics.force_flush());
            spans.and(metrics)
        });
        match tokio::time::timeout(budget, flushed).await {
            // The SDK tells only how its last batch went.
            Ok(Ok(Ok(()))) if self.counts.failed() == failed => Ok(()),
            Ok(Ok(Ok(()))) | Err(_) => Err(not_sent(NOT_SENT)),
            Ok(Ok(Err(error))) => Err(not_sent(NOT_SENT).with_source(error)),
            Ok(Err(error)) => Err(not_sent(NOT_SENT).with_source(error)),
        }
    }

    /// Sends what is waiting and ends the pipeline, within `budget`: spans that begin later go
    /// nowhere.
    ///
    /// # Errors
    /// If not everything was sent within the budget; says how many spans were lost in all.
    pub async fn shutdown(self, budget: Duration) -> Result<()> {
        let Pipeline {
            provider,
            metrics,
            counts,
        } = self;
        let failed = counts.failed();
        let metrics =
            aside(move || metrics.map_or(Ok(()), |metrics| metrics.shutdown_with_timeout(budget)));
        // The SDK's own does not keep to the budget.
        let metrics = tokio::time::timeout(budget, metrics);
        let ended = aside(move || provider.shutdown_with_timeout(budget));
        let lost = || {
            let lost = counts.dropped() + counts.unsettled();
            not_sent(format!("{NOT_SENT}: {lost} were lost in all"))
        };
        let (ended, metrics) = tokio::join!(ended, metrics);
        match ended {
            // The SDK tells only that the last exports ended, not how.
            Ok(Ok(())) if counts.failed() == failed => match metrics {
                Ok(Ok(Ok(()))) => Ok(()),
                Ok(Ok(Err(error))) => Err(not_sent(METRICS_NOT_SENT).with_source(error)),
                Ok(Err(error)) => Err(not_sent(METRICS_NOT_SENT).with_source(error)),
                Err(_) => Err(not_sent(METRICS_NOT_SENT)),
            },
            Ok(Ok(())) => Err(lost()),
            Ok(Err(error)) => Err(lost().with_source(error)),
            Err(error) => Err(lost().with_source(error)),
        }
    }
}

/// Jaeger's searches demand a service, and its pages can link to a search only by attributes, among
/// which Jaeger does not count `service.name`: so that name is there a second time.
fn with_searchable_service(resource: Resource) -> Resource {
    let Some(name) = resource.get(&Key::from_static_str("service.name")) else {
        return resource;
    };
    let all = resource
        .iter()
        .map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty()
        .with_attributes(all)
        .with_attribute(KeyValue::new("approzium.service", name))
        .build()
}

/// On a thread that nobody waits for: one of the runtime's would keep the process from ending for as
/// long as it blocks.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (done, result) = oneshot::channel();
    thread::Builder::new()
        .name("approzium-otlp".to_owned())
        .spawn(move || drop(done.send(work())))?;
    result
        .await
        .map_err(|_| io::Error::other("the exporter has panicked"))
}

const NOT_SENT: &str = "spans could not be sent to the collector in time";
const METRICS_NOT_SENT: &str = "metrics could not be sent to the collector in time";

fn not_sent(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(Kind::Unavailable, Hop::Configuration, message)
        .with_help("see whether the OTLP endpoint can be reached")
}

fn not_built(error: ExporterBuildError) -> Error {
    Error::configuration("the OTLP exporter cannot be built")
        .with_help("check its endpoint and the OTEL_EXPORTER_OTLP_… variables")
        .with_source(error)
}
