//! Servers that come from PyPI.

use std::path::{Path, PathBuf};

use crate::{Error, Result, cache, capture, files};

/// The Python of a virtual environment in the cache that holds exactly these requirements.
///
/// `name` carries the version; `what` says what it is, for who has to install Python first.
///
/// # Errors
/// [`Error::Missing`] without Python, or where the packages cannot be had.
pub(crate) async fn environment(name: &str, what: &str, requirements: &str) -> Result<PathBuf> {
    let missing = |why: &dyn std::fmt::Display| {
        Error::Missing(format!(
            "{name} ({what}) is not there and could not be installed; install Python 3.11 or \
             newer with venv (Debian: python3-venv): {why}"
        ))
    };
    if files::on_path("python3").is_none() {
        return Err(missing(&"no python3 on PATH"));
    }
    let folder = cache::provide(name, async |draft: &Path| {
        let list = draft.join("requirements.txt");
        files::write(&list, requirements)?;
        let mut venv = tokio::process::Command::new("python3");
        capture(venv.args(["-m", "venv"]).arg(draft)).await?;
        let mut pip = tokio::process::Command::new(draft.join("bin/python"));
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ])
        .arg(list);
        capture(&mut pip).await.map(drop)
    })
    .await
    .map_err(|error| missing(&error))?;
    Ok(folder.join("bin/python"))
}
