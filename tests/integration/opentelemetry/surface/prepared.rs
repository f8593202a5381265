//! Prepared statements and portals carry the text of their statement.

use approzium::opentelemetry::{instrument, uninstrument};

use super::super::fixture::{Fixture, attribute};

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
    let expected =
        ["early", "late", "genuine"].map(|by| Some(format!("SELECT 1 AS {by} WHERE $1")));
    assert_eq!(texts, expected);
    assert_eq!(recorded.names(), ["SELECT"; 3]);
}

#[tokio::test]
async fn a_portal_carries_the_text_of_its_statement() {
    const TEXT: &str = "SELECT n FROM generate_series(1, 3) n WHERE n > $1";
    let fixture = Fixture::start().await;
    let mut client = fixture.connect().await;
    let transaction = client.transaction().await.unwrap();
    let statement = transaction.prepare(TEXT).await.unwrap();
    // Bound before anybody asks for spans, one from a statement and one from a text.
    let early = [
        transaction.bind(&statement, &[&0]).await.unwrap(),
        transaction.bind(TEXT, &[&0]).await.unwrap(),
    ];
    instrument();
    let recorded = fixture
        .record(async {
            let late = transaction.bind(&statement, &[&0]).await.unwrap();
            for portal in early.iter().chain([&late]) {
                transaction.query_portal(portal, 2).await.unwrap();
            }
        })
        .await;
    assert_eq!(recorded.names(), ["BIND", "SELECT", "SELECT", "SELECT"]);
    for span in &recorded.spans {
        assert_eq!(attribute(span, "db.query.text").as_deref(), Some(TEXT));
        let operation = attribute(span, "db.operation.name");
        assert_eq!(operation.as_deref(), Some(span.name.as_ref()));
    }
    uninstrument();
}

#[tokio::test]
async fn a_statement_that_cannot_be_prepared_fails_as_prepare() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    instrument();
    let recorded = fixture
        .record(async {
            client.prepare("SELECT * FROM nowhere").await.unwrap_err();
        })
        .await;
    let span = recorded.only("PREPARE nowhere");
    assert_eq!(attribute(span, "error.type").as_deref(), Some("42P01"));
    let text = attribute(span, "db.query.text");
    assert_eq!(text.as_deref(), Some("SELECT * FROM nowhere"));
}

#[tokio::test]
async fn what_sql_prepares_is_named_by_what_is_done() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    instrument();
    let recorded = fixture
        .record(async {
            for text in [
                "PREPARE p AS SELECT $1::text",
                "EXECUTE p('canary')",
                "DEALLOCATE p",
            ] {
                client.batch_execute(text).await.unwrap();
            }
        })
        .await;
    assert_eq!(recorded.names(), ["PREPARE", "EXECUTE", "DEALLOCATE"]);
    assert!(!format!("{:?}", recorded.spans).contains("canary"));
}
