//! Every way to run something past the wrapper.

use std::pin::pin;

use approzium::opentelemetry::{Instrumentation, instrument, instrument_with, uninstrument};
use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, TryStreamExt};
use opentelemetry::trace::Status;
use tokio_postgres::types::{ToSql, Type};

use super::{Fixture, Recorded, attribute, is_orphan};

/// What a step is to leave behind: its span's name, or none.
async fn step<T>(fixture: &Fixture, name: Option<&str>, work: impl Future<Output = T>) -> T {
    let before = fixture.query_spans().len();
    let mut result = None;
    let recorded = fixture.record(async { result = Some(work.await) }).await;
    let spans = fixture.queries(before + usize::from(name.is_some())).await;
    if let (Some(name), Some(span)) = (name, spans.last()) {
        assert_eq!(span.name, name);
        assert_eq!(span.status, Status::Unset, "{name}");
        assert!(is_orphan(span) || span.parent_span_id == recorded.root);
        // Who is asked for by nobody has no wrong parent; the attribution is the connection's.
        assert_eq!(
            attribute(span, "approzium.authenticated").as_deref(),
            Some("false")
        );
    }
    result.unwrap()
}

#[tokio::test]
async fn each_method_of_the_drivers_client_is_one_span() {
    let fixture = Fixture::start().await;
    fixture
        .sql("CREATE TABLE t (n int4); INSERT INTO t VALUES (1)")
        .await;
    let wrapper = fixture.connect().await;
    let client: &tokio_postgres::Client = &wrapper;
    instrument();
    const ONE: &str = "SELECT n FROM t LIMIT 1";
    let typed: &[(&(dyn ToSql + Sync), Type)] = &[(&1_i32, Type::INT4)];
    let name = Some("SELECT t");
    let step =
        async |name, work: &mut (dyn Future<Output = ()> + Unpin)| step(&fixture, name, work).await;
    macro_rules! step {
        ($name:expr, $work:expr) => {
            step($name, &mut pin!(async { $work.await.map(drop).unwrap() })).await
        };
    }
    step!(name, client.query(ONE, &[]));
    step!(name, client.query_one(ONE, &[]));
    step!(
        name,
        client.query_typed("SELECT n FROM t WHERE n = $1", typed)
    );
    step!(
        name,
        client.execute_typed("SELECT n FROM t WHERE n = $1", typed)
    );
    step!(name, client.execute("SELECT n FROM t WHERE n = $1", &[&1]));
    step!(name, client.simple_query(ONE));
    step!(name, client.batch_execute(ONE));
    step!(name, async {
        pin!(client.query_raw(ONE, [0_i32; 0]).await?)
            .try_next()
            .await
    });
    step!(None, client.check_connection());

    // Preparing is no query, running is, through whichever client.
    let mut prepared = None;
    step!(None, async {
        client.prepare(ONE).await.map(|one| prepared = Some(one))
    });
    let statement = prepared.unwrap();
    step!(name, client.query(&statement, &[]));
    step!(name, wrapper.query(&statement, &[]));
    step!(None, async {
        drop(statement);
        Ok::<_, tokio_postgres::Error>(())
    });

    step!(Some("COPY t"), async {
        let out = pin!(client.copy_out("COPY t TO STDOUT").await?);
        out.try_collect::<Vec<_>>().await
    });
    step!(Some("COPY t"), async {
        let mut sink = pin!(client.copy_in("COPY t FROM STDIN").await?);
        sink.send(Bytes::from_static(b"2\n")).await?;
        sink.finish().await
    });
    step!(Some("SELECT"), client.query("SELECT 1", &[]));
}

#[tokio::test]
async fn transactions_of_the_drivers_client_are_seen_whole() {
    let fixture = Fixture::start().await;
    let mut client = fixture.connect().await;
    instrument();
    {
        let driver: &mut tokio_postgres::Client = &mut client;
        let mut transaction = driver.transaction().await.unwrap();
        let portal = transaction.bind("SELECT 7 AS portal", &[]).await.unwrap();
        transaction.query_portal(&portal, 1).await.unwrap();
        drop(portal);
        let savepoint = transaction.savepoint("one").await.unwrap();
        savepoint.query("SELECT 8 AS inside", &[]).await.unwrap();
        drop(savepoint);
        transaction.commit().await.unwrap();
        drop(driver.transaction().await.unwrap());
    }
    client.query("SELECT 9 AS wrapped", &[]).await.unwrap();
    let spans = fixture.queries(9).await;
    let texts: Vec<_> = spans
        .iter()
        .map(|span| attribute(span, "db.query.text").unwrap())
        .collect();
    assert_eq!(
        texts,
        [
            "START TRANSACTION",
            "SELECT ? AS portal",
            "SAVEPOINT one",
            "SELECT ? AS inside",
            "ROLLBACK TO one",
            "COMMIT",
            "START TRANSACTION",
            "ROLLBACK",
            "SELECT ? AS wrapped",
        ]
    );
}

