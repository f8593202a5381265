mod lies;
mod proxies;

use std::sync::atomic::{AtomicUsize, Ordering};

use ::opentelemetry::trace::{
    FutureExt, SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState,
};
use tonic::{Code, Status};

use super::*;
use crate::{
    client::testing::{
        self, ARN, Behaviour, Middlebox, REQUEST_ID, Reply, Server, answer, eventually, soon,
        target,
    },
    wire::scram::Offer,
};

const SCRAM: &str = "SCRAM-SHA-256";
const PLUS: &str = "SCRAM-SHA-256-PLUS";
const SERVER_FIRST: &[u8] = b"r=abcdef,s=c2FsdA==,i=4096";

/// By a database with TLS.
fn offered(mechanisms: &[&str]) -> Offered {
    Offered {
        mechanisms: mechanisms.iter().map(|&name| name.to_owned()).collect(),
        connection: Offer {
            tls: true,
            tls_server_end_point: Some(vec![7; 32]),
            require_channel_binding: true,
        },
    }
}

async fn open(client: &AuthClient) -> Result<Handshake> {
    client.handshake(target(), soon()).await
}

#[tokio::test]
async fn carries_a_scram_login_from_start_to_outcome() {
    let behaviour = Behaviour::good();
    let server = Server::start(&behaviour);
    let client = server.client().build().unwrap();
    let mut handshake = open(&client).await.unwrap();
    assert_eq!(
        (handshake.request_id(), handshake.iam_arn()),
        (REQUEST_ID, ARN)
    );

    let offered = offered(&[PLUS, SCRAM]);
    let (mechanism, first) = handshake.scram_start(&offered).unwrap();
    assert_eq!(
        (mechanism.as_str(), first),
        (PLUS, &b"p=tls-server-end-point,,n=,r=abc"[..])
    );
    let last = handshake
        .scram_server_first(&offered, SERVER_FIRST)
        .await
        .unwrap();
    assert_eq!(last.server_signature_sha256, [9; 32]);
    handshake.outcome(Outcome::Succeeded {
        server_signature: b"signature".to_vec(),
    });

    eventually("the outcome", || behaviour.seen().len() == 3).await;
    let seen = behaviour.seen();
    let [
        Request::Start(start),
        Request::ScramServerFirst(scram),
        Request::Outcome(outcome),
    ] = seen.as_slice()
    else {
        panic!("{seen:?}");
    };
    assert_eq!(start.session_token, "token-1");
    assert_eq!((start.host.as_str(), start.port), ("db.example", 5432));
    assert_eq!(
        (start.user.as_str(), start.database.as_str()),
        ("app", "shop")
    );
    assert_eq!(scram.message, SERVER_FIRST);
    let offer = scram.offer.as_ref().unwrap();
    assert!(offer.tls && offer.require_channel_binding);
    assert_eq!(offer.tls_server_end_point, [7; 32]);
    assert_eq!(offer.mechanisms, [PLUS, SCRAM]);
    let signature = v2::outcome::Succeeded {
        server_signature: b"signature".to_vec(),
    };
    assert_eq!(
        outcome.result,
        Some(v2::outcome::Result::Succeeded(signature))
    );
}

#[tokio::test]
async fn md5_and_a_refusal_by_the_database() {
    let behaviour = Behaviour::good();
    let server = Server::start(&behaviour);
    let mut handshake = open(&server.client().build().unwrap()).await.unwrap();
    assert!(
        handshake
            .md5([1, 2, 3, 4])
            .await
            .unwrap()
            .starts_with("md5d576")
    );
    handshake.outcome(Outcome::Refused {
        sqlstate: "28P01".to_owned(),
    });
    eventually("the outcome", || !behaviour.outcomes().is_empty()).await;
    let refused = v2::outcome::Refused {
        sqlstate: "28P01".to_owned(),
    };
    assert_eq!(
        behaviour.outcomes(),
        [v2::outcome::Result::Refused(refused)]
    );
}

