//! Attribution on the database spans that other instrumentation makes.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use ::opentelemetry::{
    Context, KeyValue,
    trace::{Span as _, SpanKind},
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};

use super::{
    attributes as key, identity::process_attribution, instrumentation::SCOPE, service::note_service,
};

/// Puts this process's attribution on database spans that are not this library's: of sqlx, diesel,
/// redis, whatever makes them. Needs the feature `resource`, since it needs `opentelemetry_sdk`.
///
/// ```
/// use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
///
/// # let exporter = InMemorySpanExporter::default();
/// let provider = SdkTracerProvider::builder()
///     .with_span_processor(approzium::opentelemetry::span_processor())
///     .with_simple_exporter(exporter)
///     .build();
/// ```
///
/// A database span is one of kind CLIENT that says `db.system.name`, or `db.system` of the older
/// conventions. It gets `approzium.iam_arn` and `approzium.iam_role` as the Authenticator has
/// verified them for the [default client](crate::default_auth_client), and the pod, task or
/// instance; each as far as it is known at that moment, and only if the span does not say it
/// itself. Nothing is waited for. That is who this *process* is: as whom another driver logged in
/// at its database, nobody but that driver knows.
///
/// # What it cannot see
/// It looks at a span when that begins. `tracing-opentelemetry` begins a span when it is first
/// entered: a kind or a `db.system.name` that is recorded later comes too late, as does what
/// other instrumentation sets after the start. [`around`](AttributionProcessor::around) another
/// processor it looks when a span has ended, and misses none; so does the `otlp` pipeline.
pub fn span_processor() -> AttributionProcessor {
    AttributionProcessor {
        attribution: process_attribution,
    }
}

/// Puts attribution on spans when they begin: see [`span_processor`].
#[derive(Clone, Debug)]
pub struct AttributionProcessor {
    attribution: fn() -> Arc<Vec<KeyValue>>,
}

impl AttributionProcessor {
    /// Puts attribution on spans when they have ended, and only on those that `exporting` gets.
    ///
    /// Sees everything that a span says in the end, and costs spans that are no database's nothing;
    /// at the start, the SDK copies each span to show it.
    ///
    /// ```
    /// use opentelemetry_sdk::trace::{BatchSpanProcessor, InMemorySpanExporter, SdkTracerProvider};
    ///
    /// # let exporter = InMemorySpanExporter::default();
    /// let batches = BatchSpanProcessor::builder(exporter).build();
    /// let provider = SdkTracerProvider::builder()
    ///     .with_span_processor(approzium::opentelemetry::span_processor().around(batches))
    ///     .build();
    /// ```
    pub fn around<P: SpanProcessor>(self, exporting: P) -> Around<P> {
        Around {
            attribution: self.attribution,
            exporting,
        }
    }
}

impl SpanProcessor for AttributionProcessor {
    fn on_start(&self, span: &mut Span, _: &Context) {
        if !span.is_recording() {
            return;
        }
        let attribution = (self.attribution)();
        if attribution.is_empty() {
            return;
        }
        if let Some(data) = span.exported_data().filter(is_of_others) {
            span.set_attributes(missing(&attribution, &data.attributes));
        }
    }

    fn on_end(&self, _: SpanData) {}

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        note_service(resource);
    }
}

/// Another processor, whose spans have attribution: see [`AttributionProcessor::around`].
#[derive(Clone, Debug)]
pub struct Around<P> {
    attribution: fn() -> Arc<Vec<KeyValue>>,
    exporting: P,
}

impl<P: SpanProcessor> SpanProcessor for Around<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.exporting.on_start(span, context);
    }

    fn on_end(&self, mut span: SpanData) {
        if is_of_others(&span) {
            let missing: Vec<_> = missing(&(self.attribution)(), &span.attributes).collect();
            span.attributes.extend(missing);
        }
        self.exporting.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporting.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporting.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        note_service(resource);
        self.exporting.set_resource(resource);
    }
}

/// Whether it is a database's span, and not one of ours.
fn is_of_others(span: &SpanData) -> bool {
    let says = |one: &KeyValue| [key::DB_SYSTEM_NAME, key::DB_SYSTEM].contains(&one.key.as_str());
    span.span_kind == SpanKind::Client
        && span.instrumentation_scope.name() != SCOPE
        && span.attributes.iter().any(says)
}

/// What a span does not say itself.
fn missing(attribution: &[KeyValue], said: &[KeyValue]) -> impl Iterator<Item = KeyValue> {
    let unsaid = |one: &&KeyValue| !said.iter().any(|said| said.key == one.key);
    attribution.iter().filter(unsaid).cloned()
}
