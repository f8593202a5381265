//! `traceparent` and `tracestate`, a line each: what names the caller's span is passed on as it was
//! read, and bounded.

#![no_main]

use approzium::fuzzing::opentelemetry::{extract, inject};
use libfuzzer_sys::fuzz_target;
use opentelemetry::{Context, trace::TraceContextExt};
use tonic::metadata::{MetadataMap, MetadataValue};

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let mut received = MetadataMap::new();
    for name in ["traceparent", "tracestate"] {
        if let Ok(value) = MetadataValue::try_from(lines.next().unwrap_or_default()) {
            received.insert(name, value);
        }
    }
    let Some(caller) = extract(&received) else {
        return;
    };
    assert!(caller.is_valid() && caller.is_remote());
    assert!(caller.trace_state().header().len() <= 512);
    let mut sent = MetadataMap::new();
    inject(
        &Context::new().with_remote_span_context(caller.clone()),
        &mut sent,
    );
    assert_eq!(extract(&sent), Some(caller));
});