#[tokio::test]
async fn giving_up_is_told() {
    let behaviour = Behaviour::good();
    let server = Server::start(&behaviour);
    let handshake = open(&server.client().build().unwrap()).await.unwrap();
    // Not even a runtime is needed where it is dropped.
    std::thread::spawn(move || drop(handshake)).join().unwrap();
    eventually("the outcome", || !behaviour.outcomes().is_empty()).await;
    let cancelled = v2::outcome::Result::Cancelled(v2::outcome::Cancelled {});
    assert_eq!(behaviour.outcomes(), [cancelled]);
}

#[tokio::test]
async fn a_hundred_at_once_prove_once() {
    let behaviour = Behaviour::good();
    let server = Server::start(&behaviour);
    let client = server.client().build().unwrap();
    // Some give up before anything has come back: the others hear nothing of it.
    for _ in 0..10 {
        assert!(futures_util::FutureExt::now_or_never(open(&client)).is_none());
    }
    let handshakes = futures_util::future::join_all((0..100).map(|_| open(&client))).await;
    assert!(handshakes.iter().all(Result::is_ok));
    assert_eq!(behaviour.sessions(), 1);
}

#[tokio::test]
async fn a_session_that_is_no_longer_accepted_is_made_anew_once() {
    let behaviour = Behaviour::good();
    let server = Server::start(&behaviour);
    let client = server.client().build().unwrap();
    open(&client).await.unwrap();
    behaviour.on_handshake(|ask| match &ask {
        Request::Start(start) if start.session_token == "token-1" => {
            Reply::Fail(Status::unauthenticated("no"))
        }
        _ => answer(ask),
    });
    let handshakes = futures_util::future::join_all((0..20).map(|_| open(&client))).await;
    for handshake in handshakes {
        handshake.unwrap();
    }
    assert_eq!(behaviour.sessions(), 2);
}

#[tokio::test]
async fn sessions_that_are_never_accepted_do_not_become_a_hammer() {
    let behaviour = Behaviour::good();
    behaviour.on_handshake(|_| Reply::Fail(Status::unauthenticated("no")));
    let server = Server::start(&behaviour);
    let client = server.client().build().unwrap();
    for _ in 0..10 {
        let error = open(&client).await.unwrap_err();
        assert!(error.is_unauthenticated(), "{error}");
    }
    assert!(
        behaviour.sessions() <= 2,
        "{} sessions",
        behaviour.sessions()
    );
}

#[tokio::test]
async fn statuses_become_errors_that_name_the_request() {
    type Is = fn(&Error) -> bool;
    let cases: [(Code, Is); 6] = [
        (Code::PermissionDenied, Error::is_permission_denied),
        (Code::FailedPrecondition, Error::is_policy),
        (Code::InvalidArgument, |error| {
            *error.kind() == Kind::Protocol
        }),
        (Code::ResourceExhausted, Error::is_retryable),
        (Code::Unavailable, Error::is_retryable),
        (Code::DeadlineExceeded, Error::is_timeout),
    ];
    for (code, is) in cases {
        let behaviour = Behaviour::good();
        let server = Server::start(&behaviour);
        let client = server.client().build().unwrap();
        let mut handshake = open(&client).await.unwrap();
        behaviour.on_handshake(move |_| Reply::Fail(testing::status(code, "because")));
        // At the challenge, and at the start.
        let late = handshake.md5([0; 4]).await.unwrap_err();
        let early = open(&client).await.unwrap_err();
        for error in [late, early] {
            assert!(is(&error), "{code:?}: {error}");
            assert_eq!(error.hop(), Hop::Handshake);
            assert_eq!(error.request_id(), Some(REQUEST_ID));
        }
    }
}

#[tokio::test]
async fn a_denial_names_what_was_asked_for() {
    let behaviour = Behaviour::good();
    behaviour.on_handshake(|_| Reply::Fail(testing::status(Code::PermissionDenied, "no")));
    let server = Server::start(&behaviour);
    let error = open(&server.client().build().unwrap()).await.unwrap_err();
    assert!(
        error.to_string().contains("\"app\" at db.example:5432"),
        "{error}"
    );
}

#[tokio::test]
async fn a_stream_that_has_ended_answers_nothing_more() {
    let behaviour = Behaviour::good();
    let server = Server::start(&behaviour);
    let mut handshake = open(&server.client().build().unwrap()).await.unwrap();
    behaviour.on_handshake(|_| Reply::End);
    assert!(handshake.md5([0; 4]).await.is_err());
    for _ in 0..10 {
        assert!(handshake.md5([0; 4]).await.is_err());
    }
}

