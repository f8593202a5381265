//! What the Authenticator refuses, asked through the whole service: one text for each kind of
//! refusal, one reason of a closed list for the operator, and nobody else is kept waiting.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, LazyLock, Mutex},
};

use approzium::{
    authenticator::{
        Authenticator, AuthenticatorBuilder, LocalSecrets, Running, ServerTls, dev::DevSts,
    },
    identity::aws::{Signer, Verifier},
};
use approzium_peers::Authority;
use serde_json::Value;
use tracing::{Dispatch, subscriber::DefaultGuard};
use tracing_subscriber::{Registry, layer::SubscriberExt as _};

use crate::authenticator::{
    client::{Client, channel, signer_of, tls},
    process::{https, until, write_private},
};

mod answers;
mod bounds;
mod connections;
mod documented;
mod lengths;
mod lies;
mod log;
mod names;
mod proofs;
mod records;
mod series;
mod strangers;
mod tokens;
mod unary;

pub(crate) const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// An Authenticator in this process, over TLS.
pub(crate) struct House {
    authority: Authority,
    folder: tempfile::TempDir,
    running: Running,
}

impl House {
    async fn start(verifier: impl Verifier, records: &str) -> Self {
        Self::start_with(verifier, records, |builder, _| builder).await
    }

    pub(crate) async fn start_with(
        verifier: impl Verifier,
        records: &str,
        change: impl FnOnce(AuthenticatorBuilder, &Authority) -> AuthenticatorBuilder,
    ) -> Self {
        let authority = Authority::default();
        let folder = tempfile::tempdir().unwrap();
        let secrets = folder.path().join("secrets.yaml");
        write_private(&secrets, records);
        let builder = Authenticator::builder()
            .tls(server_tls(&authority, &NAMES))
            .verifier(verifier)
            .secrets(LocalSecrets::open(&secrets).unwrap());
        let running = change(builder, &authority).start().await.unwrap();
        House {
            authority,
            folder,
            running,
        }
    }

    pub(crate) fn address(&self) -> String {
        self.running.grpc_addr().to_string()
    }

    pub(crate) fn tls(&self) -> rustls::ClientConfig {
        tls(self.authority.pem().as_bytes())
    }

    pub(crate) async fn client(&self) -> Client {
        Client::over(channel(&self.address(), self.tls()).await.unwrap())
    }

    fn secrets(&self) -> PathBuf {
        self.folder.path().join("secrets.yaml")
    }

    /// The value of one series; 0 where it has not begun.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let address = self.running.http_addr().unwrap();
        let url = format!("https://{address}/v1/metrics/prometheus");
        let http = https(self.authority.pem().as_bytes());
        let text = http.get(url).send().await.unwrap().text().await.unwrap();
        text.lines()
            .find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
            .unwrap_or(0.0)
    }
}

pub(crate) fn server_tls(authority: &Authority, names: &[&str]) -> ServerTls {
    let certificate = authority.server(names);
    let (chain, key) = (certificate.certificate_pem, certificate.key_pem);
    ServerTls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()
}

pub(crate) async fn dev_sts() -> DevSts {
    DevSts::start(([127, 0, 0, 1], 0).into()).await.unwrap()
}

/// Signs as one of the identities of development mode.
pub(crate) async fn dev_signer(sts: &DevSts, name: &str) -> Signer {
    signer_of(sts.identity(name).unwrap().credentials()).await
}

/// What this thread logs while it lasts: one JSON object a line, as `serve` writes them.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn start() -> (Self, DefaultGuard) {
        // Were this the only subscriber, another test's thread, which has none, could be the first
        // to come by a line, and alone decide that nobody ever wants it.
        static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Registry::default()));
        LazyLock::force(&ANOTHER);
        let log = Log::default();
        let writer = log.clone();
        let layer = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(layer);
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn lines(&self, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        let written = self.0.lock().unwrap();
        String::from_utf8_lossy(&written)
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|line| fits(line))
            .collect()
    }

    /// The audit line of a request with this decision.
    pub(crate) async fn audit(&self, request_id: &str, decision: &str) -> Value {
        until("an audit line", async || {
            let mut lines = self.lines(|line| {
                line["target"] == "approzium::audit"
                    && line["request_id"] == request_id
                    && line["decision"] == decision
            });
            assert!(lines.len() <= 1, "{lines:?}");
            lines.pop()
        })
        .await
    }

    pub(crate) async fn reason(&self, request_id: &str, decision: &str) -> String {
        let line = self.audit(request_id, decision).await;
        line["reason"].as_str().unwrap().to_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