#[tokio::test]
async fn what_the_driver_asks_for_itself_is_no_query() {
    let fixture = Fixture::start().await;
    fixture
        .sql(
            "CREATE TYPE mood AS ENUM ('glad', 'sad'); CREATE TYPE pair AS (a mood, b int4); \
             CREATE TYPE moods AS RANGE (subtype = mood); CREATE DOMAIN word AS text; \
             CREATE TABLE typed (m mood, p pair, r moods, w word, ms mood[])",
        )
        .await;
    let client = fixture.connect().await;
    instrument();
    let all = "SELECT m, p, r, w, ms FROM typed";
    (*client).query(all, &[]).await.unwrap();
    client.clear_type_cache();
    client.query(all, &[]).await.unwrap();
    client.clear_type_cache();
    (*client).query_typed(all, &[]).await.unwrap();
    let spans = fixture.queries(3).await;
    assert!(spans.iter().all(|span| span.name == "SELECT typed"));
}

#[tokio::test]
async fn what_fails_is_one_failed_span() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    instrument_with(Instrumentation::new().returned_rows(true));
    let driver: &tokio_postgres::Client = &client;
    driver
        .query("SELECT * FROM nowhere", &[])
        .await
        .unwrap_err();
    driver.prepare("SELECT * FROM nowhere").await.unwrap_err();
    driver
        .simple_query("SELECT 'canary'::int")
        .await
        .unwrap_err();
    driver
        .query("SELECT $1::text::int", &[&"canary"])
        .await
        .unwrap_err();
    // The wrapper's own failures are told by the wrapper alone.
    client
        .query("SELECT * FROM nowhere", &[])
        .await
        .unwrap_err();
    client.prepare("SELECT * FROM nowhere").await.unwrap_err();
    driver
        .query("SELECT 1 FROM generate_series(1, 3)", &[])
        .await
        .unwrap();
    let spans = fixture.queries(7).await;
    let codes: Vec<_> = spans
        .iter()
        .map(|span| attribute(span, "error.type"))
        .collect();
    let code = |code: &str| Some(code.to_owned());
    assert_eq!(
        codes,
        [
            code("42P01"),
            code("42P01"),
            code("22P02"),
            code("22P02"),
            code("42P01"),
            code("42P01"),
            None
        ]
    );
    assert!(!format!("{spans:?}").contains("canary"));
    let description = "ERROR 42P01: relation \"nowhere\" does not exist";
    assert_eq!(spans[0].status, Status::error(description));
    assert_eq!(
        attribute(&spans[6], "db.response.returned_rows").as_deref(),
        Some("3")
    );
}

#[tokio::test]
async fn a_refused_copy_is_one_failed_span() {
    let fixture = Fixture::start().await;
    fixture.sql("CREATE TABLE c (n int4)").await;
    let client = fixture.connect().await;
    instrument();
    let driver: &tokio_postgres::Client = &client;
    drop(
        driver
            .copy_in::<_, Bytes>("COPY c FROM STDIN")
            .await
            .unwrap(),
    );
    let mut sink = Box::pin(driver.copy_in("COPY c FROM STDIN").await.unwrap());
    sink.send(Bytes::from_static(b"no number\n")).await.unwrap();
    sink.as_mut().finish().await.unwrap_err();
    driver.simple_query("SELECT 1").await.unwrap();
    let refused = driver.copy_in::<_, Bytes>("COPY nowhere FROM STDIN").await;
    refused.map(drop).unwrap_err();
    let spans = fixture.queries(4).await;
    let codes: Vec<_> = spans
        .iter()
        .map(|span| attribute(span, "error.type"))
        .collect();
    let [dropped, wrong, fine, nowhere] = codes.as_slice() else {
        panic!("{codes:?}");
    };
    assert_eq!(dropped.as_deref(), Some("57014"));
    assert_eq!(wrong.as_deref(), Some("22P02"));
    assert_eq!(*fine, None);
    assert_eq!(nowhere.as_deref(), Some("42P01"));
}

