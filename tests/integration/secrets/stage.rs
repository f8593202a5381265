//! A database, its record in OpenBao, an Authenticator between them, and applications before it.

use std::collections::BTreeMap;

use approzium::{
    AuthClient, Error,
    authenticator::{
        AuditLog, Authenticator, Running, SecretsManager, VaultSecretsBuilder, dev::DevSts,
    },
    postgres,
};
use approzium_peers::{Method, OpenBao, Postgres, Result, Rule};
use aws_credential_types::provider::SharedCredentialsProvider;
use serde_json::Value;
use tempfile::TempDir;

use super::{PASSWORD, secret};
use crate::authenticator::process::https;

/// Applications that connect at the same time, each with a session of its own.
const APPLICATIONS: usize = 2;

pub(super) struct Stage {
    postgres: Postgres,
    pub(super) bao: OpenBao,
    client: AuthClient,
    running: Running,
    sts: DevSts,
    folder: TempDir,
}

impl Stage {
    /// With a user `app`, whose password the database knows and OpenBao keeps.
    pub(super) async fn set(bao: OpenBao, vault: VaultSecretsBuilder) -> Result<Self> {
        let postgres = Postgres::builder()
            .without_tls()
            .rule(Rule::host("all", Method::ScramSha256))
            .start()
            .await?;
        let folder = tempfile::tempdir().unwrap();
        let audit = AuditLog::open(folder.path().join(AUDIT)).unwrap();
        let sts = DevSts::start(([127, 0, 0, 1], 0).into()).await.unwrap();
        let builder = Authenticator::builder()
            .disable_tls()
            .verifier(sts.verifier())
            .audit_log(audit)
            .secrets(SecretsManager::from(vault.build().unwrap()));
        let running = builder.start().await.unwrap();
        let stage = Stage {
            postgres,
            bao,
            client: application(&running, &sts),
            running,
            sts,
            folder,
        };
        stage.file(PASSWORD).await;
        stage.alter(PASSWORD).await;
        Ok(stage)
    }

    /// In the secrets manager.
    pub(super) async fn file(&self, password: &str) {
        let path = format!("approzium/localhost:{}", self.postgres.port());
        let secret = secret("app", password);
        self.bao.post(&path, &secret).await.unwrap();
    }

    /// In the database.
    pub(super) async fn alter(&self, password: &str) {
        let stored = Method::ScramSha256;
        self.postgres.role("app", password, stored).await.unwrap();
    }

    pub(super) fn applications(&self) -> Vec<AuthClient> {
        (0..APPLICATIONS)
            .map(|_| application(&self.running, &self.sts))
            .collect()
    }

    pub(super) fn string(&self, user: &str) -> String {
        let port = self.postgres.port();
        format!("host=localhost port={port} user={user} dbname=postgres sslmode=disable")
    }

    pub(super) async fn connect(&self) -> std::result::Result<(), Error> {
        self.connect_as("app").await
    }

    pub(super) async fn connect_as(&self, user: &str) -> std::result::Result<(), Error> {
        let client = postgres::connect_with(&self.string(user), &self.client).await?;
        client.query_one("SELECT 1", &[]).await.unwrap();
        Ok(())
    }

    /// Logins that the database refused: answers by a password that was not its.
    pub(super) async fn refused(&self) -> usize {
        let address = self.running.http_addr().unwrap();
        let url = format!("http://{address}/v1/metrics/prometheus");
        let text = https(&[]).get(url).send().await.unwrap().text().await;
        let text = text.unwrap();
        let series = "approzium_decisions_total{decision=\"outcome\",reason=\"login_refused\"}";
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.unwrap_or(0)
    }

    /// Why requests failed, by their ids.
    pub(super) fn failures(&self) -> BTreeMap<String, String> {
        let text = std::fs::read_to_string(self.folder.path().join(AUDIT)).unwrap();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let failed = lines.filter(|line| line["decision"] == "failed");
        let of = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
        failed
            .map(|line| (of(&line, "request_id"), of(&line, "reason")))
            .collect()
    }
}

const AUDIT: &str = "audit.jsonl";

fn application(running: &Running, sts: &DevSts) -> AuthClient {
    let credentials = sts.identity("checkout").unwrap().credentials();
    AuthClient::builder(format!("http://{}", running.grpc_addr()))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .region("eu-central-1")
        .attribution(false)
        .build()
        .unwrap()
}
