//! What a caller's context holds beside its span.

use approzium::opentelemetry::instrument;
use opentelemetry::{
    Context, KeyValue, TraceId,
    baggage::BaggageExt,
    trace::{FutureExt, Link, SpanKind, TraceState},
};
use opentelemetry_sdk::trace::{SamplingDecision, SamplingResult, ShouldSample};

use super::{Fixture, attribute};

/// Puts the baggage's tenant on spans, as processors of baggage do.
#[derive(Clone, Debug)]
struct Tenant;

impl ShouldSample for Tenant {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        _: TraceId,
        _: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let tenant = parent.and_then(|parent| parent.baggage().get("tenant").cloned());
        SamplingResult {
            decision: SamplingDecision::RecordAndSample,
            attributes: tenant
                .map(|tenant| KeyValue::new("tenant", tenant))
                .into_iter()
                .collect(),
            trace_state: TraceState::default(),
        }
    }
}

#[tokio::test]
async fn baggage_and_silence_go_with_a_query_whichever_way_it_takes() {
    let fixture = Fixture::sampled_by(Tenant).await;
    let client = fixture.connect().await;
    let driver: &tokio_postgres::Client = &client;
    instrument();
    let both = async || {
        client.batch_execute("SELECT 1 AS wrapper").await.unwrap();
        driver.batch_execute("SELECT 2 AS driver").await.unwrap();
    };
    // The first query past the wrapper meets a connection that is still about to be known.
    both().await;
    // What exports spans may itself ask a database, and must not be traced for that.
    let silent = Context::new().with_telemetry_suppressed();
    both().with_context(silent).await;
    let baggage = Context::new().with_baggage([KeyValue::new("tenant", "a")]);
    both().with_context(baggage).await;
    let spans = fixture.queries(4).await;
    let tenants: Vec<_> = spans.iter().map(|span| attribute(span, "tenant")).collect();
    let tenant = Some("a".to_owned());
    assert_eq!(tenants, [None, None, tenant.clone(), tenant]);
}
