//! What the application of each case does: 200 tasks share one client.

use std::{collections::HashMap, env, sync::Arc};

use approzium::{
    AuthClient, attribution,
    opentelemetry::instrument,
    postgres::{self, Client},
};
use approzium_peers::eventually;
use futures_util::future::Either;
use opentelemetry::{
    Context, KeyValue, global,
    trace::{FutureExt, SpanId, SpanKind, TraceContextExt, Tracer},
};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use serde_json::Value;
use tokio::runtime;
use tokio_postgres::types::Type;
use tracing::Instrument;

use super::{
    PATIENCE,
    case::{Attribution, Bridge, Case},
    lines::Lines,
};

/// The test below, by name.
pub(super) const TEST: &str = "matrix::application::application";
/// Variables by which it is told what it is.
pub(super) const CASE: &str = "APPROZIUM_MATRIX_CASE";
pub(super) const DATABASE: &str = "APPROZIUM_MATRIX_DATABASE";

/// Of everything that the application tells `tracing`.
pub(super) const TARGET: &str = "application";

/// Where it runs.
pub(super) const POD: &str = "checkout-6d9f7c5b8-x2vqp";
const POD_NAME: &str = "approzium.k8s.pod.name";

const TASKS: usize = 200;
/// One after the other, and then two at the same time, each in a span of its own.
const QUERIES: usize = 3;
const JOINED: [&str; 2] = ["left", "right"];
/// Past the wrapper, one after the other, on a connection of their own.
const PAST: usize = 40;
const ALL_QUERIES: usize = TASKS * (QUERIES + JOINED.len()) + PAST;
const ALL_CALLERS: usize = TASKS * (1 + JOINED.len()) + PAST;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "an application: the matrix starts it as a process of its own"]
async fn application() {
    let (Ok(case), Ok(database)) = (env::var(CASE), env::var(DATABASE)) else {
        return;
    };
    let case = Case::named(&case);
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    global::set_tracer_provider(provider.clone());
    let lines = Lines::default();
    case.install(lines.clone(), &provider);

    let place = attribution::current().await.attributes();
    assert!(place.iter().any(|one| one.value.as_str() == POD));
    // The connections are there before anybody wants spans.
    let client = Arc::new(connect(&database).await);
    // On one thread the callers of these are certain.
    let past = tokio::task::spawn_blocking(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(past(case, &database));
    });
    past.await.unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| {
            let name = number.to_string();
            let task = task(case, Arc::clone(&client), number);
            tokio::spawn(called(case, name, task))
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let all = ALL_CALLERS + queries(case);
    let ended = async || (exporter.get_finished_spans().ok()?.len() >= all).then_some(());
    eventually("the last span", PATIENCE, ended).await;

    let spans = exporter.get_finished_spans().unwrap();
    let callers = callers(&spans);
    spans_are_right(case, &spans, &callers);
    lines_are_right(case, &lines.parsed(), &callers);
}

async fn connect(database: &str) -> Client {
    let nobody = AuthClient::new("localhost:1").unwrap();
    postgres::connect_with(database, &nobody).await.unwrap()
}

/// How many spans of queries there are to be.
fn queries(case: Case) -> usize {
    if case.instrumented { ALL_QUERIES } else { 0 }
}

async fn task(case: Case, client: Arc<Client>, number: usize) {
    let name = number.to_string();
    tracing::warn!(target: TARGET, caller = name, "at work");
    for _ in 0..QUERIES {
        query(&client, &name).await;
        tokio::task::yield_now().await;
    }
    let [left, right] = JOINED.map(|side| {
        let name = format!("{number}-{side}");
        let client = &client;
        called(
            case,
            name.clone(),
            async move { query(client, &name).await },
        )
    });
    tokio::join!(left, right);
}

/// With a parameter, so that the span shows the comment too.
async fn query(client: &Client, caller: &str) {
    let text = format!("SELECT $1 /* {caller} */");
    let row = client.query_typed_one(&text, &[(&7, Type::INT4)]).await;
    assert_eq!(row.unwrap().get::<_, i32>(0), 7);
}

