//! An STS that lies, behind the whole service: whoever brings the proof learns nothing of it.

use std::{
    net::Ipv4Addr,
    time::{Duration, SystemTime},
};

use aws_credential_types::Credentials;
use tonic::Code;

use super::{House, Log};
use crate::{
    authenticator::client::{Refusal, request_id, sign, signer_of},
    identity::hostile_sts::{Behaviour, Sts, answer, document, redirect},
};

const ACCOUNT: &str = "123456789012";

/// STS says so, and nobody can be that.
fn arns() -> Vec<(String, &'static str)> {
    let unexpected = "sts_unexpected_answer";
    let long = format!(
        "arn:aws:sts::{ACCOUNT}:assumed-role/{}/x",
        "r".repeat(3_000)
    );
    let mut arns = vec![(long, unexpected)];
    for (arn, reason) in [
        ("", unexpected),
        ("arn:aws:sts::ACCOUNT:assumed-role/checkout", unexpected),
        ("arn:aws:sts::ACCOUNT:assumed-role/checkout/", unexpected),
        ("arn:aws:sts::ACCOUNT:assumed-role//pod-7f", unexpected),
        ("arn:aws:sts::ACCOUNT:assumed-role/checkout/a/b", unexpected),
        ("arn:aws:sts::ACCOUNT:assumed-role/*/pod-7f", unexpected),
        ("arn:aws:iam::ACCOUNT:role/checkout", unexpected),
        ("arn:aws:iam::ACCOUNT:group/admins", unexpected),
        ("arn:aws:iam::*:root", unexpected),
        ("arn:aws:iam::999999999999:root", unexpected),
        ("arn:aws:sts:eu:ACCOUNT:assumed-role/checkout/x", unexpected),
        ("arn:aws:s3::ACCOUNT:assumed-role/checkout/x", unexpected),
        ("ARN:aws:sts::ACCOUNT:assumed-role/checkout/x", unexpected),
        (" arn:aws:iam::ACCOUNT:root", unexpected),
        ("arn:aws:iam::ACCOUNT:user/ann&#10;", unexpected),
        ("arn:aws:iam::ACCOUNT:user/\u{430}nn", unexpected),
        ("arn:aws:iam::ACCOUNT:user/ann\u{202e}", unexpected),
        ("arn:aws-cn:iam::ACCOUNT:user/ann", "account_refused"),
        ("arn:awsome:iam::ACCOUNT:user/ann", unexpected),
    ] {
        arns.push((arn.replace("ACCOUNT", ACCOUNT), reason));
    }
    arns
}

/// Bodies that are this document to one reader and that to another.
fn polyglots() -> Vec<(&'static str, String)> {
    let good = document("arn:aws:iam::123456789012:user/ann", ACCOUNT);
    let other = "<Arn>arn:aws:iam::999999999999:root</Arn>";
    let json = r#"{"GetCallerIdentityResponse":{}}"#;
    vec![
        ("JSON, then XML", format!("{json}{good}")),
        ("XML, then JSON", format!("{good}{json}")),
        ("XML in JSON", format!("{{\"a\":\"{good}\"}}")),
        ("a mark of byte order", format!("\u{feff}{good}")),
        ("a space first", format!(" {good}")),
        ("two documents", good.repeat(2)),
        (
            "two of a kind",
            good.replace("<Arn>", &format!("{other}<Arn>")),
        ),
        (
            "one in a comment",
            good.replace("<Arn>", &format!("<!--{other}--><Arn>")),
        ),
        ("a comment in a name", good.replace("ann", "an<!-- -->n")),
        ("an attribute", good.replace("<Arn>", "<Arn x=\"y\">")),
        ("an element in a name", good.replace("ann", "an<b/>n")),
        (
            "another namespace",
            good.replace("2011-06-15", "2011-06-16"),
        ),
        (
            "a prefix",
            good.replace("<Arn>", "<x:Arn xmlns:x=\"y\">")
                .replace("</Arn>", "</x:Arn>"),
        ),
        (
            "an entity of its own",
            format!("<!DOCTYPE x [<!ENTITY a \"root\">]>{good}"),
        ),
        (
            "an instruction",
            format!("<?xml-stylesheet href=\"x\"?>{good}"),
        ),
        ("a name in another case", good.replace("Arn>", "ARN>")),
    ]
}

