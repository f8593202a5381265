//! A session as it is observed: `C` or `S`, a length of two bytes, and as many bytes of the client's
//! or the server's. The messages are the same however they are cut, and there are no more spans than
//! messages that could have asked for them.

#![no_main]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use approzium::{
    fuzzing::postgres::{observe, skim},
    opentelemetry::Instrumentation,
};
use libfuzzer_sys::fuzz_target;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};

fuzz_target!(|bytes: &[u8]| {
    for from_client in [true, false] {
        let whole = skim(from_client, [bytes]);
        for piece in [1, 11] {
            assert_eq!(skim(from_client, bytes.chunks(piece)), whole);
        }
    }

    let counted = Counted::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(counted.clone())
        .build();
    let instrumentation = Instrumentation::new()
        .tracer_provider(provider.clone())
        .returned_rows(true);
    observe(instrumentation, pieces(bytes));
    // The shortest message has five bytes.
    assert!(counted.0.load(Ordering::Relaxed) <= bytes.len() / 5);
});

fn pieces(mut bytes: &[u8]) -> Vec<(bool, &[u8])> {
    let mut pieces = Vec::new();
    while let [side, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (piece, after) = rest.split_at(length.min(rest.len()));
        pieces.push((*side == b'C', piece));
        bytes = after;
    }
    pieces
}

#[derive(Clone, Debug, Default)]
struct Counted(Arc<AtomicUsize>);

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.fetch_add(batch.len(), Ordering::Relaxed);
        for text in batch.iter().flat_map(|span| &span.attributes) {
            assert!(text.value.as_str().len() < 8 * 1024, "{}", text.key);
        }
        Ok(())
    }
}
