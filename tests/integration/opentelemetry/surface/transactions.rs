//! Transactions show what the driver sends for them, wherever they end.

use std::{pin::pin, time::Duration};

use approzium::opentelemetry::instrument;
use approzium_peers::eventually;
use futures_util::poll;
use opentelemetry::{
    Context, global,
    trace::{FutureExt, Span, Status, TraceContextExt, Tracer},
};
use opentelemetry_sdk::trace::SpanData;
use tokio_postgres::IsolationLevel;

use super::super::fixture::{Fixture, Recorded, attribute};

/// An SDK's span that nobody ends does so when the last context is gone that has it.
#[tokio::test]
async fn a_transaction_does_not_hold_the_span_that_it_began_in() {
    let fixture = Fixture::start().await;
    let mut client = fixture.connect().await;
    instrument();
    let span = global::tracer("test").start("owner");
    let owner = span.span_context().clone();
    let transaction = client
        .transaction()
        .with_context(Context::new().with_span(span))
        .await
        .unwrap();
    let has_ended = |span: &SpanData| span.span_context.span_id() == owner.span_id();
    assert!(fixture.spans().iter().any(has_ended));
    drop(transaction);
    let spans = fixture.spans();
    let rollback = spans.iter().find(|span| span.name == "ROLLBACK").unwrap();
    assert_eq!(rollback.parent_span_id, owner.span_id());
}

#[tokio::test]
async fn transactions_show_what_the_driver_sends() {
    let fixture = Fixture::start().await;
    let mut client = fixture.connect().await;
    instrument();
    let recorded = fixture
        .record(async {
            let builder = client.build_transaction();
            let builder = builder.isolation_level(IsolationLevel::RepeatableRead);
            let mut transaction = builder.read_only(true).start().await.unwrap();
            let savepoint = transaction.transaction().await.unwrap();
            savepoint.rollback().await.unwrap();
            drop(transaction);
        })
        .await;
    assert_eq!(
        texts(&recorded),
        [
            "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            "SAVEPOINT sp_1",
            "ROLLBACK TO sp_1",
            "ROLLBACK",
        ]
    );
}

/// PostgreSQL answers the commit of a transaction that has failed with a rollback, and the driver takes
/// that for a success.
#[tokio::test]
async fn a_commit_that_rolls_back_is_an_error() {
    let fixture = Fixture::start().await;
    let mut client = fixture.connect().await;
    instrument();
    let recorded = fixture
        .record(async {
            let transaction = client.transaction().await.unwrap();
            transaction.query("SELECT nothing", &[]).await.unwrap_err();
            transaction.commit().await.unwrap();

            client.batch_execute("BEGIN").await.unwrap();
            client.query("SELECT nothing", &[]).await.unwrap_err();
            client.execute("COMMIT", &[]).await.unwrap();

            let transaction = client.transaction().await.unwrap();
            transaction.query("SELECT 1", &[]).await.unwrap();
            transaction.commit().await.unwrap();
        })
        .await;
    let errors: Vec<_> = recorded
        .named("COMMIT")
        .map(|commit| attribute(commit, "error.type"))
        .collect();
    let rolled_back = Some("rolled_back".to_owned());
    assert_eq!(errors, [rolled_back.clone(), rolled_back, None]);
}

/// As a timeout or an aborted task drops it.
#[tokio::test]
async fn a_transaction_that_is_dropped_outside_of_every_span_rolls_back_where_it_began() {
    let fixture = Fixture::start().await;
    let mut client = fixture.connect().await;
    instrument();
    let recorded = fixture
        .record(async {
            let mut transaction = client.transaction().await.unwrap();
            let savepoint = transaction.savepoint("half_way").await.unwrap();
            let outside = Context::new().attach();
            drop(savepoint);
            drop(transaction);
            drop(outside);
        })
        .await;
    let texts = texts(&recorded);
    assert_eq!(texts[2..], ["ROLLBACK TO half_way", "ROLLBACK"]);
    for rollback in recorded.named("ROLLBACK") {
        assert_eq!(rollback.parent_span_id, recorded.root);
        assert_eq!(rollback.status, Status::Unset);
    }
}

/// Nothing is sent: the server rolls back by itself.
#[tokio::test]
async fn a_transaction_that_is_dropped_with_its_connection_sends_no_rollback() {
    let fixture = Fixture::start().await;
    let mut client = fixture.connect().await;
    instrument();
    let recorded = fixture
        .record(async {
            let transaction = client.transaction().await.unwrap();
            fixture
                .sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
                .await;
            let closed = async || transaction.client().is_closed().then_some(());
            eventually("the end of the connection", Duration::from_secs(30), closed).await;
            drop(transaction);
        })
        .await;
    let rollback = recorded.only("ROLLBACK");
    assert_eq!(attribute(rollback, "error.type").as_deref(), Some("closed"));
}

/// The driver cannot know whether the database has begun, and rolls back.
#[tokio::test]
async fn a_transaction_that_is_given_up_while_it_begins_is_rolled_back() {
    let fixture = Fixture::start().await;
    let mut client = fixture.connect().await;
    instrument();
    let recorded = fixture
        .record(async {
            {
                let mut start = pin!(client.build_transaction().read_only(true).start());
                assert!(poll!(start.as_mut()).is_pending());
            }
            // Never polled: nothing was sent.
            drop(client.transaction());
            // Nothing is read only any more.
            client
                .batch_execute("CREATE TABLE t (n int)")
                .await
                .unwrap();
        })
        .await;
    assert_eq!(
        texts(&recorded),
        [
            "START TRANSACTION READ ONLY",
            "ROLLBACK",
            "CREATE TABLE t (n int)"
        ]
    );
    let given_up = recorded.only("START TRANSACTION");
    assert_eq!(
        attribute(given_up, "error.type").as_deref(),
        Some("cancelled")
    );
    assert_eq!(recorded.only("ROLLBACK").status, Status::Unset);
}

#[tokio::test]
async fn a_commit_that_fails_is_the_span_that_failed() {
    let fixture = Fixture::start().await;
    fixture
        .sql("CREATE TABLE t (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        .await;
    let mut client = fixture.connect().await;
    instrument();
    let recorded = fixture
        .record(async {
            let transaction = client.transaction().await.unwrap();
            let twice = "INSERT INTO t VALUES (1), (1)";
            transaction.execute(twice, &[]).await.unwrap();
            transaction.commit().await.unwrap_err();
        })
        .await;
    // After a commit, failed or not, there is nothing to roll back.
    assert_eq!(
        recorded.names(),
        ["START TRANSACTION", "INSERT t", "COMMIT"]
    );
    let commit = recorded.only("COMMIT");
    assert_eq!(attribute(commit, "error.type").as_deref(), Some("23505"));
    assert_eq!(recorded.only("INSERT t").status, Status::Unset);
}

/// In the order in which they were begun.
fn texts(recorded: &Recorded) -> Vec<String> {
    let mut spans: Vec<_> = recorded.spans.iter().collect();
    spans.sort_by_key(|span| span.start_time);
    let text = |span: &_| attribute(span, "db.query.text").unwrap();
    spans.into_iter().map(text).collect()
}
