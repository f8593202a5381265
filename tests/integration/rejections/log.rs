//! What peers write, in the log of the binary.

use std::time::SystemTime;

use tonic::Code;

use crate::authenticator::{
    client::{
        Client, both, challenge as scram, request_id, sign, signer, start,
        v2::{self, authenticate_request::Message as Request, outcome},
    },
    process::{Dev, record, until},
};

/// Begins a line of its own wherever it is written as it is.
pub(super) const FORGED: &str = "FORGED approzium::audit: decision=\"allowed\"";

/// Characters that end a line, move the cursor, or turn the reading direction.
pub(super) const CONTROLS: [&str; 6] = ["\n", "\r\n", "\r", "\u{85}", "\u{1b}[2J", "\0"];
pub(super) const OTHERS: [&str; 3] = ["\u{2028}", "\u{2029}", "\u{202e}"];

#[tokio::test]
async fn nothing_that_a_peer_writes_is_a_line_of_the_log() {
    let records = record("app", ", methods: [md5, scram-sha-256]");
    let arguments = ["--log-format=text", "--log-level=trace"];
    let dev = Dev::start_with(&records, &arguments).await;
    let client = Client::connect(&dev).await;
    let signer = signer(&dev, "checkout").await;
    let token = client.session(&signer).await.session_token;

    for character in CONTROLS.into_iter().chain(OTHERS) {
        let evil = format!("x{character}{FORGED}");
        let is_control = CONTROLS.contains(&character);
        session(&client, &signer, &evil, is_control).await;
        target(&client, &token, &evil, is_control).await;
        challenge(&client, &token, &evil).await;
    }

    // The last word arrived: so did all before it.
    let told = client.start(start("forged", "app")).await.told().await;
    let arrived = async || {
        let log = dev.process.log();
        log.iter()
            .any(|line| line.contains(&told.request_id) && line.contains("token_forged"))
            .then_some(log)
    };
    let log = until("the last line", arrived).await;
    let shown = log.iter().filter(|line| line.contains("FORGED")).count();
    assert!(shown >= OTHERS.len(), "it is in the log, escaped");
    for line in &log {
        assert!(!line.starts_with("FORGED"), "{line:?}");
        let raw = |c: char| c.is_control() || OTHERS.iter().any(|other| other.starts_with(c));
        assert!(!line.contains(raw), "{line:?}");
    }
    for line in log.iter().filter(|line| line.contains("token=")) {
        assert!(!line.contains(&token), "{line}");
    }
}

/// A version, and each part of a proof.
async fn session(
    client: &Client,
    signer: &approzium::identity::aws::Signer,
    evil: &str,
    is_control: bool,
) {
    type Change = fn(&mut v2::AwsProof, String);
    let changes: [Change; 7] = [
        |_, _| {},
        |proof, evil| proof.access_key_id = evil,
        |proof, evil| proof.amz_date = evil,
        |proof, evil| proof.region = evil,
        |proof, evil| proof.security_token = evil,
        |proof, evil| proof.audience = evil,
        |proof, evil| proof.signature = evil,
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let challenge = client.challenge().await.unwrap();
        let mut proof = sign(signer, &challenge.nonce, "127.0.0.1", SystemTime::now()).await;
        change(&mut proof, evil.to_owned());
        let version = if index == 0 { evil } else { "test/1" };
        let expected = match (index, is_control) {
            (0, true) => Code::InvalidArgument,
            (0, false) => Code::Ok,
            _ => Code::Unauthenticated,
        };
        let answered = challenge.prove_as(version, proof).await;
        let code = answered.map_or_else(|status| status.code(), |_| Code::Ok);
        assert_eq!(code, expected, "{index}: {evil:?}");
    }
}

/// Each name of a target, and what an application says of itself.
async fn target(client: &Client, token: &str, evil: &str, is_control: bool) {
    type Change = fn(&mut v2::HandshakeStart, String);
    let changes: [(Change, Code); 5] = [
        (|start, evil| start.host = evil, Code::PermissionDenied),
        (|start, evil| start.user = evil, Code::PermissionDenied),
        (|start, evil| start.database = evil, Code::Ok),
        (
            |start, evil| drop(start.attribution.insert("k8s.pod.name".into(), evil)),
            Code::Ok,
        ),
        (
            |start, evil| drop(start.attribution.insert(evil, "pod".into())),
            Code::Ok,
        ),
    ];
    for (index, (change, otherwise)) in changes.into_iter().enumerate() {
        let mut start = start(token, "app");
        change(&mut start, evil.to_owned());
        let expected = if is_control {
            Code::InvalidArgument
        } else {
            otherwise
        };
        let answered = client.start(start).await.answer().await;
        let code = answered.map_or_else(|status| status.code(), |_| Code::Ok);
        assert_eq!(code, expected, "{index}: {evil:?}");
    }
}

/// What a database is said to have said.
async fn challenge(client: &Client, token: &str, evil: &str) {
    let (mut handshake, _) = client.accepted(token, "app").await;
    let unknown = v2::ScramOffer {
        mechanisms: vec![evil.to_owned()],
        ..both(&[])
    };
    let message = handshake.server_first(b"salt", 4096);
    let status = handshake
        .ask(scram(unknown, message.as_bytes()))
        .await
        .unwrap_err();
    assert!(!status.message().contains("FORGED"), "{status}");

    let (mut handshake, _) = client.accepted(token, "app").await;
    let message = format!("r={evil},s=c2FsdA==,i=4096");
    let status = handshake
        .ask(scram(both(&[]), message.as_bytes()))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(!status.message().contains("FORGED"), "{status}");
    assert_eq!(request_id(&status).len(), 36);

    let (mut handshake, _) = client.accepted(token, "app").await;
    let salt = vec![1, 2, 3, 4];
    handshake
        .ask(Request::Md5Challenge(v2::Md5Challenge { salt }))
        .await
        .unwrap();
    let refused = outcome::Refused {
        sqlstate: evil.to_owned(),
    };
    handshake.outcome(outcome::Result::Refused(refused)).await;
}
