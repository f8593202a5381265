//! W3C Trace Context in gRPC metadata.
//!
//! `traceparent` and `tracestate` as <https://www.w3.org/TR/trace-context/> defines them, version
//! 00. What a peer sent is parsed strictly and bounded; what does not parse is as if absent.

use std::str::FromStr;

use ::opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use tonic::metadata::{MetadataMap, MetadataValue};

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// The specification asks that at least 512 characters be propagated.
const TRACESTATE_LIMIT: usize = 512;

/// Writes the active span of `context` into the metadata of a call; nothing if there is none.
///
/// Within a phase of a connect, `Context::current()` is that phase's. A task that is spawned has a
/// context of its own: take it before.
pub(crate) fn inject(context: &Context, metadata: &mut MetadataMap) {
    if !context.has_active_span() {
        return;
    }
    let span = context.span();
    let parent = span.span_context();
    if !parent.is_valid() {
        return;
    }
    let traceparent = format!(
        "00-{}-{}-{:02x}",
        parent.trace_id(),
        parent.span_id(),
        parent.trace_flags() & TraceFlags::SAMPLED
    );
    if let Ok(value) = MetadataValue::try_from(traceparent) {
        metadata.insert(TRACEPARENT, value);
    }
    let state = parent.trace_state().header();
    if state.is_empty() || state.len() > TRACESTATE_LIMIT {
        return;
    }
    if let Ok(value) = MetadataValue::try_from(state) {
        metadata.insert(TRACESTATE, value);
    }
}

/// The caller's span, if the metadata names one.
#[cfg_attr(
    not(any(test, feature = "authenticator")),
    expect(dead_code, reason = "only the Authenticator is called")
)]
pub(crate) fn extract(metadata: &MetadataMap) -> Option<SpanContext> {
    let traceparent = metadata.get(TRACEPARENT)?.to_str().ok()?;
    let (trace_id, span_id, flags) = parse(traceparent)?;
    let state = metadata
        .get(TRACESTATE)
        .and_then(|value| value.to_str().ok())
        .filter(|state| state.len() <= TRACESTATE_LIMIT)
        .and_then(|state| TraceState::from_str(state).ok())
        .unwrap_or_default();
    Some(SpanContext::new(trace_id, span_id, flags, true, state))
}

fn parse(traceparent: &str) -> Option<(TraceId, SpanId, TraceFlags)> {
    let mut fields = traceparent.split('-');
    let version = fields.next().filter(|field| is_hex(field, 2))?;
    let trace_id = fields.next().filter(|field| is_hex(field, 32))?;
    let span_id = fields.next().filter(|field| is_hex(field, 16))?;
    let flags = fields.next().filter(|field| is_hex(field, 2))?;
    // Later versions may append fields; this one may not.
    if version == "ff" || (version == "00" && fields.next().is_some()) {
        return None;
    }
    let trace_id = TraceId::from_hex(trace_id).ok()?;
    let span_id = SpanId::from_hex(span_id).ok()?;
    if trace_id == TraceId::INVALID || span_id == SpanId::INVALID {
        return None;
    }
    let flags = u8::from_str_radix(flags, 16).ok()?;
    Some((
        trace_id,
        span_id,
        TraceFlags::new(flags) & TraceFlags::SAMPLED,
    ))
}

fn is_hex(field: &str, digits: usize) -> bool {
    field.len() == digits
        && field
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(traceparent: &str, tracestate: Option<&str>) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert(TRACEPARENT, traceparent.parse().unwrap());
        if let Some(state) = tracestate {
            metadata.insert(TRACESTATE, state.parse().unwrap());
        }
        metadata
    }

    #[test]
    fn what_is_injected_is_extracted() {
        let sent = SpanContext::new(
            TraceId::from_hex("0af7651916cd43dd8448eb211c80319c").unwrap(),
            SpanId::from_hex("b7ad6b7169203331").unwrap(),
            TraceFlags::SAMPLED,
            false,
            TraceState::from_str("vendor=value").unwrap(),
        );
        let context = Context::new().with_remote_span_context(sent.clone());
        let mut metadata = MetadataMap::new();
        inject(&context, &mut metadata);
        assert_eq!(
            metadata.get("traceparent").unwrap(),
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        );
        let received = extract(&metadata).unwrap();
        assert_eq!(received.trace_id(), sent.trace_id());
        assert_eq!(received.span_id(), sent.span_id());
        assert_eq!(received.trace_state(), sent.trace_state());
        assert!(received.is_sampled() && received.is_remote());
    }

    #[test]
    fn no_span_writes_nothing() {
        let mut metadata = MetadataMap::new();
        inject(&Context::new(), &mut metadata);
        assert!(metadata.is_empty());
    }

    #[test]
    fn what_does_not_parse_is_absent() {
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert!(extract(&metadata(wrong, None)).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_later_version_and_unknown_flags_are_read_as_far_as_known() {
        let later = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-fe-more";
        let parent = extract(&metadata(later, None)).unwrap();
        assert!(!parent.is_sampled());
    }

    #[test]
    fn an_oversized_state_is_dropped_and_the_parent_kept() {
        let state = format!("vendor={}", "x".repeat(TRACESTATE_LIMIT));
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parent = extract(&metadata(parent, Some(&state))).unwrap();
        assert!(parent.trace_state().header().is_empty());
    }
}
