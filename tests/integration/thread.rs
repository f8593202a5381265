//! One thread through everything: an application in a process of its own, the Authenticator's
//! binary, a PostgreSQL with SCRAM over TLS, and a Jaeger that is asked who ran what.

pub(crate) mod application;
mod attributes;
mod collectors;
mod links;
mod others;
mod pages;
mod spans;

use std::{path::Path, process::Command, time::Duration};

use approzium_peers::{Authenticator, Method, Postgres, Process, Record, Result, Rule, Stop};

use application::Pod;

pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

const USER: &str = "shop";
const DATABASE: &str = "shop";
/// Known to the database and the Authenticator alone.
pub(crate) const PASSWORD: &str = "canary-5f2b8c9e-correct-horse";

/// The database, the Authenticator, and where their applications' spans and its own go.
pub(crate) struct House {
    // The Authenticator goes before the database: fields are dropped in order.
    pub(crate) authenticator: Authenticator,
    postgres: Postgres,
    folder: tempfile::TempDir,
    otlp_endpoint: Option<String>,
}

impl House {
    /// `otlp_endpoint`: none, and spans go nowhere.
    pub(crate) async fn open<'a>(otlp_endpoint: impl Into<Option<&'a str>>) -> Result<Self> {
        let otlp_endpoint = otlp_endpoint.into();
        let postgres = Postgres::builder()
            .rule(Rule::host_ssl(USER, Method::ScramSha256).database(DATABASE))
            .start()
            .await?;
        postgres.role(USER, PASSWORD, Method::ScramSha256).await?;
        let make = format!("CREATE DATABASE {DATABASE} OWNER {USER}");
        postgres.sql(&make).await?;
        let table = format!("SET ROLE {USER}; CREATE TABLE orders (id int PRIMARY KEY, note text)");
        postgres.sql_in(DATABASE, &table).await?;
        let record = Record {
            host: postgres.host(),
            port: postgres.port(),
            user: USER,
            password: PASSWORD,
            roles: &["checkout", "reporting"],
        };
        let program = Path::new(env!("CARGO_BIN_EXE_approzium"));
        Ok(House {
            authenticator: Authenticator::start(program, &[record], otlp_endpoint).await?,
            postgres,
            folder: tempfile::tempdir().unwrap(),
            otlp_endpoint: otlp_endpoint.map(str::to_owned),
        })
    }

    /// Runs an application as a pod would, in nothing but the environment that its manifest gives,
    /// to its end.
    async fn run(&self, pod: &Pod) {
        let test = format!("{}::{}", application::PATH, pod.application);
        self.run_test(&test, pod).await;
    }

    /// The same with another test as the application; returns what it wrote.
    pub(crate) async fn run_test(&self, test: &str, pod: &Pod) -> String {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "--nocapture", test]);
        self.dress(&mut command, pod);
        let log = self.folder.path().join(format!("{}-{test}.log", pod.name));
        let mut process = Process::start(pod.name, &mut command, Stop::Terminate, &log, None)
            .expect("this test's own program");
        let status = process.finish(PATIENCE).await.expect("an end");
        let said = process.log();
        assert!(status.success() && said.contains("1 passed"), "{said}");
        said
    }

    /// Nothing but what the manifest of the pod gives.
    pub(crate) fn dress(&self, command: &mut Command, pod: &Pod) {
        let endpoint = self.otlp_endpoint.iter();
        let endpoint = endpoint.map(|url| ("OTEL_EXPORTER_OTLP_ENDPOINT", url));
        command
            .env_clear()
            .env("HOME", self.folder.path())
            .env("DATABASE", self.connection_string())
            .envs(self.authenticator.environment())
            .env("AWS_PROFILE", pod.role)
            .env("OTEL_SERVICE_NAME", application::SERVICE)
            .envs(endpoint)
            .env("OTEL_RESOURCE_ATTRIBUTES", "service.version=1.2.3")
            // Longer than anybody here waits for an end.
            .env("OTEL_EXPORTER_OTLP_TIMEOUT", "600000")
            .env("OTEL_BSP_EXPORT_TIMEOUT", "600000")
            .env("K8S_CLUSTER_NAME", "eu")
            .env("K8S_NAMESPACE_NAME", application::NAMESPACE)
            .env("K8S_POD_NAME", pod.name)
            .env("K8S_POD_UID", pod.uid);
    }

    /// What an application of this role must not show.
    pub(crate) fn secrets(&self, role: &str) -> Vec<String> {
        let credentials = self.authenticator.credentials(role).unwrap();
        let mut secrets = vec![PASSWORD.to_owned(), credentials.secret_access_key];
        secrets.extend(credentials.session_token);
        secrets
    }

    fn connection_string(&self) -> String {
        format!(
            "host={} port={} user={USER} dbname={DATABASE} channel_binding=require sslrootcert={}",
            self.postgres.host(),
            self.postgres.port(),
            self.postgres.ca_path().display()
        )
    }
}
