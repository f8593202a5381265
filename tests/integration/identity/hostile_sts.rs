//! An STS that answers what it should not.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use approzium::identity::aws::{AwsProof, Region};
use approzium_peers::Authority;

use super::{ask, sign};

mod server;

pub(crate) use server::{Behaviour, Sts, answer, document, redirect};
use server::{HOST, chunked};

const ARN: &str = "arn:aws:sts::123456789012:assumed-role/checkout/pod-7f";

#[tokio::test]
async fn what_sts_is_sent_is_the_one_request() {
    let sts = Sts::answering(answer(200, "text/xml", &document(ARN, "123456789012"))).await;
    let proof = proof().await;
    let identity = ask(&sts.verifier(), &proof).await.unwrap();
    assert_eq!(identity.arn, ARN);

    let requests = sts.requests();
    let [request] = requests.as_slice() else {
        panic!("one proof, one request: {requests:?}");
    };
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.lines().collect();
    assert_eq!(lines.remove(0), "POST / HTTP/1.1");
    lines.sort_unstable();
    let AwsProof {
        access_key_id,
        amz_date,
        security_token,
        audience,
        signature,
        ..
    } = &proof;
    let date = &amz_date[..8];
    assert_eq!(
        lines,
        [
            "accept: text/xml",
            &format!(
                "authorization: AWS4-HMAC-SHA256 \
                 Credential={access_key_id}/{date}/us-east-1/sts/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;\
                 x-approzium-audience;x-approzium-nonce, Signature={signature}"
            ),
            "content-length: 43",
            "content-type: application/x-www-form-urlencoded; charset=utf-8",
            &format!("host: {HOST}"),
            &format!("x-amz-date: {amz_date}"),
            &format!("x-amz-security-token: {security_token}"),
            &format!("x-approzium-audience: {audience}"),
            &format!("x-approzium-nonce: {}", "5a".repeat(32)),
        ]
    );
    assert_eq!(body, "Action=GetCallerIdentity&Version=2011-06-15");
}

#[tokio::test]
async fn no_other_answer_is_taken_for_an_identity() {
    let good = document(ARN, "123456789012");
    let json = r#"{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Arn":"x"}}}"#;
    let huge = format!("{good}{}", " ".repeat(64 * 1024));
    let stand_in = document(
        "arn:aws:sts::000000000000:assumed-role/checkout/dev",
        "000000000000",
    );
    let china = document(&ARN.replace("arn:aws:", "arn:aws-cn:"), "123456789012");
    let two_types = answer(200, "text/xml\r\ncontent-type: application/json", &good);
    let throttling = "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>";
    for (name, answer, reason) in [
        (
            "too long",
            answer(200, "text/xml", &huge),
            "sts_unexpected_answer",
        ),
        (
            "too long, in chunks",
            chunked(&good, 5000),
            "sts_unexpected_answer",
        ),
        (
            "JSON",
            answer(200, "application/json", json),
            "sts_unexpected_answer",
        ),
        (
            "JSON said to be XML",
            answer(200, "text/xml", json),
            "sts_unexpected_answer",
        ),
        (
            "XML said to be JSON",
            answer(200, "application/json", &good),
            "sts_unexpected_answer",
        ),
        (
            "JSON that holds XML",
            answer(200, "text/xml", &format!("{{\"a\":\"{good}\"}}")),
            "sts_unexpected_answer",
        ),
        (
            "XML, then JSON",
            answer(200, "text/xml", &format!("{good}{json}")),
            "sts_unexpected_answer",
        ),
        (
            "two documents",
            answer(200, "text/xml", &format!("{good}{good}")),
            "sts_unexpected_answer",
        ),
        (
            "a comment after it",
            answer(200, "text/xml", &format!("{good}<!-- x -->")),
            "sts_unexpected_answer",
        ),
        ("no type", answer(200, "", &good), "sts_unexpected_answer"),
        ("two types", two_types, "sts_unexpected_answer"),
        (
            "another success",
            answer(201, "text/xml", &good),
            "sts_unexpected_answer",
        ),
        (
            "identity in a refusal",
            answer(403, "text/xml", &good),
            "sts_refused",
        ),
        (
            "stand-in's account",
            answer(200, "text/xml", &stand_in),
            "account_refused",
        ),
        (
            "another partition",
            answer(200, "text/xml", &china),
            "account_refused",
        ),
        (
            "throttling",
            answer(400, "text/xml", throttling),
            "sts_throttled",
        ),
        (
            "throttling, by status",
            answer(429, "text/html", ""),
            "sts_throttled",
        ),
        ("failure", answer(500, "text/html", ""), "sts_unavailable"),
        (
            "maintenance",
            answer(503, "text/html", ""),
            "sts_unavailable",
        ),
        ("no answer", String::new(), "sts_unavailable"),
        ("half an answer", good[..40].to_owned(), "sts_unavailable"),
        (
            "half a body",
            format!("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{good}"),
            "sts_unavailable",
        ),
    ] {
        let sts = Sts::answering(answer).await;
        let rejection = ask(&sts.verifier(), &proof().await).await.unwrap_err();
        assert_eq!(rejection.reason(), reason, "{name}: {rejection}");
        let throttled = reason == "sts_throttled";
        assert_eq!(rejection.is_throttled(), throttled, "{name}");
        assert_eq!(
            rejection.is_retryable(),
            throttled || reason == "sts_unavailable",
            "{name}"
        );
        assert_eq!(sts.requests().len(), 1, "{name}: asked once, never again");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let authority = Authority::default();
    let certificate = authority.server(&[HOST]);
    let good = answer(200, "text/xml", &document(ARN, "123456789012"));
    let elsewhere = Sts::with_certificate(Behaviour::Answer(good), &authority, &certificate).await;
    let redirect = Behaviour::Answer(redirect(elsewhere.address));
    let sts = Sts::with_certificate(redirect, &authority, &certificate).await;
    let rejection = ask(&sts.verifier(), &proof().await).await.unwrap_err();
    assert_eq!(rejection.reason(), "sts_unexpected_answer");
    assert_eq!((sts.requests().len(), elsewhere.requests().len()), (1, 0));
}

#[tokio::test]
async fn an_sts_that_is_slow_ends_in_time() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: 500\r\n\r\n";
    for (name, behaviour) in [
        ("never answers", Behaviour::Stall(String::new())),
        ("stops after its head", Behaviour::Stall(head.into())),
        ("a byte at a time", Behaviour::Drip(head.into())),
    ] {
        let sts = Sts::start(behaviour).await;
        let verifier = sts
            .builder()
            .timeout(Duration::from_millis(300))
            .build()
            .unwrap();
        let proof = proof().await;
        let verdict = ask(&verifier, &proof);
        let verdict = tokio::time::timeout(Duration::from_secs(20), verdict).await;
        let rejection = verdict
            .expect("the deadline is the verifier's own")
            .unwrap_err();
        assert_eq!(rejection.reason(), "sts_unavailable", "{name}: {rejection}");
    }
}

