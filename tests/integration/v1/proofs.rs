//! Proofs that are to be refused, and that STS hears nothing of.

use approzium::identity::aws::PresignedLimits;
use tonic::Code;

use super::{
    answers::v1,
    client::{Client, ClientLanguage, PasswordRequest, rfc_7677, who},
    presigned::Presigned,
};
use crate::{
    authenticator::{
        client::{Refusal, request_id},
        process::record,
    },
    identity::hostile_sts::{Behaviour, Sts, answer, document},
    rejections::{House, Log, dev_sts},
};

const ARN: &str = "arn:aws:sts::123456789012:assumed-role/checkout/pod-7f";
const CHECKOUT: &str = "arn:aws:sts::000000000000:assumed-role/checkout/dev";

fn unknown_keys() -> aws_credential_types::Credentials {
    let token = Some("a/b+c==".to_owned());
    aws_credential_types::Credentials::new("ASIAIOSFODNN7EXAMPLE", "secret", token, None, "test")
}

/// Production's verifier, whose STS vouches for everybody.
async fn credulous() -> (Sts, House) {
    let good = answer(200, "text/xml", &document(ARN, "123456789012"));
    let sts = Sts::start(Behaviour::Answer(good)).await;
    let records = record("user", "").replace("000000000000", "123456789012");
    let house = House::start_with(sts.verifier(), &records, |builder, _| {
        builder.v1_api(PresignedLimits::default())
    })
    .await;
    (sts, house)
}

#[tokio::test]
async fn what_sts_is_sent_is_written_here_and_in_no_log() {
    let (sts, house) = credulous().await;
    let (log, _recording) = Log::start();
    let client = Client::of(&house).await;
    for (language, method) in [
        (ClientLanguage::Python, "POST"),
        (ClientLanguage::Go, "GET"),
    ] {
        let presigned = Presigned {
            method,
            ..Presigned::for_region("us-east-1")
        };
        let url = presigned.url(&unknown_keys());
        // In another order, and encoded otherwise: what is sent is the same.
        let (address, query) = url.split_once('?').unwrap();
        let mut parameters: Vec<_> = query.split('&').collect();
        parameters.reverse();
        let shuffled = format!("{address}?{}", parameters.join("&")).replace("%2F", "%2f");
        let asked = PasswordRequest {
            client_language: language.into(),
            ..who(&shuffled, ARN, "user")
        };
        client.scram(rfc_7677(&asked)).await.unwrap();

        let request = sts.requests().pop().unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let mut lines: Vec<&str> = head.lines().collect();
        let mut canonical: Vec<_> = query.split('&').collect();
        canonical.sort_unstable();
        let signature = canonical
            .iter()
            .position(|p| p.starts_with("X-Amz-Signature="))
            .unwrap();
        let signature = canonical.remove(signature);
        let query = format!("{}&{signature}", canonical.join("&"));
        assert_eq!(lines.remove(0), format!("{method} /?{query} HTTP/1.1"));
        lines.retain(|line| *line != "content-length: 0");
        lines.sort_unstable();
        assert_eq!(
            lines,
            ["accept: text/xml", "host: sts.us-east-1.amazonaws.com"]
        );
        assert_eq!(body, "");
    }
    assert_eq!(sts.requests().len(), 2);
    // But for what the test's own signer says.
    let all = log.lines(|line| line["target"] != "aws_sigv4::http_request::sign");
    assert!(all.len() > 10, "{all:?}");
    for line in all {
        let line = line.to_string();
        for secret in [
            "a/b+c",
            "a%2Fb%2Bc",
            "X-Amz-Signature",
            "X-Amz-Security-Token",
        ] {
            assert!(!line.contains(secret), "{line}");
        }
    }
}

