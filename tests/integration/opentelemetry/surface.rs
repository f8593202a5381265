//! Every way to run something is one span while instrumented, and none otherwise.

mod batches;
mod cancelled;
mod copies;
mod errors;
mod prepared;
mod queries;
mod streams;
mod transactions;

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
    // Nor is anything shown a second time by who sees it on its way.
    let unknown = |span: &_| attribute(span, "approzium.parent").is_some();
    assert!(!fixture.spans().iter().any(unknown));
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
