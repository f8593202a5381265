//! One span, whichever way a query takes.

use approzium::{
    opentelemetry::{Instrumentation, instrument, instrument_with},
    postgres::tokio_postgres::GenericClient,
};
use opentelemetry::KeyValue;
use tokio_postgres::types::Type;

use super::{Fixture, attribute, names};

/// As a library would have it that knows the driver alone.
async fn of_a_library(client: &impl GenericClient) {
    client.query_one("SELECT 1 AS row", &[]).await.unwrap();
    client.batch_execute("SELECT 2 AS batch").await.unwrap();
    let statement = client.prepare("SELECT $1::int4 AS prepared").await.unwrap();
    client.execute(&statement, &[&3]).await.unwrap();
}

#[tokio::test]
async fn what_takes_a_generic_client_is_seen() {
    let fixture = Fixture::start().await;
    let mut client = fixture.connect().await;
    instrument();
    of_a_library(&*client).await;
    let mut transaction = client.transaction().await.unwrap();
    of_a_library(&*transaction).await;
    let savepoint = transaction.savepoint("a").await.unwrap();
    of_a_library(&*savepoint).await;
    savepoint.commit().await.unwrap();
    transaction.commit().await.unwrap();
    let spans = fixture.queries(3 * 3 + 4).await;
    let selects = spans.iter().filter(|span| span.name == "SELECT").count();
    assert_eq!(selects, 3 * 3, "{:#?}", names(&spans));
}

/// What benches measure: a span costs what its attributes cost, whichever way its query takes.
#[tokio::test]
async fn attribution_that_a_bench_adds_is_on_spans_of_both() {
    const LIMIT: usize = 12;
    let fixture = Fixture::start().await;
    let more = (0..LIMIT).map(|n| KeyValue::new(format!("approzium.attribution.{n}"), "value"));
    let client = fixture.connect().await.__with_attribution(more.collect());
    instrument();
    client.query_one("SELECT 1", &[]).await.unwrap();
    let driver: &tokio_postgres::Client = &client;
    driver.query_one("SELECT 1", &[]).await.unwrap();
    for span in fixture.queries(2).await {
        let of_attribution = |one: &&KeyValue| one.key.as_str().starts_with("approzium.");
        let attribution = span.attributes.iter().filter(of_attribution);
        let parent = span
            .attributes
            .iter()
            .any(|one| one.key.as_str() == "approzium.parent");
        assert_eq!(
            attribution.count() - usize::from(parent),
            LIMIT,
            "{span:#?}"
        );
    }
}

/// Until then nobody but the wrapper sends, and it need not be watched.
#[tokio::test]
async fn the_drivers_client_may_be_taken_at_any_moment() {
    const CONNECTIONS: usize = 12;
    let fixture = Fixture::start().await;
    instrument();
    for taken_after in 0..CONNECTIONS {
        let client = fixture.connect().await;
        let slow = "SELECT pg_sleep(0.001), $1::int4 AS taken";
        let statement = client.prepare(slow).await.unwrap();
        for turn in 0..taken_after {
            let turn = i32::try_from(turn).unwrap();
            client.query_one(&statement, &[&turn]).await.unwrap();
        }
        // The same statement by both, and the wrapper's is under way.
        let taken = async {
            let driver: &tokio_postgres::Client = &client;
            driver.query_one(&statement, &[&1]).await
        };
        let (ours, theirs) = tokio::join!(client.query_one(&statement, &[&0]), taken);
        ours.and(theirs).unwrap();
    }
    let prepared = CONNECTIONS;
    let run = CONNECTIONS * (CONNECTIONS - 1) / 2 + 2 * CONNECTIONS;
    let spans = fixture.queries(prepared + run).await;
    let unknown = |span: &&_| attribute(span, "approzium.parent").is_some();
    let orphans = spans.iter().filter(unknown).count();
    assert_eq!(orphans, CONNECTIONS, "{:#?}", names(&spans));
}

/// What the wrapper sends is not to the letter what it was given.
#[tokio::test]
async fn a_text_with_a_comment_of_ours_is_recognised() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let driver: &tokio_postgres::Client = &client;
    instrument_with(Instrumentation::new().sqlcommenter(true));
    let (typed, simple) = ("SELECT $1 AS typed", "SELECT 1 AS simple; SELECT 2;");
    for _ in 0..2 {
        let value: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)] = &[(&1, Type::INT4)];
        client.query_typed(typed, value).await.unwrap();
        client.execute_typed(typed, value).await.unwrap();
        client.simple_query(simple).await.unwrap();
        client.batch_execute(simple).await.unwrap();
        // The same texts past it.
        driver.query_typed(typed, value).await.unwrap();
        driver.batch_execute(simple).await.unwrap();
    }
    // Given up, and answered behind the next one.
    drop(futures_util::poll!(Box::pin(client.simple_query(simple))));
    driver.simple_query("SELECT 3 AS last").await.unwrap();
    let spans = fixture.queries(2 * 6 + 2).await;
    assert_eq!(spans.last().unwrap().name, "SELECT");
}

/// The wrapper knows a statement by where it lies, and another may come to lie there.
#[tokio::test]
async fn a_statement_is_told_from_one_that_was_at_its_place() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let driver: &tokio_postgres::Client = &client;
    instrument();
    let mut expected = Vec::new();
    for turn in 0..20 {
        let texts = [
            format!("SELECT $1::int4 AS ours_{turn}"),
            format!("SELECT $1::int4 AS theirs_{turn}"),
            format!("SELECT $1::int4 AS ours_again_{turn}"),
        ];
        for (by, text) in texts.into_iter().enumerate() {
            let statement = match by {
                1 => driver.prepare(&text).await.unwrap(),
                _ => client.prepare(&text).await.unwrap(),
            };
            client.query_one(&statement, &[&1]).await.unwrap();
            client.query_one(&statement, &[&2]).await.unwrap();
            expected.extend([text.clone(), text]);
        }
    }
    let mut spans = fixture.query_spans();
    spans.retain(|span| span.name == "SELECT");
    let texts: Vec<_> = names(&spans)
        .into_iter()
        .filter_map(|name| name.1)
        .collect();
    assert_eq!(texts, expected);
}
