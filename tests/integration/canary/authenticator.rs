//! `approzium serve --dev` with everything logged, as a process of its own.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use approzium_peers::{Process, Redis, Stop, certificates};
use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{
    authenticator::client::{channel, credentials_in},
    v1::{
        client::{Client, PasswordRequest, rfc_7677, who},
        presigned::Presigned,
    },
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A running Authenticator.
pub(super) struct Authenticator {
    process: Process,
    folder: PathBuf,
    audit: PathBuf,
    environment: BTreeMap<String, String>,
}

/// What became of logins by the original's API.
pub(super) struct V1Logins {
    /// The answers, and the proof that they were had by.
    pub(super) secrets: Vec<(&'static str, Vec<u8>)>,
    /// What the client is told who is refused.
    pub(super) refused: String,
}

/// A record of its file.
pub(super) struct Record<'a> {
    pub(super) port: u16,
    pub(super) user: &'a str,
    pub(super) credential: Credential<'a>,
    pub(super) methods: &'a str,
}

#[derive(Clone, Copy)]
pub(super) enum Credential<'a> {
    Password(&'a str),
    /// `scram_sha_256`, and no password.
    Scram(&'a serde_json::Value),
    /// The two digests for MySQL, by their keys.
    Mysql(&'a serde_json::Value),
}

impl Authenticator {
    pub(super) async fn start(
        folder: &Path,
        records: &[Record<'_>],
        collector: &str,
        redis: &Redis,
    ) -> Self {
        let secrets = folder.join("secrets.yaml");
        let text: String = records.iter().map(Record::yaml).collect();
        fs::write(&secrets, text).unwrap();
        fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_approzium"));
        command
            .args(["serve", "--dev", "--grpc-port", "0", "--http-port", "0"])
            .arg("--v1-api")
            .arg(format!("--v1-replay-store={}", redis.url()))
            .arg("--v1-replay-store-password-path")
            .arg(redis.password_path())
            .args(["--log-level", "trace", "--log-format", "json"])
            .arg("--local-secrets-path")
            .arg(&secrets)
            .arg("--dev-dir")
            .arg(folder.join("dev"))
            .arg("--audit-log-path")
            .arg(folder.join("audit.jsonl"))
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
            .env("OTEL_METRICS_EXPORTER", "otlp")
            .env("OTEL_METRIC_EXPORT_INTERVAL", "200")
            .env("RUST_BACKTRACE", "1");
        let mut process = Process::start(
            "approzium serve --dev",
            &mut command,
            Stop::Terminate,
            &folder.join("authenticator.log"),
            None,
        )
        .unwrap();
        let env = folder.join("dev/env");
        process
            .until(PATIENCE, async || env.exists())
            .await
            .unwrap();
        Authenticator {
            process,
            folder: folder.join("dev"),
            audit: folder.join("audit.jsonl"),
            environment: exports(&fs::read_to_string(env).unwrap()),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What an application is given.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        self.environment.clone().into_iter().collect()
    }

    /// The secret halves of the identities that it made, by what they are.
    pub(super) fn credentials(&self) -> Vec<(String, String)> {
        let file = fs::read_to_string(self.folder.join("credentials")).unwrap();
        let mut profile = String::new();
        let mut secrets = Vec::new();
        for line in file.lines() {
            if let Some(name) = line.strip_prefix('[') {
                profile = name.trim_end_matches(']').to_owned();
            } else if let Some((key, value)) = line.split_once(" = ")
                && key != "aws_access_key_id"
            {
                secrets.push((format!("{profile}'s {key}"), value.to_owned()));
            }
        }
        secrets
    }

    /// One login by each method of the original's API, and one that is refused.
    pub(super) async fn v1_logins(&self, port: u16) -> V1Logins {
        let address = &self.environment["APPROZIUM_ADDRESS"];
        let client = Client::over(channel(address, self.tls()).await.unwrap());
        let presigned = Presigned {
            origin: self.environment["AWS_ENDPOINT_URL_STS"].clone(),
            ..Presigned::for_region("us-east-1")
        };
        let file = &self.environment["AWS_SHARED_CREDENTIALS_FILE"];
        let url = presigned.url(&credentials_in(Path::new(file), "checkout"));
        let claimed = "arn:aws:sts::000000000000:assumed-role/checkout/dev";
        let who = |user| PasswordRequest {
            dbhost: "localhost".into(),
            dbport: port.to_string(),
            ..who(&url, claimed, user)
        };
        let md5 = client.md5(&who("old"), &[7; 4]).await.unwrap();
        let scram = client.scram(rfc_7677(&who("app"))).await.unwrap();
        let mysql = client.mysql(&who("shopping"), &[7; 20]).await.unwrap();
        let refused = client.md5(&who("nobody"), &[7; 4]).await.unwrap_err();
        let (_, signature) = url.split_once("X-Amz-Signature=").unwrap();
        let decoded = |text: &str| BASE64_STANDARD.decode(text).unwrap();
        V1Logins {
            secrets: vec![
                ("v1's MD5 answer", md5.into_bytes()),
                ("v1's ClientProof", decoded(&scram.cproof)),
                ("v1's ServerSignature", decoded(&scram.sproof)),
                ("v1's MySQL answer", mysql),
                ("the signature of v1's proof", signature.as_bytes().to_vec()),
            ],
            refused: format!("{refused}\n{refused:?}"),
        }
    }

    fn tls(&self) -> rustls::ClientConfig {
        let pem = fs::read_to_string(&self.environment["APPROZIUM_CA"]).unwrap();
        let digits: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let authority = BASE64_STANDARD.decode(digits).unwrap();
        certificates::client_configuration(&[authority])
    }

    /// What Prometheus is told.
    pub(super) async fn metrics(&self) -> String {
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(self.tls())
            .build()
            .unwrap();
        let url = &self.environment["APPROZIUM_HTTP_URL"];
        let response = http
            .get(format!("{url}/v1/metrics/prometheus"))
            .send()
            .await
            .unwrap();
        response.text().await.unwrap()
    }

    /// Stops it, and returns its log and its audit log.
    pub(super) async fn end(mut self) -> (String, String) {
        self.process.signal(Stop::Terminate);
        let status = self.process.finish(PATIENCE).await.unwrap();
        let log = self.process.log();
        assert!(status.success(), "{status}: {log}");
        (log, fs::read_to_string(&self.audit).unwrap())
    }
}

impl Record<'_> {
    fn yaml(&self) -> String {
        let Record {
            port,
            user,
            credential,
            methods,
        } = self;
        let credential = match credential {
            Credential::Password(password) => format!("password: '{password}'"),
            Credential::Scram(digests) => format!("scram_sha_256: {digests}"),
            Credential::Mysql(digests) => ["mysql_native_password", "caching_sha2_password"]
                .map(|key| format!("{key}: {}", digests[key]))
                .join("\n  "),
        };
        format!(
            "- dbhost: localhost\n  dbport: {port}\n  dbuser: {user}\n  {credential}\n  \
             iam_arn: arn:aws:iam::000000000000:role/checkout\n  methods: [{methods}]\n"
        )
    }
}

/// The lines `export NAME='value'`.
fn exports(file: &str) -> BTreeMap<String, String> {
    let lines = file.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
        Some((name.to_owned(), value.trim_matches('\'').to_owned()))
    });
    lines.collect()
}
