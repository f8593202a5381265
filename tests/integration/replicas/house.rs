//! Everything around the replicas: an STS, a database, Envoy as `deploy/envoy` has it.

use std::path::Path;

use approzium::{AuthClient, TlsConfig, postgres};
use approzium_peers::{
    Authority, Envoy, Method, Moto, OpenBao, Postgres, Result, Rule, eventually, free_port,
    moto::{ACCOUNT, Credentials},
};
use aws_credential_types::provider::SharedCredentialsProvider;
use serde_json::json;

use super::replica::{MANAGER, PATIENCE, Replica};
use crate::{
    authenticator::process::{PASSWORD, write_private},
    load::{Load, TASKS},
};

pub(super) const TCP: &str = include_str!("../../../deploy/envoy/tcp.yaml");
pub(super) const GRPC: &str = include_str!("../../../deploy/envoy/grpc.yaml");

/// Applications, each with a session of its own.
const APPLICATIONS: usize = 4;

pub(super) struct House {
    // Stop before their folder goes: fields are dropped in order.
    pub(super) replicas: [Replica; 2],
    envoy: Envoy,
    port: u16,
    sts: Moto,
    identity: Credentials,
    authority: Authority,
    database: Postgres,
    manager: Option<OpenBao>,
    method: Method,
    _folder: tempfile::TempDir,
}

impl House {
    /// With the record in a file, whose changes take effect at once.
    pub(super) async fn start(envoy: &str) -> Result<Self> {
        Self::with(envoy, None, Method::ScramSha256).await
    }

    /// With the record in OpenBao, of which each replica keeps what it read for a minute.
    pub(super) async fn rotating(envoy: &str, method: Method) -> Result<Self> {
        let manager = OpenBao::start().await?;
        manager.mount_kv("approzium", 1).await?;
        Self::with(envoy, Some(manager), method).await
    }

    async fn with(envoy: &str, manager: Option<OpenBao>, method: Method) -> Result<Self> {
        let sts = Moto::start().await?;
        let identity = sts.assumed_role(ACCOUNT, "/", "checkout", "pod").await?;
        let database = Postgres::builder()
            .rule(Rule::host_ssl("app", method))
            .start()
            .await?;
        database.role("app", PASSWORD, method).await?;

        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::default();
        let server = authority.localhost();
        let record = format!(
            "- {{dbhost: {}, dbport: {}, dbuser: app, password: {PASSWORD}, \
             iam_arn: 'arn:aws:iam::{ACCOUNT}:role/checkout'}}\n",
            database.host(),
            database.port()
        );
        for (name, text) in [
            ("ca.pem", &authority.pem()),
            ("tls.crt", &server.certificate_pem),
            ("tls.key", &server.key_pem),
            ("sts.pem", &sts.authority().pem()),
            ("secrets.yaml", &record),
        ] {
            write_private(&folder.path().join(name), text);
        }
        if let Some(manager) = &manager {
            write_private(&folder.path().join(MANAGER), &manager.url());
            file(manager, &database, PASSWORD).await?;
        }
        let (first, second) = tokio::join!(
            Replica::start(folder.path(), 0, sts.address()),
            Replica::start(folder.path(), 1, sts.address())
        );
        let (replicas, port) = ([first, second], free_port());
        let house = House {
            envoy: Envoy::start(&here(envoy, port, &replicas, folder.path())).await?,
            replicas,
            port,
            sts,
            identity,
            authority,
            database,
            manager,
            method,
            _folder: folder,
        };
        house.both_are_healthy().await;
        Ok(house)
    }

    /// Another password, in the secrets manager and then in the database.
    pub(super) async fn rotate(&self, password: &str) {
        let manager = self.manager.as_ref().unwrap();
        file(manager, &self.database, password).await.unwrap();
        let changed = self.database.role("app", password, self.method);
        changed.await.unwrap();
    }

    /// Logins that the database refused.
    pub(super) async fn refused(&self) -> f64 {
        let [first, second] = &self.replicas;
        first.refused().await + second.refused().await
    }

    /// Of the logins that are tried at the same time, each was refused by the database once at most.
    pub(super) async fn refused_once_at_most(&self) {
        let refused = self.refused().await;
        let tasks = u8::try_from(APPLICATIONS * TASKS).unwrap();
        assert!(refused <= f64::from(tasks), "{refused} stale answers");
    }

