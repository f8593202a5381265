//! The servers start, answer, and leave nothing behind.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that fails should fail loudly"
)]

use approzium_peers::{
    Chromium, Envoy, Jaeger, MariaDb, Method, Moto, OpenBao, Postgres, Process, Prometheus,
    PythonSdk, Rule, Stop, capture, eventually, free_port, peer,
};
use tokio::io::AsyncReadExt;
use tokio_postgres::NoTls;

async fn log_in(postgres: &Postgres, password: &str) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::Config::new()
        .host(postgres.host())
        .port(postgres.port())
        .user("app")
        .password(password)
        .dbname("postgres")
        .connect(NoTls)
        .await?;
    drop(client);
    connection.await
}

async fn postgres(version: u32) {
    let mut postgres = peer!(
        Postgres::builder()
            .version(version)
            .rule(Rule::host_no_ssl("app", Method::ScramSha256))
            .start()
    );
    assert_eq!(postgres.version(), version);
    postgres
        .role("app", "first", Method::ScramSha256)
        .await
        .unwrap();
    log_in(&postgres, "first").await.unwrap();
    let refused = log_in(&postgres, "other").await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "28P01");

    let ssl = postgres.sql("SHOW ssl").await.unwrap();
    assert_eq!(ssl[0][0].as_deref(), Some("on"));

    let only_tls = Rule::host_ssl("app", Method::ScramSha256);
    postgres.set_rules(&[only_tls]).await.unwrap();
    let refused = log_in(&postgres, "first").await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "28000");

    let anyone = Rule::host("all", Method::Trust);
    postgres.set_rules(&[anyone]).await.unwrap();
    postgres.restart().await.unwrap();
    log_in(&postgres, "").await.unwrap();

    let folder = postgres.socket_folder().to_owned();
    let port = postgres.port();
    drop(postgres);
    assert!(!folder.exists());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[tokio::test]
async fn postgres_15() {
    postgres(15).await;
}

#[tokio::test]
async fn postgres_18() {
    postgres(18).await;
}

#[tokio::test]
async fn openbao_keeps_secrets_until_it_is_sealed() {
    let bao = peer!(OpenBao::start());
    bao.mount_kv("kept", 1).await.unwrap();
    let secret = serde_json::json!({"password": "hunter2"});
    bao.post("kept/one", &secret).await.unwrap();
    let ask = async || {
        let nothing = serde_json::Value::Null;
        let asked = bao.ask(reqwest::Method::GET, "kept/one", &nothing);
        asked.await.map(|answer| answer["data"].clone())
    };
    assert_eq!(ask().await.unwrap(), secret);
    bao.seal().await.unwrap();
    assert!(ask().await.unwrap_err().to_string().contains("sealed"));
    bao.unseal().await.unwrap();
    let kept = eventually(
        "what was kept",
        std::time::Duration::from_secs(10),
        async || ask().await.ok(),
    );
    assert_eq!(kept.await, secret);
}

