//! How long what anybody sends may be.

use std::collections::HashMap;

use tonic::{
    Code,
    metadata::{MetadataMap, MetadataValue},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::{House, Log, dev_signer, dev_sts};
use crate::authenticator::{
    client::{
        Refusal, both, challenge, channel, request_id, start,
        v2::{self, HandshakeStart, authenticate_request::Message as Request},
    },
    process::record,
};

const MEGABYTE: usize = 1 << 20;

/// What is too long to be read at all, what is read and too long, and what the audit log says.
#[tokio::test]
async fn what_is_too_long_is_refused_alike_on_a_connection_that_goes_on() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let house = House::start(sts.verifier(), &record("app", "")).await;
    let client = house.client().await;
    let signer = dev_signer(&sts, "checkout").await;
    let token = client.session(&signer).await.session_token;

    let x = |length: usize| "x".repeat(length);
    let base = || start(&token, "app");
    let keys = |number: usize| -> HashMap<String, String> {
        (0..number).map(|n| (n.to_string(), x(1))).collect()
    };
    let one = |key: String, value: String| HashMap::from([(key, value)]);
    let unreadable = (Code::InvalidArgument, "malformed_message");
    let too_long = (Code::InvalidArgument, "malformed_target");
    let changes: Vec<(HandshakeStart, (Code, &str))> = vec![
        (with(base(), |s| s.host = x(MEGABYTE)), unreadable),
        (with(base(), |s| s.user = x(MEGABYTE)), unreadable),
        (with(base(), |s| s.database = x(MEGABYTE)), unreadable),
        (with(base(), |s| s.session_token = x(MEGABYTE)), unreadable),
        (
            with(base(), |s| s.attribution = one(x(1), x(MEGABYTE))),
            unreadable,
        ),
        (with(base(), |s| s.attribution = keys(100_000)), unreadable),
        (with(base(), |s| s.host = x(256)), too_long),
        (with(base(), |s| s.user = x(256)), too_long),
        (with(base(), |s| s.database = x(256)), too_long),
        (with(base(), |s| s.attribution = keys(65)), too_long),
        (
            with(base(), |s| s.attribution = one(x(257), x(1))),
            too_long,
        ),
        (
            with(base(), |s| s.attribution = one(x(1), x(257))),
            too_long,
        ),
        (
            with(base(), |s| s.session_token = x(60_000)),
            (Code::Unauthenticated, "token_forged"),
        ),
    ];
    let mut texts: HashMap<&str, Refusal> = HashMap::new();
    for (start, (code, reason)) in changes {
        let told = client.start(start).await.told().await;
        assert_eq!(told.status.code, code, "{told:?}");
        assert_eq!(log.reason(&told.request_id, "denied").await, reason);
        assert!(told.status.message.len() < 100, "{told:?}");
        if reason == "malformed_message" {
            let first = texts.entry(reason).or_insert(told.status.clone());
            assert_eq!(told.status, *first);
        }
    }
    let most = with(base(), |s| {
        s.database = x(255);
        s.attribution = (0..64).map(|n| (format!("{n:0256}"), x(256))).collect();
    });
    client.start(most).await.answer().await.unwrap();
}

#[tokio::test]
async fn proofs_and_challenges_that_are_too_long_are_refused() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let house = House::start(
        sts.verifier(),
        &record("app", ", methods: [md5, scram-sha-256, scram-sha-256-plus]"),
    )
    .await;
    let client = house.client().await;
    let signer = dev_signer(&sts, "checkout").await;
    let token = client.session(&signer).await.session_token;

    for (length, code, reason) in [
        (MEGABYTE, Code::InvalidArgument, "malformed_message"),
        (16 << 10, Code::InvalidArgument, "malformed_message"),
        (8_193, Code::Unauthenticated, "proof_malformed"),
    ] {
        let proof = v2::AwsProof {
            access_key_id: "ASIAIOSFODNN7EXAMPLE".into(),
            security_token: "x".repeat(length),
            ..v2::AwsProof::default()
        };
        let challenge = client.challenge().await.unwrap();
        let status = challenge.prove(proof).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        assert_eq!(log.reason(&request_id(&status), "denied").await, reason);
    }

    let scram = |hash: usize, names: usize, message: usize| {
        let mut offer = both(&vec![7; hash]);
        offer.mechanisms.extend(vec!["x".repeat(100); names]);
        challenge(offer, &vec![b'x'; message])
    };
    let md5 = |length| {
        Request::Md5Challenge(v2::Md5Challenge {
            salt: vec![1; length],
        })
    };
    for (message, reason) in [
        (scram(60_000, 0, 0), "malformed_challenge"),
        (scram(MEGABYTE, 0, 0), "malformed_message"),
        (scram(32, 10_000, 0), "malformed_message"),
        (md5(60_000), "malformed_challenge"),
        (md5(MEGABYTE), "malformed_message"),
        (scram(32, 0, 60_000), "malformed_challenge"),
        (scram(32, 0, MEGABYTE), "malformed_message"),
    ] {
        let (mut handshake, id) = client.accepted(&token, "app").await;
        let status = handshake.ask(message).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().len() < 100, "{status}");
        assert_eq!(log.reason(&id, "denied").await, reason);
    }

    // The connection that brought all this is as good as it was.
    client.accepted(&token, "app").await;
}

#[tokio::test]
async fn headers_are_bounded() {
    let sts = dev_sts().await;
    let house = House::start(sts.verifier(), &record("app", "")).await;
    let client = house.client().await;
    let signer = dev_signer(&sts, "checkout").await;
    let token = client.session(&signer).await.session_token;
    for (length, is_good) in [(15_000, true), (17_000, false), (100_000, false)] {
        let mut headers = MetadataMap::new();
        let long = "x".repeat(length);
        headers.insert("x-long", MetadataValue::try_from(long).unwrap());
        let answer = async {
            let mut handshake = client.silent_with(headers).await?;
            handshake.ask(Request::Start(start(&token, "app"))).await
        };
        assert_eq!(answer.await.is_ok(), is_good, "{length}");
    }
    let other = house.client().await;
    other.accepted(&token, "app").await;
}

/// Strangers may ask for it.
#[tokio::test]
async fn health_is_asked_for_in_few_bytes() {
    let sts = dev_sts().await;
    let house = House::start(sts.verifier(), "").await;
    let channel = channel(&house.address(), house.tls()).await.unwrap();
    let mut health = HealthClient::new(channel);
    let mut ask = async |length| {
        let service = "x".repeat(length);
        let refused = health.check(HealthCheckRequest { service }).await;
        refused.unwrap_err().code()
    };
    assert_eq!(ask(1_000).await, Code::NotFound);
    assert_eq!(ask(2_000).await, Code::OutOfRange);
    assert_eq!(ask(MEGABYTE).await, Code::OutOfRange);
}

fn with(mut start: HandshakeStart, change: impl FnOnce(&mut HandshakeStart)) -> HandshakeStart {
    change(&mut start);
    start
}
