//! `RUST_LOG=trace`: what a line may hold.

use std::time::Duration;

use approzium::{opentelemetry::instrument, postgres::Client, tracing::attributed};
use approzium_peers::{eventually, peer};
use serde_json::Value;
use tokio_postgres::types::Type;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, registry, util::SubscriberInitExt};

use super::{connect, output::object, run};
use crate::thread::{House, application::CHECKOUT};

const PATIENCE: Duration = Duration::from_secs(30);

/// In none of its lines.
const VALUES: [&str; 12] = [
    "value-of-a-parameter",
    "value-of-a-prepared-statement",
    "value-of-a-literal",
    "value-of-a-failing-cast",
    "value-of-a-copy",
    "value-past-the-wrapper",
    "literal-past-the-wrapper",
    "value-that-a-function-raises",
    "value_that_names_a_table",
    "value_that_names_a_setting",
    "value-raised-past-the-wrapper",
    "value_named_past_the_wrapper",
];

#[tokio::test]
async fn no_line_holds_a_value_or_a_secret() {
    let house = peer!(House::open(None));
    let secrets = house.secrets(CHECKOUT.role);
    let lines = lines(&run(&house, "tracing::secrets::everything_is_logged").await);
    let of = |target: &'static str| {
        let of_target = move |line: &&Value| line["target"].as_str().unwrap().starts_with(target);
        lines.iter().filter(of_target)
    };
    for line in of("approzium") {
        let line = line.to_string();
        for value in VALUES.into_iter().chain(secrets.iter().map(String::as_str)) {
            assert!(!line.contains(value), "{line}");
        }
        assert!(!line.contains("a2."), "a session's token in {line}");
    }
    // As on a span: the driver's own Debug shows more.
    let why = "FATAL 57P01: terminating connection due to administrator command";
    let ended = "the connection to the database ended";
    let is_said = |line: &Value| line["message"] == ended && line["error"] == why;
    assert!(of("approzium").any(|line| is_said(&line["fields"])));
    let queries = of("approzium::query").count();
    assert!(queries >= 12, "{queries} queries");
    // The documentation says so, and what to do about it.
    let driver: Vec<_> = of("tokio_postgres").map(Value::to_string).collect();
    assert!(driver.iter().any(|line| line.contains(VALUES[0])));

    let said = run(&house, "tracing::secrets::all_but_the_driver_s_is_logged").await;
    assert!(said.contains(r#""level":"TRACE""#));
    for value in VALUES {
        assert!(!said.contains(value), "{value} in {said}");
    }
}

fn lines(said: &str) -> Vec<Value> {
    let lines = said.lines().filter(|line| line.starts_with('{'));
    lines.map(object).collect()
}

#[tokio::test]
#[ignore = "an application: no_line_holds_a_value_or_a_secret runs it"]
async fn everything_is_logged() {
    work("trace").await;
}

#[tokio::test]
#[ignore = "an application: no_line_holds_a_value_or_a_secret runs it"]
async fn all_but_the_driver_s_is_logged() {
    work("trace,tokio_postgres=warn").await;
}

async fn work(filter: &str) {
    let lines = fmt::layer()
        .json()
        .map_event_format(attributed)
        .with_writer(std::io::stderr);
    registry().with(EnvFilter::new(filter)).with(lines).init();
    instrument();
    let client = connect().await;
    queries(&client).await;
}

async fn queries(client: &Client) {
    let [
        parameter,
        prepared,
        literal,
        cast,
        copied,
        past,
        literal_past,
        raised,
        named,
        setting,
        raised_past,
        named_past,
    ] = VALUES;
    client.batch_execute("DELETE FROM orders").await.unwrap();
    let insert = "INSERT INTO orders (id, note) VALUES (1, $1)";
    client.execute(insert, &[&parameter]).await.unwrap();
    // The key is taken, and the database's DETAIL says by what.
    client.execute(insert, &[&parameter]).await.unwrap_err();
    let select = client.prepare("SELECT id FROM orders WHERE note = $1");
    let select = select.await.unwrap();
    client.query(&select, &[&prepared]).await.unwrap();
    let typed = [(&parameter as _, Type::TEXT)];
    client.query_typed("SELECT $1", &typed).await.unwrap();
    let update = format!("UPDATE orders SET note = '{literal}' WHERE note = 'other'");
    client.batch_execute(&update).await.unwrap();
    let failing = format!("SELECT '{cast}'::int");
    client.simple_query(&failing).await.unwrap_err();
    let missing = format!("SELECT nothing FROM orders WHERE note = '{literal}'");
    client.query(&missing, &[]).await.unwrap_err();
    let sink = client.copy_in("COPY orders (id, note) FROM STDIN").await;
    let mut sink = Box::pin(sink.unwrap());
    let row = bytes::Bytes::from(format!("2\t{copied}\n"));
    futures_util::SinkExt::send(&mut sink, row).await.unwrap();
    sink.as_mut().finish().await.unwrap();
    let driver: &tokio_postgres::Client = client;
    driver.query("SELECT $1::text", &[&past]).await.unwrap();
    let select = format!("SELECT '{literal_past}'");
    driver.simple_query(&select).await.unwrap();
    // A function chooses the SQLSTATE of what it raises.
    let limit = "CREATE OR REPLACE FUNCTION limited(note text) RETURNS void LANGUAGE plpgsql AS $$
        BEGIN RAISE '% is over the limit', note USING ERRCODE = 'check_violation'; END $$";
    client.batch_execute(limit).await.unwrap();
    let limited = "SELECT limited($1)";
    client.query(limited, &[&raised]).await.unwrap_err();
    driver.query(limited, &[&raised_past]).await.unwrap_err();
    let exists = "SELECT $1::text::regclass";
    client.query(exists, &[&named]).await.unwrap_err();
    let literally = format!("SELECT '{named}'::regclass");
    client.simple_query(&literally).await.unwrap_err();
    driver.query(exists, &[&named_past]).await.unwrap_err();
    let current = "SELECT current_setting($1)";
    client.query(current, &[&setting]).await.unwrap_err();
    let slow = "SELECT pg_sleep(3600), $1::text";
    let slow = client.query_typed(slow, &typed);
    let given_up = tokio::time::timeout(Duration::from_millis(1), slow).await;
    given_up.unwrap_err();
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE usename = current_user AND pid <> pg_backend_pid()";
    let idle = connect().await;
    connect().await.query(others, &[]).await.unwrap();
    eventually("the end of the connection", PATIENCE, async || {
        idle.is_closed().then_some(())
    })
    .await;
}
