//! Copies are spans until they are finished, and tell how they end.

use std::pin::pin;

use approzium::postgres::binary_copy::BinaryCopyInWriter;
use bytes::Bytes;
use futures_util::{SinkExt, TryStreamExt};
use opentelemetry::trace::Status;
use tokio_postgres::types::Type;

use super::{
    super::fixture::{Fixture, attribute},
    queries::counting_rows,
};

#[tokio::test]
async fn a_copy_that_is_dropped_is_cancelled_and_one_that_is_refused_says_why() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    counting_rows();
    let recorded = fixture
        .record(async {
            fixture.sql("CREATE TABLE c (n int4)").await;
            let sink = client.copy_in::<_, Bytes>("COPY c FROM STDIN").await;
            drop(sink.unwrap());
            // The driver closes a connection on which a COPY was refused: it comes last.
            let sink = client.copy_in::<_, Bytes>("COPY nowhere FROM STDIN").await;
            sink.map(drop).unwrap_err();
        })
        .await;
    let refused = recorded.only("COPY nowhere");
    assert_eq!(attribute(refused, "error.type").as_deref(), Some("42P01"));
    let aborted = recorded.only("COPY c");
    assert_eq!(
        attribute(aborted, "error.type").as_deref(),
        Some("cancelled")
    );
}

#[tokio::test]
async fn data_that_does_not_fit_fails_the_copy_and_is_not_shown() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    fixture.sql("CREATE TABLE c (n int4)").await;
    counting_rows();
    let recorded = fixture
        .record(async {
            let mut sink = pin!(client.copy_in("COPY c FROM STDIN").await.unwrap());
            sink.send(Bytes::from_static(b"canary\n")).await.unwrap();
            sink.finish().await.unwrap_err();
        })
        .await;
    let span = recorded.only("COPY c");
    assert_eq!(attribute(span, "error.type").as_deref(), Some("22P02"));
    assert!(!format!("{span:?}").contains("canary"));
}

#[tokio::test]
async fn a_value_of_another_type_fails_the_copy() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    fixture.sql("CREATE TABLE c (n int4)").await;
    counting_rows();
    let recorded = fixture
        .record(async {
            let sink = client.copy_in("COPY c FROM STDIN BINARY").await.unwrap();
            let mut writer = pin!(BinaryCopyInWriter::new(sink, &[Type::INT4]));
            writer.as_mut().write(&[&"canary"]).await.unwrap_err();
        })
        .await;
    let span = recorded.only("COPY c");
    assert_eq!(attribute(span, "error.type").as_deref(), Some("to_sql"));
    assert!(!format!("{span:?}").contains("canary"));
}

/// What a copy moves is data; whether a piece of it is a row, nobody says.
#[tokio::test]
async fn copies_return_no_rows() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    fixture
        .sql("CREATE TABLE c (n int4); INSERT INTO c VALUES (1), (2)")
        .await;
    counting_rows();
    let recorded = fixture
        .record(async {
            let data = client.copy_out("COPY c TO STDOUT").await.unwrap();
            data.try_collect::<Vec<_>>().await.unwrap();
            let mut sink = pin!(client.copy_in("COPY c FROM STDIN").await.unwrap());
            sink.send(Bytes::from_static(b"3\n")).await.unwrap();
            sink.finish().await.unwrap();
        })
        .await;
    assert_eq!(recorded.named("COPY c").count(), 2);
    for span in &recorded.spans {
        assert_eq!(span.status, Status::Unset);
        assert_eq!(attribute(span, "db.response.returned_rows"), None);
    }
}
