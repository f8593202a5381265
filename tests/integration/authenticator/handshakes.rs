//! `Authenticate`: who may log in, what is kept, what is written down.

use tonic::Code;

use super::{
    client::{
        Client, both, challenge, request_id, start,
        v2::{
            self, authenticate_request::Message as Request,
            authenticate_response::Message as Answer, outcome,
        },
    },
    process::{Dev, PASSWORD, record, until, write_private},
};

const SALT: &[u8] = b"sixteen bytes ok";

fn succeeded(server_signature: Vec<u8>) -> outcome::Result {
    outcome::Result::Succeeded(outcome::Succeeded { server_signature })
}

fn refused(sqlstate: &str) -> outcome::Result {
    outcome::Result::Refused(outcome::Refused {
        sqlstate: sqlstate.into(),
    })
}

#[tokio::test]
async fn a_login_is_answered_verified_and_written_down() {
    let dev = Dev::start(&record("app", "")).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    let mut begin = start(&token, "app");
    begin.host = "DB.Example.".into();
    begin.attribution.insert("host.id".into(), "i-07f".into());
    let mut handshake = client.start(begin).await;
    let accepted = handshake.acceptance().await;
    assert!(accepted.iam_arn.ends_with("assumed-role/checkout/dev"));
    let signature = handshake.scram(both(&[7; 32]), SALT, 4096).await.unwrap();
    handshake.outcome(succeeded(signature)).await;

    let line = dev.audit(&accepted.request_id, "allowed").await;
    assert_eq!(line["reason"], "scram_answered");
    assert_eq!(line["detail"], "SCRAM-SHA-256-PLUS");
    assert_eq!(line["dbuser"], "app");
    assert_eq!(line["dbport"], 5432);
    assert!(line["attribution"].as_str().unwrap().contains("i-07f"));
    assert!(line["session"].is_string());
    let reason = dev.reason(&accepted.request_id, "outcome").await;
    assert_eq!(reason, "login_verified");
}

#[tokio::test]
async fn keys_are_kept_after_a_verified_login_and_not_before() {
    let dev = Dev::start(&record("app", "")).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    let hits = "approzium_key_cache_lookups_total{result=\"hit\"}";
    let misses = "approzium_key_cache_lookups_total{result=\"miss\"}";

    let (mut cancelled, id) = client.accepted(&token, "app").await;
    cancelled.scram(both(&[]), SALT, 4096).await.unwrap();
    cancelled
        .outcome(outcome::Result::Cancelled(outcome::Cancelled {}))
        .await;
    assert_eq!(dev.reason(&id, "outcome").await, "login_cancelled");

    let (mut liar, id) = client.accepted(&token, "app").await;
    liar.scram(both(&[]), SALT, 4096).await.unwrap();
    liar.outcome(succeeded(vec![0; 32])).await;
    let line = dev.audit(&id, "outcome").await;
    assert_eq!(line["reason"], "login_unproved");
    assert_eq!(line["level"], "WARN");

    let (mut cold, id) = client.accepted(&token, "app").await;
    let signature = cold.scram(both(&[]), SALT, 4096).await.unwrap();
    cold.outcome(succeeded(signature)).await;
    assert_eq!(dev.reason(&id, "outcome").await, "login_verified");
    assert_eq!(dev.metric(misses).await, 3.0);
    assert_eq!(dev.metric(hits).await, 0.0);

    let (mut warm, _) = client.accepted(&token, "app").await;
    warm.scram(both(&[]), SALT, 4096).await.unwrap();
    assert_eq!(dev.metric(hits).await, 1.0);
}

#[tokio::test]
async fn of_a_login_whose_end_nobody_tells_it_is_written_that_it_is_not_known() {
    let dev = Dev::start_with(&record("app", ""), &["--challenge-timeout=1s"]).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    let prove = async || {
        let (mut handshake, id) = client.accepted(&token, "app").await;
        handshake.scram(both(&[]), SALT, 4096).await.unwrap();
        (handshake, id)
    };
    let (silent, not_in_time) = prove().await;
    let (ended, no_more) = prove().await;
    let (reset, gone) = prove().await;
    let crate::authenticator::client::Handshake {
        sender, answers, ..
    } = ended;
    drop((sender, reset));
    for id in [no_more, gone, not_in_time] {
        assert_eq!(dev.reason(&id, "outcome").await, "login_unknown");
    }
    drop((silent, answers));
    let counted = "approzium_decisions_total{decision=\"outcome\",reason=\"login_unknown\"}";
    assert_eq!(dev.metric(counted).await, 3.0);
}

