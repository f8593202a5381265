//! Where `prometheus` and `promtool` come from.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::{Error, Result, cache, capture, files};

/// `prometheus` or `promtool`: on `PATH` or in the cache, else from the Debian package, which is
/// unpacked into the cache. Installing it would start a server on this machine.
pub(super) async fn find(program: &str) -> Result<PathBuf> {
    if let Some(found) = files::on_path(program) {
        return Ok(found);
    }
    let missing = |why: &dyn std::fmt::Display| {
        Error::Missing(format!(
            "{program} is not on this machine and could not be fetched; install Prometheus \
             (Debian: prometheus): {why}"
        ))
    };
    if files::on_path("apt-get").is_none() || files::on_path("dpkg-deb").is_none() {
        return Err(missing(&"no apt-get and dpkg-deb on PATH"));
    }
    let folder = cache::provide("prometheus-debian", unpack)
        .await
        .map_err(|error| missing(&error))?;
    Ok(folder.join("usr/bin").join(program))
}

/// Neither needs to be root.
async fn unpack(draft: &Path) -> Result<()> {
    let folder = files::folder_of(None)?;
    let mut download = Command::new("apt-get");
    download.args(["download", "--quiet", "prometheus"]);
    capture(download.current_dir(folder.path())).await?;
    let package = std::fs::read_dir(folder.path())
        .map_err(|error| Error::failed("apt-get download", error))?
        .find_map(|file| file.ok().map(|file| file.path()))
        .ok_or_else(|| Error::failed("apt-get download", "there is no package"))?;
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("--extract").arg(package).arg(draft);
    capture(&mut unpack).await.map(drop)
}
