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

/// Who owns what this process writes, for `docker run --user`: a container's own user could not
/// read it.
pub(crate) fn current_user() -> String {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    format!("{}:{}", user.as_raw(), group.as_raw())
}