#[tokio::test]
async fn it_begins_and_ends_with_the_switch() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let driver: &tokio_postgres::Client = &client;
    let early = driver.prepare("SELECT 1 AS early").await.unwrap();
    driver.query(&early, &[]).await.unwrap();
    assert!(fixture.query_spans().is_empty());
    instrument();
    driver.query(&early, &[]).await.unwrap();
    let spans = fixture.queries(1).await;
    assert_eq!(
        attribute(&spans[0], "db.query.text").as_deref(),
        Some("SELECT ? AS early")
    );
    uninstrument();
    driver.query(&early, &[]).await.unwrap();
    instrument();
    driver.query(&early, &[]).await.unwrap();
    fixture.queries(2).await;
}

#[tokio::test]
async fn what_the_wrapper_sends_with_a_comment_is_its_own() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    instrument_with(Instrumentation::new().sqlcommenter(true));
    for text in ["SELECT 1 AS commented", "SELECT 2 AS commented ; "] {
        client.simple_query(text).await.unwrap();
        client.query_typed(text, &[]).await.unwrap();
        client.query(text, &[]).await.unwrap();
    }
    client.simple_query("SELECT 3 AS last").await.unwrap();
    let spans = fixture.queries(7).await;
    let unknown = |span: &_| attribute(span, "approzium.parent").is_some();
    assert!(!spans.iter().any(unknown));
}

/// What the wrapper gave up stays announced as long as it may come, and no longer.
#[tokio::test]
async fn what_is_given_up_hides_nothing_else() {
    const ROUNDS: usize = 20;
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let driver: &tokio_postgres::Client = &client;
    let statement = driver.prepare("SELECT 1 AS prepared").await.unwrap();
    instrument();
    for _ in 0..ROUNDS {
        assert!(
            client
                .query("SELECT 1 AS text", &[])
                .now_or_never()
                .is_none()
        );
        driver.query("SELECT 1 AS text", &[]).await.unwrap();
        assert!(
            client
                .batch_execute("SELECT 1 AS simple")
                .now_or_never()
                .is_none()
        );
        driver.batch_execute("SELECT 1 AS simple").await.unwrap();
        assert!(client.query(&statement, &[]).now_or_never().is_none());
        driver.query(&statement, &[]).await.unwrap();
        // Not sent at all: the statement has no parameter.
        client.query(&statement, &[&1]).await.unwrap_err();
        driver.query(&statement, &[]).await.unwrap();
    }
    let spans = fixture.queries(8 * ROUNDS).await;
    for (error, expected) in [("cancelled", 3 * ROUNDS), ("parameters", ROUNDS)] {
        let found = |span: &&_| attribute(span, "error.type").as_deref() == Some(error);
        assert_eq!(spans.iter().filter(found).count(), expected, "{error}");
    }
}

/// On one thread it is always the same.
#[tokio::test]
async fn the_caller_of_what_is_sent_alone_is_the_parent() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let driver: &tokio_postgres::Client = &client;
    instrument();
    let statement = driver.prepare("SELECT $1::int4 AS prepared").await.unwrap();
    let certain = async |name: &str, expected: bool, recorded: Recorded, count: usize| {
        let spans = fixture.queries(count).await;
        let span = spans.last().unwrap();
        assert_eq!(!is_orphan(span), expected, "{name}");
        assert!(!expected || span.parent_span_id == recorded.root, "{name}");
    };
    for round in 0..3 {
        let recorded = fixture
            .record(async { drop(driver.query("SELECT 1 AS text", &[]).await.unwrap()) })
            .await;
        certain("text", true, recorded, 4 * round + 1).await;
        // It is sent together with the Close of the one before.
        let recorded = fixture
            .record(async { drop(driver.simple_query("SELECT 1 AS simple").await.unwrap()) })
            .await;
        certain("behind a Close", false, recorded, 4 * round + 2).await;
        let recorded = fixture
            .record(async { drop(driver.simple_query("SELECT 1 AS simple").await.unwrap()) })
            .await;
        certain("simple", true, recorded, 4 * round + 3).await;
        let recorded = fixture
            .record(async { drop(driver.query(&statement, &[&1]).await.unwrap()) })
            .await;
        certain("prepared", true, recorded, 4 * round + 4).await;
    }
    // Who has no span is known as well: a root, and not one that is unknown.
    driver.simple_query("SELECT 1 AS outside").await.unwrap();
    let spans = fixture.queries(13).await;
    assert_eq!(attribute(&spans[12], "approzium.parent"), None);
    assert!(!spans[12].parent_span_is_remote);

    // Two at once: never again.
    let (one, other) = tokio::join!(
        driver.simple_query("SELECT 1 AS one"),
        driver.simple_query("SELECT 1 AS other")
    );
    one.and(other).unwrap();
    let recorded = fixture
        .record(async { drop(driver.simple_query("SELECT 1 AS simple").await.unwrap()) })
        .await;
    certain("once shared", false, recorded, 16).await;
}
