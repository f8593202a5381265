//! What becomes of a pipeline's spans, counted.
//!
//! ```text
//! a span ends ── Bounded ── queue, batches ── Counted ── OTLP ──▶ exported
//!                   │                            │
//!                   ▼                            ▼
//!              queue full ──────▶ dropped ◀── export failed
//! ```
//! The SDK's batch processor tells how many spans it dropped in one line of its log, when it shuts
//! down. [`Bounded`] holds the bound of that queue one step before it, so that the queue itself is
//! never full and every span is accounted for.

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ::opentelemetry::{Context, KeyValue, global};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};

use crate::opentelemetry::{attributes as key, instrumentation::scope};

/// Batches of the SDK's defaults, which its `OTEL_BSP_…` variables change, and their counts.
pub(super) fn batches<E: SpanExporter + 'static>(exporter: E) -> (Bounded, Arc<Counts>) {
    static PIPELINES: AtomicUsize = AtomicUsize::new(0);
    let number = PIPELINES.fetch_add(1, Ordering::Relaxed);
    let counts = Arc::new(Counts::new(number, queue_size()));
    let exporter = Counted {
        exporter,
        counts: Arc::clone(&counts),
    };
    let batches = BatchSpanProcessor::builder(exporter)
        .with_batch_config(
            BatchConfigBuilder::default()
                .with_max_queue_size(counts.queue)
                .build(),
        )
        .build();
    let bounded = Bounded {
        batches,
        counts: Arc::clone(&counts),
    };
    (bounded, counts)
}

/// As the SDK reads it.
fn queue_size() -> usize {
    const DEFAULT: usize = 2048;
    let size = env::var("OTEL_BSP_MAX_QUEUE_SIZE").ok();
    size.and_then(|size| size.parse().ok()).unwrap_or(DEFAULT)
}

/// Lost by all pipelines of this process.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Spans that this process has lost, whichever of its pipelines had them.
#[cfg(feature = "authenticator")]
pub(crate) fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

fn lose(spans: u64, by: &AtomicU64) {
    by.fetch_add(spans, Ordering::Relaxed);
    LOST.fetch_add(spans, Ordering::Relaxed);
}

/// How many spans went where.
#[derive(Debug)]
pub(super) struct Counts {
    /// Of the pipelines of this process.
    number: usize,
    /// How many may wait.
    queue: usize,
    waiting: AtomicUsize,
    exporting: AtomicUsize,
    exported: AtomicU64,
    overflowed: AtomicU64,
    failed: AtomicU64,
    /// How much of `overflowed` metrics know.
    reported: AtomicU64,
    warned: AtomicBool,
}

impl Counts {
    fn new(number: usize, queue: usize) -> Self {
        Counts {
            number,
            queue,
            waiting: AtomicUsize::new(0),
            exporting: AtomicUsize::new(0),
            exported: AtomicU64::new(0),
            overflowed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            reported: AtomicU64::new(0),
            warned: AtomicBool::new(false),
        }
    }

    /// Spans that the collector took.
    pub(super) fn exported(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }

    /// Spans whose export failed.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Spans that are lost.
    pub(super) fn dropped(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed) + self.failed()
    }

    /// Spans of which nothing is known yet.
    pub(super) fn unsettled(&self) -> u64 {
        let waiting = self.waiting.load(Ordering::Relaxed);
        (waiting + self.exporting.load(Ordering::Relaxed)) as u64
    }

    /// Whether there is room for one more.
    fn admit(&self) -> bool {
        let one_more = |waiting| (waiting < self.queue).then_some(waiting + 1);
        let admitted = self
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        if admitted.is_err() {
            lose(1, &self.overflowed);
        }
        admitted.is_ok()
    }

    fn begin(&self, spans: usize) {
        self.exporting.fetch_add(spans, Ordering::Relaxed);
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
    }

    fn end(&self, spans: usize, result: &OTelSdkResult) {
        let batch = spans as u64;
        match result {
            Ok(()) => drop(self.exported.fetch_add(batch, Ordering::Relaxed)),
            Err(_) => lose(batch, &self.failed),
        }
        self.exporting.fetch_sub(spans, Ordering::Relaxed);
    }

    /// Tells the metrics, and once the log, on the thread of the exports, which nobody waits for.
    fn report(&self, spans: usize, result: &OTelSdkResult) {
        let meter = global::meter_with_scope(scope());
        let mut exporter = self.component("otlp_grpc_span_exporter");
        exporter.extend(result.as_ref().err().map(error_type));
        meter
            .u64_counter("otel.sdk.exporter.span.exported")
            .with_unit("{span}")
            .with_description("Spans whose export has ended, well or not")
            .build()
            .add(spans as u64, &exporter);

        let mut processor = self.component("batching_span_processor");
        let processed = meter
            .u64_counter("otel.sdk.processor.span.processed")
            .with_unit("{span}")
            .with_description("Spans that were handed to the exporter, or dropped before it")
            .build();
        processed.add(spans as u64, &processor);
        let overflowed = self.overflowed.load(Ordering::Relaxed);
        let unreported = overflowed - self.reported.swap(overflowed, Ordering::Relaxed);
        if unreported > 0 {
            processor.push(KeyValue::new(key::ERROR_TYPE, "queue_full"));
            processed.add(unreported, &processor);
        }

        let dropped = self.dropped();
        if dropped > 0 && !self.warned.swap(true, Ordering::Relaxed) {
            ::tracing::warn!(
                dropped,
                "spans are being dropped: the collector does not take all of them"
            );
        }
    }

    /// As the conventions tell several pipelines apart.
    fn component(&self, kind: &'static str) -> Vec<KeyValue> {
        vec![
            KeyValue::new("otel.component.type", kind),
            KeyValue::new("otel.component.name", format!("{kind}/{}", self.number)),
        ]
    }
}

fn error_type(error: &OTelSdkError) -> KeyValue {
    let error_type = match error {
        OTelSdkError::Timeout(_) => "timeout",
        _ => "_OTHER",
    };
    KeyValue::new(key::ERROR_TYPE, error_type)
}

/// Holds back what the queue has no room for.
#[derive(Debug)]
pub(super) struct Bounded {
    batches: BatchSpanProcessor,
    counts: Arc<Counts>,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.counts.admit() {
            self.batches.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// Counts what an exporter does with its batches.
#[derive(Debug)]
struct Counted<E> {
    exporter: E,
    counts: Arc<Counts>,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.counts.begin(spans);
        let result = self.exporter.export(batch).await;
        self.counts.end(spans, &result);
        self.counts.report(spans, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
