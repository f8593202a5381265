//! The Authenticator in development mode: `approzium serve --dev`, as anybody would start it.

use std::{collections::BTreeMap, path::Path, process::Command, time::Duration};

use approzium_peers::{Error, Process, Result, Stop, free_port};

/// Its name in Jaeger.
pub(crate) const SERVICE: &str = "approzium-authenticator";

/// A running Authenticator and what an application must know of it.
pub(crate) struct Authenticator {
    _server: Process,
    environment: BTreeMap<String, String>,
}

/// Who may log in where, and with which password: the only place that knows it.
pub(crate) struct Record<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    pub(crate) roles: &'a [&'a str],
}

impl Authenticator {
    pub(crate) async fn start(
        folder: &Path,
        record: &Record<'_>,
        otlp_endpoint: &str,
    ) -> Result<Self> {
        let secrets = folder.join("secrets.yaml");
        let configuration = folder.join("approzium.yaml");
        write(&secrets, &record.yaml())?;
        write(
            &configuration,
            &format!(
                "listener: {{host: 127.0.0.1, http_port: {}, grpc_port: {}}}\n\
                 secrets: {{secrets_manager: local, local_secrets_path: {}}}\n",
                free_port(),
                free_port(),
                secrets.display()
            ),
        )?;
        let dev = folder.join("dev");
        let mut command = Command::new(crate::program("approzium")?);
        command
            .args(["serve", "--dev", "--dev-dir"])
            .arg(&dev)
            .arg("--config")
            .arg(&configuration)
            .env("OTEL_SERVICE_NAME", SERVICE)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", otlp_endpoint)
            // Spans arrive while somebody watches.
            .env("OTEL_BSP_SCHEDULE_DELAY", "200");
        let mut server = Process::start(
            "approzium serve --dev",
            &mut command,
            Stop::Terminate,
            &folder.join("authenticator.log"),
            Some(folder),
        )?;
        let mut environment = BTreeMap::new();
        let ready = async || {
            let Ok(written) = std::fs::read_to_string(dev.join("env")) else {
                return false;
            };
            environment = exports(&written);
            match environment.get("APPROZIUM_ADDRESS") {
                Some(address) => tokio::net::TcpStream::connect(address).await.is_ok(),
                None => false,
            }
        };
        server.until(Duration::from_secs(30), ready).await?;
        Ok(Authenticator {
            _server: server,
            environment,
        })
    }

    /// What an application sees of it: an address, a certificate to trust, and credentials of its
    /// own, chosen by `AWS_PROFILE`.
    pub(crate) fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }
}

impl Record<'_> {
    fn yaml(&self) -> String {
        let arns: Vec<String> = self
            .roles
            .iter()
            .map(|role| format!("arn:aws:iam::000000000000:role/{role}"))
            .collect();
        format!(
            "- dbhost: {}\n  dbport: {}\n  dbuser: {}\n  password: {}\n  iam_arns: [{}]\n",
            self.host,
            self.port,
            self.user,
            self.password,
            arns.join(", ")
        )
    }
}

/// The lines `export NAME=value`, values quoted or not.
fn exports(file: &str) -> BTreeMap<String, String> {
    let lines = file.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
        Some((name.to_owned(), value.trim_matches(['\'', '"']).to_owned()))
    });
    lines.collect()
}

/// A file that its owner alone can read.
fn write(path: &Path, content: &str) -> Result<()> {
    use std::{fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt};

    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(content.as_bytes()))
        .map_err(|error| Error::Failed(format!("{}: {error}", path.display())))
}
