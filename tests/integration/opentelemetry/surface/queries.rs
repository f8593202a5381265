//! What queries say of their text and of the rows that they return.

use approzium::opentelemetry::{Instrumentation, instrument, instrument_with};
use opentelemetry::Value;
use tokio_postgres::types::Type;

use super::super::fixture::{Fixture, attribute, attribute_of};

/// Instruments, with the number of rows, which nobody gets unasked.
pub(super) fn counting_rows() {
    instrument_with(Instrumentation::new().returned_rows(true));
}

#[tokio::test]
async fn returned_rows_are_counted_and_affected_rows_are_not_returned() {
    let fixture = Fixture::start().await;
    fixture
        .sql("CREATE TABLE t (n int4); INSERT INTO t VALUES (1), (2), (3)")
        .await;
    let mut client = fixture.connect().await;
    counting_rows();
    let recorded = fixture
        .record(async {
            let (all, one) = ("SELECT n FROM t", "SELECT n FROM t LIMIT 1");
            let none = "SELECT n FROM t LIMIT 0";
            client.query(all, &[]).await.unwrap();
            client.query_typed(all, &[]).await.unwrap();
            client.query_scalar::<i32, _>(all, &[]).await.unwrap();
            client
                .query("UPDATE t SET n = n RETURNING n", &[])
                .await
                .unwrap();
            client.query_one(one, &[]).await.unwrap();
            client.query_typed_one(one, &[]).await.unwrap();
            client.query_one_scalar::<i32, _>(one, &[]).await.unwrap();
            client.query_opt(one, &[]).await.unwrap();
            client.query_opt(none, &[]).await.unwrap();
            client.query_typed_opt(none, &[]).await.unwrap();
            client.query_opt_scalar::<i32, _>(none, &[]).await.unwrap();
            client.simple_query(all).await.unwrap();
            client.execute("UPDATE t SET n = n", &[]).await.unwrap();
            client.execute(all, &[]).await.unwrap();
            client.batch_execute(all).await.unwrap();
            let transaction = client.transaction().await.unwrap();
            let portal = transaction.bind(all, &[]).await.unwrap();
            transaction.query_portal(&portal, 2).await.unwrap();
            transaction.query_portal(&portal, 2).await.unwrap();
            drop(portal);
        })
        .await;
    let rows: Vec<_> = recorded
        .spans
        .iter()
        .filter(|span| ["SELECT t", "UPDATE t"].contains(&span.name.as_ref()))
        .map(
            |span| match attribute_of(span, "db.response.returned_rows") {
                Some(Value::I64(rows)) => Some(*rows),
                None => None,
                Some(other) => panic!("{other:?}"),
            },
        )
        .collect();
    let (all, one, none) = (Some(3), Some(1), Some(0));
    let unknown = None;
    assert_eq!(
        rows,
        [
            all,
            all,
            all,
            all,
            one,
            one,
            one,
            one,
            none,
            none,
            none,
            all,
            unknown,
            unknown,
            unknown,
            Some(2),
            one
        ]
    );
    for name in ["START TRANSACTION", "BIND t", "ROLLBACK"] {
        let rows = attribute(recorded.only(name), "db.response.returned_rows");
        assert_eq!(rows, None, "{name}");
    }
}

#[tokio::test]
async fn nobody_gets_the_number_of_rows_unasked() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    instrument();
    let recorded = fixture
        .record(async {
            client.query("SELECT 1", &[]).await.unwrap();
        })
        .await;
    let rows = attribute(recorded.only("SELECT"), "db.response.returned_rows");
    assert_eq!(rows, None);
}

#[tokio::test]
async fn a_typed_query_carries_its_text_and_no_value() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    instrument();
    let recorded = fixture
        .record(async {
            let params: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)] =
                &[(&"canary", Type::TEXT)];
            client.query_typed("SELECT $1", params).await.unwrap();
            client.execute_typed("SELECT $1", params).await.unwrap();
        })
        .await;
    assert_eq!(recorded.names(), ["SELECT", "SELECT"]);
    for span in &recorded.spans {
        assert_eq!(
            attribute(span, "db.query.text").as_deref(),
            Some("SELECT $1")
        );
        assert_eq!(
            attribute(span, "db.operation.name").as_deref(),
            Some("SELECT")
        );
        assert!(!format!("{span:?}").contains("canary"));
    }
}
