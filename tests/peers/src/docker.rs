//! Docker, where there is an engine.

use std::time::Duration;

use tokio::process::Command;

use crate::capture;

/// Whether an engine answers within three seconds.
pub async fn is_available() -> bool {
    let mut info = Command::new("docker");
    info.args(["info", "--format", "{{.ServerVersion}}"]);
    let asked = tokio::time::timeout(Duration::from_secs(3), capture(&mut info)).await;
    matches!(asked, Ok(Ok(version)) if !version.trim().is_empty())
}
