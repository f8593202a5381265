//! The conventions' older names, which a variable of the environment asks for: this very program,
//! started again with it.

use std::{collections::BTreeMap, env};

use approzium::{
    AuthClient,
    opentelemetry::{Instrumentation, instrument_with},
    postgres,
};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use tokio::process::Command;

use super::fixture::Fixture;

const VARIABLE: &str = "OTEL_SEMCONV_STABILITY_OPT_IN";
/// Tells the other process where to connect.
const DATABASE: &str = "APPROZIUM_SEMCONV_DATABASE";
/// Begins the lines of what it says.
const SAID: &str = "attribute ";

const TEXT: &str = "SELECT note FROM orders WHERE id = $1";

/// The attributes of the query's span in a process with this value.
async fn attributes(fixture: &Fixture, opted_in: Option<&str>) -> BTreeMap<String, String> {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args([
            "opentelemetry::semconv::another_process",
            "--exact",
            "--ignored",
        ])
        .args(["--nocapture", "--quiet"])
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env(
            DATABASE,
            format!("{} options='-c search_path=public'", fixture.config()),
        )
        .env_remove(VARIABLE)
        .kill_on_drop(true);
    if let Some(value) = opted_in {
        command.env(VARIABLE, value);
    }
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    said.lines()
        .filter_map(|line| line.strip_prefix(SAID)?.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

#[tokio::test]
async fn stable_names_are_the_default_and_the_old_ones_come_besides_on_demand() {
    let fixture = Fixture::start().await;
    fixture.sql("CREATE TABLE orders (id int, note text)").await;
    let port = fixture.port().to_string();
    let names = [
        ("db.system.name", "db.system", "postgresql", "postgresql"),
        ("db.namespace", "db.name", "postgres|public", "postgres"),
        ("db.operation.name", "db.operation", "SELECT", "SELECT"),
        ("db.collection.name", "db.sql.table", "orders", "orders"),
        ("db.query.text", "db.statement", TEXT, TEXT),
        ("server.address", "net.peer.name", "localhost", "localhost"),
        ("server.port", "net.peer.port", &port, &port),
    ];
    for (opted_in, both) in [
        (None, false),
        (Some("database"), false),
        (Some("http/dup"), false),
        (Some("database/dup"), true),
        (Some("http,database, database/dup"), true),
    ] {
        let attributes = attributes(&fixture, opted_in).await;
        let has = |key: &str| attributes.get(key).map(String::as_str);
        for (stable, old, value, old_value) in names {
            assert_eq!(has(stable), Some(value), "{opted_in:?}");
            assert_eq!(
                has(old),
                both.then_some(old_value),
                "{old} with {opted_in:?}"
            );
        }
    }
}

#[tokio::test]
#[ignore = "a part of the test above"]
async fn another_process() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    instrument_with(Instrumentation::new().tracer_provider(provider.clone()));
    let nobody = AuthClient::new("localhost:1").unwrap();
    let client = postgres::connect_with(&env::var(DATABASE).unwrap(), &nobody)
        .await
        .unwrap();
    client.query(TEXT, &[&1]).await.unwrap();
    let spans = exporter.get_finished_spans().unwrap();
    let span = spans
        .iter()
        .find(|span| span.name == "SELECT orders")
        .unwrap();
    for attribute in &span.attributes {
        eprintln!("{SAID}{}={}", attribute.key, attribute.value);
    }
}