#[tokio::test]
async fn only_the_right_name_from_a_trusted_authority_is_asked() {
    let authority = Authority::default();
    let stranger = Authority::default();
    let good = || Behaviour::Answer(answer(200, "text/xml", &document(ARN, "123456789012")));
    for (name, certificate) in [
        (
            "another name",
            authority.server(&["sts.us-east-2.amazonaws.com"]),
        ),
        (
            "the address that was dialled",
            authority.server(&["127.0.0.1"]),
        ),
        ("another authority", stranger.server(&[HOST])),
    ] {
        let sts = Sts::with_certificate(good(), &authority, &certificate).await;
        let rejection = ask(&sts.verifier(), &proof().await).await.unwrap_err();
        assert_eq!(rejection.reason(), "sts_unavailable", "{name}: {rejection}");
        assert_eq!(
            sts.requests().len(),
            0,
            "{name}: nothing of the proof was sent"
        );
    }
}

#[tokio::test]
async fn with_fips_its_own_endpoint_is_asked() {
    const FIPS_HOST: &str = "sts-fips.us-east-1.amazonaws.com";
    let authority = Authority::default();
    let good = Behaviour::Answer(answer(200, "text/xml", &document(ARN, "123456789012")));
    let certificate = authority.server(&[FIPS_HOST]);
    let sts = Sts::with_certificate(good, &authority, &certificate).await;
    let verifier = sts.builder().fips(true).build().unwrap();
    ask(&verifier, &proof().await).await.unwrap();
    let requests = sts.requests();
    let host = format!("\r\nhost: {FIPS_HOST}\r\n");
    assert!(requests[0].contains(&host), "{requests:?}");

    let elsewhere = AwsProof {
        region: "eu-central-1".into(),
        ..proof().await
    };
    let rejection = ask(&verifier, &elsewhere).await.unwrap_err();
    assert_eq!(rejection.reason(), "region_unknown");
    assert_eq!(sts.requests().len(), 1);
}

#[tokio::test]
async fn only_the_regions_that_are_listed_are_asked() {
    let region = |name| Region::find(name).unwrap();
    let sts = Sts::start(Behaviour::Answer(answer(
        200,
        "text/xml",
        &document(ARN, "123456789012"),
    )))
    .await;
    let only = |name| sts.builder().regions([region(name)]).build().unwrap();
    let rejection = ask(&only("us-east-2"), &proof().await).await.unwrap_err();
    assert_eq!(rejection.reason(), "region_unknown");
    assert_eq!(sts.requests().len(), 0);
    ask(&only("us-east-1"), &proof().await).await.unwrap();
}

#[tokio::test]
async fn calls_at_once_are_bounded() {
    // One call: none other comes, however long it is waited for. Two: the second does come.
    for (bound, wait) in [
        (1, Duration::from_millis(200)),
        (2, Duration::from_secs(20)),
    ] {
        let good = answer(200, "text/xml", &document(ARN, "123456789012"));
        let sts = Sts::start(Behaviour::Together(good, wait)).await;
        let verifier = Arc::new(sts.builder().max_concurrent_calls(bound).build().unwrap());
        let proof = proof().await;
        let calls = (0..4).map(|_| {
            let (verifier, proof) = (Arc::clone(&verifier), proof.clone());
            async move { ask(&*verifier, &proof).await.unwrap() }
        });
        futures_util::future::join_all(calls).await;
        assert_eq!(sts.at_once_at_most(), bound);
    }
}

async fn proof() -> AwsProof {
    let keys = aws_credential_types::Credentials::new(
        "ASIAIOSFODNN7EXAMPLE",
        "secret",
        Some("token".into()),
        None,
        "test",
    );
    sign(keys, "us-east-1", SystemTime::now()).await
}
