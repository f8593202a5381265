//! The database's password is changed, in the database and in the secrets manager, while
//! applications connect.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use approzium::{
    AuthClient, Error,
    authenticator::{
        Authenticator, Running, SecretsManager, VaultLogin, VaultSecrets, dev::DevSts,
    },
    postgres::Config,
};
use approzium_peers::{Method, OpenBao, Postgres, Rule, peer};
use aws_credential_types::provider::SharedCredentialsProvider;

use super::secret;
use crate::authenticator::process::https;

const FIRST: &str = "canary-first";
const SECOND: &str = "canary-second";

/// Applications that connect at the same time.
const APPLICATIONS: usize = 4;
/// Connects of each before the rotation, and after it.
const CONNECTS: usize = 10;

/// A database, its record in OpenBao, and an Authenticator that keeps what it read, for a minute if
/// nothing else is said.
struct Stage {
    postgres: Postgres,
    bao: OpenBao,
    client: AuthClient,
    running: Running,
    _sts: DevSts,
}

impl Stage {
    async fn set() -> approzium_peers::Result<Self> {
        Self::with_ttl(Duration::from_secs(60)).await
    }

    async fn with_ttl(ttl: Duration) -> approzium_peers::Result<Self> {
        let (postgres, bao) = tokio::join!(
            Postgres::builder()
                .without_tls()
                .rule(Rule::host("all", Method::ScramSha256))
                .start(),
            OpenBao::start()
        );
        let (postgres, bao) = (postgres?, bao?);
        bao.mount_kv("approzium", 1).await?;
        let vault = VaultSecrets::builder(bao.url())
            .login(VaultLogin::token(OpenBao::ROOT))
            .ttl(ttl);
        let vault = SecretsManager::from(vault.build().unwrap());
        let sts = DevSts::start(([127, 0, 0, 1], 0).into()).await.unwrap();
        let builder = Authenticator::builder()
            .disable_tls()
            .verifier(sts.verifier())
            .secrets(vault);
        let running = builder.start().await.unwrap();
        let credentials = sts.identity("checkout").unwrap().credentials();
        let client = AuthClient::builder(format!("http://{}", running.grpc_addr()))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .region("eu-central-1")
            .attribution(false)
            .build()
            .unwrap();
        let stage = Stage {
            postgres,
            bao,
            client,
            running,
            _sts: sts,
        };
        stage.file(FIRST).await;
        stage.alter(FIRST).await;
        Ok(stage)
    }

    /// In the secrets manager.
    async fn file(&self, password: &str) {
        let path = format!("approzium/localhost:{}", self.postgres.port());
        let secret = secret("app", password);
        self.bao.post(&path, &secret).await.unwrap();
    }

    /// In the database.
    async fn alter(&self, password: &str) {
        let stored = Method::ScramSha256;
        self.postgres.role("app", password, stored).await.unwrap();
    }

    async fn connect(&self) -> Result<(), Error> {
        self.connect_as("app").await
    }

    async fn connect_as(&self, user: &str) -> Result<(), Error> {
        let port = self.postgres.port();
        let text =
            format!("host=localhost port={port} user={user} dbname=postgres sslmode=disable");
        let config: Config = text.parse().unwrap();
        let client = config.connect_with(&self.client).await?;
        client.query_one("SELECT 1", &[]).await.unwrap();
        Ok(())
    }

    /// Logins that the database refused: answers by a password that was not its.
    async fn refused(&self) -> usize {
        let address = self.running.http_addr().unwrap();
        let url = format!("http://{address}/v1/metrics/prometheus");
        let text = https(&[]).get(url).send().await.unwrap().text().await;
        let text = text.unwrap();
        let series = "approzium_decisions_total{decision=\"outcome\",reason=\"login_refused\"}";
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.unwrap_or(0)
    }
}

/// The one retry is the client's own, so that its application sees nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_application_has_an_error_beyond_one_retry() {
    let stage = Arc::new(peer!(Stage::set()));
    let (before, rotated) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let applications: Vec<_> = (0..APPLICATIONS)
        .map(|_| {
            let (stage, before, rotated) = (stage.clone(), before.clone(), rotated.clone());
            tokio::spawn(async move {
                let mut after = 0;
                while after < CONNECTS {
                    let was_rotated = rotated.load(Ordering::Acquire);
                    stage.connect().await.unwrap();
                    if was_rotated {
                        after += 1;
                    } else {
                        before.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    approzium_peers::eventually("connects", Duration::from_secs(60), async || {
        (before.load(Ordering::Relaxed) >= APPLICATIONS * CONNECTS).then_some(())
    })
    .await;
    stage.file(SECOND).await;
    stage.alter(SECOND).await;
    rotated.store(true, Ordering::Release);
    for application in applications {
        application.await.unwrap();
    }
    let refused = stage.refused().await;
    assert!(refused <= APPLICATIONS, "{refused} stale answers");
}

/// Nothing tells the Authenticator of a rotation before the database refuses: no key was confirmed
/// yet. Then one refusal is enough.
#[tokio::test]
async fn no_stale_answer_is_given_twice() {
    let stage = peer!(Stage::set());
    // Somebody asks, and does not log in: the record is kept, and nothing is confirmed.
    let absent = stage.connect_as("nobody").await.unwrap_err();
    assert!(absent.is_permission_denied(), "{absent}");
    stage.file(SECOND).await;
    stage.alter(SECOND).await;
    stage.connect().await.unwrap();
    let refusals = || async { (stage.refused().await == 1).then_some(()) };
    approzium_peers::eventually("one refusal", Duration::from_secs(30), refusals).await;
    stage.connect().await.unwrap();
    assert_eq!(stage.refused().await, 1);
}

/// The database is changed before the secrets manager: until that follows, nobody can know better.
#[tokio::test]
async fn a_password_that_comes_late_is_found_all_the_same() {
    let stage = peer!(Stage::with_ttl(Duration::from_secs(5)));
    stage.alter(SECOND).await;
    let error = stage.connect().await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("28P01"), "{error}");
    // It was read again for that, and had not changed: it is not read again for more refusals of the
    // same password, and is good for its usual time.
    stage.file(SECOND).await;
    approzium_peers::eventually("a good answer", Duration::from_secs(30), async || {
        stage.connect().await.ok()
    })
    .await;
}