#[tokio::test]
async fn hostile_proofs_are_refused_alike_and_sts_hears_nothing_of_them() {
    let (sts, house) = credulous().await;
    let (log, _recording) = Log::start();
    let client = Client::of(&house).await;
    let good = Presigned::for_region("us-east-1");
    let url = good.url(&unknown_keys());
    let at = |seconds: i64| {
        let offset = std::time::Duration::from_secs(seconds.unsigned_abs());
        let at = if seconds < 0 {
            good.at - offset
        } else {
            good.at + offset
        };
        Presigned { at, ..good.clone() }.url(&unknown_keys())
    };
    let host = "sts.us-east-1.amazonaws.com";
    let mut hostile = vec![
        (String::new(), "proof_malformed"),
        ("nothing".into(), "proof_malformed"),
        (at(-901), "proof_expired"),
        (at(330), "proof_not_yet_valid"),
        (
            Presigned {
                expires: 3600,
                ..good.clone()
            }
            .url(&unknown_keys()),
            "proof_malformed",
        ),
        (
            Presigned {
                region: "us-east-99",
                ..good.clone()
            }
            .url(&unknown_keys()),
            "region_unknown",
        ),
        (format!("{url}&x={}", "x".repeat(4096)), "proof_malformed"),
    ];
    let token = "&X-Amz-Security-Token=";
    for (from, to) in [
        ("https://", "http://"),
        (host, "evil.example"),
        (host, "sts.us-east-1.amazonaws.com.evil.example"),
        (host, "sts.us-east-1.amazonaws.com@evil.example"),
        (host, "evil.example#sts.us-east-1.amazonaws.com"),
        (host, "user:word@sts.us-east-1.amazonaws.com"),
        (host, "sts.us-east-1.amazonaws.com:443"),
        (host, "sts.us-east-1.amazonaws.com:8443"),
        (host, "STS.us-east-1.amazonaws.com"),
        (host, "sts.amazonaws.com"),
        (host, "sts.eu-central-1.amazonaws.com"),
        (host, "127.0.0.1"),
        (host, "[::1]"),
        (".com/?", ".com/x?"),
        (".com/?", ".com/..?"),
        ("GetCallerIdentity", "GetSessionToken"),
        (
            "GetCallerIdentity",
            "GetCallerIdentity%0d%0aHost:%20evil.example",
        ),
        (token, "&Action=AssumeRole&X-Amz-Security-Token="),
        (token, "&action=AssumeRole&X-Amz-Security-Token="),
        (token, "&ACTION=AssumeRole&X-Amz-Security-Token="),
        (token, "&x-amz-security-token=x&X-Amz-Security-Token="),
        (token, "&x-amz-security-token="),
        (token, "&RoleArn=x&X-Amz-Security-Token="),
        (token, "&X-Amz-Security-Token=\u{0}"),
        (token, "&X-Amz-Security-Token=%0a"),
        (token, "&X-Amz-Security-Token=\r\nhost: evil.example"),
        ("Expires=900", "Expires=-1"),
        ("Expires=900", "Expires=1000000"),
        ("SignedHeaders=host", "SignedHeaders=host%3Bx-evil"),
        ("%2Fsts%2F", "%2Fs3%2F"),
    ] {
        assert!(url.contains(from), "{from}");
        hostile.push((url.replacen(from, to, 1), "proof_malformed"));
    }
    let mut first: Option<Refusal> = None;
    for (url, reason) in hostile {
        let status = client
            .scram(rfc_7677(&who(&url, ARN, "user")))
            .await
            .expect_err(&url);
        let id = request_id(&status);
        let line = log.audit(&id, "denied").await;
        assert_eq!(line["reason"], reason, "{url}");
        assert!(line.get("iam_arn").is_none(), "{line}");
        // Nothing that a stranger wrote into it is in the log.
        assert!(!line.to_string().contains("evil"), "{line}");
        let refusal = Refusal::from(&status);
        assert_eq!(refusal.code, Code::Unauthenticated, "{url}");
        assert_eq!(*first.get_or_insert(refusal.clone()), refusal, "{url}");
    }
    // What no proof could be is not read at all.
    let long = who(&"x".repeat(16 << 10), ARN, "user");
    let unread = client.scram(rfc_7677(&long)).await.unwrap_err();
    assert_eq!(unread.code(), Code::OutOfRange);
    assert_eq!(sts.requests().len(), 0);
    assert_eq!(
        house
            .metric("approzium_total_password_retrieval_attempts")
            .await,
        0.0
    );
    client
        .scram(rfc_7677(&who(&url, ARN, "user")))
        .await
        .unwrap();
    assert_eq!(sts.requests().len(), 1);
}

