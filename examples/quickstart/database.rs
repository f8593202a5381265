//! The shop's PostgreSQL: SCRAM over TLS, a password that only the Authenticator is told.

use std::path::Path;

use approzium_peers::{Binaries, Error, Method, Postgres, Result, Rule, capture};
use tokio::process::Command;

/// The one database user of all the shop's applications: PostgreSQL's own logs cannot tell them
/// apart.
pub(crate) const USER: &str = "shop";

/// And its database.
pub(crate) const DATABASE: &str = "shop";

/// A running PostgreSQL with the shop's tables in it.
pub(crate) async fn start(password: &str, install: bool) -> Result<(Postgres, String)> {
    let binaries = binaries(install).await?;
    let description = binaries.description();
    let postgres = Postgres::builder()
        .binaries(binaries)
        .rule(Rule::host_ssl(USER, Method::ScramSha256).database(DATABASE))
        .start()
        .await?;
    postgres.role(USER, password, Method::ScramSha256).await?;
    postgres
        .sql(&format!("CREATE DATABASE {DATABASE} OWNER {USER}"))
        .await?;
    let schema = include_str!("shop.sql");
    postgres
        .sql_in(DATABASE, &format!("SET ROLE {USER}; {schema}"))
        .await?;
    Ok((postgres, description))
}

/// On the machine, else Docker's, else npm's, else Debian's.
async fn binaries(install: bool) -> Result<Binaries> {
    if let Some(binaries) = Binaries::on_machine(None).await {
        return Ok(binaries);
    }
    if let Some(binaries) = Binaries::docker().await {
        return Ok(binaries);
    }
    let error = match Binaries::packaged(None).await {
        Ok(binaries) => return Ok(binaries),
        Err(error) => error,
    };
    if !may_install_packages(install).await {
        return Err(error);
    }
    eprintln!("Installing Debian's package of PostgreSQL …");
    capture(Command::new("apt-get").args(["update", "-q"])).await?;
    let mut apt = Command::new("apt-get");
    apt.args(["install", "-qy", "--no-install-recommends", "postgresql"])
        .env("DEBIAN_FRONTEND", "noninteractive");
    capture(&mut apt).await?;
    let installed = Binaries::on_machine(None).await;
    installed.ok_or_else(|| Error::Missing("PostgreSQL is not where its package puts it".into()))
}

/// Only root, and only in a container or when told to.
async fn may_install_packages(told: bool) -> bool {
    let container = ["/.dockerenv", "/run/.containerenv"]
        .iter()
        .any(|mark| Path::new(mark).exists());
    let root = capture(Command::new("id").arg("-u"))
        .await
        .is_ok_and(|id| id.trim() == "0");
    let debian = Path::new("/usr/bin/apt-get").exists();
    root && debian && (told || container)
}
