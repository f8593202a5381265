//! Starting, being asked how one is, and stopping.

use approzium_peers::certificates::{Authority, Signature};
use serde_json::Value;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    client::{Client, both, channel, tls, v2::outcome},
    process::{Dev, Process, command, https, limited, record, until, write_private},
};

const SALT: &[u8] = b"sixteen bytes ok";

#[tokio::test]
async fn logins_under_way_end_well_after_sigterm() {
    let mut dev = Dev::start(&record("app", "")).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    let (mut handshake, id) = client.accepted(&token, "app").await;

    dev.process.terminate();
    dev.process
        .line("draining", |line| line["message"] == "draining")
        .await;
    let signature = handshake.scram(both(&[]), SALT, 4096).await.unwrap();
    assert!(!dev.process.has_ended());
    let succeeded = outcome::Succeeded {
        server_signature: signature,
    };
    handshake
        .outcome(outcome::Result::Succeeded(succeeded))
        .await;
    // An idle connection keeps nobody waiting.
    assert!(dev.process.ended().await.success());
    drop(client);
    assert_eq!(dev.reason(&id, "outcome").await, "login_verified");
    let address = dev.variable("APPROZIUM_ADDRESS");
    assert!(channel(address, tls(&dev.authority())).await.is_err());
}

/// Whoever sends applications to it has to see that it goes before it is gone.
#[tokio::test]
async fn it_is_not_ready_before_it_takes_no_more_logins() {
    let dev = Dev::start_with(&record("app", ""), &["--drain-delay=60m"]).await;
    assert_eq!(dev.get("/v1/ready").await.0, 200);
    dev.process.terminate();
    // Also where nobody asks for more than metrics.
    until("the gauge", async || {
        (dev.metric("approzium_ready ").await == 0.0).then_some(())
    })
    .await;
    until("503", async || {
        (dev.get("/v1/ready").await.0 == 503).then_some(())
    })
    .await;
    let (status, ready) = dev.get("/readyz").await;
    assert!(
        status == 503 && ready.contains("\"draining\":true"),
        "{ready}"
    );
    assert_eq!(dev.get("/v1/health").await.0, 503);
    let channel = channel(dev.variable("APPROZIUM_ADDRESS"), tls(&dev.authority())).await;
    let mut health = HealthClient::new(channel.unwrap());
    until("NOT_SERVING", async || {
        let checked = health.check(HealthCheckRequest::default()).await.unwrap();
        (checked.into_inner().status() == ServingStatus::NotServing).then_some(())
    })
    .await;
    // Who has not seen it yet is served.
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    client.accepted(&token, "app").await;
}

#[tokio::test]
async fn health_is_answered_for_as_long_as_logins_are_under_way() {
    let mut dev = Dev::start(&record("app", "")).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    let login = client.accepted(&token, "app").await;
    dev.process.terminate();
    until("nobody is let in", async || {
        let address = dev.variable("APPROZIUM_ADDRESS");
        let refused = channel(address, tls(&dev.authority())).await.is_err();
        refused.then_some(())
    })
    .await;
    assert_eq!(dev.get("/v1/ready").await.0, 503);
    assert_eq!(dev.get("/livez").await.0, 200);
    drop((login, client));
    assert!(dev.process.ended().await.success());
}

/// There is no audit log of its own that it could open anew.
#[tokio::test]
async fn a_hangup_ends_nothing() {
    let mut dev = Dev::start(&record("app", "")).await;
    dev.process.hang_up();
    let heard = |line: &Value| {
        let message = line["message"].as_str();
        message.is_some_and(|message| message.starts_with("SIGHUP"))
    };
    dev.process.line("SIGHUP", heard).await;
    assert_eq!(dev.get("/v1/ready").await.0, 200);
    assert!(!dev.process.has_ended());
}

#[tokio::test]
async fn draining_has_an_end() {
    let mut dev = Dev::start_with(&record("app", ""), &["--drain-timeout=100ms"]).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    let _open = client.accepted(&token, "app").await;
    dev.process.terminate();
    assert!(dev.process.ended().await.success());
    let late = |line: &Value| {
        line["message"]
            .as_str()
            .is_some_and(|m| m.contains("under way"))
    };
    dev.process.line("a warning", late).await;
}

#[tokio::test]
async fn operators_are_answered() {
    let dev = Dev::start(&record("app", "")).await;
    let (status, text) = dev.get("/v1/health").await;
    assert_eq!(status, 200);
    let health: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    assert!(health["server_time_utc"].as_str().unwrap().ends_with('Z'));

    let client = Client::connect(&dev).await;
    client.token(&dev, "checkout").await;
    let text = dev.metrics().await;
    assert!(text.ends_with("# EOF\n"));
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(series.starts_with("approzium_"), "{line}");
        // Nobody is named.
        assert!(
            !line.contains("arn:") && !line.contains("checkout"),
            "{line}"
        );
    }
    assert_eq!(
        dev.metric("approzium_total_identity_verification_attempts")
            .await,
        1.0
    );
    let granted = "approzium_decisions_total{decision=\"allowed\",reason=\"session_granted\"}";
    assert_eq!(dev.metric(granted).await, 1.0);
    assert_eq!(dev.get("/").await.0, 404);
}