#[tokio::test]
async fn one_that_hangs_is_named() {
    let behaviour = Behaviour::good();
    let server = Server::start(&behaviour);
    let hasty = server
        .client()
        .handshake_timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    let mut handshake = open(&hasty).await.unwrap();
    behaviour.on_handshake(|_| Reply::Hang);
    let error = handshake.md5([0; 4]).await.unwrap_err();
    assert!(
        error.is_timeout() && error.hop() == Hop::Handshake,
        "{error}"
    );
    assert_eq!(error.request_id(), Some(REQUEST_ID));

    let deadline = Instant::now() + Duration::from_millis(300);
    let patient = server.client().build().unwrap();
    let error = patient.handshake(target(), deadline).await.unwrap_err();
    assert!(
        error.is_timeout() && error.hop() == Hop::Handshake,
        "{error}"
    );
}

#[tokio::test]
async fn a_restarted_authenticator_is_found_again() {
    let behaviour = Behaviour::good();
    let server = Server::start(&behaviour);
    let address = server.address();
    let client = server.client().build().unwrap();
    let mut broken = open(&client).await.unwrap();
    drop(server);
    let error = broken.md5([0; 4]).await.unwrap_err();
    assert!(
        error.is_retryable() && error.hop() == Hop::Handshake,
        "{error}"
    );
    assert_eq!(*error.kind(), Kind::Interrupted);
    assert_eq!(error.request_id(), Some(REQUEST_ID));

    // Begun while nothing listens, and answered when something does again.
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { open(&client).await }
    });
    let _server = Server::start_at(address, &behaviour, None);
    waiting.await.unwrap().unwrap();
    open(&client).await.unwrap();
    assert_eq!(
        behaviour.sessions(),
        1,
        "the session outlives the connection"
    );
}

#[tokio::test]
async fn a_connection_that_went_silent_is_not_used_for_ever() {
    let behaviour = Behaviour::good();
    let server = Server::start(&behaviour);
    let middle = Middlebox::start(server.address()).await;
    let client = testing::client(&format!("http://{}", middle.address))
        .handshake_timeout(Duration::from_millis(500))
        .build()
        .unwrap();
    open(&client).await.unwrap();
    middle.forget_connections();
    let error = open(&client).await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    open(&client).await.unwrap();
    assert_eq!(behaviour.sessions(), 1);
}

#[tokio::test]
async fn an_authenticator_that_stays_away_is_named() {
    let behaviour = Behaviour::good();
    let server = Server::start(&behaviour);
    let client = server
        .client()
        .connect_timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    open(&client).await.unwrap();
    drop(server);
    let error = open(&client).await.unwrap_err();
    assert!(
        error.is_retryable() && error.hop() == Hop::Authenticator,
        "{error}"
    );
}

#[tokio::test]
async fn the_trace_goes_on_in_the_authenticator() {
    let behaviour = Behaviour::good();
    let server = Server::start(&behaviour);
    let client = server.client().build().unwrap();
    let caller = SpanContext::new(
        TraceId::from(7_u128),
        SpanId::from(8_u64),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    let context = Context::new().with_remote_span_context(caller);
    open(&client).with_context(context).await.unwrap();
    let expected = format!("00-{:032x}-{:016x}-01", 7, 8);
    // The session's call, made in a task of its own, and the handshake's.
    assert_eq!(behaviour.traces(), [Some(expected.clone()), Some(expected)]);
}

#[test]
fn each_runtime_has_a_connection_that_lives_with_it() {
    let behaviour = Behaviour::good();
    let server = Server::start(&behaviour);
    let client = server.client().build().unwrap();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let idle = runtime();
    idle.block_on(async { open(&client).await.unwrap() });
    // The first runtime is there and not driven; later ones come and go.
    let done = AtomicUsize::new(0);
    for _ in 0..20 {
        runtime().block_on(async { open(&client).await.unwrap().md5([0; 4]).await.unwrap() });
        done.fetch_add(1, Ordering::Relaxed);
    }
    idle.block_on(async { open(&client).await.unwrap() });
    assert_eq!(done.into_inner(), 20);
    assert_eq!(behaviour.sessions(), 1);
}