    /// Logins by all applications, once both replicas have a part in them.
    pub(super) async fn load(&self) -> Load {
        let applications: Vec<_> = (0..APPLICATIONS).map(|_| self.application()).collect();
        let load = Load::start(&applications, &self.string());
        for replica in &self.replicas {
            eventually("logins at each replica", PATIENCE, async || {
                (replica.logins().await > 0.0).then_some(())
            })
            .await;
        }
        load
    }

    /// An application that has logged in at each replica.
    pub(super) async fn known_to_both(&self) -> AuthClient {
        let application = self.application();
        for replica in &self.replicas {
            eventually("a login at each replica", PATIENCE, async || {
                self.connect(&application).await;
                (replica.logins().await > 0.0).then_some(())
            })
            .await;
        }
        application
    }

    /// What the client itself tries again is not heard of.
    pub(super) async fn connect(&self, application: &AuthClient) {
        let client = postgres::connect_with(&self.string(), application).await;
        client.unwrap().simple_query("SELECT 1").await.unwrap();
    }

    fn string(&self) -> String {
        format!(
            "host={} port={} user=app dbname=postgres sslrootcert={}",
            self.database.host(),
            self.database.port(),
            self.database.ca_path().display()
        )
    }

    fn application(&self) -> AuthClient {
        AuthClient::builder(format!("127.0.0.1:{}", self.port))
            .tls(TlsConfig::new().roots_pem(self.authority.pem()))
            .credentials_provider(SharedCredentialsProvider::new(
                aws_credential_types::Credentials::new(
                    &self.identity.access_key_id,
                    &self.identity.secret_access_key,
                    self.identity.session_token.clone(),
                    None,
                    "test",
                ),
            ))
            .region("eu-central-1")
            .attribution(false)
            .build()
            .unwrap()
    }

    /// Starts a replica again, and waits until Envoy knows.
    pub(super) async fn restart(&mut self, number: usize) {
        self.replicas[number].start_again().await;
        self.both_are_healthy().await;
    }

    async fn both_are_healthy(&self) {
        let healthy = "cluster.approzium.membership_healthy";
        eventually("Envoy finds both replicas healthy", PATIENCE, async || {
            (self.envoy.statistic(healthy).await.unwrap() == 2).then_some(())
        })
        .await;
    }

    /// Each application proved who it is to one replica, and the other one took its word.
    pub(super) fn proved_once_for_all_replicas(&self) {
        assert_eq!(self.sts.identity_requests(), APPLICATIONS);
    }

    /// Each has proved it once more.
    pub(super) fn proved_again(&self) {
        assert_eq!(self.sts.identity_requests(), 2 * APPLICATIONS);
    }
}

/// The record, in the secrets manager.
async fn file(manager: &OpenBao, database: &Postgres, password: &str) -> Result<()> {
    let role = format!("arn:aws:iam::{ACCOUNT}:role/checkout");
    let methods = ["md5", "scram-sha-256-plus", "scram-sha-256"];
    let record = json!({"password": password, "iam_arns": [role], "methods": methods});
    let path = format!("approzium/{}:{}", database.host(), database.port());
    manager.post(&path, &json!({"app": record})).await.map(drop)
}

/// What is said of other machines, said of this one.
fn here(envoy: &str, port: u16, replicas: &[Replica; 2], folder: &Path) -> String {
    let replaced = |text: String, from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    };
    let listener = format!("address: 127.0.0.1, port_value: {port}");
    let mut text = replaced(
        envoy.to_owned(),
        "address: 0.0.0.0, port_value: 6001",
        &listener,
    );
    text = replaced(text, "/etc/envoy", folder.to_str().unwrap());
    for (number, replica) in replicas.iter().enumerate() {
        let (grpc, http) = (replica.grpc_port, replica.http_port);
        let name = format!("approzium-{number}.internal, port_value: 6001");
        let of_health = "health_check_config: { port_value: 6000 }";
        let address = format!("127.0.0.1, port_value: {grpc}");
        let lines = text.lines().map(|line| match line.contains(&name) {
            true => line.replace(&name, &address).replace(
                of_health,
                &format!("health_check_config: {{ port_value: {http} }}"),
            ),
            false => line.to_owned(),
        });
        text = lines.collect::<Vec<_>>().join("\n");
        assert!(text.contains(&address), "{name}");
    }
    replaced(text, "approzium.internal", "localhost")
}