/// The same through the driver's own client, past the wrapper.
async fn past(case: Case, database: &str) {
    let client = connect(database).await;
    if case.instrumented {
        instrument();
    }
    let driver: &tokio_postgres::Client = &client;
    for number in 0..PAST {
        let name = format!("past-{number}");
        let text = format!("SELECT $1 /* {name} */");
        let query = driver.query_typed_one(&text, &[(&7, Type::INT4)]);
        let row = called(case, name, query).await;
        assert_eq!(row.unwrap().get::<_, i32>(0), 7);
    }
}

/// Does something in a span of the application's.
fn called<T>(case: Case, caller: String, work: impl Future<Output = T>) -> impl Future<Output = T> {
    let span = tracing::info_span!(target: TARGET, "caller", caller);
    if case.bridge != Bridge::Absent {
        return Either::Left(work.instrument(span));
    }
    let tracer = global::tracer("application");
    let caller = tracer
        .span_builder("caller")
        .with_attributes([KeyValue::new("caller", caller)])
        .start(&tracer);
    let context = Context::current_with_span(caller);
    Either::Right(work.instrument(span).with_context(context))
}

/// The spans of the application, by what they call themselves.
fn callers(spans: &[SpanData]) -> HashMap<String, SpanId> {
    let of_application = spans.iter().filter(|span| span.name == "caller");
    let callers: HashMap<_, _> = of_application
        .map(|span| {
            let caller = attribute(span, "caller").unwrap();
            (caller, span.span_context.span_id())
        })
        .collect();
    assert_eq!(callers.len(), ALL_CALLERS);
    callers
}

/// A query is one span where it is to be one, else none; nobody makes another of it.
fn spans_are_right(case: Case, spans: &[SpanData], callers: &HashMap<String, SpanId>) {
    assert_eq!(spans.len(), ALL_CALLERS + queries(case));
    let mut of_each = HashMap::<String, usize>::new();
    for query in spans.iter().filter(|span| span.name != "caller") {
        assert_eq!(query.span_kind, SpanKind::Client, "{query:?}");
        assert_eq!(attribute(query, POD_NAME).as_deref(), Some(POD));
        let text = attribute(query, "db.query.text").unwrap();
        let caller = text.split_whitespace().rev().nth(1).unwrap().to_owned();
        assert_eq!(query.parent_span_id, callers[&caller], "{text}");
        *of_each.entry(caller).or_default() += 1;
    }
    for (caller, queries) in of_each {
        let expected = if caller.contains('-') { 1 } else { QUERIES };
        assert_eq!(queries, expected, "{caller}");
    }
}

/// Queries are told whether they are spans or not, once each; and lines carry who and where, and the
/// ids of what they were written in, as this case has it.
fn lines_are_right(case: Case, lines: &[Value], callers: &HashMap<String, SpanId>) {
    let of_target = |target| lines.iter().filter(move |line| line["target"] == target);
    assert_eq!(of_target("approzium::query").count(), ALL_QUERIES);
    assert_eq!(of_target(TARGET).count(), TASKS);
    for line in of_target(TARGET) {
        let caller = callers[line["fields"]["caller"].as_str().unwrap()];
        let ids = (case.attribution == Attribution::Attributed).then(|| caller.to_string());
        assert_eq!(line["span_id"].as_str(), ids.as_deref(), "{line}");
        match (case.attribution, case.bridge) {
            (Attribution::Attributed, _) => assert_eq!(line[POD_NAME], POD, "{line}"),
            // The line has no span that it could stand on.
            (Attribution::Layer, Bridge::FilterPerLayer) | (Attribution::Absent, _) => {
                assert!(!line.to_string().contains(POD), "{line}");
            }
            (Attribution::Layer, _) => assert_eq!(line["spans"][0][POD_NAME], POD, "{line}"),
        }
    }
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|one| one.key.as_str() == key)?;
    Some(found.value.to_string())
}
