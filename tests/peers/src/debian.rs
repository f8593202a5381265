//! Servers that come from Debian, without being installed: that would start them.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::{Error, Result, cache, capture, files};

/// The folder in the cache where these packages are unpacked, and of what they need whatever this
/// machine has not. Nothing of it needs root.
pub(crate) async fn unpacked(name: &str, packages: &[&str]) -> Result<PathBuf> {
    if files::on_path("apt-get").is_none() || files::on_path("dpkg-deb").is_none() {
        return Err(Error::Missing("no apt-get and dpkg-deb on PATH".into()));
    }
    cache::provide(name, async |draft: &Path| unpack(packages, draft).await).await
}

async fn unpack(packages: &[&str], draft: &Path) -> Result<()> {
    let mut plan = Command::new("apt-get");
    plan.args([
        "install",
        "--simulate",
        "--quiet",
        "--no-install-recommends",
    ])
    .args(packages);
    let plan = capture(&mut plan).await?;
    let wanted: Vec<&str> = plan
        .lines()
        .filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next())
        .collect();
    let folder = files::folder_of(None)?;
    let mut download = Command::new("apt-get");
    download.args(["download", "--quiet"]).args(&wanted);
    capture(download.current_dir(folder.path())).await?;
    let failed = |error: std::io::Error| Error::failed("apt-get download", error);
    for package in std::fs::read_dir(folder.path()).map_err(failed)? {
        let mut unpack = Command::new("dpkg-deb");
        unpack
            .arg("--extract")
            .arg(package.map_err(failed)?.path())
            .arg(draft);
        capture(&mut unpack).await?;
    }
    Ok(())
}

/// `lib/x86_64-linux-gnu` below `usr`, or whatever it is called on this machine.
pub(crate) fn libraries(base: &Path) -> Option<PathBuf> {
    let folders = std::fs::read_dir(base.join("lib")).ok()?;
    folders
        .filter_map(|folder| Some(folder.ok()?.path()))
        .find(|folder| folder.to_string_lossy().contains("-linux-"))
}