#[tokio::test]
async fn grpcs_own_health_protocol_is_spoken() {
    let dev = Dev::start("").await;
    let channel = channel(dev.variable("APPROZIUM_ADDRESS"), tls(&dev.authority())).await;
    let mut health = HealthClient::new(channel.unwrap());
    let mut check = async |service: &str| {
        let service = service.to_owned();
        let checked = health.check(HealthCheckRequest { service }).await;
        checked.map(|response| response.into_inner().status())
    };
    for service in ["", "approzium.v2.Authenticator"] {
        assert_eq!(check(service).await.unwrap(), ServingStatus::Serving);
    }
    assert_eq!(check("other").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn production_serves_with_its_own_certificate() {
    let authority = Authority::new(Signature::EcdsaP256Sha256);
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = authority
        .localhost()
        .write(folder.path(), "server")
        .unwrap();
    let secrets = folder.path().join("secrets.yaml");
    write_private(&secrets, &record("app", ""));
    let config = folder.path().join("config.yaml");
    let text = format!(
        "listener: {{grpc_port: 0, http_port: 0}}\nlogging: {{log_format: json}}\n\
         tls: {{tls_cert_path: {}, tls_key_path: {}}}\nsecrets: {{local_secrets_path: {}}}\n",
        chain.display(),
        key.display(),
        secrets.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut process = Process::start(command(&["--config", config.to_str().unwrap()]));
    let serving = process
        .line("serving", |line| line["message"] == "serving")
        .await;
    let http = serving["http"].as_str().unwrap();
    let url = format!("https://{http}/v1/health");
    let pem = authority.pem();
    let response = https(pem.as_bytes()).get(url).send().await.unwrap();
    assert_eq!(response.status(), 200);

    let grpc = serving["grpc"].as_str().unwrap();
    let client = Client::over(channel(grpc, tls(pem.as_bytes())).await.unwrap());
    assert_eq!(client.challenge().await.unwrap().nonce.len(), 32);
    drop(client);
    process.terminate();
    assert!(process.ended().await.success());
}

#[tokio::test]
async fn plaintext_is_served_on_loopback() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("secrets.yaml");
    write_private(&secrets, &record("app", ""));
    let mut process = Process::start(command(&[
        "--disable-tls",
        "--grpc-port=0",
        "--http-port=0",
        "--log-format=json",
        "--local-secrets-path",
        secrets.to_str().unwrap(),
    ]));
    let serving = process
        .line("serving", |line| line["message"] == "serving")
        .await;
    let url = format!("http://{}/v1/health", serving["http"].as_str().unwrap());
    let http = https(b"");
    let healthy = async || http.get(&url).send().await.ok();
    assert_eq!(until("an answer", healthy).await.status(), 200);
    process.terminate();
    assert!(process.ended().await.success());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_core_is_ever_written() {
    let dev = Dev::start("").await;
    assert_eq!(
        soft_and_hard(dev.process.id(), "Max core file size"),
        ["0", "0"]
    );
}

/// Its file of settings is a pipe, at which it waits for them.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_core_is_written_from_before_the_settings_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("approzium.yaml");
    let private = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        private,
        0,
    )
    .unwrap();
    let settings = format!("--config={}", pipe.display());
    let mut process = Process::start(command(&[&settings]));
    until("no core", async || {
        (soft_and_hard(process.id(), "Max core file size") == ["0", "0"]).then_some(())
    })
    .await;
    assert!(!process.has_ended());
    // It reads them, and says what is wrong.
    std::fs::write(&pipe, "listener: {grpc_prot: 1}\n").unwrap();
    until("its end", async || process.has_ended().then_some(())).await;
    assert!(process.log().concat().contains("grpc_prot"));
}

/// Each connection is a file, and many start whatever they start with a soft limit of 1,024.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn as_many_files_may_be_open_as_the_hard_limit_allows() {
    let folder = tempfile::tempdir().unwrap();
    let development = format!("--dev-dir={}", folder.path().display());
    let arguments = ["--dev", &development, "--grpc-port=0", "--http-port=0"];
    let process = Process::start(limited(&command(&arguments), "-Sn 256"));
    until("the hard limit", async || {
        let [soft, hard] = soft_and_hard(process.id(), "Max open files");
        (soft != "256" && soft == hard).then_some(())
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn too_few_files_for_its_connections_are_worth_a_warning() {
    for (connections, is_said) in [("10000", true), ("100", false)] {
        let folder = tempfile::tempdir().unwrap();
        let development = format!("--dev-dir={}", folder.path().display());
        let connections = format!("--max-connections={connections}");
        let mut arguments = vec!["--dev", "--grpc-port=0", "--http-port=0"];
        arguments.extend(["--log-format=json", &development, &connections]);
        let process = Process::start(limited(&command(&arguments), "-n 1000"));
        process
            .line("serving", |line| line["message"] == "serving")
            .await;
        let said = process.lines(|line| {
            let message = line["message"].as_str().unwrap_or_default();
            message.contains("no more than 1000 may be open") && line["level"] == "WARN"
        });
        assert_eq!(!said.is_empty(), is_said, "{said:?}");
    }
}

/// A limit of a process, by the words of the kernel.
#[cfg(target_os = "linux")]
fn soft_and_hard(process: u32, limit: &str) -> [String; 2] {
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let values = limits.lines().find_map(|line| line.strip_prefix(limit));
    let values: Vec<_> = values.unwrap().split_whitespace().collect();
    [values[0], values[1]].map(str::to_owned)
}
