//! Which secrets manager, and what it needs to be told.

use super::Layers;
use crate::{
    Error, Result,
    authenticator::{LocalSecrets, SecretsManager},
    error::printable,
};

/// Where records may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manager {
    Local,
    Vault,
    Asm,
    Kubernetes,
}

impl Manager {
    /// Of the setting; without one, local if there is a file.
    pub(super) fn read(layers: &Layers) -> Result<Option<Self>> {
        layers.get("secrets_manager", |text| match text {
            "local" => Ok(Manager::Local),
            "vault" => Ok(Manager::Vault),
            "asm" => Ok(Manager::Asm),
            "kubernetes" => Ok(Manager::Kubernetes),
            _ => Err(format!(
                "\"{}\" is none of vault, asm, kubernetes and local",
                printable(text)
            )),
        })
    }

    /// The settings that are of one manager and of no other.
    fn own_settings(self) -> &'static [&'static str] {
        match self {
            Manager::Local => &["local_secrets_path"],
            Manager::Vault => VAULT,
            Manager::Asm => &["assume_aws_role", "asm_endpoint"],
            Manager::Kubernetes => &["kubernetes_secrets_path"],
        }
    }
}

/// But for `vault_addr` and `vault_token`, whose variables Vault's own command uses too.
const VAULT: &[&str] = &[
    "vault_token_path",
    "vault_auth",
    "vault_auth_mount",
    "vault_role",
    "vault_jwt_path",
    "vault_role_id",
    "vault_secret_id_path",
    "vault_aws_server_id",
    "vault_mount",
    "vault_path",
    "vault_kv_version",
];

impl super::Config {
    /// The secrets manager, as far as it can be had without asking it.
    pub(crate) async fn secrets(&self) -> Result<SecretsManager> {
        let manager = self.manager().await;
        manager.map_err(|error| self.layers.located(error))
    }

    async fn manager(&self) -> Result<SecretsManager> {
        let layers = &self.layers;
        let manager = match (self.secrets_manager, &self.local_secrets_path) {
            (Some(manager), _) => manager,
            (None, Some(_)) => Manager::Local,
            (None, None) => {
                return Err(missing(
                    "secrets_manager",
                    "give vault, asm, kubernetes or local, or a local_secrets_path",
                ));
            }
        };
        // A setting that is not heeded is worse than none.
        for other in [
            Manager::Local,
            Manager::Vault,
            Manager::Asm,
            Manager::Kubernetes,
        ] {
            let mut own = other.own_settings().iter();
            if other != manager
                && let Some(key) = own.find(|key| layers.origin(key).is_some())
            {
                return Err(layers.error(key, "it is of another secrets_manager"));
            }
        }
        if matches!(manager, Manager::Local | Manager::Kubernetes) {
            for key in ["secrets_ttl", "secrets_timeout"] {
                if layers.origin(key).is_some() {
                    return Err(layers.error(key, "files are looked at each time"));
                }
            }
        }
        match manager {
            Manager::Local => {
                let path = self.local_secrets_path.as_ref();
                let path =
                    path.ok_or_else(|| missing("local_secrets_path", "secrets_manager is local"))?;
                Ok(LocalSecrets::open(path).map_err(Error::unready)?.into())
            }
            Manager::Vault => vault(layers),
            Manager::Asm => asm(layers).await,
            Manager::Kubernetes => kubernetes(layers),
        }
    }
}

#[cfg(feature = "vault")]
fn vault(layers: &Layers) -> Result<SecretsManager> {
    use crate::authenticator::VaultSecrets;

    let address = layers
        .text("vault_addr")
        .ok_or_else(|| missing("vault_addr", "give it, as https://vault.internal:8200"))?;
    let (ttl, timeout) = lifetimes(layers)?;
    let mut vault = VaultSecrets::builder(address)
        .ttl(ttl)
        .timeout(timeout)
        .login(vault_login(layers)?);
    if let Some(namespace) = layers.text("vault_namespace") {
        vault = vault.namespace(namespace);
    }
    if let Some(path) = layers.path("vault_ca_path") {
        vault = vault.ca_path(path);
    }
    if let Some(mount) = layers.text("vault_mount") {
        vault = vault.mount(mount);
    }
    if let Some(path) = layers.text("vault_path") {
        vault = vault.path(path);
    }
    let version = layers.get("vault_kv_version", |text| {
        let version = (text != "auto").then(|| text.parse());
        version
            .transpose()
            .map_err(|_| format!("\"{}\" is none of auto, 1 and 2", printable(text)))
    })?;
    if let Some(version) = version.flatten() {
        vault = vault.kv_version(version);
    }
    Ok(vault.build()?.into())
}

