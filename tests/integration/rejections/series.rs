//! Names that clients choose, in the audit log of the binary and in its metrics: a line each at most,
//! and never a series.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;
use tonic::Code;

use super::log::{CONTROLS, FORGED, OTHERS};
use crate::authenticator::{
    client::{
        Client, both, request_id, start,
        v2::{self, HandshakeStart, authenticate_request::Message as Request, outcome},
    },
    process::{Dev, record, until},
};

/// Would end the object that it stands in, and begin one that allows.
const JSON: &str = "\",\"decision\":\"allowed\"}\n{\"decision\":\"allowed\",\"x\":\"";

/// An audit line holds a few names, each of them bounded, and 64 attributes at most.
const LONGEST_LINE: usize = 64 * 1024;

#[tokio::test]
async fn hostile_names_are_a_line_each_and_no_series() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let records = record("app", ", methods: [md5, scram-sha-256]");
    let audit = format!("--audit-log-path={}", path.display());
    let dev = Dev::start_with(&records, &[&audit]).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;

    // The session is a request, too.
    let mut asked = 1;
    for round in 0..3 {
        asked += hostile(&client, &token, round).await;
    }
    written(&path, asked).await;
    let before = series(&dev.metrics().await);
    for round in 3..6 {
        asked += hostile(&client, &token, round).await;
    }
    for (line, object) in written(&path, asked).await {
        assert!(line.len() < LONGEST_LINE, "{} bytes", line.len());
        assert!(!line.contains(char::is_control), "{line:?}");
        let forged = line.contains("FORGED") && object["decision"] == "allowed";
        // Database and attribution are the caller's own words beside a login that is allowed.
        assert!(!forged || object["dbuser"] == "app", "{line}");
    }

    let metrics = dev.metrics().await;
    assert!(!metrics.contains("FORGED"));
    // A bound that was met only now is a reason more; a name would be a series each time.
    let after = series(&metrics);
    let more: Vec<_> = after.difference(&before).collect();
    assert!(more.len() < 4, "{more:?}");
    for line in dev.process.log() {
        assert!(
            serde_json::from_str::<Value>(&line).is_ok_and(|one| one.is_object()),
            "{line}"
        );
    }
}

/// The lines of the audit log, once there are some of each request: a handshake that is given up is
/// written down a little later.
async fn written(path: &Path, requests: usize) -> Vec<(String, Value)> {
    until("a line of every request", async || {
        let text = std::fs::read_to_string(path).unwrap();
        let whole = text.get(..=text.rfind('\n')?)?;
        let lines: Vec<(String, Value)> = whole
            .lines()
            .map(|line| (line.to_owned(), serde_json::from_str(line).unwrap()))
            .collect();
        let ids: BTreeSet<_> = lines
            .iter()
            .map(|(_, object)| object["request_id"].to_string())
            .collect();
        (ids.len() == requests).then_some(lines)
    })
    .await
}

/// As many requests as are returned, under names that nobody else has.
async fn hostile(client: &Client, token: &str, round: usize) -> usize {
    let mut evils: Vec<String> = CONTROLS
        .into_iter()
        .chain(OTHERS)
        .map(|character| format!("x{round}{character}{FORGED}"))
        .collect();
    evils.push(format!("FORGED{round}{JSON}"));
    evils.push(format!("FORGED{round}{}", "x".repeat(1 << 20)));
    evils.push(format!("FORGED{round}{}", "\u{202e}".repeat(60)));
    let mut asked = 0;
    for evil in &evils {
        type Change = fn(&mut HandshakeStart, String);
        let changes: [Change; 4] = [
            |start, evil| start.host = evil,
            |start, evil| start.user = evil,
            |start, evil| start.database = evil,
            |start, evil| drop(start.attribution.insert("k8s.pod.name".into(), evil)),
        ];
        for change in changes {
            let mut start = start(token, "app");
            change(&mut start, evil.clone());
            let answered = client.start(start).await.answer().await;
            if let Err(status) = answered {
                assert!(
                    matches!(
                        status.code(),
                        Code::InvalidArgument | Code::PermissionDenied | Code::OutOfRange
                    ),
                    "{status}"
                );
                assert!(!status.message().contains("FORGED"), "{status}");
                assert_eq!(request_id(&status).len(), 36);
            }
            asked += 1;
        }
        // What the database is said to have said of a login.
        let (mut handshake, _) = client.accepted(token, "app").await;
        let salt = vec![1, 2, 3, 4];
        let md5 = Request::Md5Challenge(v2::Md5Challenge { salt });
        if handshake.ask(md5).await.is_ok() && evil.len() < 1 << 20 {
            let sqlstate = evil.clone();
            handshake
                .outcome(outcome::Result::Refused(outcome::Refused { sqlstate }))
                .await;
        }
        let (mut handshake, _) = client.accepted(token, "app").await;
        let offer = v2::ScramOffer {
            mechanisms: vec![evil.clone()],
            ..both(&[])
        };
        let message = handshake.server_first(b"salt", 4096);
        let first = crate::authenticator::client::challenge(offer, message.as_bytes());
        handshake.ask(first).await.unwrap_err();
        asked += 2;
    }
    asked
}

/// Names and labels of all that is measured.
fn series(metrics: &str) -> BTreeSet<String> {
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
        .collect()
}
