//! The errors that the driver finds by itself have names of a closed list.

use approzium::{opentelemetry::instrument, postgres::Client};
use opentelemetry::trace::Status;
use tokio_postgres::{Error, types::Type};

use super::super::fixture::{Fixture, attribute};

/// The driver tells them apart by their words alone: should those change, this fails.
#[tokio::test]
async fn what_the_driver_refuses_is_named() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    instrument();
    let recorded = fixture
        .record(async {
            for failed in refused(&client).await {
                failed.unwrap_err();
            }
        })
        .await;
    let names: Vec<_> = recorded
        .spans
        .iter()
        .map(|span| attribute(span, "error.type").unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "parameters",
            "to_sql",
            "from_sql",
            "column_count",
            "row_count",
            "encode",
            "parse",
        ]
    );
    for span in &recorded.spans {
        assert!(matches!(span.status, Status::Error { .. }));
        assert_eq!(attribute(span, "db.response.status_code"), None);
        assert!(!format!("{span:?}").contains("canary"));
    }
}

async fn refused(client: &Client) -> [Result<(), Error>; 7] {
    let number = "SELECT $1::int4";
    [
        client.execute(number, &[]).await.map(drop),
        client.execute(number, &[&"canary"]).await.map(drop),
        client
            .query_scalar::<String, _>("SELECT 1", &[])
            .await
            .map(drop),
        client
            .query_scalar::<i32, _>("SELECT 1, 2", &[])
            .await
            .map(drop),
        client.query_one("SELECT 1 LIMIT 0", &[]).await.map(drop),
        client.batch_execute("SELECT 'canary\0'").await,
        client
            .query_typed("SELECT $1 -- \0", &[(&"canary", Type::TEXT)])
            .await
            .map(drop),
    ]
}