#[cfg(feature = "vault")]
fn vault_login(layers: &Layers) -> Result<crate::authenticator::VaultLogin> {
    use crate::authenticator::VaultLogin;

    let needs = |key: &str, auth: &str| {
        let help = format!("vault_auth is {auth}");
        layers
            .text(key)
            .ok_or_else(|| Error::configuration(format!("{key}: it is missing")).with_help(help))
    };
    let auth = layers.text("vault_auth").unwrap_or("token");
    let (login, own): (_, &[_]) = match auth {
        "token" => {
            // As with the original, the file wins.
            let login = match (layers.path("vault_token_path"), layers.text("vault_token")) {
                (Some(path), _) => VaultLogin::token_file(path),
                (None, Some(token)) => VaultLogin::token(token),
                (None, None) => {
                    return Err(missing(
                        "vault_token_path",
                        "give it, or vault_token, or set vault_auth to approle, kubernetes or aws",
                    ));
                }
            };
            (login, &["vault_token_path"])
        }
        "approle" => {
            let role_id = needs("vault_role_id", auth)?;
            let login = VaultLogin::app_role(role_id, needs("vault_secret_id_path", auth)?);
            (
                login,
                &["vault_role_id", "vault_secret_id_path", "vault_auth_mount"],
            )
        }
        "kubernetes" => {
            let mut login = VaultLogin::kubernetes(needs("vault_role", auth)?);
            if let Some(path) = layers.path("vault_jwt_path") {
                login = login.jwt_path(path);
            }
            (login, &["vault_role", "vault_jwt_path", "vault_auth_mount"])
        }
        "aws" => {
            let mut login = VaultLogin::aws(needs("vault_role", auth)?);
            if let Some(region) = layers.text("aws_region") {
                login = login.aws_region(region);
            }
            if let Some(id) = layers.text("vault_aws_server_id") {
                login = login.aws_server_id(id);
            }
            (
                login,
                &["vault_role", "vault_aws_server_id", "vault_auth_mount"],
            )
        }
        other => {
            return Err(layers.error(
                "vault_auth",
                format!(
                    "\"{}\" is none of token, approle, kubernetes and aws",
                    printable(other)
                ),
            ));
        }
    };
    for key in [
        "vault_token_path",
        "vault_role_id",
        "vault_secret_id_path",
        "vault_role",
        "vault_jwt_path",
        "vault_aws_server_id",
        "vault_auth_mount",
    ] {
        if !own.contains(&key) && layers.origin(key).is_some() {
            return Err(layers.error(
                key,
                format!("vault_auth is {auth}, which has no use for it"),
            ));
        }
    }
    Ok(match layers.text("vault_auth_mount") {
        Some(mount) => login.mount(mount),
        None => login,
    })
}

#[cfg(not(feature = "vault"))]
fn vault(layers: &Layers) -> Result<SecretsManager> {
    Err(left_out(layers))
}

#[cfg(feature = "asm")]
async fn asm(layers: &Layers) -> Result<SecretsManager> {
    use crate::identity::aws::{NAME_A_REGION, Region};

    let (ttl, timeout) = lifetimes(layers)?;
    let mut secrets = crate::authenticator::AwsSecrets::builder()
        .ttl(ttl)
        .timeout(timeout);
    let region = layers.get("aws_region", |name| {
        Region::find(name).ok_or_else(|| format!("\"{}\" is no region of AWS's", printable(name)))
    })?;
    if let Some(region) = region {
        secrets = secrets.region(region.name());
    }
    if let Some(role) = layers.text("assume_aws_role") {
        secrets = secrets.iam_role(role);
    }
    if let Some(url) = layers.text("asm_endpoint") {
        secrets = secrets.endpoint(url);
    }
    let secrets = secrets.build().await.map_err(|error| {
        // It is said to whoever writes a program; here there is a setting.
        if error.help() == Some(NAME_A_REGION) {
            error.with_help("give aws_region (AWS_REGION), or the region of the profile")
        } else {
            error
        }
    });
    Ok(secrets?.into())
}

#[cfg(not(feature = "asm"))]
async fn asm(layers: &Layers) -> Result<SecretsManager> {
    Err(left_out(layers))
}

#[cfg(feature = "kubernetes")]
fn kubernetes(layers: &Layers) -> Result<SecretsManager> {
    let folder = layers.path("kubernetes_secrets_path").ok_or_else(|| {
        missing(
            "kubernetes_secrets_path",
            "give the folder where the Secret is mounted",
        )
    })?;
    let mounted = crate::authenticator::MountedSecrets::open(folder);
    Ok(mounted.map_err(Error::unready)?.into())
}

#[cfg(not(feature = "kubernetes"))]
fn kubernetes(layers: &Layers) -> Result<SecretsManager> {
    Err(left_out(layers))
}

/// How long a record is good, and how long it is waited for.
#[cfg(any(feature = "vault", feature = "asm"))]
fn lifetimes(layers: &Layers) -> Result<(std::time::Duration, std::time::Duration)> {
    use std::time::Duration;

    let bounded = |key: &str, default: u64, most: u64| {
        let time = layers.duration(key, Duration::from_secs(default))?;
        if time > Duration::from_secs(most) {
            return Err(layers.error(key, format!("it is at most {most}s")));
        }
        Ok(time)
    };
    Ok((
        bounded("secrets_ttl", 10, 60)?,
        bounded("secrets_timeout", 3, 9)?,
    ))
}

#[cfg(not(all(feature = "vault", feature = "asm", feature = "kubernetes")))]
fn left_out(layers: &Layers) -> Error {
    layers.error("secrets_manager", "this build leaves it out")
}

fn missing(key: &str, help: &'static str) -> Error {
    Error::configuration(format!("{key}: it is missing")).with_help(help)
}
