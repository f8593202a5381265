//! What is measured at a real PostgreSQL.

use std::{collections::BTreeSet, time::Duration};

use approzium::{
    AuthClient,
    opentelemetry::{Instrumentation, instrument, metrics::METRICS},
    postgres::{self, Config, Connector},
};
use approzium_peers::eventually;
use opentelemetry::global;

use super::{
    fixture::Fixture,
    meters::{Meters, Point},
};

/// A client of nobody, whose connections are measured here alone.
fn nobody(meters: &Meters) -> AuthClient {
    AuthClient::builder("localhost:1")
        .instrumentation(Instrumentation::new().meter_provider(meters.provider.clone()))
        .build()
        .unwrap()
}

async fn connect(fixture: &Fixture, meters: &Meters) -> postgres::Client {
    postgres::connect_with(&fixture.config(), &nobody(meters))
        .await
        .unwrap()
}

#[tokio::test]
async fn operations_are_measured_with_the_labels_of_the_conventions() {
    let fixture = Fixture::start().await;
    fixture.sql("CREATE TABLE orders (id int)").await;
    let meters = Meters::start();
    let client = connect(&fixture, &meters).await;
    let statement = "INSERT INTO orders SELECT generate_series(1, $1)";
    client.execute(statement, &[&5]).await.unwrap();
    for _ in 0..3 {
        let rows = client.query("SELECT id FROM orders", &[]).await.unwrap();
        assert_eq!(rows.len(), 5);
    }
    client.query("SELECT FROM nowhere", &[]).await.unwrap_err();

    let select = |point: &Point| point.label("db.operation.name") == Some("SELECT");
    let durations = meters.named("db.client.operation.duration");
    let (failed, selected): (Vec<_>, Vec<_>) = durations
        .into_iter()
        .filter(select)
        .partition(|point| point.label("error.type").is_some());
    let [selected] = &selected[..] else {
        panic!("{selected:#?}");
    };
    assert_eq!(selected.count, Some(3));
    let port = fixture.port().to_string();
    let expected = [
        ("db.collection.name", "orders"),
        ("db.namespace", "postgres"),
        ("db.operation.name", "SELECT"),
        ("db.system.name", "postgresql"),
        ("server.address", "localhost"),
        ("server.port", port.as_str()),
    ];
    let labels: Vec<_> = selected.labels.iter().collect();
    let labels = labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    assert_eq!(labels.collect::<Vec<_>>(), expected);
    let [failed] = &failed[..] else {
        panic!("{failed:#?}");
    };
    assert_eq!(failed.label("error.type"), Some("42P01"));
    assert_eq!(failed.label("db.response.status_code"), Some("42P01"));

    let rows = meters.named("db.client.response.returned_rows");
    let of_orders =
        |point: &&Point| point.label("db.collection.name") == Some("orders") && select(point);
    let of_orders: Vec<_> = rows.iter().filter(of_orders).collect();
    assert_eq!(of_orders.len(), 1);
    assert_eq!((of_orders[0].sum, of_orders[0].count), (15.0, Some(3)));
}

#[tokio::test]
async fn a_connection_is_counted_from_connect_until_its_client_goes() {
    let fixture = Fixture::start().await;
    let meters = Meters::start();
    let (one, other) = (
        connect(&fixture, &meters).await,
        connect(&fixture, &meters).await,
    );
    let open = || meters.only("db.client.connection.count").sum;
    assert_eq!(open(), 2.0);
    let pool = format!("localhost:{}/postgres", fixture.port());
    let count = meters.only("db.client.connection.count");
    assert_eq!(
        count.label("db.client.connection.pool.name"),
        Some(pool.as_str())
    );
    assert_eq!(count.label("db.client.connection.state"), Some("used"));
    // At once: what is measured at an application's very end is not lost.
    drop(one);
    assert_eq!(open(), 1.0);
    other.query("SELECT 1", &[]).await.unwrap();
    drop(other);
    assert_eq!(open(), 0.0);
    let measured = |name| meters.only(name);
    assert_eq!(measured("db.client.connection.use_time").count, Some(2));
    let (created, waited) = (
        measured("db.client.connection.create_time"),
        measured("db.client.connection.wait_time"),
    );
    assert_eq!((created.count, waited.count), (Some(2), Some(2)));
    assert!(0.0 < created.sum && created.sum <= waited.sum);
}

