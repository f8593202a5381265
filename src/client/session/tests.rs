use std::{
    sync::atomic::{AtomicBool, AtomicUsize},
    time::Duration,
};

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use tonic::{Code, Status};

use super::*;
use crate::{
    client::{
        AuthClient,
        testing::{
            self, ARN, Behaviour, REQUEST_ID, Reply, Server, challenge, eventually, grant, soon,
        },
    },
    proto::v2,
};

/// A session that is there already, as old as the test wants it.
fn install(client: &AuthClient, renew_at: Instant, expires_at: Instant) -> Arc<Session> {
    let session = Arc::new(Session {
        token: Secret::from("an older token".to_owned()),
        iam_arn: ARN.to_owned(),
        renew_at,
        expires_at,
        accepted: AtomicBool::new(true),
    });
    lock(&client.0.sessions.state).current = Some(Arc::clone(&session));
    session
}

fn token(session: &Session) -> &str {
    std::str::from_utf8(session.token().expose_secret()).unwrap()
}

#[tokio::test]
async fn proves_once_and_keeps_the_session() {
    let behaviour = Behaviour::good();
    behaviour.on_proof(|proof| {
        assert!(proof.client_version.starts_with("approzium-rust/"));
        let Some(v2::session_proof::Proof::Aws(aws)) = proof.proof else {
            return Reply::Fail(Status::invalid_argument("no AWS proof"));
        };
        assert_eq!(
            (aws.region.as_str(), aws.audience.as_str()),
            ("eu-central-1", "127.0.0.1")
        );
        Reply::Say(grant())
    });
    let server = Server::start(&behaviour);
    let client = server.client().build().unwrap();
    assert_eq!(client.iam_arn(), None);
    client.authenticate().await.unwrap();
    client.authenticate().await.unwrap();
    assert_eq!(behaviour.sessions(), 1);
    assert_eq!(client.iam_arn().as_deref(), Some(ARN));
    assert!(client.attribution_info().authenticated);
}

#[tokio::test]
async fn is_renewed_behind_the_back_of_those_who_use_it() {
    let behaviour = Behaviour::good();
    let server = Server::start(&behaviour);
    let client = server.client().build().unwrap();
    install(&client, Instant::now(), soon());
    // The renewal hangs for as long as it likes: the old session is good.
    behaviour.on_proof(|_| Reply::Hang);
    let session = client.0.sessions.session(soon()).await.unwrap();
    assert_eq!(token(&session), "an older token");
    eventually("the renewal", || behaviour.sessions() == 1).await;

    let client = server.client().build().unwrap();
    install(&client, Instant::now(), soon());
    behaviour.on_proof(|_| Reply::Say(grant()));
    client.0.sessions.session(soon()).await.unwrap();
    eventually("the new session", || {
        client
            .0
            .sessions
            .current()
            .is_some_and(|session| token(&session) == "token-2")
    })
    .await;
}

#[tokio::test]
async fn a_renewal_that_fails_takes_the_old_session_from_nobody() {
    let behaviour = Behaviour::good();
    behaviour.on_proof(|_| Reply::Fail(testing::status(Code::Unavailable, "STS is away")));
    let server = Server::start(&behaviour);
    let client = server.client().build().unwrap();
    install(&client, Instant::now(), soon());
    client.0.sessions.session(soon()).await.unwrap();
    eventually("the failure", || client.0.sessions.waits_until().is_some()).await;
    for _ in 0..20 {
        let session = client.0.sessions.session(soon()).await.unwrap();
        assert_eq!(token(&session), "an older token");
    }
    assert!(
        behaviour.sessions() <= 2,
        "a failing renewal became a hammer"
    );
}

#[tokio::test]
async fn an_expired_one_is_not_used() {
    let behaviour = Behaviour::good();
    let server = Server::start(&behaviour);
    let client = server.client().build().unwrap();
    install(&client, Instant::now(), Instant::now());
    let session = client.0.sessions.session(soon()).await.unwrap();
    assert_eq!(token(&session), "token-1");
}

