//! Every way to run something is one span while instrumented, and none otherwise.

use std::{future::Future, pin::pin};

use approzium::{
    opentelemetry::{instrument, uninstrument},
    postgres::{
        Client,
        binary_copy::{BinaryCopyInWriter, BinaryCopyOutStream},
    },
};
use bytes::Bytes;
use futures_util::{SinkExt, TryStreamExt};
use opentelemetry::trace::Status;
use tokio_postgres::{IsolationLevel, types::Type};

use super::fixture::{Fixture, Recorded, attribute};

/// Collects what each step recorded.
struct Steps<'a> {
    fixture: &'a Fixture,
    expected: bool,
}

impl Steps<'_> {
    /// One step; its only span, if there should be one, has that name.
    async fn step<T>(&self, name: &str, work: impl Future<Output = T>) -> T {
        let mut result = None;
        let recorded = self
            .fixture
            .record(async { result = Some(work.await) })
            .await;
        self.check(name, &recorded);
        result.unwrap()
    }

    fn check(&self, name: &str, recorded: &Recorded) {
        let expected: &[&str] = if self.expected { &[name] } else { &[] };
        assert_eq!(recorded.names(), expected);
        for span in &recorded.spans {
            assert_eq!(span.parent_span_id, recorded.root, "{name}");
            assert_eq!(span.status, Status::Unset, "{name}");
        }
    }
}

#[tokio::test]
async fn each_method_is_one_span_or_none() {
    let fixture = Fixture::start().await;
    fixture
        .sql("CREATE TABLE t (n int4); INSERT INTO t VALUES (1)")
        .await;
    let mut client = fixture.connect().await;
    for expected in [true, false] {
        if expected {
            instrument()
        } else {
            uninstrument()
        }
        let steps = Steps {
            fixture: &fixture,
            expected,
        };
        queries(&steps, &client).await;
        streams(&steps, &client).await;
        transactions(&steps, &mut client).await;
    }
}

async fn queries(steps: &Steps<'_>, client: &Client) {
    const ONE: &str = "SELECT n FROM t LIMIT 1";
    const TYPED: &str = "SELECT n FROM t WHERE n = $1 LIMIT 1";
    let typed: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)] = &[(&1_i32, Type::INT4)];
    let name = "SELECT t";
    steps.step(name, client.query(ONE, &[])).await.unwrap();
    steps
        .step(name, client.query(&ONE.to_owned(), &[]))
        .await
        .unwrap();
    steps.step(name, client.query_one(ONE, &[])).await.unwrap();
    steps.step(name, client.query_opt(ONE, &[])).await.unwrap();
    let scalars: Vec<i32> = steps
        .step(name, client.query_scalar(ONE, &[]))
        .await
        .unwrap();
    let scalar: i32 = steps
        .step(name, client.query_one_scalar(ONE, &[]))
        .await
        .unwrap();
    let option: Option<i32> = steps
        .step(name, client.query_opt_scalar(ONE, &[]))
        .await
        .unwrap();
    assert_eq!((scalars.as_slice(), scalar, option), (&[1][..], 1, Some(1)));
    steps
        .step(name, client.query_typed(TYPED, typed))
        .await
        .unwrap();
    steps
        .step(name, client.query_typed_one(TYPED, typed))
        .await
        .unwrap();
    steps
        .step(name, client.query_typed_opt(TYPED, typed))
        .await
        .unwrap();
    steps.step(name, client.execute(ONE, &[])).await.unwrap();
    steps
        .step(name, client.execute_typed(TYPED, typed))
        .await
        .unwrap();
    steps
        .step(name, client.execute_raw(TYPED, [1_i32]))
        .await
        .unwrap();
    steps.step(name, client.simple_query(ONE)).await.unwrap();
    steps.step(name, client.batch_execute(ONE)).await.unwrap();
    let statement = steps.step("PREPARE t", client.prepare(ONE)).await.unwrap();
    steps
        .step(name, client.query(&statement, &[]))
        .await
        .unwrap();
    let statement = client.prepare_typed(TYPED, &[Type::INT4]);
    let statement = steps.step("PREPARE t", statement).await.unwrap();
    steps
        .step(name, client.query(&statement, &[&1]))
        .await
        .unwrap();
    steps
        .step(name, async {
            client.query_raw(&statement, [1]).await.map(drop)
        })
        .await
        .unwrap();
}

