//! What the applications do. Each is this test binary once more, with one of the tests below.

use std::{
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use approzium::{
    attribution::Collector,
    opentelemetry::{instrument, otlp, uninstrument},
    postgres::{self, Client},
};
use opentelemetry::{
    Context, KeyValue, global,
    trace::{FutureExt, Span, SpanKind, TraceContextExt, Tracer},
};
use tracing::field::Empty;
use tracing_subscriber::layer::SubscriberExt;

use super::PATIENCE;

/// Where the tests below are.
pub(super) const PATH: &str = "thread::application";
pub(crate) const SERVICE: &str = "shop";
pub(crate) const NAMESPACE: &str = "production";

/// A pod, what runs in it, and under which role.
pub(crate) struct Pod {
    pub(crate) application: &'static str,
    pub(crate) role: &'static str,
    pub(crate) name: &'static str,
    pub(crate) uid: &'static str,
}

pub(crate) const CHECKOUT: Pod = Pod {
    application: "checkout",
    role: "checkout",
    name: "checkout-6d9f7c5b8-x2vqp",
    uid: "0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9",
};
pub(crate) const REPORTING: Pod = Pod {
    application: "reporting",
    role: "reporting",
    name: "reporting-54c8d7f9b-k7m2t",
    uid: "1c2d3e4f-5061-4728-93a4-b5c6d7e8f90b",
};
/// Its role is on no record.
pub(crate) const INTRUDER: Pod = Pod {
    application: "intruder",
    role: "intruder",
    name: "debug-shell",
    uid: "2d3e4f50-6172-4839-a4b5-c6d7e8f90b1c",
};
/// Other libraries make spans beside ours.
pub(super) const NEIGHBOUR: Pod = Pod {
    application: "neighbour",
    role: "reporting",
    name: "neighbour-5d8f9b7c6-m4n5p",
    uid: "4f506172-8394-4a5b-86c7-d8e9f00b1c2d",
};
/// Its spans find no collector.
pub(super) const BUSY: Pod = Pod {
    application: "busy",
    role: "checkout",
    name: "busy-7b9c6d5f4-q8w9e",
    uid: "3e4f5061-7283-494a-b5c6-d7e8f90b1c2d",
};

/// What these applications asked for, one trace each.
pub(super) const ORDERS: &str = "POST /orders";
pub(super) const TASKS_ON_ONE_CLIENT: &str = "GET /everything";
pub(super) const REPORT: &str = "GET /report";
pub(super) const SHELL: &str = "psql";
pub(super) const MIXED: &str = "GET /mixed";

pub(super) const TASKS: usize = 200;
pub(super) const QUERIES: usize = 3;

/// Values that queries are run with, and that no span may show.
pub(super) const VALUES: [&str; 2] = ["value-of-a-parameter", "value-of-a-literal"];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "an application: thread::spans runs it"]
async fn checkout() {
    let pipeline = pipeline().await;
    request(ORDERS, async {
        let client = connect().await.unwrap();
        orders(&client).await;
    })
    .await;
    request(TASKS_ON_ONE_CLIENT, tasks_on_one_client()).await;
    pipeline.shutdown(PATIENCE).await.unwrap();
}

#[tokio::test]
#[ignore = "an application: thread::spans runs it"]
async fn reporting() {
    let pipeline = pipeline().await;
    request(REPORT, async {
        let client = connect().await.unwrap();
        let count = "SELECT count(*) FROM orders";
        client.query_one(count, &[]).await.unwrap();
    })
    .await;
    pipeline.shutdown(PATIENCE).await.unwrap();
}

#[tokio::test]
#[ignore = "an application: thread::spans runs it"]
async fn intruder() {
    let pipeline = pipeline().await;
    request(SHELL, async {
        let error = connect().await.unwrap_err();
        assert!(error.is_permission_denied(), "{error}");
    })
    .await;
    pipeline.shutdown(PATIENCE).await.unwrap();
}