#[tokio::test(start_paused = true)]
async fn ends_with_the_token_or_with_the_credentials() {
    let seconds = Duration::from_secs;
    for (lifetime, of_credentials, renew, expire) in [
        (900, None, 600, 855),
        (900, Some(300), 200, 285),
        (900, Some(3600), 600, 855),
        (900, Some(0), 0, 0),
        // An Authenticator that promises a year is not believed.
        (31_536_000, None, 2400, 3420),
    ] {
        let granted = v2::SessionGrant {
            session_token: "t".to_owned(),
            lifetime: Some(prost_types::Duration {
                seconds: lifetime,
                nanos: 0,
            }),
            ..grant()
        };
        let session = exchange::session(granted, of_credentials.map(seconds)).unwrap();
        let now = Instant::now();
        assert_eq!(session.renew_at - now, seconds(renew));
        assert_eq!(session.expires_at - now, seconds(expire));
    }
}

#[test]
fn no_lifetime_is_too_short_or_too_long_to_be_read() {
    for seconds in [i64::MIN, -1, 0, i64::MAX] {
        for nanos in [i32::MIN, 0, i32::MAX] {
            let lifetime = Some(prost_types::Duration { seconds, nanos });
            let granted = v2::SessionGrant {
                session_token: "t".to_owned(),
                lifetime,
                ..grant()
            };
            let session = exchange::session(granted, None);
            assert_eq!(
                session.is_ok(),
                seconds > 0 || (seconds, nanos) == (0, i32::MAX)
            );
        }
    }
}

#[tokio::test]
async fn a_lying_authenticator_is_found_out() {
    type Change = fn(&mut v2::SessionGrant);
    let lies: [Change; 5] = [
        |grant| grant.lifetime = None,
        |grant| {
            grant.lifetime = Some(prost_types::Duration {
                seconds: -1,
                nanos: 0,
            });
        },
        |grant| grant.session_token = "x".repeat(9000),
        |grant| grant.iam_arn = String::new(),
        |grant| grant.iam_arn = "arn:aws:sts::123456789012:assumed-role/a/\n".to_owned(),
    ];
    for lie in lies {
        let behaviour = Behaviour::good();
        behaviour.on_proof(move |_| {
            let mut grant = grant();
            lie(&mut grant);
            Reply::Say(grant)
        });
        assert_protocol_error(&behaviour).await;
    }
    let behaviour = Behaviour::good();
    behaviour.on_challenge(|()| {
        Reply::Say(v2::SessionChallenge {
            nonce: vec![7; 31],
            ..challenge()
        })
    });
    assert_protocol_error(&behaviour).await;
    behaviour.on_challenge(|()| Reply::End);
    assert_protocol_error(&behaviour).await;
}

async fn assert_protocol_error(behaviour: &Behaviour) {
    let server = Server::start(behaviour);
    let error = server
        .client()
        .build()
        .unwrap()
        .authenticate()
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.hop()),
        (&Kind::Protocol, Hop::Session),
        "{error}"
    );
}

#[tokio::test]
async fn one_that_hangs_is_named() {
    let behaviour = Behaviour::good();
    let server = Server::start(&behaviour);
    let hasty = || {
        server
            .client()
            .session_timeout(Duration::from_millis(300))
            .build()
            .unwrap()
    };

    behaviour.on_proof(|_| Reply::Hang);
    let error = hasty().authenticate().await.unwrap_err();
    assert!(error.is_timeout() && error.hop() == Hop::Session, "{error}");

    behaviour.on_challenge(|()| Reply::Hang);
    let error = hasty().authenticate().await.unwrap_err();
    assert!(error.is_timeout() && error.hop() == Hop::Session, "{error}");

    // The caller's own time may be shorter.
    let patient = server.client().build().unwrap();
    let deadline = Instant::now() + Duration::from_millis(100);
    let error = patient.session(deadline).await.unwrap_err();
    assert!(error.is_timeout() && error.hop() == Hop::Session, "{error}");
}

