//! An Authenticator for one test: the real one, with the stand-in STS of development mode.

use std::{io::Write, net::SocketAddr, os::unix::fs::OpenOptionsExt, path::PathBuf, sync::Mutex};

use approzium::{
    AuthClient,
    authenticator::{self, LocalSecrets, Running, dev::DevSts},
    client::AuthClientBuilder,
    opentelemetry::Instrumentation,
};
use aws_credential_types::provider::SharedCredentialsProvider;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Speaks plaintext on loopback. Its client is the role `checkout`.
pub(super) struct Authenticator {
    running: Running,
    client: AuthClient,
    records: Mutex<Vec<Record>>,
    path: PathBuf,
    _folder: tempfile::TempDir,
    sts: DevSts,
}

struct Record {
    host: String,
    port: u16,
    user: String,
    /// A line of YAML.
    credential: String,
    more: String,
}

impl Authenticator {
    pub(super) async fn start() -> Self {
        let loopback = ([127, 0, 0, 1], 0).into();
        let sts = DevSts::start(loopback).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.yaml");
        write(&path, "[]");
        let running = authenticator::Authenticator::builder()
            .disable_tls()
            .verifier(sts.verifier())
            .secrets(LocalSecrets::open(&path).unwrap())
            .start()
            .await
            .unwrap();
        let client = client(&sts, running.grpc_addr());
        // From here on each call is a handshake.
        client.authenticate().await.unwrap();
        Authenticator {
            running,
            client,
            records: Mutex::default(),
            path,
            _folder: folder,
            sts,
        }
    }

    pub(super) fn client(&self) -> &AuthClient {
        &self.client
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.running.grpc_addr()
    }

    /// A client that dials something else, which stands before this one.
    pub(super) fn client_by(&self, address: SocketAddr) -> AuthClient {
        client(&self.sts, address)
    }

    /// A client whose connects and queries are told of by this alone.
    pub(super) fn client_told_of_by(&self, instrumentation: Instrumentation) -> AuthClient {
        builder(&self.sts, self.address())
            .instrumentation(instrumentation)
            .build()
            .unwrap()
    }

    /// Files a password, in place of one filed before, under each name of loopback.
    pub(super) fn record(&self, port: u16, user: &str, password: &str) {
        for host in ["localhost", "127.0.0.1", "db.internal"] {
            self.record_at(
                host,
                port,
                user,
                password,
                "  methods: [md5, scram-sha-256, scram-sha-256-plus]\n",
            );
        }
    }

    /// Files a password for the databases with these certificates alone.
    pub(super) fn pinned(&self, port: u16, user: &str, password: &str, certificate: &[u8]) {
        let digits: String = certificate
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let pins = format!("  pinned_certificates: [\"{digits}\"]\n");
        self.record_at("localhost", port, user, password, &pins);
    }

    /// Files digests, in place of what was filed before.
    pub(super) fn digests(&self, port: u16, user: &str, digests: &serde_json::Value) {
        let credential = format!("scram_sha_256: {digests}");
        self.file("localhost", port, user, credential, "");
    }

    pub(super) fn record_at(&self, host: &str, port: u16, user: &str, password: &str, more: &str) {
        self.file(host, port, user, format!("password: {password}"), more);
    }

    fn file(&self, host: &str, port: u16, user: &str, credential: String, more: &str) {
        let mut records = self.records.lock().unwrap();
        records
            .retain(|one| (one.host.as_str(), one.port, one.user.as_str()) != (host, port, user));
        records.push(Record {
            host: host.to_owned(),
            port,
            user: user.to_owned(),
            credential,
            more: more.to_owned(),
        });
        let mut text = String::new();
        for Record {
            host,
            port,
            user,
            credential,
            more,
        } in records.iter()
        {
            text.push_str(&format!(
                "- dbhost: {host}\n  dbport: {port}\n  dbuser: {user}\n  {credential}\n  \
                 iam_arn: arn:aws:iam::000000000000:role/checkout\n{more}"
            ));
        }
        write(&self.path, &text);
    }

    /// How many handshakes were begun.
    pub(super) async fn handshakes(&self) -> u64 {
        let calls = self.metric("approzium_total_requests").await;
        // One of them made the session.
        calls - 1
    }

    /// A metric by its name and labels; zero if it is not there.
    pub(super) async fn metric(&self, name: &str) -> u64 {
        let address = self.running.http_addr().unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET /v1/metrics/prometheus HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
            .unwrap_or(0)
    }
}

fn client(sts: &DevSts, address: SocketAddr) -> AuthClient {
    builder(sts, address).build().unwrap()
}

fn builder(sts: &DevSts, address: SocketAddr) -> AuthClientBuilder {
    let credentials = sts.identity("checkout").unwrap().credentials();
    AuthClient::builder(format!("http://{address}"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .region("eu-central-1")
        .attribution(false)
}

/// Replaces the file at once, so that it is never read half written.
fn write(path: &PathBuf, text: &str) {
    let draft = path.with_extension("draft");
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    std::fs::rename(&draft, path).unwrap();
}
