//! The Python SDK of the original Approzium, as its applications have it installed.

use std::{collections::BTreeMap, path::PathBuf, process::Stdio, time::Duration};

use serde_json::Value;
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{Error, Result, capture, files, python};

const REQUIREMENTS: &str = include_str!("../python_sdk/requirements.txt");
const LOGINS: &str = include_str!("../python_sdk/logins.py");

/// The SDK's version, and the number of the set that it is installed with.
const NAME: &str = "python-sdk-0.2.4-1";

/// Where a Python is looked for that is not too new for the pinned asyncpg.
const PYTHONS: [&str; 5] = [
    "python3.11",
    "python3.10",
    "python3.9",
    "python3.8",
    "python3",
];

/// An installation of it, unmodified.
pub struct PythonSdk {
    python: PathBuf,
}

impl PythonSdk {
    /// Installs it into the cache if it is not there.
    ///
    /// # Errors
    /// [`Error::Missing`] without an old enough Python, or without what psycopg2 is built with.
    pub async fn install() -> Result<Self> {
        let missing = |why: &dyn std::fmt::Display| {
            Error::Missing(format!(
                "{NAME} (the Python SDK of the original) is not there and could not be installed; \
                 install Python 3.11 with venv and headers, a C compiler and libpq (Debian: \
                 python3.11-venv python3.11-dev gcc libpq-dev): {why}"
            ))
        };
        // The SDK itself asks it, each time that it is imported.
        if files::on_path("pg_config").is_none() {
            return Err(missing(&"no pg_config on PATH"));
        }
        let interpreter = interpreter().await;
        let interpreter = interpreter.ok_or_else(|| missing(&"no Python 3.8 to 3.11 on PATH"))?;
        let installed = python::environment_of(&interpreter, NAME, REQUIREMENTS, &["--no-deps"]);
        let python = installed.await.map_err(|error| missing(&error))?;
        Ok(PythonSdk { python })
    }

    /// Logs in as `python_sdk/logins.py` describes, in one process with one client of the
    /// Authenticator: for each login, what the database answered or what went wrong.
    ///
    /// # Errors
    /// If there is no answer to each; says what Python said.
    pub async fn logins(
        &self,
        environment: &BTreeMap<String, String>,
        asked: &Value,
    ) -> Result<Vec<Value>> {
        let failed = |error: std::io::Error| Error::failed("the Python SDK", error);
        let mut command = Command::new(&self.python);
        command
            .args(["-c", LOGINS])
            .env_clear()
            // By which it finds pg_config, and the linker's cache.
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let mut stdin = child.stdin.take();
        if let Some(stdin) = &mut stdin {
            let written = stdin.write_all(asked.to_string().as_bytes()).await;
            written.map_err(failed)?;
        }
        drop(stdin);
        // It sets its calls no deadline.
        let output = tokio::time::timeout(Duration::from_secs(120), child.wait_with_output());
        let output = output.await.map_err(|late| failed(late.into()))?;
        let output = output.map_err(failed)?;
        let said = String::from_utf8_lossy(&output.stdout);
        let answers: Vec<Value> = said
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let expected = asked["logins"].as_array().map_or(0, Vec::len);
        if output.status.success() && answers.len() == expected {
            return Ok(answers);
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(Error::failed(
            "the Python SDK",
            format!("{}: {said}{stderr}", output.status),
        ))
    }
}

async fn interpreter() -> Option<PathBuf> {
    const FITS: &str = "import sys; sys.exit(not (3, 8) <= sys.version_info[:2] <= (3, 11))";
    for python in PYTHONS.into_iter().filter_map(files::on_path) {
        let fits = capture(Command::new(&python).args(["-c", FITS])).await;
        if fits.is_ok() {
            return Some(python);
        }
    }
    None
}
