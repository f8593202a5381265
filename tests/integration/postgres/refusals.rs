//! Who says no, and how that reaches the application.

use std::{sync::Arc, time::Duration};

use approzium::{Hop, wire::channel_binding::tls_server_end_point};
use approzium_peers::{Postgres, eventually, peer};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use super::{Authenticator, PASSWORD, config, connect, prepared, server, string, verified};
use crate::rejections::Log;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn the_databases_own_word_keeps_its_sqlstate() {
    let server = peer!(server(15));
    let authenticator = Authenticator::start().await;
    authenticator.record(server.port(), "absent", PASSWORD);
    authenticator.record(server.port(), "app", "not the password");
    authenticator.record(server.port(), "old", PASSWORD);
    authenticator.record(server.port(), "nobody", PASSWORD);

    let secured = verified(&server);
    for (user, more, sqlstate, said) in [
        ("absent", "", "28P01", "password authentication failed"),
        ("app", "", "28P01", "password authentication failed"),
        ("old", "dbname=nowhere", "3D000", "does not exist"),
        ("nobody", "", "28000", "no pg_hba.conf entry"),
    ] {
        let text = string(&server, user, &format!("{secured} {more}"));
        let error = connect(&authenticator, &text).await.unwrap_err();
        assert_eq!(error.sqlstate(), Some(sqlstate), "{error}");
        assert_eq!(error.hop(), Hop::DatabaseLogin);
        assert!(error.to_string().contains(said), "{error}");
        let driver = std::error::Error::source(&error)
            .and_then(|source| source.downcast_ref::<tokio_postgres::Error>())
            .expect("the driver's own error is the source");
        assert_eq!(driver.code().map(|code| code.code()), Some(sqlstate));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_tried_on_a_second_connection_and_no_third() {
    let server = peer!(server(15));
    let authenticator = Authenticator::start().await;
    authenticator.record(server.port(), "app", "not the password");
    let text = string(&server, "app", &verified(&server));
    let error = connect(&authenticator, &text).await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("28P01"));
    assert!(error.request_id().is_some());
    let failed = "password authentication failed for user \"app\"";
    assert_eq!(server.log().matches(failed).count(), 2);
    assert_eq!(authenticator.handshakes().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_record_it_is_our_denial() {
    let server = peer!(server(15));
    let authenticator = Authenticator::start().await;
    let text = string(&server, "app", &verified(&server));
    let error = connect(&authenticator, &text).await.unwrap_err();
    assert!(error.is_permission_denied(), "{error}");
    assert_eq!(error.sqlstate(), None);
    assert!(!error.is_retryable());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_itself_is_given_to_nobody() {
    let server = peer!(server(15));
    let authenticator = Authenticator::start().await;
    authenticator.record(server.port(), "clear", PASSWORD);
    let text = string(&server, "clear", &verified(&server));
    let error = connect(&authenticator, &text).await.unwrap_err();
    assert!(error.is_policy(), "{error}");
    assert!(
        error.to_string().contains("asks for the password itself"),
        "{error}"
    );
    assert!(
        error
            .help()
            .is_some_and(|help| help.contains("scram-sha-256"))
    );
}

#[tokio::test]
async fn a_proof_relayed_to_another_server_with_the_same_password_fails() {
    let (log, _recording) = Log::start();
    let first = peer!(server(15));
    let second = peer!(prepared(Postgres::builder().version(18)));
    let pinned = tls_server_end_point(&first.certificate().certificate_der).unwrap();
    let authenticator = Authenticator::start().await;
    authenticator.pinned(first.port(), "app", PASSWORD, &pinned);
    authenticator.pinned(second.port(), "app", PASSWORD, &pinned);
    let at = |server: &Postgres, more: &str| {
        string(server, "app", &format!("{} {more}", verified(server)))
    };

    connect(&authenticator, &at(&first, "")).await.unwrap();
    // It says which certificate it sees, and is told.
    let error = connect(&authenticator, &at(&second, "")).await.unwrap_err();
    assert!(error.is_policy(), "{error}");
    assert!(
        error.to_string().contains("none that the record pins"),
        "{error}"
    );
    let line = log.audit(error.request_id().unwrap(), "denied").await;
    assert_eq!(line["reason"], "certificate_not_pinned");
    assert_eq!(line["dbport"], second.port());
    // It does not say: the proof is for the first server, and the second one refuses it.
    let unsaid = at(&second, "channel_binding=disable");
    let error = connect(&authenticator, &unsaid).await.unwrap_err();
    assert!(
        error.to_string().contains("channel binding check failed"),
        "{error}"
    );
    assert_eq!(error.sqlstate(), Some("28000"));
    let line = log.audit(error.request_id().unwrap(), "outcome").await;
    assert_eq!(line["reason"], "login_refused");
    assert!(line["detail"].as_str().unwrap().contains("28000"), "{line}");
}

/// PostgreSQL offers SCRAM-SHA-256-PLUS here, and ends a login that says it did not.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_record_allows_is_what_the_exchange_begins_by() {
    let server = peer!(server(15));
    let authenticator = Authenticator::start().await;
    let digest = tls_server_end_point(&server.certificate().certificate_der).unwrap();
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let pinned = format!("pinned_certificates: [\"{digits}\"]");
    let (plain, plus) = ("methods: [scram-sha-256]", "methods: [scram-sha-256-plus]");
    let at = |record: &str, more: &str| {
        let record = format!("  {record}\n");
        authenticator.record_at("localhost", server.port(), "app", PASSWORD, &record);
        string(&server, "app", &format!("{} {more}", verified(&server)))
    };
    for (record, more) in [
        (plain, ""),
        (plain, "channel_binding=disable"),
        (plus, ""),
        ("channel_binding: require", ""),
        (pinned.as_str(), ""),
        // The Authenticator knows what to bind to.
        (&pinned, "channel_binding=disable"),
    ] {
        let connected = connect(&authenticator, &at(record, more)).await;
        connected.unwrap_or_else(|error| panic!("{record} {more}: {error}"));
    }
    for (record, more, said) in [
        ("methods: [md5]", "", "the record does not allow SCRAM"),
        (
            plain,
            "channel_binding=require",
            "channel binding is required",
        ),
        (
            "channel_binding: require",
            "channel_binding=disable",
            "channel binding is required",
        ),
    ] {
        let error = connect(&authenticator, &at(record, more))
            .await
            .unwrap_err();
        assert!(error.is_policy(), "{record} {more}: {error}");
        assert!(error.to_string().contains(said), "{record} {more}: {error}");
        assert_eq!(error.hop(), Hop::Handshake);
        assert!(error.request_id().is_some());
    }
}

/// The second connection is made only once the Authenticator knows of the first one's failure.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_was_just_changed_is_found_on_the_second_connection() {
    let server = peer!(server(15));
    let authenticator = Arc::new(Authenticator::start().await);
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = front.local_addr().unwrap().port();
    authenticator.record(port, "app", "the password of yesterday");
    let (secrets, database) = (Arc::clone(&authenticator), server.port());
    let relay = tokio::spawn(async move {
        for attempt in 1.. {
            let (mut client, _) = front.accept().await.unwrap();
            if attempt == 2 {
                secrets.record(port, "app", PASSWORD);
            }
            let mut server = TcpStream::connect(("127.0.0.1", database)).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    // With `none` the Authenticator is asked when the database has asked, not before.
    let text = format!(
        "host=127.0.0.1 port={port} user=app dbname=postgres {} require_auth=scram-sha-256,none",
        verified(&server)
    );
    connect(&authenticator, &text).await.unwrap();
    assert_eq!(authenticator.handshakes().await, 2);
    relay.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_that_is_given_up_says_so() {
    let authenticator = Authenticator::start().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    authenticator.record(port, "app", PASSWORD);
    let config = config(&format!(
        "host=127.0.0.1 port={port} user=app sslmode=disable"
    ));
    let connecting = config.connect_with(authenticator.client());
    let asked = eventually("the handshake is open", SOON, async || {
        (authenticator.metric("approzium_streams").await == 1).then_some(())
    });
    tokio::select! {
        result = connecting => panic!("{result:?}"),
        () = asked => {}
    }
    eventually("the handshake is over", SOON, async || {
        (authenticator.metric("approzium_streams").await == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_the_record_is_told_to_who_is_on_it() {
    let server = peer!(server(15));
    let authenticator = Authenticator::start().await;
    let host = server.host();
    authenticator.record_at(host, server.port(), "old", PASSWORD, "");
    let text = string(&server, "old", &verified(&server));
    let error = connect(&authenticator, &text).await.unwrap_err();
    assert!(error.is_policy(), "{error}");
    assert!(error.to_string().contains("does not allow MD5"), "{error}");
    assert!(error.request_id().is_some());
}