#[tokio::test]
#[ignore = "an application: thread::others runs it"]
async fn neighbour() {
    let pipeline = pipeline().await;
    let layer = tracing_opentelemetry::layer().with_tracer(pipeline.tracer("sqlx-tracing"));
    let subscriber = tracing_subscriber::registry().with(layer);
    let _subscriber = tracing::subscriber::set_default(subscriber);
    // From the first login on it is known who this is.
    connect().await.unwrap();
    let client = connect().await.unwrap();
    request(MIXED, async {
        let name = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        let row = client.query_one(name, &[]).await.unwrap();
        assert_eq!(
            row.get::<_, &str>(0),
            "shop@neighbour-5d8f9b7c6-m4n5p (reporting)"
        );
        let tracer = global::tracer("redis");
        let get = tracer
            .span_builder("GET cart")
            .with_kind(SpanKind::Client)
            .with_attributes([KeyValue::new("db.system", "redis")]);
        get.start(&tracer).end();
        let select =
            tracing::info_span!("SELECT carts", otel.kind = "client", db.system.name = Empty);
        select.in_scope(|| {});
        select.record("db.system.name", "mysql");
        let call = tracer
            .span_builder("GET /prices")
            .with_kind(SpanKind::Client);
        call.start(&tracer).end();
    })
    .await;
    pipeline.shutdown(PATIENCE).await.unwrap();
}

/// A busy one, whose collector is dead. It compares itself with what it is without spans.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "an application: thread::collectors runs it"]
async fn busy() {
    // More spans in all than the queue of the batches, and one batch besides, can hold.
    const TURNS: u32 = 30;
    const HELD_BACK: u64 = 2048 + 512;
    let pipeline = pipeline().await;
    let client = connect().await.unwrap();
    let (mut bare, mut spanned) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..TURNS {
        uninstrument();
        bare += turn(&client).await;
        instrument();
        spanned += turn(&client).await;
    }
    // What a debug build's spans cost is not the question: a wait for the collector would be
    // seconds.
    assert!(spanned < 4 * bare, "{spanned:?} instead of {bare:?}");
    let dropped = pipeline.dropped_spans();
    assert!(dropped >= 100 * u64::from(TURNS) - HELD_BACK, "{dropped}");
    // Neither is waited for beyond this, nor by the process when it ends.
    let little = Duration::from_millis(100);
    pipeline.flush(little).await.unwrap_err();
    pipeline.shutdown(little).await.unwrap_err();
}

async fn turn(client: &Client) -> Duration {
    let begun = Instant::now();
    for _ in 0..100 {
        client.query_typed_one("SELECT 1", &[]).await.unwrap();
    }
    begun.elapsed()
}

/// As an application would have it, but with all the time that finding out who it is may take.
async fn pipeline() -> otlp::Pipeline {
    let collector = Collector::builder().budget(PATIENCE).build();
    let pipeline = otlp::pipeline()
        .resource(collector.collect().await.resource())
        .build()
        .await
        .unwrap();
    pipeline.set_global();
    instrument();
    pipeline
}

async fn connect() -> approzium::Result<Client> {
    postgres::connect(&env::var("DATABASE").unwrap()).await
}

async fn request<T>(name: &'static str, work: impl Future<Output = T>) -> T {
    let tracer = global::tracer("shop");
    let span = tracer
        .span_builder(name)
        .with_kind(SpanKind::Server)
        .start(&tracer);
    let result = work.with_context(Context::new().with_span(span));
    result.await
}

async fn orders(client: &Client) {
    let [parameter, literal] = VALUES;
    let insert = "INSERT INTO orders (id, note) VALUES ($1, $2)";
    let insert = client.prepare(insert).await.unwrap();
    client.execute(&insert, &[&7, &parameter]).await.unwrap();
    let update = format!("UPDATE orders SET note = '{literal}' WHERE id = 7");
    client.batch_execute(&update).await.unwrap();
    let select = "SELECT note FROM orders WHERE id = $1";
    let row = client.query_one(select, &[&7]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), literal);

    // The key is taken, and the database's DETAIL says by which value.
    let again = client.execute(&insert, &[&7, &parameter]).await;
    again.unwrap_err();
    let missing = "SELECT points FROM loyalty WHERE customer = $1";
    client.query(missing, &[&7]).await.unwrap_err();

    let slow = client.query("SELECT pg_sleep(3600)", &[]);
    let given_up = tokio::time::timeout(Duration::from_millis(1), slow).await;
    given_up.unwrap_err();
}

async fn tasks_on_one_client() {
    let client = Arc::new(connect().await.unwrap());
    let tracer = global::tracer("shop");
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let span = tracer
                .span_builder("task")
                .with_attributes([KeyValue::new("task", task.to_string())])
                .start_with_context(&tracer, &Context::current());
            let queries = queries(Arc::clone(&client), task);
            tokio::spawn(queries.with_context(Context::current_with_span(span)))
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn queries(client: Arc<Client>, task: usize) {
    // With a parameter, so that the span shows the comment too.
    let text = format!("SELECT $1::int4 /* task {task} */");
    for _ in 0..QUERIES {
        client.query_one(text.as_str(), &[&1]).await.unwrap();
        tokio::task::yield_now().await;
    }
}
