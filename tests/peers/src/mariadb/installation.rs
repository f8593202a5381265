//! Where `mariadbd` and `mariadb-install-db` come from.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Error, Result, cache, capture, debian,
    files::{self, Copy},
};

/// The packages: the second has what `mariadb-install-db` calls.
const PACKAGES: [&str; 2] = ["mariadb-server-core", "mariadb-client-core"];

/// Where packages put what is not for everybody's `PATH`.
const USUAL: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// Less than the default of 96 MB, which each server would copy.
pub(super) const LOG_FILE_SIZE: &str = "--innodb-log-file-size=4M";

/// MariaDB's programs, wherever they are.
pub(super) struct Installation {
    /// `mariadbd` itself.
    server: PathBuf,
    /// What holds `bin`, `sbin` and `share`.
    base: PathBuf,
    /// Shared libraries that this machine does not have.
    libraries: Option<PathBuf>,
}

impl Installation {
    /// The machine's, or those of the Debian packages, which are unpacked into the cache.
    /// Installing them would start a server on this machine.
    pub(super) async fn find() -> Result<Self> {
        let usual = USUAL.map(|folder| Path::new(folder).join("mariadbd"));
        let installed = files::on_path("mariadbd").or_else(|| {
            let mut usual = usual.into_iter();
            usual.find(|server| files::is_executable(server))
        });
        if let (Some(server), Some(_)) = (installed, files::on_path("mariadb-install-db")) {
            return Ok(Installation {
                base: server
                    .ancestors()
                    .nth(2)
                    .map(Path::to_owned)
                    .unwrap_or_default(),
                server,
                libraries: None,
            });
        }
        let missing = |why: &dyn std::fmt::Display| {
            Error::Missing(format!(
                "MariaDB is not on this machine and could not be fetched; install it (Debian: \
                 mariadb-server): {why}"
            ))
        };
        let folder = debian::unpacked("mariadb-debian", &PACKAGES)
            .await
            .map_err(|error| missing(&error))?;
        let base = folder.join("usr");
        Ok(Installation {
            server: base.join("sbin/mariadbd"),
            libraries: debian::libraries(&base),
            base,
        })
    }

    /// `mariadbd`, by nobody's settings but its arguments.
    pub(super) fn server(&self) -> Command {
        self.command(&self.server)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .arg("--no-defaults")
            .arg(format!("--basedir={}", self.base.display()));
        if rustix::process::geteuid().is_root() {
            // It asks to be told that this is meant. It serves loopback, from a folder of its own.
            command.arg("--user=root");
        }
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }

    /// A data directory fresh from `mariadb-install-db`, to be copied.
    pub(super) async fn data(&self) -> Result<PathBuf> {
        let said = capture(&mut self.versioned().into()).await?;
        let version = said
            .split_whitespace()
            .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
            .ok_or_else(|| Error::failed("mariadbd --version", &said))?;
        cache::provide(&format!("mariadb-data-{version}"), async |draft: &Path| {
            // Where it writes its sockets, paths are short: the cache's may not be.
            let folder = files::folder_of(None)?;
            let data = folder.path().join("data");
            let mut install = self.command(&self.base.join("bin/mariadb-install-db"));
            install
                .arg(format!("--datadir={}", data.display()))
                // Nobody asks a name server who this machine is.
                .args(["--skip-name-resolve", "--skip-test-db", LOG_FILE_SIZE])
                .arg("--auth-root-authentication-method=normal");
            capture(&mut install.into()).await?;
            files::copy_tree(&data, draft, Copy::Content)
                .map_err(|error| Error::failed(draft.display(), error))
        })
        .await
    }

    fn versioned(&self) -> Command {
        let mut command = self.server();
        command.arg("--version");
        command
    }
}