#[tokio::test]
async fn who_is_not_on_a_record_cannot_tell_that_there_is_one() {
    let other_account = record("elsewhere", "").replace("000000000000", "123456789012");
    let pinned = record("pinned", ", user_ids: [AROAANOTHER]");
    let dev = Dev::start(&format!("{}{other_account}{pinned}", record("app", ""))).await;
    let client = Client::connect(&dev).await;
    let checkout = client.token(&dev, "checkout").await;
    let intruder = client.token(&dev, "intruder").await;

    let mut seen = Vec::new();
    for (token, user, reason) in [
        (&checkout, "nobody", "no_record"),
        (&intruder, "app", "not_on_record"),
        (&checkout, "elsewhere", "not_on_record"),
        (&checkout, "pinned", "other_user_id"),
    ] {
        let status = client.start(start(token, user)).await.refusal().await;
        assert_eq!(dev.reason(&request_id(&status), "denied").await, reason);
        let mut trailers: Vec<_> = status.metadata().keys().map(|k| format!("{k:?}")).collect();
        trailers.sort();
        seen.push((status.code(), status.message().to_owned(), trailers));
    }
    assert_eq!(seen[0].0, Code::PermissionDenied);
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
}

#[tokio::test]
async fn striking_a_principal_off_the_record_revokes_at_once() {
    let dev = Dev::start(&record("app", "")).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    client.accepted(&token, "app").await;

    write_private(
        &dev.records(),
        &record("app", "").replace("role/checkout", "role/other"),
    );
    let status = client.start(start(&token, "app")).await.refusal().await;
    assert_eq!(status.code(), Code::PermissionDenied);

    // While the file is broken nobody is let in, and its content is not shown.
    write_private(&dev.records(), &format!("- {{password: {PASSWORD}"));
    let status = client.start(start(&token, "app")).await.refusal().await;
    assert_eq!(status.code(), Code::PermissionDenied);
    let reason = dev.reason(&request_id(&status), "failed").await;
    assert_eq!(reason, "secrets_malformed");
}

#[tokio::test]
async fn a_refused_password_reads_the_record_again_but_not_often() {
    let dev = Dev::start(&record("app", "")).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    for _ in 0..3 {
        let (mut handshake, id) = client.accepted(&token, "app").await;
        handshake.scram(both(&[]), SALT, 4096).await.unwrap();
        handshake.outcome(refused("28P01")).await;
        let line = dev.audit(&id, "outcome").await;
        assert_eq!(line["reason"], "login_refused");
        assert_eq!(line["detail"], "28P01");
    }
    let rereads = || {
        dev.process
            .lines(|line| line["message"] == "reading a record again")
    };
    until("a re-read", async || (!rereads().is_empty()).then_some(())).await;
    assert_eq!(rereads().len(), 1);
    assert!(rereads()[0]["span"]["request_id"].is_string());
}

/// It may be another replica that gave what was refused. Whoever is on no record has no say in it.
#[tokio::test]
async fn a_login_that_is_tried_again_reads_the_record_again_but_not_often() {
    let dev = Dev::start(&record("app", "")).await;
    let client = Client::connect(&dev).await;
    let again = async |who: &str| {
        let start = v2::HandshakeStart {
            after_refusal: true,
            ..start(&client.token(&dev, who).await, "app")
        };
        client.start(start).await
    };
    let rereads = || {
        dev.process
            .lines(|line| line["message"] == "reading a record again")
            .len()
    };
    let denied = again("intruder").await.refusal().await;
    dev.audit(&request_id(&denied), "denied").await;
    assert_eq!(rereads(), 0);
    for _ in 0..3 {
        let mut handshake = again("checkout").await;
        let accepted = handshake.acceptance().await;
        handshake.scram(both(&[]), SALT, 4096).await.unwrap();
        dev.audit(&accepted.request_id, "allowed").await;
        assert_eq!(rereads(), 1);
    }
}

