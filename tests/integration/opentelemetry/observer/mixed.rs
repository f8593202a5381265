//! The wrapper and the driver's client at once on one connection.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use approzium::{opentelemetry::instrument, postgres::Client};
use opentelemetry::{
    Context, KeyValue, global,
    trace::{FutureExt, SpanId, TraceContextExt, Tracer},
};
use tokio_postgres::Statement;

use super::{Fixture, attribute, is_orphan};

const RUNS: usize = 12;
const TASKS: usize = 40;

/// The aliases say who runs what: `w` the wrapper, `d` the driver's client.
fn text(by: char, task: usize, number: usize) -> String {
    format!("SELECT 1 AS {by}_{task}_{number}")
}

/// Plain, prepared, typed and simple, by turns and at once. Returns how many queries that is.
async fn queries(client: Arc<Client>, own: [Statement; 2], same: Statement, task: usize) -> usize {
    let driver: &tokio_postgres::Client = &client;
    driver.query(&text('d', task, 0), &[]).await.unwrap();
    client.query(&text('w', task, 1), &[]).await.unwrap();
    client.query(&own[0], &[]).await.unwrap();
    driver.query(&own[1], &[]).await.unwrap();
    driver.query_typed(&text('d', task, 4), &[]).await.unwrap();
    client.simple_query(&text('w', task, 5)).await.unwrap();
    let (d6, w7, d8, w9, w10) = (
        text('d', task, 6),
        text('w', task, 7),
        text('d', task, 8),
        text('w', task, 9),
        text('w', task, 10),
    );
    let (one, two, three, four, five) = tokio::join!(
        driver.query(&d6, &[]),
        client.query(&w7, &[]),
        driver.simple_query(&d8),
        client.batch_execute(&w9),
        client.query_typed(&w10, &[]),
    );
    one.and(two).unwrap();
    three.unwrap();
    four.unwrap();
    five.unwrap();
    // The same text by both, at once.
    let (one, two, three, four) = tokio::join!(
        driver.query("SELECT 1 AS twin", &[]),
        client.query("SELECT 1 AS twin", &[]),
        driver.query(&same, &[]),
        client.query(&same, &[]),
    );
    one.and(two).and(three).and(four).unwrap();
    15
}

async fn run(fixture: &Fixture, before: usize) -> usize {
    let client = Arc::new(fixture.connect().await);
    let driver: &tokio_postgres::Client = &client;
    let same = driver.prepare("SELECT 1 AS same").await.unwrap();
    let tracer = global::tracer("test");
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let own = [
            driver.prepare(&text('w', task, 2)).await.unwrap(),
            driver.prepare(&text('d', task, 3)).await.unwrap(),
        ];
        let span = tracer
            .span_builder("task")
            .with_attributes([KeyValue::new("n", task.to_string())])
            .start(&tracer);
        let work = queries(client.clone(), own, same.clone(), task);
        tasks.push(tokio::spawn(
            work.with_context(Context::new().with_span(span)),
        ));
    }
    let mut count = 0;
    for task in tasks {
        count += task.await.unwrap();
    }
    let spans = fixture.queries(before + count).await;
    let parents: HashMap<SpanId, String> = fixture
        .spans()
        .iter()
        .filter(|span| span.name == "task")
        .map(|span| (span.span_context.span_id(), attribute(span, "n").unwrap()))
        .collect();
    let mut seen = HashSet::new();
    let mut shared = HashMap::new();
    for span in &spans[before..] {
        let text = attribute(span, "db.query.text").unwrap();
        let alias = text.rsplit(' ').next().unwrap();
        let Some((by, task)) = alias.split_once('_') else {
            *shared
                .entry((alias.to_owned(), is_orphan(span)))
                .or_default() += 1;
            continue;
        };
        assert!(seen.insert(text.clone()), "{text} twice");
        let (task, _) = task.split_once('_').unwrap();
        match is_orphan(span) {
            true => assert_eq!(by, "d", "{text}"),
            false => assert_eq!(parents.get(&span.parent_span_id).unwrap(), task, "{text}"),
        }
    }
    assert_eq!(seen.len(), TASKS * 11);
    // One of each pair is the wrapper's, which knows its parent.
    let expected: HashMap<_, usize> = ["twin", "same"]
        .into_iter()
        .flat_map(|alias| [true, false].map(|orphan| ((alias.to_owned(), orphan), TASKS)))
        .collect();
    assert_eq!(shared, expected);
    before + count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn n_queries_are_n_spans_and_no_parent_is_wrong() {
    let fixture = Fixture::start().await;
    instrument();
    let mut before = 0;
    for _ in 0..RUNS {
        before = run(&fixture, before).await;
    }
}

/// One after the other, each in a span of its own, by tasks that take turns.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_turns_no_parent_is_wrong_and_most_are_certain() {
    const TURNS: usize = 100;
    let fixture = Fixture::start().await;
    instrument();
    let client = Arc::new(fixture.connect().await);
    let tracer = global::tracer("test");
    for turn in 0..TURNS {
        let client = Arc::clone(&client);
        let span = tracer
            .span_builder("task")
            .with_attributes([KeyValue::new("n", turn.to_string())])
            .start(&tracer);
        let work = async move {
            let driver: &tokio_postgres::Client = &client;
            client.query(&text('w', turn, 0), &[]).await.unwrap();
            driver.query(&text('d', turn, 1), &[]).await.unwrap();
            driver.query(&text('d', turn, 2), &[]).await.unwrap();
        };
        let work = work.with_context(Context::new().with_span(span));
        tokio::spawn(work).await.unwrap();
    }
    let spans = fixture.queries(3 * TURNS).await;
    let tasks: HashMap<SpanId, String> = fixture
        .spans()
        .iter()
        .filter(|span| span.name == "task")
        .map(|span| (span.span_context.span_id(), attribute(span, "n").unwrap()))
        .collect();
    let mut certain = 0;
    for span in spans.iter().filter(|span| !is_orphan(span)) {
        let text = attribute(span, "db.query.text").unwrap();
        let turn = text.split('_').nth(1).unwrap();
        assert_eq!(tasks.get(&span.parent_span_id).unwrap(), turn, "{text}");
        certain += 1;
    }
    assert!(certain > 2 * TURNS, "{certain} of {}", 3 * TURNS);
}
