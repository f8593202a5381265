//! What one peer can make the Authenticator do, and for how long.

use std::{net::Ipv4Addr, time::SystemTime};

use tokio::{io::AsyncReadExt, net::TcpStream};
use tonic::Code;

use super::{
    client::{Client, channel_from, credentials, request_id, sign, signer_of, start, tls},
    process::{Dev, https, record, until},
};

#[tokio::test]
async fn questions_to_sts_are_bounded_for_one_address() {
    let dev = Dev::start_with("", &["--sts-calls-per-second-per-address=1"]).await;
    let client = Client::connect(&dev).await;
    let signer = signer_of(credentials(&dev, "checkout")).await;
    // Ten at once are within the bound; more than that within a few seconds are not.
    let throttled = until("a refusal", async || {
        let challenge = client.challenge().await.unwrap();
        let proof = sign(&signer, &challenge.nonce, "127.0.0.1", SystemTime::now()).await;
        challenge.prove(proof).await.err()
    })
    .await;
    assert_eq!(throttled.code(), Code::ResourceExhausted);
    let reason = dev.reason(&request_id(&throttled), "denied").await;
    assert_eq!(reason, "sts_throttled");
    assert!(dev.metric("approzium_sts_throttled_total").await >= 1.0);
    assert!(
        dev.metric("approzium_total_identity_verification_attempts")
            .await
            >= 10.0
    );
}

#[tokio::test]
async fn logins_are_bounded_for_one_identity_which_is_told_what_to_do() {
    let flag = "--handshakes-per-second-per-principal=1";
    let dev = Dev::start_with(&record("app", ""), &[flag]).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    let refused = until("a refusal", async || {
        let mut handshake = client.start(start(&token, "app")).await;
        handshake.answer().await.err()
    })
    .await;
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let text = refused.message();
    assert!(
        text.contains("in a pool") && text.contains(&flag[2..12]),
        "{text}"
    );
    let reason = dev.reason(&request_id(&refused), "denied").await;
    assert_eq!(reason, "too_many_handshakes");
    let counted = "approzium_decisions_total{decision=\"denied\",reason=\"too_many_handshakes\"}";
    assert!(dev.metric(counted).await >= 1.0);
    // Another identity has a bound of its own: it is on no record, and is told so.
    let another = client.token(&dev, "intruder").await;
    let told = client.start(start(&another, "app")).await.refusal().await;
    assert_eq!(told.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn new_databases_are_few_for_one_account_which_is_told_what_to_do() {
    let flag = "--lookups-per-second-per-account=1";
    let dev = Dev::start_with(&record("app", ""), &[flag]).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    client.accepted(&token, "app").await;
    let mut hosts = 0..;
    let refused = until("a refusal", async || {
        let mut begun = start(&token, "app");
        begun.host = format!("guessed-{}", hosts.next()?);
        let refused = client.start(begun).await.refusal().await;
        (refused.code() != Code::PermissionDenied).then_some(refused)
    })
    .await;
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let text = refused.message();
    assert!(text.contains("lookups_per_second_per_account"), "{text}");
    let reason = dev.reason(&request_id(&refused), "denied").await;
    assert_eq!(reason, "too_many_lookups");
    // What it named before is no new one.
    client.accepted(&token, "app").await;
}

/// Linux has all of 127.0.0.0/8; elsewhere there is one address to come from.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn logins_are_bounded_for_one_address_which_is_told_what_to_do() {
    let flag = "--handshakes-per-second-per-address=1";
    let dev = Dev::start_with(&record("app", ""), &[flag]).await;
    let elsewhere = channel_from(
        Ipv4Addr::new(127, 0, 0, 2),
        dev.variable("APPROZIUM_ADDRESS"),
        tls(&dev.authority()),
    );
    let elsewhere = Client::over(elsewhere.await.unwrap());
    let client = Client::connect(&dev).await;
    // Whoever they are for: nobody, here.
    let refused = until("a refusal", async || {
        let mut handshake = client.start(start("no token", "app")).await;
        let refused = handshake.refusal().await;
        (refused.code() == Code::ResourceExhausted).then_some(refused)
    })
    .await;
    let text = refused.message();
    assert!(
        text.contains("in a pool") && text.contains("handshakes_per_second_per_address"),
        "{text}"
    );
    let reason = "too_many_handshakes_from_address";
    assert_eq!(dev.reason(&request_id(&refused), "denied").await, reason);
    let counted = format!("approzium_decisions_total{{decision=\"denied\",reason=\"{reason}\"}}");
    assert!(dev.metric(&counted).await >= 1.0);
    // Sessions are no logins, and another address has a bound of its own.
    let token = client.token(&dev, "checkout").await;
    elsewhere.accepted(&token, "app").await;
}

#[tokio::test]
async fn strangers_are_few_and_who_proved_himself_is_none() {
    let records = record("app", "");
    let dev = Dev::start_with(&records, &["--max-unauthenticated-per-address=2"]).await;
    let address = dev.variable("APPROZIUM_ADDRESS");
    let known = Client::connect(&dev).await;
    known.token(&dev, "checkout").await;

    let _first = TcpStream::connect(address).await.unwrap();
    let _second = TcpStream::connect(address).await.unwrap();
    let mut third = TcpStream::connect(address).await.unwrap();
    let mut byte = [0];
    let end = third.read(&mut byte).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    // Who is known already is served all the same.
    known.token(&dev, "checkout").await;
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let records = record("app", "");
    let arguments = ["--handshake-timeout=100ms", "--challenge-timeout=200ms"];
    let dev = Dev::start_with(&records, &arguments).await;
    let address = dev.variable("APPROZIUM_ADDRESS");
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut byte = [0];
    let end = silent.read(&mut byte).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");

    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    let (mut handshake, id) = client.accepted(&token, "app").await;
    assert_eq!(handshake.refusal().await.code(), Code::DeadlineExceeded);
    assert_eq!(dev.reason(&id, "failed").await, "challenge_timeout");
}

#[tokio::test]
async fn plaintext_gets_no_answer() {
    let dev = Dev::start("").await;
    let url = dev.variable("APPROZIUM_HTTP_URL").replace("https", "http");
    let answer = https(b"").get(format!("{url}/v1/health")).send().await;
    assert!(answer.is_err(), "{answer:?}");
}
