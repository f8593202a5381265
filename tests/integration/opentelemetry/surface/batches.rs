//! Statements that are sent together are one span, which says how many they are.

use approzium::opentelemetry::instrument;
use opentelemetry::{Value, trace::SpanKind};

use super::super::fixture::{Fixture, attribute, attribute_of};

const SIZE: &str = "db.operation.batch.size";

#[tokio::test]
async fn a_batch_is_named_by_what_its_statements_have_in_common() {
    let fixture = Fixture::start().await;
    let mut client = fixture.connect().await;
    instrument();
    let recorded = fixture
        .record(async {
            let create = "CREATE TABLE a (n int); CREATE TABLE b (n int);";
            client.batch_execute(create).await.unwrap();
            let insert = "INSERT INTO a VALUES (41); INSERT INTO a VALUES (42)";
            client.simple_query(insert).await.unwrap();
            let transaction = client.transaction().await.unwrap();
            let mixed = "DELETE FROM a; SELECT 43; -- canary";
            transaction.batch_execute(mixed).await.unwrap();
            transaction.commit().await.unwrap();
        })
        .await;
    for (name, operation, collection, text) in [
        (
            "BATCH CREATE TABLE a",
            "BATCH CREATE TABLE",
            None,
            "CREATE TABLE a (n int); CREATE TABLE b (n int);",
        ),
        (
            "BATCH INSERT a",
            "BATCH INSERT",
            Some("a"),
            "INSERT INTO a VALUES (?)",
        ),
        ("BATCH a", "BATCH", Some("a"), "DELETE FROM a; SELECT ?;  "),
    ] {
        let span = recorded.only(name);
        assert_eq!(span.span_kind, SpanKind::Client);
        assert_eq!(attribute_of(span, SIZE), Some(&Value::I64(2)), "{name}");
        for (key, expected) in [
            ("db.operation.name", Some(operation)),
            ("db.collection.name", collection),
            ("db.query.text", Some(text)),
        ] {
            assert_eq!(attribute(span, key).as_deref(), expected, "{name}: {key}");
        }
    }
    for name in ["START TRANSACTION", "COMMIT"] {
        assert_eq!(attribute(recorded.only(name), SIZE), None);
    }
}

#[tokio::test]
async fn one_statement_is_no_batch() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    instrument();
    let recorded = fixture
        .record(async {
            for text in ["SELECT 1", "SELECT 1;", " ; SELECT ';' /* ; */ ;; "] {
                client.batch_execute(text).await.unwrap();
            }
        })
        .await;
    let names = recorded.names();
    assert_eq!(names, ["SELECT", "SELECT", "SELECT"]);
    for span in &recorded.spans {
        assert_eq!(attribute(span, SIZE), None);
    }
}

/// As pools ask whether a connection is alive.
#[tokio::test]
async fn a_batch_of_nothing_says_so() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    instrument();
    let recorded = fixture
        .record(async {
            client.simple_query("").await.unwrap();
        })
        .await;
    let span = recorded.only("BATCH");
    assert_eq!(attribute_of(span, SIZE), Some(&Value::I64(0)));
}

#[tokio::test]
async fn a_batch_that_fails_in_its_middle_failed() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    instrument();
    let recorded = fixture
        .record(async {
            let text = "CREATE TABLE a (n int); CREATE TABLE a (n int)";
            client.batch_execute(text).await.unwrap_err();
        })
        .await;
    let span = recorded.only("BATCH CREATE TABLE a");
    assert_eq!(attribute(span, "error.type").as_deref(), Some("42P07"));
    assert_eq!(attribute_of(span, SIZE), Some(&Value::I64(2)));
}
