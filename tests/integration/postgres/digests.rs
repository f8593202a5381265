//! Records that hold no password, of `approzium secret`, at databases that were told its verifier.

use approzium_peers::{Postgres, peer};
use serde_json::Value;
use tokio_postgres::NoTls;

use super::{Authenticator, connect, server, string, verified, who};
use crate::authenticator::secret::made;

/// SASLprep makes `IX` of it, in PostgreSQL as well.
const TYPED: &str = "I\u{ad}\u{2169}";

/// What `approzium secret` prints for this server's `app`, by the password that it reads, or one of
/// its own.
fn secret(server: &Postgres, password: Option<&str>) -> Value {
    let port = server.port().to_string();
    let database = ["--dbhost", server.host(), "--dbport", &port];
    made(&[&database[..], &["--dbuser", "app"]].concat(), password)
}

/// Tells the database the verifier, and the Authenticator the digests.
async fn rotate(server: &Postgres, authenticator: &Authenticator, made: &Value) {
    alter(server, made).await;
    let digests = &made["record"]["app"]["scram_sha_256"];
    authenticator.digests(server.port(), "app", digests);
}

async fn alter(server: &Postgres, made: &Value) {
    let statement = made["alter_role"].as_str().unwrap();
    server.sql(statement).await.unwrap();
    let stored = "SELECT rolpassword FROM pg_authid WHERE rolname = 'app'";
    let rows = server.sql(stored).await.unwrap();
    assert_eq!(rows[0][0].as_deref(), made["verifier"].as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_set_by_the_printed_verifier_logs_in_by_digests_on_15() {
    let server = peer!(server(15));
    digests_log_in(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_set_by_the_printed_verifier_logs_in_by_digests_on_18() {
    let server = peer!(server(18));
    digests_log_in(&server).await;
}

async fn digests_log_in(server: &Postgres) {
    let authenticator = Authenticator::start().await;
    let plus = string(
        server,
        "app",
        &format!("{} channel_binding=require", verified(server)),
    );
    let plain = string(server, "app", "sslmode=disable");
    for password in [Some(TYPED), None] {
        rotate(server, &authenticator, &secret(server, password)).await;
        for (text, tls) in [(&plus, true), (&plain, false)] {
            let client = connect(&authenticator, text).await.unwrap();
            assert_eq!(who(&client).await, ("app".to_owned(), tls), "{text}");
        }
        if password.is_some() {
            // The database is of the opinion that this is the password.
            let mut with_password: tokio_postgres::Config = plain.parse().unwrap();
            with_password.password("IX");
            drop(with_password.connect(NoTls).await.unwrap());
        }
    }
    let verified = "approzium_decisions_total{decision=\"outcome\",reason=\"login_verified\"}";
    approzium_peers::eventually("outcomes", std::time::Duration::from_secs(20), async || {
        (authenticator.metric(verified).await == 4).then_some(())
    })
    .await;
    let derived = "approzium_phase_duration_seconds_count{phase=\"derivation\",outcome=\"ok\"}";
    assert_eq!(authenticator.metric(derived).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn digests_answer_no_other_salt_and_a_new_record_is_read_at_once() {
    let server = peer!(server(15));
    let authenticator = Authenticator::start().await;
    let text = string(&server, "app", &verified(&server));
    rotate(&server, &authenticator, &secret(&server, Some("pencil"))).await;
    connect(&authenticator, &text).await.unwrap();

    // The same password, and a salt of its own.
    let next = secret(&server, Some("pencil"));
    alter(&server, &next).await;
    let error = connect(&authenticator, &text).await.unwrap_err();
    assert!(error.is_policy(), "{error:?}");
    assert!(error.to_string().contains("digests"), "{error}");
    let reason = "keys_of_another_challenge";
    let denied = format!("approzium_decisions_total{{decision=\"denied\",reason=\"{reason}\"}}");
    assert_eq!(authenticator.metric(&denied).await, 1);

    rotate(&server, &authenticator, &next).await;
    connect(&authenticator, &text).await.unwrap();
}

/// The manager is told first, the database whenever it suits: no login fails on the way.
#[tokio::test(flavor = "multi_thread")]
async fn with_both_digests_on_record_a_verifier_is_exchanged_without_a_failure() {
    let server = peer!(server(15));
    let authenticator = Authenticator::start().await;
    let text = string(&server, "app", &verified(&server));
    let (old, new) = (secret(&server, None), secret(&server, None));
    let [old_digests, new_digests] =
        [&old, &new].map(|made| made["record"]["app"]["scram_sha_256"].clone());
    rotate(&server, &authenticator, &old).await;
    connect(&authenticator, &text).await.unwrap();

    let both = Value::from(vec![old_digests, new_digests.clone()]);
    authenticator.digests(server.port(), "app", &both);
    connect(&authenticator, &text).await.unwrap();
    // And back, and once more: each order is as good.
    for made in [&new, &old, &new] {
        alter(&server, made).await;
        connect(&authenticator, &text).await.unwrap();
    }
    authenticator.digests(server.port(), "app", &new_digests);
    connect(&authenticator, &text).await.unwrap();
    let handshakes = authenticator.handshakes().await;
    assert_eq!(handshakes, 6, "each login took one handshake");

    // What is off the record answers no more.
    alter(&server, &old).await;
    let error = connect(&authenticator, &text).await.unwrap_err();
    assert!(error.is_policy(), "{error:?}");
}
