//! A pool of the driver's own clients.

use approzium::{
    AuthClient,
    opentelemetry::instrument,
    postgres::{Config, Connection, Connector},
};
use deadpool_postgres::{Connect, Manager, ManagerConfig, Pool, RecyclingMethod};
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;

use super::{Fixture, attribute, is_orphan};

fn connector(fixture: &Fixture) -> Connector {
    let nobody = AuthClient::new("localhost:1").unwrap();
    let config = format!("{} target_session_attrs=read-write", fixture.config());
    let config: Config = config.parse().unwrap();
    Connector::new(&config, &nobody).unwrap()
}

#[tokio::test]
async fn its_queries_are_spans_and_their_callers_unknown() {
    let fixture = Fixture::start().await;
    instrument();
    let connector = connector(&fixture);
    let manager = Manager::from_config(
        connector.driver_config(),
        connector,
        ManagerConfig {
            recycling_method: RecyclingMethod::Verified,
        },
    );
    let pool = Pool::builder(manager).max_size(2).build().unwrap();
    for _ in 0..3 {
        let client = pool.get().await.unwrap();
        let statement = client.prepare_cached("SELECT 1 AS pooled").await.unwrap();
        client.query(&statement, &[]).await.unwrap();
    }
    // Three, and the pool's two checks of a connection that it has used.
    let spans = fixture.queries(5).await;
    assert!(spans.iter().all(is_orphan));
    let ours =
        |span: &&_| attribute(span, "db.query.text").as_deref() == Some("SELECT ? AS pooled");
    let pooled: Vec<_> = spans.iter().filter(ours).collect();
    assert_eq!(pooled.len(), 3);
    for span in pooled {
        assert_eq!(attribute(span, "db.namespace").as_deref(), Some("postgres"));
        assert_eq!(
            attribute(span, "approzium.num_connections").as_deref(),
            Some("1")
        );
    }
}

/// As the documentation of [`Connector`] shows it.
struct Traced(Connector);

impl Connect for Traced {
    fn connect(
        &self,
        config: &tokio_postgres::Config,
    ) -> BoxFuture<'_, Result<(tokio_postgres::Client, JoinHandle<()>), tokio_postgres::Error>>
    {
        let config = config.clone();
        Box::pin(async move {
            let (client, connection) = config.connect(self.0.clone()).await?;
            let connection = Connection::from(connection);
            Ok((client, tokio::spawn(async { drop(connection.await) })))
        })
    }
}

#[tokio::test]
async fn with_a_connection_of_ours_their_callers_are_known() {
    let fixture = Fixture::start().await;
    instrument();
    let connector = connector(&fixture);
    let manager = Manager::from_connect(
        connector.driver_config(),
        Traced(connector),
        ManagerConfig::default(),
    );
    let pool = Pool::builder(manager).max_size(1).build().unwrap();
    for round in 0..10 {
        let recorded = fixture
            .record(async {
                let mut client = pool.get().await.unwrap();
                let statement = client.prepare_cached("SELECT 1 AS pooled").await.unwrap();
                let transaction = client.transaction().await.unwrap();
                transaction.query(&statement, &[]).await.unwrap();
                transaction.commit().await.unwrap();
            })
            .await;
        let spans = fixture.queries(3 * (round + 1)).await;
        for span in &spans[3 * round..] {
            assert!(!is_orphan(span), "{}", span.name);
            assert_eq!(span.parent_span_id, recorded.root);
        }
    }
}