#[tokio::test]
async fn who_did_not_sign_it_is_refused_before_any_record_is_read() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let house = v1(&sts, &record("user", "")).await;
    let client = Client::of(&house).await;
    let keys = sts.identity("checkout").unwrap().credentials();
    let good = Presigned::for_stand_in(&sts).url(&keys);
    let wrong = aws_credential_types::Credentials::new(
        keys.access_key_id(),
        "wrong",
        keys.session_token().map(str::to_owned),
        None,
        "test",
    );
    let get = Presigned {
        method: "GET",
        ..Presigned::for_stand_in(&sts)
    };
    let developer = sts.identity("developer").unwrap().credentials();
    let mut first: Option<Refusal> = None;
    for (url, claimed, reason) in [
        (
            Presigned::for_stand_in(&sts).url(&wrong),
            CHECKOUT,
            "signature_mismatch",
        ),
        (get.url(&keys), CHECKOUT, "signature_mismatch"),
        (
            good.replace("Expires=900", "Expires=899"),
            CHECKOUT,
            "signature_mismatch",
        ),
        (
            Presigned::for_stand_in(&sts).url(&unknown_keys()),
            CHECKOUT,
            "credentials_refused",
        ),
        (
            Presigned::for_region("us-east-1").url(&keys),
            CHECKOUT,
            "proof_malformed",
        ),
        (good.clone(), "", "claimed_arn_mismatch"),
        (
            good.clone(),
            "arn:aws:iam::000000000000:role/reporting",
            "claimed_arn_mismatch",
        ),
        (
            Presigned::for_stand_in(&sts).url(&developer),
            CHECKOUT,
            "claimed_arn_mismatch",
        ),
    ] {
        let status = client
            .scram(rfc_7677(&who(&url, claimed, "user")))
            .await
            .unwrap_err();
        let id = request_id(&status);
        assert_eq!(log.reason(&id, "denied").await, reason, "{claimed}");
        let refusal = Refusal::from(&status);
        assert_eq!(refusal.code, Code::Unauthenticated);
        assert_eq!(*first.get_or_insert(refusal.clone()), refusal, "{reason}");
    }
    assert_eq!(
        house
            .metric("approzium_total_password_retrieval_attempts")
            .await,
        0.0
    );
    assert_eq!(
        house
            .metric("approzium_total_identity_matching_failures")
            .await,
        3.0
    );
}

#[tokio::test]
async fn calls_to_sts_are_few_for_one_address() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let house = House::start_with(sts.verifier(), &record("user", ""), |builder, _| {
        let mut limits = approzium::authenticator::Limits::default();
        limits.sts_calls_per_second_per_address = 1;
        builder.limits(limits).v1_api(PresignedLimits::default())
    })
    .await;
    let client = Client::of(&house).await;
    let keys = sts.identity("checkout").unwrap().credentials();
    let request = rfc_7677(&who(
        &Presigned::for_stand_in(&sts).url(&keys),
        CHECKOUT,
        "user",
    ));
    let mut refused = None;
    for _ in 0..100 {
        if let Err(status) = client.scram(request.clone()).await {
            refused = Some(status);
            break;
        }
    }
    let refused = refused.expect("a bound");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert_eq!(
        log.reason(&request_id(&refused), "denied").await,
        "sts_throttled"
    );
    assert_eq!(house.metric("approzium_sts_throttled_total").await, 1.0);
}
