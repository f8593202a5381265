//! Streams are spans until they are exhausted or dropped, and say how much they gave.

use std::pin::pin;

use approzium::opentelemetry::instrument;
use futures_util::{TryStreamExt, poll};
use opentelemetry::{Value, trace::Status};

use super::{
    super::fixture::{Fixture, Recorded, attribute, attribute_of},
    queries::counting_rows,
};

#[tokio::test]
async fn a_stream_is_a_span_until_it_is_exhausted_or_dropped() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    instrument();
    let recorded = fixture
        .record(async {
            let mut stream = pin!(
                client
                    .query_raw("SELECT generate_series(1, 2)", [0_i32; 0])
                    .await
                    .unwrap()
            );
            let ended = || {
                let spans = fixture.spans();
                Recorded::named_in(&spans, "SELECT").count()
            };
            while stream.try_next().await.unwrap().is_some() {
                assert_eq!(ended(), 0);
            }
            assert_eq!(ended(), 1);
            assert_eq!(stream.rows_affected(), Some(2));
        })
        .await;
    assert_eq!(recorded.only("SELECT").status, Status::Unset);
}

#[tokio::test]
async fn a_stream_says_how_many_rows_were_read() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    counting_rows();
    let recorded = fixture
        .record(async {
            let text = "SELECT generate_series(1, 3)";
            let rows = client.query_raw(text, [0_i32; 0]).await.unwrap();
            rows.try_collect::<Vec<_>>().await.unwrap();

            let mut rows = pin!(client.query_raw(text, [0_i32; 0]).await.unwrap());
            rows.try_next().await.unwrap().unwrap();
        })
        .await;
    // The second one was dropped when one row had been read.
    let rows: Vec<_> = recorded
        .named("SELECT")
        .map(|span| attribute_of(span, "db.response.returned_rows"))
        .collect();
    assert_eq!(rows, [Some(&Value::I64(3)), Some(&Value::I64(1))]);
    assert!(
        recorded
            .spans
            .iter()
            .all(|span| span.status == Status::Unset)
    );
}

#[tokio::test]
async fn of_simple_queries_only_rows_are_rows() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    counting_rows();
    let recorded = fixture
        .record(async {
            let messages = client.simple_query_raw("SELECT 1; SELECT 2").await.unwrap();
            messages.try_collect::<Vec<_>>().await.unwrap();
        })
        .await;
    let rows = attribute_of(&recorded.spans[0], "db.response.returned_rows");
    assert_eq!(rows, Some(&Value::I64(2)));
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_an_error_with_the_rows_before_it() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    counting_rows();
    let recorded = fixture
        .record(async {
            let text = "SELECT 6 / (3 - n) FROM generate_series(1, 5) n";
            let rows = client.query_raw(text, [0_i32; 0]).await.unwrap();
            rows.try_collect::<Vec<_>>().await.unwrap_err();
        })
        .await;
    let span = recorded.only("SELECT");
    assert_eq!(attribute(span, "error.type").as_deref(), Some("22012"));
    let rows = attribute_of(span, "db.response.returned_rows");
    assert_eq!(rows, Some(&Value::I64(2)));
}

#[tokio::test]
async fn a_stream_that_is_never_opened_is_cancelled() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    instrument();
    let recorded = fixture
        .record(async {
            let mut opening = pin!(client.query_raw("SELECT pg_sleep(3600)", [0_i32; 0]));
            assert!(poll!(opening.as_mut()).is_pending());
        })
        .await;
    let span = recorded.only("SELECT");
    assert_eq!(attribute(span, "error.type").as_deref(), Some("cancelled"));
}
