//! {md5, SCRAM-SHA-256, SCRAM-SHA-256-PLUS, trust, cert} × {plain, TLS, direct TLS}.

use approzium::{Error, Hop};
use approzium_peers::{Postgres, peer};

use super::{Authenticator, PASSWORD, connect, server, string, verified, who};

#[tokio::test(flavor = "multi_thread")]
async fn every_method_over_every_transport_on_15() {
    let server = peer!(server(15));
    every_method_over_every_transport(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_over_every_transport_on_18() {
    let server = peer!(server(18));
    every_method_over_every_transport(&server).await;
}

/// How many times the Authenticator is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    Once,
    Never,
}

/// What a login comes to.
#[derive(Debug)]
enum Expected {
    In(Asked),
    /// The reason, as the error says it.
    Out(fn(&Error) -> bool, &'static str),
}
use Expected::{In, Out};

async fn every_method_over_every_transport(server: &Postgres) {
    let authenticator = Authenticator::start().await;
    for user in ["app", "old", "open", "mutual"] {
        authenticator.record(server.port(), user, PASSWORD);
    }
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = server
        .authority()
        .client("mutual")
        .write(folder.path(), "mutual")
        .unwrap();
    let own = format!(
        "sslcert='{}' sslkey='{}'",
        certificate.display(),
        key.display()
    );
    let bound = "channel_binding=require";
    let unbound = "channel_binding=disable";
    let silent = "require_auth=none";

    // The user, settings, and what comes of it without and with TLS.
    type Case<'a> = (&'a str, String, fn(bool) -> Expected);
    let methods: [Case<'_>; 9] = [
        ("old", String::new(), |_| In(Asked::Once)),
        ("old", bound.into(), |tls| match tls {
            true => Out(Error::is_policy, "MD5, which cannot be bound"),
            false => Out(Error::is_configuration, "needs TLS"),
        }),
        ("app", unbound.into(), |_| In(Asked::Once)),
        ("app", String::new(), |_| In(Asked::Once)),
        ("app", bound.into(), |tls| match tls {
            true => In(Asked::Once),
            false => Out(Error::is_configuration, "needs TLS"),
        }),
        ("app", silent.into(), |_| {
            Out(Error::is_policy, "asks for scram-sha-256")
        }),
        ("open", String::new(), |_| {
            Out(Error::is_policy, "without asking for anything")
        }),
        ("open", silent.into(), |_| In(Asked::Never)),
        ("mutual", format!("{own} {silent}"), |tls| match tls {
            true => In(Asked::Never),
            false => Out(Error::is_database, "no pg_hba.conf entry"),
        }),
    ];
    let verified = verified(server);
    let transports = [
        ("sslmode=disable".to_owned(), false),
        (verified.clone(), true),
        (format!("{verified} sslnegotiation=direct"), true),
    ];
    // A handshake that was opened ahead and given up may still be on its way to be counted: what is
    // sent after it comes after it.
    let settle = async || {
        let text = string(server, "app", &verified);
        drop(connect(&authenticator, &text).await.unwrap());
    };
    for (transport, tls) in &transports {
        let direct = transport.contains("direct");
        for (user, settings, expected) in &methods {
            let text = string(server, user, &format!("{transport} {settings}"));
            let before = authenticator.handshakes().await;
            let result = connect(&authenticator, &text).await;
            if direct && server.version() < 17 {
                let error = result.unwrap_err();
                assert_eq!(error.hop(), Hop::DatabaseConnection, "{text}: {error}");
                assert!(
                    error.to_string().contains("PostgreSQL 17"),
                    "{text}: {error}"
                );
                settle().await;
                continue;
            }
            match (expected(*tls), result) {
                (In(asked), Ok(client)) => {
                    assert_eq!(who(&client).await, ((*user).to_owned(), *tls), "{text}");
                    let asked_for = match asked {
                        Asked::Once => 1,
                        Asked::Never => 0,
                    };
                    assert_eq!(
                        authenticator.handshakes().await - before,
                        asked_for,
                        "{text}"
                    );
                }
                (Out(kind, reason), Err(error)) => {
                    assert!(kind(&error), "{text}: {error:?}");
                    assert!(error.to_string().contains(reason), "{text}: {error}");
                    settle().await;
                }
                (expected, result) => panic!("{text}: {result:?} is not {expected:?}"),
            }
        }
    }
}
