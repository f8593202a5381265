//! The EC2 instance metadata service, version 2 with tokens enforced, and the credentials of ECS
//! tasks: MiniStack.

use std::{process::Command, time::Duration};

use crate::{Error, Process, Result, Stop, files, free_port, python};

const VERSION: &str = "1.5.33";
const REQUIREMENTS: &str = include_str!("../ministack/requirements.txt");

/// The account of everything in it.
pub const ACCOUNT: &str = "000000000000";

/// A running MiniStack that answers 401 to whoever brings no token. It stops when the value is
/// dropped.
pub struct MiniStack {
    // Stops before its folder goes: fields are dropped in order.
    _server: Process,
    _folder: tempfile::TempDir,
    port: u16,
}

impl MiniStack {
    /// Installs MiniStack into the cache if it is not there, and starts it.
    ///
    /// # Errors
    /// [`Error::Missing`] without Python.
    pub async fn start() -> Result<Self> {
        let python = python::environment(
            &format!("ministack-{VERSION}"),
            "EC2's instance metadata for tests",
            REQUIREMENTS,
        )
        .await?;
        let folder = files::folder_of(None)?;
        let port = free_port();
        let mut command = Command::new(python);
        command
            .args(["-m", "ministack.app"])
            // It listens on every address unless it is told otherwise.
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("MINISTACK_IMDS_V2_REQUIRED", "1")
            .env("IOT_MTLS_ENABLED", "0")
            .env("HOME", folder.path())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("PYTHONUNBUFFERED", "1")
            .current_dir(folder.path());
        let mut server = Process::start(
            "ministack",
            &mut command,
            Stop::Terminate,
            &folder.path().join("ministack.log"),
            Some(folder.path()),
        )?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .tls_backend_preconfigured(crate::certificates::client_configuration(&[]))
            .build()
            .map_err(|error| Error::failed("an HTTP client", error))?;
        let page = format!("http://127.0.0.1:{port}/latest/meta-data/");
        let answers = async || http.get(&page).send().await.is_ok();
        server.until(Duration::from_secs(60), answers).await?;
        Ok(MiniStack {
            _server: server,
            _folder: folder,
            port,
        })
    }

    /// `http://127.0.0.1:<port>`: the metadata service, the endpoint of STS, and under
    /// `/v2/credentials/<any id>` an ECS task's credentials.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
