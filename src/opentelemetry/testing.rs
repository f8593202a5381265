//! A pipeline into memory, for this module's own tests.

mod metrics;

use std::sync::{Mutex, MutexGuard, PoisonError};

use ::opentelemetry::global;
use opentelemetry_sdk::trace::{
    InMemorySpanExporter, Sampler, SdkTracerProvider, ShouldSample, SpanData,
};

pub(super) use self::metrics::Meters;
use super::{instrument, uninstrument};

/// The switch and the provider belong to the process: one test at a time.
static PROCESS: Mutex<()> = Mutex::new(());

pub(super) struct Recorder {
    exporter: InMemorySpanExporter,
    _process: MutexGuard<'static, ()>,
}

impl Recorder {
    pub(super) fn start() -> Self {
        Recorder::sampled_by(Sampler::AlwaysOn)
    }

    pub(super) fn sampled_by(sampler: impl ShouldSample + 'static) -> Self {
        let process = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_sampler(Box::new(sampler) as Box<dyn ShouldSample>)
            .with_simple_exporter(exporter.clone())
            .build();
        global::set_tracer_provider(provider);
        instrument();
        Recorder {
            exporter,
            _process: process,
        }
    }

    /// The finished spans of that name. Other tests of this process may have made others.
    pub(super) fn named(&self, name: &str) -> Vec<SpanData> {
        let mut spans = self.exporter.get_finished_spans().unwrap();
        spans.retain(|span| span.name == name);
        spans
    }

    #[track_caller]
    pub(super) fn only(&self, name: &str) -> SpanData {
        let mut spans = self.named(name);
        assert_eq!(spans.len(), 1, "spans named {name:?}");
        spans.remove(0)
    }

    /// The one finished child of a span.
    #[track_caller]
    pub(super) fn child(&self, parent: &SpanData) -> SpanData {
        let mut spans = self.exporter.get_finished_spans().unwrap();
        spans.retain(|span| span.parent_span_id == parent.span_context.span_id());
        assert_eq!(spans.len(), 1, "children of {:?}", parent.name);
        spans.remove(0)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        uninstrument();
    }
}

pub(super) fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|one| one.key.as_str() == key)?;
    Some(found.value.to_string())
}
