//! The driver's own `connect`, with a connector of ours.

use approzium::postgres::{Connector, cause};
use approzium_peers::peer;

use super::{Authenticator, PASSWORD, config, server, string, verified};

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_connects_by_itself() {
    let server = peer!(server(15));
    let authenticator = Authenticator::start().await;
    authenticator.record(server.port(), "app", PASSWORD);
    let config = config(&string(
        &server,
        "app",
        &format!(
            "{} application_name='it is me' target_session_attrs=read-write",
            verified(&server)
        ),
    ));
    let connector = Connector::new(&config, authenticator.client()).unwrap();
    for _ in 0..2 {
        let (client, connection) = connector
            .driver_config()
            .connect(connector.clone())
            .await
            .unwrap();
        assert_eq!(connection.parameter("application_name"), Some("it is me"));
        let connection = tokio::spawn(connection);
        let row = client
            .query_one("SELECT current_user::text", &[])
            .await
            .unwrap();
        assert_eq!(row.get::<_, &str>(0), "app");
        drop(client);
        connection.await.unwrap().unwrap();
    }
    assert_eq!(authenticator.handshakes().await, 2);
    assert_eq!(authenticator.client().num_connections(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_errors_are_found_in_the_drivers() {
    let server = peer!(server(15));
    let authenticator = Authenticator::start().await;
    let config = config(&string(&server, "app", &verified(&server)));
    let connector = Connector::new(&config, authenticator.client()).unwrap();
    let driver = connector.driver_config();

    let denied = driver
        .connect(connector.clone())
        .await
        .map(drop)
        .unwrap_err();
    assert!(
        cause(&denied).is_some_and(approzium::Error::is_permission_denied),
        "{denied:?}"
    );

    // A clone asks anew, as a pool does.
    authenticator.record(server.port(), "app", "not the password");
    let refused = driver
        .connect(connector.clone())
        .await
        .map(drop)
        .unwrap_err();
    assert!(cause(&refused).is_none());
    assert_eq!(refused.code().map(|code| code.code()), Some("28P01"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_ends_the_drivers_list_of_hosts() {
    let server = peer!(server(15));
    let authenticator = Authenticator::start().await;
    let text = format!(
        "host=localhost,127.0.0.1 port={port} user=app dbname=postgres {}",
        verified(&server),
        port = server.port()
    );
    let connector = Connector::new(&config(&text), authenticator.client()).unwrap();
    let denied = connector
        .driver_config()
        .connect(connector)
        .await
        .map(drop)
        .unwrap_err();
    assert!(
        cause(&denied).is_some_and(approzium::Error::is_permission_denied),
        "{denied:?}"
    );
    assert_eq!(authenticator.handshakes().await, 1);
}

#[test]
fn what_a_connector_cannot_know_is_refused() {
    let auth = approzium::AuthClient::new("http://127.0.0.1:1").unwrap();
    for text in [
        "host=/run/postgresql user=app",
        "host=a,a port=1,2 user=app sslmode=disable",
        "user=app",
    ] {
        let error = Connector::new(&config(text), &auth).unwrap_err();
        assert!(error.is_configuration(), "{text}: {error}");
    }
}

/// As the blocking driver `postgres` does it: a runtime for each connection, which runs only while
/// somebody waits for that connection.
#[tokio::test(flavor = "multi_thread")]
async fn each_connection_may_have_a_runtime_of_its_own() {
    let server = peer!(server(15));
    let authenticator = Authenticator::start().await;
    authenticator.record(server.port(), "app", PASSWORD);
    let config = config(&string(&server, "app", &verified(&server)));
    let connector = Connector::new(&config, authenticator.client()).unwrap();
    let blocking = move || {
        let connections: Vec<_> = (0..3)
            .map(|_| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                let connecting = connector.driver_config();
                let connected = runtime
                    .block_on(connecting.connect(connector.clone()))
                    .unwrap();
                (runtime, connected)
            })
            .collect();
        for (runtime, (client, connection)) in connections {
            let query = client.simple_query("SELECT 1");
            runtime.block_on(async {
                tokio::select! {
                    rows = query => assert!(rows.is_ok()),
                    ended = connection => panic!("{ended:?}"),
                }
            });
        }
    };
    tokio::task::spawn_blocking(blocking).await.unwrap();
    assert_eq!(authenticator.handshakes().await, 3);
}

/// What deadpool-postgres, bb8-postgres and the blocking driver demand of a connector.
#[test]
fn pools_can_hold_a_connector() {
    use tokio_postgres::{
        Socket,
        tls::{MakeTlsConnect, TlsConnect},
    };
    fn pooled<T>()
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send + Sync,
        T::TlsConnect: Send + Sync,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
    }
    pooled::<Connector>();
}