#[tokio::test]
async fn envoy_does_what_its_configuration_says() {
    let port = free_port();
    let configuration = format!(
        r#"
static_resources:
  listeners:
    - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
      filter_chains:
        - filters:
            - name: envoy.filters.network.direct_response
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config
                response: {{ inline_string: here }}
"#
    );
    let envoy = peer!(Envoy::start(&configuration));
    let mut connection = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    let mut said = String::new();
    connection.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "here");
    let listeners = "listener_manager.total_listeners_active";
    assert_eq!(envoy.statistic(listeners).await.unwrap(), 1);
    assert!(envoy.statistic("no_such_thing").await.is_err());
    drop(envoy);
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[tokio::test]
async fn jaeger_takes_spans_and_finds_them_by_tag() {
    let jaeger = peer!(Jaeger::start());
    let attribute =
        |key: &str, value: &str| serde_json::json!({"key": key, "value": {"stringValue": value}});
    let spans = serde_json::json!({"resourceSpans": [{
        "resource": {"attributes": [attribute("service.name", "shop")]},
        "scopeSpans": [{"spans": [{
            "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331",
            "name": "SELECT orders", "kind": 3,
            "startTimeUnixNano": now(), "endTimeUnixNano": now(),
            "status": {"code": 2}, "attributes": [
                attribute("approzium.iam_role", "checkout"), attribute("error.type", "42P01"),
            ],
        }]}],
    }]});
    let sent = reqwest::Client::builder()
        .tls_backend_preconfigured(approzium_peers::certificates::client_configuration(&[]))
        .build()
        .unwrap()
        .post(format!("{}/v1/traces", jaeger.otlp_http()))
        .json(&spans)
        .send()
        .await
        .unwrap();
    assert!(sent.status().is_success(), "{sent:?}");

    let query = jaeger.query();
    let trace = query
        .trace("0af7651916cd43dd8448eb211c80319c")
        .await
        .unwrap()
        .unwrap();
    assert!(trace.only("SELECT orders").failed());
    let found = query
        .traces(
            "shop",
            &[("approzium.iam_role", "checkout"), ("error.type", "42P01")],
        )
        .await;
    assert_eq!(found.unwrap().len(), 1);
    let other = query
        .traces("shop", &[("approzium.iam_role", "reports")])
        .await;
    assert!(other.unwrap().is_empty());
    assert!(
        query
            .trace("0af7651916cd43dd8448eb211c80319d")
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn chromium_shows_what_is_on_this_machine_and_goes_nowhere_else() {
    let mut chromium = peer!(Chromium::start());
    let page =
        "data:text/html,<p>here</p><script>setTimeout(() => document.title = 'ready')</script>";
    chromium.open(page).await.unwrap();
    let title = chromium.until("its script", "document.title").await;
    assert_eq!(title.unwrap(), "ready");
    let text = chromium.evaluate("document.querySelector('p').innerText");
    assert_eq!(text.await.unwrap(), "here");
    let thrown = chromium.evaluate("nothing.there").await.unwrap_err();
    assert!(thrown.to_string().contains("ReferenceError"), "{thrown}");
    chromium.resize(40, 30).await.unwrap();
    let png = chromium.screenshot().await.unwrap();
    // The header of a PNG: its signature, then a chunk with its width and height.
    assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
    assert_eq!(png[16..24], [0, 0, 0, 40, 0, 0, 0, 30]);

    let elsewhere = chromium.open("http://elsewhere.example/").await;
    let error = elsewhere.unwrap_err().to_string();
    assert!(error.contains("ERR_NAME_NOT_RESOLVED"), "{error}");

    let folder = chromium.folder().to_owned();
    drop(chromium);
    assert!(!folder.exists());
}

fn now() -> String {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos()
        .to_string()
}

#[tokio::test]
async fn moto_makes_users_and_roles_and_checks_signatures() {
    let moto = peer!(Moto::start());
    let user = moto.user("alice").await.unwrap();
    assert!(user.access_key_id.starts_with("AKIA") && user.session_token.is_none());
    let role = moto
        .assumed_role(
            approzium_peers::moto::ACCOUNT,
            "/team/",
            "checkout",
            "pod-7",
        )
        .await
        .unwrap();
    assert_eq!(
        role.arn,
        "arn:aws:sts::123456789012:assumed-role/checkout/pod-7"
    );
    let stranger = moto
        .assumed_role("210987654321", "/", "checkout", "pod-7")
        .await
        .unwrap();
    assert_eq!(
        stranger.arn,
        "arn:aws:sts::210987654321:assumed-role/checkout/pod-7"
    );

    assert_eq!(moto.identity_requests(), 0);
    let authority = moto.authority().der();
    let unsigned = reqwest::Client::builder()
        .tls_backend_preconfigured(approzium_peers::certificates::client_configuration(&[authority]))
        .resolve("sts.eu-west-1.amazonaws.com", moto.address())
        .build()
        .unwrap()
        .post(format!("https://sts.eu-west-1.amazonaws.com:{}/", moto.address().port()))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20260101/eu-west-1/sts/aws4_request, SignedHeaders=host, Signature=0")
        .body("Action=GetCallerIdentity&Version=2011-06-15")
        .send()
        .await
        .unwrap();
    assert_eq!(unsigned.status(), 403);
    assert_eq!(moto.identity_requests(), 1);
}

#[tokio::test]
async fn prometheus_scrapes_what_it_is_told_and_answers() {
    let prometheus = peer!(Prometheus::start());
    let refused = prometheus.configure("scrape_configs: none").await;
    assert!(refused.is_err());
    let itself = prometheus.url().trim_start_matches("http://");
    let job = format!(
        "global: {{scrape_interval: 100ms}}\n\
         scrape_configs: [{{job_name: itself, static_configs: [{{targets: [\"{itself}\"]}}]}}]"
    );
    prometheus.configure(&job).await.unwrap();
    let up = async || {
        let samples = prometheus.query("up").await.unwrap();
        samples.into_iter().find(|sample| sample.value == 1.0)
    };
    let up = eventually("a scrape", std::time::Duration::from_secs(20), up).await;
    assert_eq!(up.labels["job"], "itself");
    assert!(prometheus.names().await.unwrap().contains(&"up".into()));
    let scalar = prometheus.query("1 + 1").await.unwrap();
    assert_eq!(scalar[0].value, 2.0);
    let wrong = prometheus.query("sum(").await.unwrap_err();
    assert!(wrong.to_string().contains("parse error"), "{wrong}");
}

#[tokio::test]
async fn mariadb_greets_with_native_passwords_and_tls() {
    const CLIENT_SSL: u16 = 1 << 11;
    let mariadb = peer!(MariaDb::builder().user("app", "it's \\ secret").start());
    let mut stream = tokio::net::TcpStream::connect((mariadb.host(), mariadb.port()))
        .await
        .unwrap();
    let mut header = [0; 4];
    stream.read_exact(&mut header).await.unwrap();
    let mut greeting = vec![0; usize::from(header[0])];
    stream.read_exact(&mut greeting).await.unwrap();
    let said = String::from_utf8_lossy(&greeting).into_owned();
    assert!(said.contains("MariaDB"), "{said}");
    assert!(said.ends_with("mysql_native_password\0"), "{said}");
    // Behind the version: the connection's number, half of the challenge, and a zero.
    let version_end = greeting.iter().position(|byte| *byte == 0).unwrap();
    let able = &greeting[version_end + 1 + 4 + 8 + 1..];
    assert_ne!(u16::from_le_bytes([able[0], able[1]]) & CLIENT_SSL, 0);
    let log = mariadb.log();
    assert!(!log.contains("ERROR"), "{log}");

    let (port, ca) = (mariadb.port(), mariadb.ca_path());
    drop(mariadb);
    assert!(!ca.exists());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[tokio::test]
async fn the_python_sdk_is_there_and_wants_to_know_who_it_is() {
    let sdk = peer!(PythonSdk::install());
    let asked = serde_json::json!({"address": "127.0.0.1:1", "logins": []});
    let nowhere = [
        ("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_MAX_ATTEMPTS", "1"),
    ];
    let nowhere = nowhere.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let failed = sdk.logins(&nowhere.into(), &asked).await.unwrap_err();
    let said = failed.to_string();
    assert!(said.contains("EndpointConnectionError"), "{said}");
}

/// What the owner of the next test's process says before it dies.
const OWNED: &str = "owned process ";

#[test]
#[ignore = "runs in the process that the next test starts"]
fn owner_that_dies() {
    let folder = std::env::var_os("APPROZIUM_OWNED_FOLDER").unwrap();
    let folder = std::path::PathBuf::from(folder);
    let owned = Process::start(
        "sleep",
        std::process::Command::new("sleep").arg("600"),
        Stop::Terminate,
        &folder.join("log"),
        Some(&folder),
    )
    .unwrap();
    println!("{OWNED}{}", owned.id());
    std::process::abort();
}

#[tokio::test]
async fn a_process_ends_with_its_owner_and_its_folder_goes() {
    let folder = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "owner_that_dies", "--nocapture"])
        .env("APPROZIUM_OWNED_FOLDER", folder.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let id = said
        .lines()
        .find_map(|line| line.split_once(OWNED))
        .unwrap()
        .1;
    eventually(
        "the end of both",
        std::time::Duration::from_secs(20),
        async || {
            // Nobody may have waited for it yet: then it is dead and still listed.
            let mut state = tokio::process::Command::new("ps");
            state.args(["-o", "stat=", "-p", id.trim()]);
            let state = capture(&mut state).await.unwrap_or_default();
            let running = !state.trim().is_empty() && !state.starts_with('Z');
            (!running && !folder.path().exists()).then_some(())
        },
    )
    .await;
}
