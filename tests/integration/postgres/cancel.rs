//! Cancelling asks the database, and nobody else.

use approzium::postgres::{Client, Connector};
use approzium_peers::{Postgres, peer};
use tokio_postgres::error::SqlState;

use super::{Authenticator, PASSWORD, config, connect, server, string, verified};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_needs_no_arguments_and_no_authenticator() {
    let server = peer!(server(18));
    let authenticator = Authenticator::start().await;
    authenticator.record(server.port(), "app", PASSWORD);
    for more in [
        verified(&server),
        format!("{} sslnegotiation=direct", verified(&server)),
        "sslmode=disable".to_owned(),
    ] {
        let client = connect(&authenticator, &string(&server, "app", &more))
            .await
            .unwrap();
        let before = authenticator.handshakes().await;
        let token = client.cancel_token();
        cancelled(&server, &client, async || {
            token.cancel_query().await.unwrap()
        })
        .await;
        assert_eq!(authenticator.handshakes().await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drivers_token_works_with_a_connector() {
    let server = peer!(server(15));
    let authenticator = Authenticator::start().await;
    authenticator.record(server.port(), "app", PASSWORD);
    let text = string(&server, "app", &verified(&server));
    let client = connect(&authenticator, &text).await.unwrap();
    let connector = Connector::new(&config(&text), authenticator.client()).unwrap();
    let before = authenticator.handshakes().await;
    let token = tokio_postgres::Client::cancel_token(&client);
    cancelled(&server, &client, async || {
        token.cancel_query(connector.clone()).await.unwrap();
    })
    .await;
    assert_eq!(authenticator.handshakes().await, before);
}

/// Runs a query that does not end, and cancels it once it runs.
pub(super) async fn cancelled(server: &Postgres, client: &Client, cancel: impl AsyncFn()) {
    let endless = client.batch_execute("SELECT pg_sleep(600)");
    let running = async {
        approzium_peers::eventually(
            "the query runs",
            std::time::Duration::from_secs(20),
            async || {
                let running = "SELECT 1 FROM pg_stat_activity \
                               WHERE state = 'active' AND query LIKE '%pg_sleep(600)' \
                               AND usename = 'app'";
                (!server.sql(running).await.unwrap().is_empty()).then_some(())
            },
        )
        .await;
        cancel().await;
    };
    let (ended, ()) = tokio::join!(endless, running);
    assert_eq!(ended.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
    assert!(client.simple_query("SELECT 1").await.is_ok());
}
