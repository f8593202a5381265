//! 200 tasks × 3 queries on one client: every parent is the right one.

use std::{collections::HashMap, sync::Arc};

use approzium::{opentelemetry::instrument, postgres::Client};
use opentelemetry::{
    Context, global,
    trace::{FutureExt, SpanId, TraceContextExt, Tracer, TracerProvider},
};
use tracing::{Dispatch, Instrument, instrument::WithSubscriber};
use tracing_subscriber::layer::SubscriberExt;

use super::fixture::{Fixture, attribute};

const TASKS: usize = 200;
const QUERIES: usize = 3;

/// The texts have parameters, so that they are shown with their comment.
async fn queries(client: Arc<Client>, task: usize) {
    let text = format!("SELECT $1::int4 /* task {task} */");
    for _ in 0..QUERIES - 1 {
        client.query_one(text.as_str(), &[&1]).await.unwrap();
    }
    // The last one together with another task's worth of waiting, within the same span.
    let (one, ()) = tokio::join!(
        client.query_one(text.as_str(), &[&1]),
        tokio::task::yield_now()
    );
    one.unwrap();
}

async fn check<W>(fixture: &Fixture, run: impl Fn(Arc<Client>, usize) -> W)
where
    W: Future<Output = ()> + Send + 'static,
{
    let client = Arc::new(fixture.connect().await);
    instrument();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| tokio::spawn(run(client.clone(), task)))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let spans = fixture.spans();
    let parents: HashMap<String, SpanId> = spans
        .iter()
        .filter(|span| span.name == "task")
        .map(|span| (attribute(span, "n").unwrap(), span.span_context.span_id()))
        .collect();
    assert_eq!(parents.len(), TASKS);
    let queries: Vec<_> = spans.iter().filter(|span| span.name == "SELECT").collect();
    assert_eq!(queries.len(), TASKS * QUERIES);
    assert_eq!(spans.len(), TASKS * (QUERIES + 1), "nothing is made twice");
    for query in queries {
        let text = attribute(query, "db.query.text").unwrap();
        let task = text.split_whitespace().rev().nth(1).unwrap();
        assert_eq!(Some(&query.parent_span_id), parents.get(task), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parents_are_right_with_opentelemetry_alone() {
    let fixture = Fixture::start().await;
    check(&fixture, |client, task| {
        let tracer = global::tracer("test");
        let span = tracer
            .span_builder("task")
            .with_attributes([opentelemetry::KeyValue::new("n", task.to_string())])
            .start(&tracer);
        queries(client, task).with_context(Context::new().with_span(span))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parents_are_right_with_tracing_opentelemetry() {
    with_layer(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parents_are_right_where_contexts_are_not_activated() {
    with_layer(false).await;
}

async fn with_layer(activation: bool) {
    let fixture = Fixture::start().await;
    let layer = tracing_opentelemetry::layer()
        .with_tracer(fixture.provider.tracer("layer"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_context_activation(activation);
    let only_ours = tracing_subscriber::filter::Targets::new()
        .with_target(module_path!(), tracing::Level::TRACE);
    let subscriber = tracing_subscriber::registry().with(only_ours).with(layer);
    let dispatch = Dispatch::new(subscriber);
    check(&fixture, |client, task| {
        tracing::dispatcher::with_default(&dispatch, || {
            let span = tracing::info_span!("task", n = task.to_string());
            queries(client, task).instrument(span)
        })
        .with_subscriber(dispatch.clone())
    })
    .await;
}
