//! How much an identity that is on the record can get out of it.

use approzium::authenticator::Limits;
use futures_util::future::join_all;
use tonic::Code;

use super::{House, Log, dev_signer, dev_sts};
use crate::authenticator::{
    client::{
        Client, Handshake, both, challenge, request_id, start,
        v2::{
            self, authenticate_request::Message as Request,
            authenticate_response::Message as Answer,
        },
    },
    process::{record, until},
};

const SALT: &[u8] = b"sixteen bytes ok";
const REPORTING: &str = "iam_arns: ['arn:aws:iam::000000000000:role/reporting', ";

/// One of the user `app` for two roles.
fn records(more: &str) -> String {
    record("app", more).replace("iam_arns: [", REPORTING)
}

fn md5() -> Request {
    Request::Md5Challenge(v2::Md5Challenge {
        salt: vec![1, 2, 3, 4],
    })
}

/// The message by which the database's challenge is brought.
fn challenged(handshake: &Handshake, salt: &[u8], iterations: u32) -> Request {
    let server_first = handshake.server_first(salt, iterations);
    challenge(both(&[]), server_first.as_bytes())
}

async fn tokens(client: &Client, sts: &approzium::authenticator::dev::DevSts) -> [String; 2] {
    let (checkout, reporting) = (
        dev_signer(sts, "checkout").await,
        dev_signer(sts, "reporting").await,
    );
    [
        client.session(&checkout).await.session_token,
        client.session(&reporting).await.session_token,
    ]
}

#[tokio::test]
async fn md5_answers_are_few_for_one_identity() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let mut limits = Limits::default();
    limits.md5_per_second_per_principal = 1;
    let house = House::start_with(
        sts.verifier(),
        &records(", methods: [md5]"),
        |builder, _| builder.limits(limits),
    )
    .await;
    let client = house.client().await;
    let [checkout, reporting] = tokens(&client, &sts).await;

    let mut answered = 0;
    let status = until("a refusal", async || {
        let (mut handshake, _) = client.accepted(&checkout, "app").await;
        let answer = handshake.ask(md5()).await;
        answered += usize::from(answer.is_ok());
        answer.err()
    })
    .await;
    assert!(answered >= 10, "{answered}");
    assert_eq!(status.code(), Code::ResourceExhausted);
    let reason = log.reason(&request_id(&status), "denied").await;
    assert_eq!(reason, "too_many_md5_answers");
    // Somebody else's are not fewer for it.
    let (mut handshake, _) = client.accepted(&reporting, "app").await;
    handshake.ask(md5()).await.unwrap();
}

/// Roles are made in no time: a whole account has as many answers as one that stands there by name.
#[tokio::test]
async fn md5_answers_are_few_for_an_account_that_is_let_in_as_a_whole() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let mut limits = Limits::default();
    limits.md5_per_second_per_principal = 1;
    let records = record("app", ", methods: [md5], iam_accounts: ['000000000000']")
        .replace("role/checkout", "role/developer");
    let house = House::start_with(sts.verifier(), &records, |builder, _| {
        builder.limits(limits)
    })
    .await;
    let client = house.client().await;
    let [checkout, reporting] = tokens(&client, &sts).await;
    // All of them are ready to be answered at once: one a second is within the bound.
    let mut ready = Vec::new();
    for _ in 0..5 {
        ready.push(client.accepted(&reporting, "app").await.0);
    }
    until("a refusal", async || {
        let (mut handshake, _) = client.accepted(&checkout, "app").await;
        handshake.ask(md5()).await.err()
    })
    .await;
    let answers = join_all(ready.iter_mut().map(|handshake| handshake.ask(md5()))).await;
    let refused: Vec<_> = answers.iter().filter_map(|a| a.as_ref().err()).collect();
    let status = refused.first().expect("another role has as many again");
    let reason = log.reason(&request_id(status), "denied").await;
    assert_eq!(reason, "too_many_md5_answers");
}

#[tokio::test]
async fn keys_are_derived_for_one_identity_only_so_many_at_a_time() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let mut limits = Limits::default();
    limits.derivations_per_principal = 1;
    let house = House::start_with(sts.verifier(), &records(""), |builder, _| {
        builder.limits(limits)
    })
    .await;
    let client = house.client().await;
    let [checkout, reporting] = tokens(&client, &sts).await;

    // All of them are ready to be derived before the first one is.
    let mut ready = Vec::new();
    for number in 0..8 {
        let (handshake, _) = client.accepted(&checkout, "app").await;
        let first = challenged(&handshake, &[number; 16], 100_000);
        ready.push((handshake, first));
    }
    let (mut other, _) = client.accepted(&reporting, "app").await;
    let first_of_other = challenged(&other, SALT, 4_096);
    let all = join_all(
        ready
            .iter_mut()
            .map(|(handshake, first)| handshake.ask(first.clone())),
    );
    let (answers, others) = tokio::join!(all, other.ask(first_of_other));
    others.unwrap();
    let refused: Vec<_> = answers.iter().filter_map(|a| a.as_ref().err()).collect();
    assert!((1..8).contains(&refused.len()), "{}", refused.len());
    for status in refused {
        assert_eq!(status.code(), Code::ResourceExhausted);
        let reason = log.reason(&request_id(status), "denied").await;
        assert_eq!(reason, "too_many_derivations");
    }
}

#[tokio::test]
async fn a_stream_gives_one_scram_proof_for_one_nonce() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let records = record("app", ", methods: [md5, scram-sha-256]");
    let house = House::start(sts.verifier(), &records).await;
    let client = house.client().await;
    let signer = dev_signer(&sts, "checkout").await;
    let token = client.session(&signer).await.session_token;

    // After the proof nothing is answered.
    for again in 0..3 {
        let (mut handshake, id) = client.accepted(&token, "app").await;
        let first = challenged(&handshake, SALT, 4_096);
        let answer = handshake.ask(first.clone()).await.unwrap();
        assert!(matches!(answer, Answer::ScramClientFinal(_)), "{answer:?}");
        let message = match again {
            0 => Request::Start(start(&token, "app")),
            1 => md5(),
            _ => first,
        };
        let status = handshake.ask(message).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert_eq!(log.reason(&id, "denied").await, "unexpected_message");
    }

    // Before it, no second nonce is had.
    let (mut handshake, id) = client.accepted(&token, "app").await;
    let again = Request::Start(start(&token, "app"));
    let status = handshake.ask(again).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert_eq!(log.reason(&id, "denied").await, "unexpected_message");

    // A challenge that was refused is not followed by another, sent with it or after it.
    let (mut handshake, id) = client.accepted(&token, "app").await;
    let good = challenged(&handshake, SALT, 4_096);
    handshake.send(challenged(&handshake, SALT, 1)).await;
    handshake.send(good.clone()).await;
    let status = handshake.refusal().await;
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let reason = log.reason(&id, "denied").await;
    assert_eq!(reason, "iterations_out_of_bounds");
    handshake.send(good).await;
    assert!(!matches!(handshake.answers.message().await, Ok(Some(_))));
}