#[tokio::test]
async fn whatever_sts_says_the_caller_is_told_the_same() {
    let elsewhere = (Ipv4Addr::LOCALHOST, 9).into();
    let good = document("arn:aws:iam::123456789012:user/ann", ACCOUNT);
    let unexpected = "sts_unexpected_answer";
    let mut lies: Vec<(String, String, &str)> = vec![
        ("a redirect".into(), redirect(elsewhere), unexpected),
        (
            "too long".into(),
            answer(200, "text/xml", &format!("{good}{}", " ".repeat(1 << 20))),
            unexpected,
        ),
        (
            "JSON".into(),
            answer(200, "application/json", "{}"),
            unexpected,
        ),
        ("a page".into(), answer(200, "text/html", &good), unexpected),
        (
            "a refusal in its own words".into(),
            answer(
                403,
                "text/xml",
                "<Error><Code>FORGED&#10;line</Code></Error>",
            ),
            "sts_refused",
        ),
    ];
    for (name, body) in polyglots() {
        lies.push((name.into(), answer(200, "text/xml", &body), unexpected));
    }
    for (arn, reason) in arns() {
        let body = document(&arn, ACCOUNT);
        lies.push((arn, answer(200, "text/xml", &body), reason));
    }

    let (log, _recording) = Log::start();
    let mut first = None;
    for (name, lie, reason) in lies {
        let told = told(&log, Behaviour::Answer(lie), "denied", reason, &name).await;
        assert_eq!(told.code, Code::Unauthenticated, "{name}");
        assert_eq!(told, *first.get_or_insert(told.clone()), "{name}");
    }
}

/// That is no verdict on the proof: the caller may come again.
#[tokio::test]
async fn of_an_sts_that_does_not_answer_in_time_the_caller_is_told_no_more() {
    let (log, _recording) = Log::start();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: 5000\r\n\r\n<";
    let mut first = None;
    for behaviour in [
        Behaviour::Stall(String::new()),
        Behaviour::Drip(head.into()),
        Behaviour::Answer(String::new()),
        Behaviour::Answer(answer(500, "text/html", "FORGED")),
    ] {
        let told = told(&log, behaviour, "failed", "sts_unavailable", "trouble").await;
        assert_eq!(told.code, Code::Unavailable);
        assert_eq!(told, *first.get_or_insert(told.clone()));
    }
}

/// What the bearer of a good proof is told where STS behaves like this.
async fn told(log: &Log, sts: Behaviour, decision: &str, reason: &str, name: &str) -> Refusal {
    let sts = Sts::start(sts).await;
    // What is not going to be answered is not waited for as long as an answer is.
    let patience = if decision == "failed" { 1 } else { 10 };
    let verifier = sts.builder().timeout(Duration::from_secs(patience));
    let house = House::start(verifier.build().unwrap(), "").await;
    let client = house.client().await;
    let keys = Credentials::new(
        "ASIAIOSFODNN7EXAMPLE",
        "secret",
        Some("token".into()),
        None,
        "",
    );
    let signer = signer_of(keys).await;
    let challenge = client.challenge().await.unwrap();
    let proof = sign(&signer, &challenge.nonce, "127.0.0.1", SystemTime::now()).await;
    let status = match challenge.prove(proof).await {
        Err(status) => status,
        Ok(granted) => panic!("{name}: {}", granted.iam_arn),
    };
    assert_eq!(sts.requests().len(), 1, "{name}: asked once, never again");
    let line = log.audit(&request_id(&status), decision).await;
    assert_eq!(line["reason"], reason, "{name}: {line}");
    assert!(line.get("iam_arn").is_none(), "{name}: {line}");
    assert!(!status.message().contains("FORGED"), "{status}");
    house.running.shutdown().await;
    Refusal::from(&status)
}
