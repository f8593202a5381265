//! Who gives a query up leaves an error; who has it cancelled leaves what the database said.

use std::{sync::Arc, time::Duration};

use approzium::opentelemetry::instrument;
use approzium_peers::eventually;
use opentelemetry::{
    Context,
    trace::{FutureExt, Status},
};

use super::super::fixture::{Fixture, attribute};

#[tokio::test]
async fn a_query_that_is_given_up_is_cancelled() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    instrument();
    let recorded = fixture
        .record(async {
            let query = client.query("SELECT pg_sleep(3600)", &[]);
            let given_up = tokio::time::timeout(Duration::from_millis(1), query).await;
            given_up.unwrap_err();
            // Never polled, never sent: no span.
            drop(client.query("SELECT 'never'", &[]));
        })
        .await;
    let span = recorded.only("SELECT");
    assert_eq!(attribute(span, "error.type").as_deref(), Some("cancelled"));
    assert_eq!(span.status, Status::error("cancelled"));
}

#[tokio::test]
async fn the_query_of_a_task_that_is_aborted_is_cancelled() {
    let fixture = Fixture::start().await;
    let client = Arc::new(fixture.connect().await);
    instrument();
    let recorded = fixture
        .record(async {
            let sleeping = Arc::clone(&client);
            let sleep = async move { sleeping.batch_execute("SELECT pg_sleep(3600)").await };
            let task = tokio::spawn(sleep.with_context(Context::current()));
            asleep(&fixture).await;
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        })
        .await;
    let span = recorded.only("SELECT");
    assert_eq!(attribute(span, "error.type").as_deref(), Some("cancelled"));
    assert_eq!(attribute(span, "db.response.status_code"), None);
    assert_eq!(span.parent_span_id, recorded.root);
}

#[tokio::test]
async fn a_query_that_the_database_cancels_has_its_code() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    instrument();
    let recorded = fixture
        .record(async {
            let query = client.execute("SELECT pg_sleep(3600)", &[]);
            let token = client.cancel_token();
            let cancel = async {
                asleep(&fixture).await;
                token.cancel_query().await.unwrap();
            };
            let (cancelled, ()) = tokio::join!(query, cancel);
            cancelled.unwrap_err();
        })
        .await;
    let span = recorded.only("SELECT");
    for key in ["error.type", "db.response.status_code"] {
        assert_eq!(attribute(span, key).as_deref(), Some("57014"), "{key}");
    }
    assert!(matches!(span.status, Status::Error { .. }));
}

/// Waits until the database runs `pg_sleep`.
async fn asleep(fixture: &Fixture) {
    let asleep = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    eventually("a query that runs", Duration::from_secs(10), async || {
        (!fixture.sql(asleep).await.is_empty()).then_some(())
    })
    .await;
}
