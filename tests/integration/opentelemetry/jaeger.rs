//! The OTLP pipeline, into a real Jaeger.

use std::time::Duration;

use approzium::opentelemetry::{instrument, otlp};
use approzium_peers::{Jaeger, eventually, peer};
use opentelemetry::{
    Context,
    trace::{FutureExt, TraceContextExt, Tracer},
};

use super::fixture::Fixture;

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_found_by_its_tags() {
    let jaeger = peer!(Jaeger::start());
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let pipeline = otlp::pipeline()
        .service_name("checkout")
        .endpoint(jaeger.otlp_grpc())
        .build()
        .await
        .unwrap();
    pipeline.set_global();
    instrument();
    let span = pipeline.tracer("test").start("request");
    async {
        client
            .query("SELECT relname FROM pg_class LIMIT 1", &[])
            .await
            .unwrap();
        client
            .query("SELECT * FROM nowhere", &[])
            .await
            .unwrap_err();
    }
    .with_context(Context::new().with_span(span))
    .await;
    pipeline.flush(PATIENCE).await.unwrap();

    let query = jaeger.query();
    let found = |tags: &'static [(&str, &str)]| async move {
        eventually("a trace", PATIENCE, async || {
            query
                .traces("checkout", tags)
                .await
                .unwrap()
                .into_iter()
                .next()
        })
        .await
    };
    let trace = found(&[
        ("db.collection.name", "pg_class"),
        ("db.system.name", "postgresql"),
    ])
    .await;
    let request = trace.only("request");
    let select = trace.only("SELECT pg_class");
    assert_eq!(select.parent.as_deref(), Some(request.id.as_str()));
    assert_eq!(select.tag("span.kind"), Some("client"));
    assert_eq!(
        select.tag("db.query.text"),
        Some("SELECT relname FROM pg_class LIMIT ?")
    );
    assert!(
        select.resource.contains_key("telemetry.sdk.name"),
        "{:?}",
        select.resource
    );

    // Jaeger 2.13's memory store does not find `error=true`: it takes the text for a `false`.
    let failed = found(&[
        ("error.type", "42P01"),
        ("db.response.status_code", "42P01"),
    ])
    .await;
    assert_eq!(failed.id, trace.id);
    assert!(failed.only("SELECT nowhere").failed() && !select.failed());
    pipeline.shutdown(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn an_endpoint_that_is_none_is_an_error() {
    let built = otlp::pipeline().endpoint("not a url").build().await;
    assert!(built.unwrap_err().is_configuration());
}
