//! What comes from PyPI.

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
    let python = files::on_path("python3").ok_or_else(|| missing(&"no python3 on PATH"))?;
    environment_of(&python, name, requirements, &[])
        .await
        .map_err(|error| missing(&error))
}

/// The same by one Python and no other, and with more words for `pip install`.
pub(crate) async fn environment_of(
    python: &Path,
    name: &str,
    requirements: &str,
    more: &[&str],
) -> Result<PathBuf> {
    let folder = cache::provide(name, async |draft: &Path| {
        let list = draft.join("requirements.txt");
        files::write(&list, requirements)?;
        let mut venv = tokio::process::Command::new(python);
        capture(venv.args(["-m", "venv"]).arg(draft)).await?;
        let mut pip = tokio::process::Command::new(draft.join("bin/python"));
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(more)
        .arg("-r")
        .arg(list);
        capture(&mut pip).await.map(drop)
    })
    .await?;
    Ok(folder.join("bin/python"))
}
