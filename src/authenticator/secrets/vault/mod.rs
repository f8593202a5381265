//! Records from Vault or OpenBao, by its HTTP API.
//!
//! ```text
//! GET /v1/approzium/<host>:<port>        KV version 1, mounted at approzium/
//! GET /v1/approzium/data/<host>:<port>   KV version 2
//! ```

mod api;
mod aws;
#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod kv;
mod life;
mod login;
#[cfg(test)]
mod scripted;
mod token;
mod version;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use ::http::HeaderValue;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use self::{
    api::{Api, Reply},
    kv::Kv,
    token::{Token, Tokens},
};
pub use self::{kv::KvVersion, login::VaultLogin};
use super::{
    Record, SecretsManager, Trouble, Unavailable,
    cached::{Cached, Lifetimes, Source},
    https::{Https, endpoint},
    place::Place,
};
use crate::{Error, Result, authenticator::metrics::Metrics};

/// Records kept in Vault or OpenBao, in a KV secrets engine of version 1 or 2.
///
/// One secret holds the users of one database, with the keys of the local file:
///
/// ```json
/// {"shop": {"password": "…", "iam_arns": ["arn:aws:iam::123456789012:role/checkout"]}}
/// ```
///
/// It is read at most every [`ttl`](VaultSecretsBuilder::ttl), and at once when something looks
/// like a rotation. Only https is spoken, or http on loopback; no redirect is followed, and no
/// proxy of the environment is used.
///
/// ```no_run
/// use approzium::authenticator::{Authenticator, VaultLogin, VaultSecrets};
///
/// # fn example() -> approzium::Result<()> {
/// let vault = VaultSecrets::builder("https://vault.internal:8200")
///     .login(VaultLogin::kubernetes("approzium"))
///     .build()?;
/// let authenticator = Authenticator::builder().secrets(vault);
/// # Ok(())
/// # }
/// ```
pub struct VaultSecrets {
    vault: Vault,
    lifetimes: Lifetimes,
}

impl VaultSecrets {
    /// At this address: `https://vault.internal:8200`.
    pub fn builder(address: impl Into<String>) -> VaultSecretsBuilder {
        VaultSecretsBuilder {
            address: address.into(),
            login: None,
            namespace: None,
            ca_path: None,
            mount: "approzium".to_owned(),
            path: "{host}:{port}".to_owned(),
            version: None,
            lifetimes: Lifetimes::default(),
        }
    }
}

impl From<VaultSecrets> for SecretsManager {
    fn from(secrets: VaultSecrets) -> Self {
        SecretsManager(Arc::new(Cached::new(secrets.vault, secrets.lifetimes)))
    }
}

impl fmt::Debug for VaultSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultSecrets").finish_non_exhaustive()
    }
}

struct Vault {
    api: Arc<Api>,
    tokens: Arc<Tokens>,
    kv: Kv,
}

#[tonic::async_trait]
impl Source for Vault {
    async fn fetch(&self, place: &Place) -> Result<Vec<Arc<Record>>, Unavailable> {
        match self.at(|version| self.kv.path(version, place)).await? {
            Some((version, answer)) => kv::records(version, &answer, place),
            None => Ok(Vec::new()),
        }
    }

    /// A secret that cannot be: whoever may read its neighbours is told that it is not there.
    async fn ready(&self) -> Result<(), Unavailable> {
        let readiness = self.at(|version| self.kv.readiness(version));
        readiness.await.map(drop)
    }

    fn keep_current(&self, metrics: &Arc<Metrics>, end: &CancellationToken) {
        self.tokens.show(metrics);
        self.api.keep_current(metrics, end);
    }
}

impl Vault {
    /// What there is at a path, which depends on the engine's version, and that.
    async fn at(
        &self,
        path: impl Fn(KvVersion) -> String,
    ) -> Result<Option<(KvVersion, Zeroizing<Vec<u8>>)>, Unavailable> {
        let begun = Instant::now();
        let mut version = self.version(None).await?;
        let mut reply = self.get(&path(version)).await?;
        if let Reply::Absent(said) = &reply
            && !said.is_empty()
        {
            // No path at all: perhaps the engine was upgraded since.
            let now = self.version(Some(begun)).await?;
            if now != version {
                version = now;
                reply = self.get(&path(version)).await?;
            }
        }
        match reply {
            Reply::Good(answer) => Ok(Some((version, answer))),
            Reply::Absent(said) if said.is_empty() => Ok(None),
            Reply::Absent(said) | Reply::Denied(said) => Err(refused(&path(version), &said)),
        }
    }

    async fn version(&self, too_old: Option<Instant>) -> Result<KvVersion, Unavailable> {
        let ask = async || {
            let path = self.kv.mount_path();
            match self.get(&path).await? {
                Reply::Good(answer) => kv::version(&answer),
                Reply::Absent(said) | Reply::Denied(said) => Err(refused(&path, &said)),
            }
        };
        self.kv.version.get(too_old, ask).await
    }

