//! What operators see: readiness, and the audit log as a stream of its own.

use std::{os::unix::fs::PermissionsExt, path::Path};

use serde_json::Value;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    client::{Client, both, channel, start, tls},
    process::{Dev, record, until},
};

async fn ready(dev: &Dev) -> (u16, Value) {
    let (status, text) = dev.get("/v1/ready").await;
    (status.as_u16(), serde_json::from_str(&text).unwrap())
}

#[tokio::test]
async fn readiness_says_what_is_not_ready_and_liveness_does_not_care() {
    let dev = Dev::start(&record("app", "")).await;
    let (status, body) = ready(&dev).await;
    assert_eq!((status, &body["status"]), (200, &"ready".into()), "{body}");
    assert_eq!(body["certificate"], "ok");
    assert_eq!(dev.get("/readyz").await.0, 200);
    let channel = channel(dev.variable("APPROZIUM_ADDRESS"), tls(&dev.authority())).await;
    let mut health = HealthClient::new(channel.unwrap());
    let mut serves = async |expected: ServingStatus| {
        for service in ["", "approzium.v2.Authenticator"] {
            let what = format!("{service:?} is {expected:?}");
            until(&what, async || {
                let service = service.to_owned();
                let answer = health.check(HealthCheckRequest { service }).await.unwrap();
                (answer.into_inner().status() == expected).then_some(())
            })
            .await;
        }
    };
    serves(ServingStatus::Serving).await;

    std::fs::write(dev.records(), "- password: canary-hunter2\n").unwrap();
    let body = until("not ready", async || {
        let (status, body) = ready(&dev).await;
        (status == 503).then_some(body)
    })
    .await;
    assert!(
        body["secrets"].as_str().unwrap().starts_with("secrets_"),
        "{body}"
    );
    assert_eq!(body["certificate"], "ok");
    assert!(!body.to_string().contains("hunter2"), "{body}");
    serves(ServingStatus::NotServing).await;
    assert_eq!(dev.metric("approzium_ready ").await, 0.0);
    for path in ["/v1/live", "/livez", "/v1/health"] {
        assert_eq!(dev.get(path).await.0, 200, "{path}");
    }

    std::fs::remove_file(dev.records()).unwrap();
    let absent = dev.process.line("another reason", |line| {
        let not_ready = "not ready: no records can be had";
        line["message"] == not_ready && line["detail"].to_string().contains("No such file")
    });
    absent.await;

    std::fs::write(dev.records(), record("app", "")).unwrap();
    let again = "records can be had again";
    dev.process
        .line(again, |line| line["message"] == again)
        .await;
    serves(ServingStatus::Serving).await;
    assert_eq!(ready(&dev).await.0, 200);
    assert!(
        dev.metric("approzium_certificate_expiry_timestamp_seconds")
            .await
            > 0.0
    );
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn line(path: &Path, request_id: &str, decision: &str) -> Value {
    until("the audit line", async || {
        lines(path)
            .into_iter()
            .find(|line| line["request_id"] == request_id && line["decision"] == decision)
    })
    .await
}

#[tokio::test]
async fn the_audit_log_is_a_stream_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let flag = format!("--audit-log-path={}", path.display());
    let dev = Dev::start_with(&record("app", ""), &[&flag]).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let (mut handshake, id) = client.accepted(&token, "app").await;
    let salt = b"sixteen bytes ok";
    handshake.scram(both(&[]), salt, 4096).await.unwrap();
    let allowed = line(&path, &id, "allowed").await;
    assert_eq!(allowed["reason"], "scram_answered");
    assert_eq!(allowed["method"], "scram-sha-256");
    assert_eq!(allowed["dbuser"], "app");
    let arn = allowed["iam_arn"].as_str().unwrap();
    assert!(arn.contains("checkout"), "{arn}");
    let in_log = dev
        .process
        .lines(|line| line["target"] == "approzium::audit");
    assert!(in_log.is_empty(), "{in_log:?}");

    // Moved, the file is begun anew.
    let moved = folder.path().join("audit.jsonl.1");
    std::fs::rename(&path, &moved).unwrap();
    client.start(start(&token, "nobody")).await.refusal().await;
    let denied = until("the line", async || {
        let denied = |line: &Value| line["reason"] == "no_record";
        lines(&path).into_iter().find(denied)
    })
    .await;
    assert_eq!(denied["decision"], "denied");
    assert!(!lines(&moved).contains(&denied));

    std::fs::remove_file(&path).unwrap();
    dev.process.hang_up();
    until("the file is there again", async || {
        path.exists().then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_audit_line_that_cannot_be_written_is_loud_and_not_lost() {
    let dev = Dev::start_with(&record("app", ""), &["--audit-log-path=/dev/full"]).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    let (_handshake, _) = client.accepted(&token, "app").await;
    let lost = dev
        .process
        .line("the line in the log", |line| {
            line["target"] == "approzium::audit" && line["reason"] == "session_granted"
        })
        .await;
    assert_eq!(lost["level"], "ERROR");
    assert!(lost["not_written"].is_string(), "{lost}");
    assert!(lost["iam_arn"].as_str().unwrap().contains("checkout"));
    assert!(dev.metric("approzium_audit_write_failures_total").await >= 1.0);
}

/// A pipe whose reader hangs: `docker logs`, a journal that is stuck, a shipper that was stopped.
#[tokio::test]
async fn a_log_that_nobody_reads_holds_nobody_up_and_what_is_lost_of_it_is_said() {
    let mut dev = Dev::start_unread(&record("app", ""), &["--log-level=trace"]).await;
    let lost = "approzium_log_lines_lost_total";
    until("more lines than may wait", async || {
        (dev.metric(lost).await > 0.0).then_some(())
    })
    .await;
    let client = Client::connect(&dev).await;
    client.token(&dev, "checkout").await;
    assert_eq!(dev.get("/livez").await.0, 200);
    // Its line is written when somebody reads again, and is not written now.
    assert!(dev.metric("approzium_audit_write_failures_total").await >= 1.0);

    dev.process.read();
    dev.process
        .line("the audit line", |line| line["reason"] == "session_granted")
        .await;
    let said = dev.process.line("what was lost", |line| {
        let message = line["message"].as_str().unwrap_or_default();
        message.starts_with("lines of the log were lost")
    });
    assert!(said.await["lines"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn audit_lines_go_to_standard_output() {
    let dev = Dev::start_with(&record("app", ""), &["--audit-log-path=-"]).await;
    let client = Client::connect(&dev).await;
    client.token(&dev, "checkout").await;
    until("the line", async || {
        let lines = dev.process.out();
        let mut lines = lines
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["reason"] == "session_granted")
    })
    .await;
}