async fn streams(steps: &Steps<'_>, client: &Client) {
    const OUT: &str = "COPY (SELECT n FROM t) TO STDOUT";
    const IN: &str = "COPY t FROM STDIN";
    let rows = async {
        let stream = pin!(client.query_raw("SELECT n FROM t", [0_i32; 0]).await?);
        stream.try_collect::<Vec<_>>().await
    };
    steps.step("SELECT t", rows).await.unwrap();
    let typed = async {
        let typed = [(1_i32, Type::INT4)];
        let stream = pin!(
            client
                .query_typed_raw("SELECT n FROM t WHERE n = $1", typed)
                .await?
        );
        stream.try_collect::<Vec<_>>().await
    };
    steps.step("SELECT t", typed).await.unwrap();
    let simple = async {
        let stream = pin!(client.simple_query_raw("SELECT n FROM t").await?);
        stream.try_collect::<Vec<_>>().await
    };
    steps.step("SELECT t", simple).await.unwrap();
    let out = async {
        let stream = pin!(client.copy_out(OUT).await?);
        stream.try_collect::<Vec<Bytes>>().await
    };
    assert!(!steps.step("COPY t", out).await.unwrap().is_empty());
    let copied = async {
        let mut sink = pin!(client.copy_in(IN).await?);
        sink.send(Bytes::from_static(b"2\n")).await?;
        sink.finish().await
    };
    assert_eq!(steps.step("COPY t", copied).await.unwrap(), 1);
    let closed = async {
        let mut sink = pin!(client.copy_in::<_, Bytes>(IN).await?);
        sink.close().await
    };
    steps.step("COPY t", closed).await.unwrap();
    let written = async {
        let sink = client.copy_in("COPY t FROM STDIN BINARY").await?;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &[Type::INT4]));
        writer.as_mut().write(&[&3_i32]).await?;
        writer.finish().await
    };
    assert_eq!(steps.step("COPY t", written).await.unwrap(), 1);
    let read = async {
        let stream = client.copy_out("COPY t TO STDOUT BINARY").await?;
        let stream = pin!(BinaryCopyOutStream::new(stream, &[Type::INT4]));
        stream.try_collect::<Vec<_>>().await
    };
    assert!(!steps.step("COPY t", read).await.unwrap().is_empty());
}

async fn transactions(steps: &Steps<'_>, client: &mut Client) {
    const BEGIN: &str = "START TRANSACTION";
    const ONE: &str = "SELECT n FROM t WHERE n = $1 LIMIT 1";
    let mut transaction = steps.step(BEGIN, client.transaction()).await.unwrap();
    let name = "SELECT t";
    steps
        .step(name, transaction.query_one(ONE, &[&1]))
        .await
        .unwrap();
    steps
        .step("COPY t", async {
            transaction.copy_out("COPY t TO STDOUT").await.map(drop)
        })
        .await
        .unwrap();

    let portal = steps
        .step("BIND t", transaction.bind(ONE, &[&1]))
        .await
        .unwrap();
    steps
        .step(name, transaction.query_portal(&portal, 1))
        .await
        .unwrap();
    let rows = async {
        let stream = pin!(transaction.query_portal_raw(&portal, 0).await?);
        stream.try_collect::<Vec<_>>().await
    };
    steps.step(name, rows).await.unwrap();
    drop(portal);

    let mut savepoint = steps
        .step("SAVEPOINT", transaction.transaction())
        .await
        .unwrap();
    steps
        .step(name, savepoint.execute_raw(ONE, [1]))
        .await
        .unwrap();
    let inner = steps
        .step("SAVEPOINT", savepoint.savepoint("inner_one"))
        .await
        .unwrap();
    steps.step("ROLLBACK", inner.rollback()).await.unwrap();
    steps.step("RELEASE", savepoint.commit()).await.unwrap();
    let dropped = steps
        .step("SAVEPOINT", transaction.transaction())
        .await
        .unwrap();
    steps.step("ROLLBACK", async { drop(dropped) }).await;
    steps.step("COMMIT", transaction.commit()).await.unwrap();

    let built = client
        .build_transaction()
        .isolation_level(IsolationLevel::Serializable)
        .read_only(true)
        .deferrable(false);
    let transaction = steps.step(BEGIN, built.start()).await.unwrap();
    steps.step("ROLLBACK", async { drop(transaction) }).await;
}

/// The driver shows a statement's name by `Debug` alone: should that change, this fails.
#[tokio::test]
async fn a_prepared_statement_carries_its_own_text() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    // Prepared before anybody asks for spans.
    let early = client.prepare("SELECT 1 AS early WHERE $1").await.unwrap();
    instrument();
    let late = client.prepare("SELECT 1 AS late WHERE $1").await.unwrap();
    let genuine = (*client)
        .prepare("SELECT 1 AS genuine WHERE $1")
        .await
        .unwrap();
    let recorded = fixture
        .record(async {
            for statement in [&early, &late, &genuine] {
                client.execute(statement, &[&true]).await.unwrap();
            }
        })
        .await;
    let texts: Vec<_> = recorded
        .spans
        .iter()
        .map(|span| attribute(span, "db.query.text"))
        .collect();
    let expected = ["SELECT 1 AS early WHERE $1", "SELECT 1 AS late WHERE $1"];
    assert_eq!(
        texts,
        [
            Some(expected[0].to_owned()),
            Some(expected[1].to_owned()),
            None
        ]
    );
    assert_eq!(recorded.names(), ["SELECT", "SELECT", "postgresql"]);
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
    let mut spans = recorded.spans;
    spans.sort_by_key(|span| span.start_time);
    let texts: Vec<_> = spans
        .iter()
        .map(|span| attribute(span, "db.query.text").unwrap())
        .collect();
    assert_eq!(
        texts,
        [
            "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            "SAVEPOINT sp_1",
            "ROLLBACK TO sp_1",
            "ROLLBACK",
        ]
    );
}

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
