//! Several hosts, several addresses, and Unix sockets.

use std::time::Duration;

use approzium::{AuthClient, Hop};
use approzium_peers::{Postgres, free_port, peer};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::{
    Authenticator, PASSWORD, cancel::cancelled, config, connect, prepared, server, string, verified,
};

#[tokio::test(flavor = "multi_thread")]
async fn each_host_and_port_has_its_own_record() {
    let standby = peer!(prepared(
        Postgres::builder()
            .version(15)
            .parameter("default_transaction_read_only", "off")
    ));
    let primary = peer!(server(18));
    primary
        .role(
            "app",
            "another password",
            approzium_peers::Method::ScramSha256,
        )
        .await
        .unwrap();
    standby
        .sql("ALTER SYSTEM SET default_transaction_read_only = on")
        .await
        .unwrap();
    standby.sql("SELECT pg_reload_conf()").await.unwrap();
    approzium_peers::eventually(
        "the standby is read-only",
        Duration::from_secs(20),
        async || {
            let rows = standby
                .sql("SHOW default_transaction_read_only")
                .await
                .unwrap();
            (rows[0][0].as_deref() == Some("on")).then_some(())
        },
    )
    .await;

    let authenticator = Authenticator::start().await;
    authenticator.record(standby.port(), "app", PASSWORD);
    authenticator.record(primary.port(), "app", "another password");
    let both = |more: &str| {
        format!(
            "host=localhost,localhost,localhost port={},{},{} user=app dbname=postgres \
             sslmode=require {more}",
            free_port(),
            standby.port(),
            primary.port(),
        )
    };
    for (more, port) in [
        ("", standby.port()),
        ("target_session_attrs=read-only", standby.port()),
        ("target_session_attrs=read-write", primary.port()),
    ] {
        let client = connect(&authenticator, &both(more)).await.unwrap();
        let row = client
            .query_one("SELECT inet_server_port()", &[])
            .await
            .unwrap();
        assert_eq!(row.get::<_, i32>(0), i32::from(port), "{more}");
    }

    let random = both("load_balance_hosts=random target_session_attrs=read-write");
    connect(&authenticator, &random).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_ends_the_list() {
    let forbidden = peer!(server(15));
    let allowed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authenticator = Authenticator::start().await;
    let text = format!(
        "host=localhost,127.0.0.1 port={},{} user=app dbname=postgres sslmode=require",
        forbidden.port(),
        allowed.local_addr().unwrap().port(),
    );
    let error = connect(&authenticator, &text).await.unwrap_err();
    assert!(error.is_permission_denied(), "{error}");
    assert_eq!(authenticator.handshakes().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_never_answers_leaves_time_for_the_next() {
    let server = peer!(server(15));
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authenticator = Authenticator::start().await;
    authenticator.record(server.port(), "app", PASSWORD);
    authenticator.record(silent.local_addr().unwrap().port(), "app", PASSWORD);
    let mut config = config(&format!(
        "host=127.0.0.1,127.0.0.1 port={},{} user=app dbname=postgres sslmode=require",
        silent.local_addr().unwrap().port(),
        server.port(),
    ));
    config.connect_timeout(Duration::from_secs(4));
    config.connect_with(authenticator.client()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_costs_no_more_than_the_time_given() {
    let authenticator = Authenticator::start().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    authenticator.record(port, "app", PASSWORD);
    for more in [
        "sslmode=require",
        "sslmode=require sslnegotiation=direct",
        "sslmode=disable",
    ] {
        let mut config = config(&format!("host=127.0.0.1 port={port} user=app {more}"));
        config.connect_timeout(Duration::from_millis(300));
        let error = config
            .connect_with(authenticator.client())
            .await
            .unwrap_err();
        assert!(
            error.is_timeout() && error.is_retryable(),
            "{more}: {error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_dialled_in_time_is_not_said_to_refuse_a_login() {
    let authenticator = Authenticator::start().await;
    // A queue of one, which is taken: whoever dials next is not answered.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(0).unwrap();
    let address = full.local_addr().unwrap();
    let _first = TcpStream::connect(address).await.unwrap();
    let mut config = config(&format!(
        "host=127.0.0.1 port={} user=app sslmode=require",
        address.port()
    ));
    config.connect_timeout(Duration::from_millis(300));
    for _ in 0..5 {
        let error = config
            .connect_with(authenticator.client())
            .await
            .unwrap_err();
        assert!(error.is_timeout(), "{error}");
        assert_eq!(error.hop(), Hop::DatabaseConnection, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authenticator_that_never_answers_costs_no_more_either() {
    let server = peer!(server(15));
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let credentials = Credentials::new("AKIDEXAMPLE", "not a secret", None, None, "test");
    let client = AuthClient::builder(format!("http://{}", silent.local_addr().unwrap()))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .region("eu-central-1")
        .build()
        .unwrap();
    let mut config = config(&string(&server, "app", &verified(&server)));
    config.connect_timeout(Duration::from_millis(500));
    let error = config.connect_with(&client).await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert!(
        matches!(
            error.hop(),
            Hop::Authenticator | Hop::Session | Hop::Handshake
        ),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unix_sockets_log_in_and_cancel_too() {
    let server = peer!(server(15));
    let authenticator = Authenticator::start().await;
    let folder = server.socket_folder().to_str().unwrap();
    authenticator.record_at(folder, server.port(), "app", PASSWORD, "");
    let text = format!(
        "host={folder} port={} user=app dbname=postgres",
        server.port()
    );
    let client = connect(
        &authenticator,
        &format!("{text} target_session_attrs=read-write"),
    )
    .await
    .unwrap();
    let row = client
        .query_one("SELECT inet_server_port() IS NULL", &[])
        .await
        .unwrap();
    assert!(row.get::<_, bool>(0));

    let before = authenticator.handshakes().await;
    let token = client.cancel_token();
    cancelled(&server, &client, async || {
        token.cancel_query().await.unwrap()
    })
    .await;
    assert_eq!(authenticator.handshakes().await, before);

    let error = connect(
        &authenticator,
        &format!("{text} target_session_attrs=read-only"),
    )
    .await
    .unwrap_err();
    assert!(
        error.to_string().contains("target_session_attrs"),
        "{error}"
    );
    let error = connect(&authenticator, &format!("{text} channel_binding=require"))
        .await
        .unwrap_err();
    assert!(error.is_policy(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_reach_who_polls_the_connection() {
    let server = peer!(server(15));
    let authenticator = Authenticator::start().await;
    authenticator.record(server.port(), "app", PASSWORD);
    let config = config(&string(&server, "app", &verified(&server)));
    let (client, mut connection) = config.connect_parts(authenticator.client()).await.unwrap();
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let polling = tokio::spawn(async move {
        while let Some(message) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            let _ = sender.send(message.unwrap());
        }
    });
    client
        .batch_execute("LISTEN news; NOTIFY news, 'it works'")
        .await
        .unwrap();
    match receiver.recv().await.unwrap() {
        tokio_postgres::AsyncMessage::Notification(note) => assert_eq!(note.payload(), "it works"),
        other => panic!("{other:?}"),
    }
    drop(client);
    polling.await.unwrap();
}