#[tokio::test]
async fn a_connection_that_the_server_ends_is_open_no_more() {
    let fixture = Fixture::start().await;
    let meters = Meters::start();
    let client = connect(&fixture, &meters).await;
    let open = || meters.only("db.client.connection.count").sum;
    assert_eq!(open(), 1.0);
    fixture
        .sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
        .await;
    let ended = eventually("its end", Duration::from_secs(10), async || {
        (open() == 0.0).then_some(())
    });
    ended.await;
    drop(client);
    assert_eq!(open(), 0.0);
    assert_eq!(meters.only("db.client.connection.use_time").count, Some(1));
}

#[tokio::test]
async fn a_pool_s_connection_is_counted_and_its_queries_measured() {
    let fixture = Fixture::start().await;
    fixture.sql("CREATE TABLE pooled (id int)").await;
    let meters = Meters::start();
    let config: Config = fixture.config().parse().unwrap();
    let connector = Connector::new(&config, &nobody(&meters)).unwrap();
    let (client, connection) = connector
        .driver_config()
        .connect(connector.clone())
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..3 {
        client.simple_query("SELECT FROM pooled").await.unwrap();
    }
    let pool = format!("localhost:{}/postgres", fixture.port());
    let count = || meters.only("db.client.connection.count");
    let name = "db.client.connection.pool.name";
    assert_eq!(
        (count().sum, count().label(name)),
        (1.0, Some(pool.as_str()))
    );
    drop(client);
    connection.await.unwrap().unwrap();
    assert_eq!(count().sum, 0.0);
    let measured = |name| meters.only(name).count;
    assert_eq!(measured("db.client.connection.create_time"), Some(1));
    assert_eq!(measured("db.client.connection.use_time"), Some(1));
    // How long somebody waited for it, and whether it is lent, the pool knows.
    assert!(meters.named("db.client.connection.wait_time").is_empty());
    let orphans = meters.only("approzium.spans.without_parent");
    assert_eq!((orphans.sum, orphans.labels.len()), (3.0, 0));
    let duration = meters.only("db.client.operation.duration");
    assert_eq!(duration.label("db.collection.name"), Some("pooled"));
    assert_eq!(duration.count, Some(3));
}

#[tokio::test]
async fn every_phase_is_measured_with_how_it_ended() {
    let fixture = Fixture::start().await;
    let meters = Meters::start();
    drop(connect(&fixture, &meters).await);
    let phases: BTreeSet<_> = meters
        .named("approzium.connect.phase.duration")
        .iter()
        .map(|point| {
            (
                point.label("approzium.phase").unwrap().to_owned(),
                point.label("approzium.outcome").unwrap().to_owned(),
            )
        })
        .collect();
    let ended = |phase: &str| (phase.to_owned(), "ok".to_owned());
    for phase in ["dial", "tls", "startup", "database"] {
        assert!(phases.contains(&ended(phase)), "{phase}: {phases:?}");
    }
}

#[tokio::test]
async fn nothing_is_measured_that_is_not_listed() {
    let fixture = Fixture::start().await;
    let meters = Meters::start();
    let client = connect(&fixture, &meters).await;
    client.query("SELECT 1", &[]).await.unwrap();
    drop(client);
    let allowed = [
        "approzium.outcome",
        "approzium.phase",
        "approzium.reason",
        "approzium.version",
        "db.client.connection.pool.name",
        "db.client.connection.state",
        "db.namespace",
        "db.operation.name",
        "db.system.name",
        "server.address",
        "server.port",
    ];
    let points = meters.points();
    assert!(!points.is_empty());
    for point in points {
        assert!(METRICS.contains(&point.name.as_str()), "{point:?}");
        for key in point.labels.keys() {
            assert!(allowed.contains(&key.as_str()), "{point:?}");
        }
    }
}

#[tokio::test]
async fn a_global_meter_provider_that_comes_later_is_found() {
    let fixture = Fixture::start().await;
    instrument();
    let client = fixture.connect().await;
    fixture.sql("CREATE TABLE later (id int)").await;
    let query = async || {
        client.query("SELECT FROM later", &[]).await.unwrap();
    };
    query().await;
    let meters = Meters::start();
    global::set_meter_provider(meters.provider.clone());
    query().await;
    query().await;
    let durations = meters.named("db.client.operation.duration");
    let later = |point: &&Point| {
        point.label("db.collection.name") == Some("later")
            && point.label("db.operation.name") == Some("SELECT")
    };
    let counts: Vec<_> = durations
        .iter()
        .filter(later)
        .map(|point| point.count)
        .collect();
    assert_eq!(counts, [Some(2)]);
}