#[tokio::test]
async fn a_refusal_is_remembered_and_costs_sts_nothing() {
    let behaviour = Behaviour::good();
    behaviour.on_proof(|_| Reply::Fail(testing::status(Code::Unauthenticated, "no")));
    let server = Server::start(&behaviour);
    let client = server.client().build().unwrap();
    for _ in 0..3 {
        let error = client.authenticate().await.unwrap_err();
        assert!(error.is_unauthenticated() && error.hop() == Hop::Session);
        assert_eq!(error.request_id(), Some(REQUEST_ID));
    }
    assert_eq!(behaviour.sessions(), 1);
}

#[tokio::test]
async fn an_authenticator_that_cannot_serve_is_asked_again_in_time() {
    let behaviour = Behaviour::good();
    behaviour.on_proof(|_| Reply::Fail(testing::status(Code::Unavailable, "STS is away")));
    let server = Server::start(&behaviour);
    let client = server.client().build().unwrap();
    assert!(client.authenticate().await.unwrap_err().is_retryable());
    behaviour.on_proof(|_| Reply::Say(grant()));
    // Waits out the backoff, then succeeds.
    client.authenticate().await.unwrap();
    assert_eq!(behaviour.sessions(), 2);
}

#[tokio::test]
async fn a_proxy_that_reached_no_authenticator_is_asked_again() {
    let behaviour = Behaviour::good();
    let server = Server::start(&behaviour);
    let client = server.client().build().unwrap();
    let failures = |number: usize| {
        let asked = AtomicUsize::new(0);
        behaviour.on_challenge(
            move |()| match asked.fetch_add(1, Ordering::SeqCst) < number {
                true => Reply::Fail(Status::unavailable("no healthy upstream")),
                false => Reply::Say(challenge()),
            },
        );
    };
    // None was ever reached: there is perhaps none.
    failures(usize::MAX);
    let error = client.authenticate().await.unwrap_err();
    assert!(
        error.is_retryable() && error.hop() == Hop::Authenticator,
        "{error}"
    );
    assert_eq!(behaviour.sessions(), RETRIES + 1);
    failures(RETRIES);
    client.authenticate().await.unwrap();
}

#[tokio::test]
async fn a_wrong_clock_is_named() {
    let behaviour = Behaviour::good();
    behaviour.on_challenge(|()| {
        Reply::Say(v2::SessionChallenge {
            server_time: Some((SystemTime::now() + Duration::from_secs(3600)).into()),
            ..challenge()
        })
    });
    behaviour.on_proof(|_| Reply::Fail(testing::status(Code::Unauthenticated, "no")));
    let server = Server::start(&behaviour);
    let error = server
        .client()
        .build()
        .unwrap()
        .authenticate()
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("behind the Authenticator's"),
        "{error}"
    );
}

#[derive(Debug)]
struct NoCredentials;

impl ProvideCredentials for NoCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("none here")))
    }
}

#[tokio::test]
async fn missing_credentials_are_the_application_s_own_trouble() {
    let behaviour = Behaviour::good();
    let server = Server::start(&behaviour);
    let client = server
        .client()
        .credentials_provider(SharedCredentialsProvider::new(NoCredentials))
        .build()
        .unwrap();
    let error = client.authenticate().await.unwrap_err();
    assert!(
        error.is_credentials() && error.hop() == Hop::Credentials,
        "{error}"
    );
}

#[tokio::test]
async fn shows_neither_token_nor_keys() {
    let behaviour = Behaviour::good();
    behaviour.on_proof(|_| {
        Reply::Say(v2::SessionGrant {
            session_token: "a-token-that-nobody-may-see".to_owned(),
            ..grant()
        })
    });
    let server = Server::start(&behaviour);
    let keys = Credentials::from_keys("AKIAIOSFODNN7EXAMPLE", "a-key-that-nobody-may-see", None);
    let builder = server
        .client()
        .credentials_provider(SharedCredentialsProvider::new(keys));
    let mut shown = format!("{builder:?}");
    let client = builder.build().unwrap();
    let session = client.0.sessions.session(soon()).await.unwrap();
    shown += &format!(
        "{client:?} {session:?} {:?} {:?} {:?}",
        client.0.sessions,
        client.0.lanes,
        lock(&client.0.sessions.state)
    );
    assert_eq!(token(&session), "a-token-that-nobody-may-see");
    assert!(!shown.contains("nobody-may-see"), "{shown}");
}