#[tokio::test]
async fn names_with_control_characters_are_refused_at_the_edge() {
    let dev = Dev::start(&record("app", "")).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    let forged = "x\n{\"target\":\"approzium::audit\",\"forged\":true}";
    let base = || start(&token, "app");
    let mut attributed = base();
    attributed.attribution.insert("pod".into(), forged.into());
    for (start, code) in [
        (
            v2::HandshakeStart {
                host: forged.into(),
                ..base()
            },
            Code::InvalidArgument,
        ),
        (
            v2::HandshakeStart {
                user: forged.into(),
                ..base()
            },
            Code::InvalidArgument,
        ),
        (
            v2::HandshakeStart {
                database: "a\u{1b}[2J".into(),
                ..base()
            },
            Code::InvalidArgument,
        ),
        (
            v2::HandshakeStart { port: 0, ..base() },
            Code::InvalidArgument,
        ),
        (
            v2::HandshakeStart {
                port: 70_000,
                ..base()
            },
            Code::InvalidArgument,
        ),
        (
            v2::HandshakeStart {
                system: 0,
                ..base()
            },
            Code::InvalidArgument,
        ),
        (
            v2::HandshakeStart {
                host: "h".repeat(300),
                ..base()
            },
            Code::InvalidArgument,
        ),
        (attributed, Code::InvalidArgument),
    ] {
        let status = client.start(start).await.refusal().await;
        assert_eq!(status.code(), code);
        dev.audit(&request_id(&status), "denied").await;
    }
    assert!(dev.process.lines(|line| line["forged"] == true).is_empty());
}

/// There is no answer for MySQL's `caching_sha2_password`, whose full authentication would hand out
/// the password.
#[tokio::test]
async fn databases_other_than_postgresql_are_answered_nothing() {
    let dev = Dev::start(&record("app", "")).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    for system in [-1, 0, 2, 3, i32::MAX] {
        let mut begun = start(&token, "app");
        begun.system = system;
        let refused = client.start(begun).await.refusal().await;
        assert_eq!(refused.code(), Code::InvalidArgument);
        let reason = dev.reason(&request_id(&refused), "denied").await;
        assert_eq!(reason, "unsupported_system", "{system}");
    }
}

#[tokio::test]
async fn the_order_of_messages_is_the_protocols_and_there_is_one_proof() {
    let dev = Dev::start(&record("app", ", methods: [md5, scram-sha-256]")).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    let md5 = || {
        Request::Md5Challenge(v2::Md5Challenge {
            salt: vec![1, 2, 3, 4],
        })
    };

    let (mut twice, id) = client.accepted(&token, "app").await;
    assert!(matches!(
        twice.ask(md5()).await.unwrap(),
        Answer::Md5Response(_)
    ));
    let status = twice.ask(md5()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(dev.reason(&id, "denied").await, "unexpected_message");

    let (mut early, _) = client.accepted(&token, "app").await;
    let status = early.ask(challenge(both(&[]), b"r=x")).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);

    let (mut bare, id) = client.accepted(&token, "app").await;
    let message = bare.server_first(SALT, 4096).into_bytes();
    let without_offer = v2::ScramServerFirst {
        message,
        offer: None,
    };
    let status = bare
        .ask(Request::ScramServerFirst(without_offer))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(dev.reason(&id, "denied").await, "malformed_challenge");

    let (mut given_up, id) = client.accepted(&token, "app").await;
    let cancelled = outcome::Result::Cancelled(outcome::Cancelled {});
    let outcome = v2::Outcome {
        result: Some(cancelled),
    };
    given_up.ask(Request::Outcome(outcome)).await.unwrap_err();
    assert_eq!(dev.reason(&id, "failed").await, "client_cancelled");

    let (dropped, id) = client.accepted(&token, "app").await;
    drop(dropped);
    assert_eq!(dev.reason(&id, "failed").await, "client_gone");
}

#[tokio::test]
async fn another_salt_than_the_confirmed_one_reads_the_record_again() {
    let dev = Dev::start(&record("app", "")).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    let rereads = || {
        dev.process
            .lines(|line| line["message"] == "reading a record again")
    };
    let (mut first, id) = client.accepted(&token, "app").await;
    let signature = first.scram(both(&[]), SALT, 4096).await.unwrap();
    first.outcome(succeeded(signature)).await;
    dev.audit(&id, "outcome").await;
    assert!(rereads().is_empty());
    for _ in 0..2 {
        let (mut rotated, id) = client.accepted(&token, "app").await;
        rotated
            .scram(both(&[]), b"another salt", 4096)
            .await
            .unwrap();
        dev.audit(&id, "allowed").await;
    }
    assert_eq!(rereads().len(), 1);
}