    /// Where the token turns out to be no longer good, once more with another.
    async fn get(&self, path: &str) -> Result<Reply, Unavailable> {
        let token = self.tokens.token().await?;
        let reply = self.get_by(&token, path).await?;
        if let Reply::Denied(_) = reply {
            let mount = self.kv.mount_path();
            if let Some(token) = self.tokens.instead_of(&token, &mount).await? {
                return self.get_by(&token, path).await;
            }
        }
        Ok(reply)
    }

    async fn get_by(&self, token: &Token, path: &str) -> Result<Reply, Unavailable> {
        match token.is_new() {
            true => self.api.get_by_new(&token.header, path).await,
            false => self.api.get(&token.header, path).await,
        }
    }
}

fn refused(path: &str, said: &str) -> Unavailable {
    Unavailable::new(
        Trouble::Refused,
        format!("it does not let {path} be read: {said}"),
    )
}

/// The description of [`VaultSecrets`].
pub struct VaultSecretsBuilder {
    address: String,
    login: Option<VaultLogin>,
    namespace: Option<String>,
    ca_path: Option<PathBuf>,
    mount: String,
    path: String,
    version: Option<KvVersion>,
    lifetimes: Lifetimes,
}

impl VaultSecretsBuilder {
    /// How the Authenticator proves itself. There is no default.
    pub fn login(mut self, login: VaultLogin) -> Self {
        self.login = Some(login);
        self
    }

    /// The namespace of login and secrets. Default: none.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// A file with the authorities of its certificate, PEM, read again when it changes; then only
    /// these are trusted. Default: the system's.
    pub fn ca_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_path = Some(path.into());
        self
    }

    /// Where the KV engine is mounted. Default: `approzium`.
    pub fn mount(mut self, mount: impl Into<String>) -> Self {
        self.mount = mount.into();
        self
    }

    /// The path of a secret below the mount, with `{host}` and `{port}` in it. Default:
    /// `{host}:{port}`.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The version of the KV engine. Default: it is asked for, again and again.
    pub fn kv_version(mut self, version: KvVersion) -> Self {
        self.version = Some(version);
        self
    }

    /// How long a record is good without being read again. Default: 10 s; at most a minute.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.lifetimes = self.lifetimes.with_ttl(ttl);
        self
    }

    /// How long an answer is waited for. Default: 3 s; at most 9 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.lifetimes = self.lifetimes.with_timeout(timeout);
        self
    }

    /// Puts it together. Nothing is asked yet: a secrets manager may start later than we do.
    ///
    /// # Errors
    /// A configuration error that names the setting of `approzium serve`.
    pub fn build(self) -> Result<VaultSecrets> {
        let wrong = |key: &str, problem: &str| Error::configuration(format!("{key}: {problem}"));
        let address = endpoint(&self.address).map_err(|problem| wrong("vault_addr", problem))?;
        let https = Https::new(self.ca_path.as_deref())
            .map_err(|problem| wrong("vault_ca_path", &problem).unready())?;
        let namespace = self.namespace.map(|namespace| {
            HeaderValue::from_str(&namespace)
                .map_err(|_| wrong("vault_namespace", "it has characters that no namespace has"))
        });
        let login = self.login.ok_or_else(|| {
            wrong("vault_token_path", "it is missing").with_help(
                "give vault_token_path or vault_token, or set vault_auth to approle, kubernetes or aws",
            )
        })?;
        login
            .check()
            .map_err(|(key, problem)| wrong(key, problem))?;
        if let Some(key) = login.lacks_its_file() {
            return Err(wrong(key, "there is no such file").unready());
        }
        let kv = Kv::new(&self.mount, &self.path, self.version)
            .map_err(|(key, problem)| wrong(key, problem))?;
        let api = Arc::new(Api::new(https, address, namespace.transpose()?));
        Ok(VaultSecrets {
            vault: Vault {
                tokens: Arc::new(Tokens::new(login, api.clone())),
                api,
                kv,
            },
            lifetimes: self.lifetimes,
        })
    }
}

impl fmt::Debug for VaultSecretsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultSecretsBuilder")
            .field("login", &self.login)
            .field("namespace", &self.namespace)
            .field("mount", &self.mount)
            .field("path", &self.path)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        scripted::{LOGIN, Scripted},
        *,
    };
    use crate::authenticator::secrets::RecordKey;

    #[tokio::test]
    async fn a_node_that_has_not_heard_of_a_new_token_is_asked_once_more() {
        for status in [403, 412] {
            let scripted = Scripted::start(move |path, before| match (path, before) {
                ("/v1/approzium/db:5432", 0) => (status, json!({})),
                ("/v1/approzium/db:5432", _) => (200, json!({"data": {}})),
                _ => (403, json!({})),
            })
            .await;
            let place = Place::of(&RecordKey::new("db", 5432, "app")).unwrap();
            let records = scripted.vault.fetch(&place).await;
            assert_eq!(records.unwrap().len(), 0, "{status}");
            assert_eq!(scripted.asked(LOGIN), 1, "{status}");
        }
    }
}
