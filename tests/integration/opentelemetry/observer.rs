//! Queries that go past the wrapper, on a real PostgreSQL: each is one span, with the caller's as
//! its parent only where that is certain.

mod context;
mod mixed;
mod once;
mod pool;
mod surface;

use std::time::Duration;

use opentelemetry::trace::SpanId;
use opentelemetry_sdk::trace::SpanData;

use super::fixture::{Fixture, Recorded, attribute};

impl Fixture {
    /// The spans of queries, once there are so many: the observer ends a span when the server is
    /// ready for the next query, which is not when the caller has what it wants.
    async fn queries(&self, count: usize) -> Vec<SpanData> {
        approzium_peers::eventually("the spans", Duration::from_secs(10), async || {
            let spans = self.query_spans();
            (spans.len() >= count).then_some(())
        })
        .await;
        let spans = self.query_spans();
        assert_eq!(spans.len(), count, "{:#?}", names(&spans));
        spans
    }

    fn query_spans(&self) -> Vec<SpanData> {
        let mut spans = self.spans();
        spans.retain(|span| attribute(span, "db.query.text").is_some());
        spans
    }
}

fn names(spans: &[SpanData]) -> Vec<(String, Option<String>)> {
    let of = |span: &SpanData| (span.name.to_string(), attribute(span, "db.query.text"));
    spans.iter().map(of).collect()
}

/// A root that says that it is not known whose it is.
fn is_orphan(span: &SpanData) -> bool {
    let marked = attribute(span, "approzium.parent").as_deref() == Some("unknown");
    assert_eq!(marked, span.parent_span_id == SpanId::INVALID, "{span:#?}");
    marked
}
