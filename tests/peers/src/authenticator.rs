//! `approzium serve --dev`, as anybody would start it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use crate::{Process, Result, Stop, files, free_port, moto::Credentials};

/// The account of all identities of development mode.
const ACCOUNT: &str = "000000000000";

/// An Authenticator in development mode, in a process of its own. It stops when the value is
/// dropped.
pub struct Authenticator {
    // Stops before its folder goes: fields are dropped in order.
    server: Process,
    folder: tempfile::TempDir,
    http_port: u16,
    environment: BTreeMap<String, String>,
    /// Credentials of the real world, which would win over those of the file.
    unset: Vec<String>,
}

/// Who may log in where, and with which password: what only the Authenticator is told.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// The database as its applications name it.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// The database user.
    pub user: &'a str,
    /// What the database knows of that user.
    pub password: &'a str,
    /// The names of the roles that may log in.
    pub roles: &'a [&'a str],
}

impl Authenticator {
    /// Its name in Jaeger.
    pub const SERVICE: &str = "approzium-authenticator";

    /// Starts a program, which is `approzium`, with these records. `otlp_endpoint` is where its
    /// spans go; none: nowhere.
    pub async fn start(
        program: &Path,
        records: &[Record<'_>],
        otlp_endpoint: Option<&str>,
    ) -> Result<Self> {
        let folder = files::folder_of(None)?;
        let secrets = folder.path().join("secrets.yaml");
        let configuration = folder.path().join("approzium.yaml");
        let http_port = free_port();
        let records: String = records.iter().map(Record::yaml).collect();
        files::write_private(&secrets, records)?;
        files::write(
            &configuration,
            format!(
                "listener: {{host: 127.0.0.1, http_port: {http_port}, grpc_port: {}}}\n\
                 secrets: {{secrets_manager: local, local_secrets_path: {}}}\n",
                free_port(),
                secrets.display()
            ),
        )?;
        let dev = folder.path().join("dev");
        let mut command = Command::new(program);
        command
            .args(["serve", "--dev", "--dev-dir"])
            .arg(&dev)
            .arg("--config")
            .arg(&configuration)
            // However the tests or the quickstart were started.
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env_remove("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        match otlp_endpoint {
            Some(endpoint) => command
                .env("OTEL_SERVICE_NAME", Authenticator::SERVICE)
                .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
                // Spans arrive while somebody watches.
                .env("OTEL_BSP_SCHEDULE_DELAY", "200"),
            None => command.env_remove("OTEL_EXPORTER_OTLP_ENDPOINT"),
        };
        let mut server = Process::start(
            "approzium serve --dev",
            &mut command,
            Stop::Terminate,
            &log_of(&folder),
            Some(folder.path()),
        )?;
        let (mut environment, mut unset) = (BTreeMap::new(), Vec::new());
        let ready = async || {
            let Ok(written) = std::fs::read_to_string(dev.join("env")) else {
                return false;
            };
            environment = exports(&written);
            unset = unsets(&written);
            match environment.get("APPROZIUM_ADDRESS") {
                Some(address) => tokio::net::TcpStream::connect(address).await.is_ok(),
                None => false,
            }
        };
        server.until(Duration::from_secs(30), ready).await?;
        Ok(Authenticator {
            server,
            folder,
            http_port,
            environment,
            unset,
        })
    }

    /// What an application sees of it: an address, a certificate to trust, and credentials of its
    /// own, chosen by `AWS_PROFILE`.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Gives a program this environment, as a shell that sources the file `env` would.
    pub fn lend_environment(&self, command: &mut Command) {
        for name in &self.unset {
            command.env_remove(name);
        }
        command.envs(&self.environment);
    }

    /// Its address, `host:port`.
    pub fn address(&self) -> &str {
        self.environment
            .get("APPROZIUM_ADDRESS")
            .map_or("", String::as_str)
    }

    /// Where it says how it is and what it has counted, by HTTPS: `host:port`.
    pub fn http_address(&self) -> String {
        format!("127.0.0.1:{}", self.http_port)
    }

    /// The authority of its certificate.
    pub fn ca_path(&self) -> PathBuf {
        self.folder.path().join("dev").join("ca.pem")
    }

    /// The credentials of one of its identities: `checkout`, `reporting`, `intruder`.
    pub fn credentials(&self, profile: &str) -> Option<Credentials> {
        let file = self.folder.path().join("dev").join("credentials");
        let text = std::fs::read_to_string(file).ok()?;
        let section = text.split("\n[").find_map(|section| {
            let (name, section) = section.split_once(']')?;
            (name == profile).then_some(section)
        })?;
        let value = |key: &str| {
            section.lines().find_map(|line| {
                let (name, value) = line.split_once('=')?;
                (name.trim() == key).then(|| value.trim().to_owned())
            })
        };
        Some(Credentials {
            access_key_id: value("aws_access_key_id")?,
            secret_access_key: value("aws_secret_access_key")?,
            session_token: value("aws_session_token"),
            arn: format!("arn:aws:sts::{ACCOUNT}:assumed-role/{profile}/dev"),
        })
    }

    /// What it has written so far, its audit lines among it.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Where it writes that.
    pub fn log_path(&self) -> PathBuf {
        log_of(&self.folder)
    }

    /// Asks it to stop, and waits until it has done so by itself.
    pub async fn terminate(&mut self, within: Duration) -> Result<ExitStatus> {
        self.server.signal(Stop::Terminate);
        self.server.finish(within).await
    }
}

impl Record<'_> {
    fn yaml(&self) -> String {
        let arns: Vec<String> = self
            .roles
            .iter()
            .map(|role| format!("\"arn:aws:iam::{ACCOUNT}:role/{role}\""))
            .collect();
        format!(
            "- dbhost: {}\n  dbport: {}\n  dbuser: {}\n  password: \"{}\"\n  iam_arns: [{}]\n",
            self.host,
            self.port,
            self.user,
            self.password,
            arns.join(", ")
        )
    }
}

fn log_of(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("authenticator.log")
}

/// The lines `export NAME=value`, values quoted or not.
fn exports(file: &str) -> BTreeMap<String, String> {
    let lines = file.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
        Some((name.to_owned(), value.trim_matches(['\'', '"']).to_owned()))
    });
    lines.collect()
}

/// The names of the lines `unset NAME…`.
fn unsets(file: &str) -> Vec<String> {
    file.lines()
        .filter_map(|line| line.strip_prefix("unset "))
        .flat_map(str::split_whitespace)
        .map(str::to_owned)
        .collect()
}
