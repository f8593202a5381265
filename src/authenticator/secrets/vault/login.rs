//! How the Authenticator proves itself to Vault.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use ::http::HeaderValue;
use aws_credential_types::provider::SharedCredentialsProvider;
use serde::Deserialize;
use serde_json::json;
use tokio::{sync::Semaphore, time::Instant};
use zeroize::Zeroizing;

use super::{
    super::{Trouble, Unavailable, private},
    api::{Api, Reply},
    aws::AwsLogin,
    life::{LONGEST, Life},
    token::Token,
};
use crate::{secret::Secret, stamp::Stamp};

/// How an Authenticator gets a token of Vault's.
#[derive(Clone)]
pub struct VaultLogin(Way);

#[derive(Clone)]
enum Way {
    Token(Secret),
    File(PathBuf),
    AppRole {
        mount: String,
        role_id: String,
        secret_id: PathBuf,
    },
    Kubernetes {
        mount: String,
        role: String,
        jwt: PathBuf,
    },
    Aws(AwsLogin),
}

/// Where Kubernetes puts a pod's own token.
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// A token or a secret id; they have less than a thousand bytes, a service account's two thousand.
const MAX_SECRET: u64 = 16 << 10;

impl VaultLogin {
    /// With this token, which is renewed for as long as it can be.
    pub fn token(token: impl Into<String>) -> Self {
        VaultLogin(Way::Token(Secret::from(token.into())))
    }

    /// With the token in this file, as Vault's agent keeps one. It is read again when it changes,
    /// and it must be readable by its owner (and group) alone.
    pub fn token_file(path: impl Into<PathBuf>) -> Self {
        VaultLogin(Way::File(path.into()))
    }

    /// By AppRole, with the secret id in this file, which must be readable by its owner (and
    /// group) alone.
    pub fn app_role(role_id: impl Into<String>, secret_id_path: impl Into<PathBuf>) -> Self {
        VaultLogin(Way::AppRole {
            mount: "approle".to_owned(),
            role_id: role_id.into(),
            secret_id: secret_id_path.into(),
        })
    }

    /// As a role of Kubernetes, with the pod's own token.
    pub fn kubernetes(role: impl Into<String>) -> Self {
        VaultLogin(Way::Kubernetes {
            mount: "kubernetes".to_owned(),
            role: role.into(),
            jwt: SERVICE_ACCOUNT_TOKEN.into(),
        })
    }

    /// As a role of Vault's AWS method, by a signed GetCallerIdentity. Vault asks STS with it.
    ///
    /// The credentials are the AWS SDK's chain's, or those of
    /// [`aws_credentials`](Self::aws_credentials).
    pub fn aws(role: impl Into<String>) -> Self {
        VaultLogin(Way::Aws(AwsLogin::new(role.into())))
    }

    /// The region whose STS Vault asks: its `sts_region`. Default: that of the environment. For
    /// [`aws`](Self::aws).
    pub fn aws_region(mut self, region: impl Into<String>) -> Self {
        if let Way::Aws(login) = &mut self.0 {
            login.signer = login.signer.clone().region(region);
        }
        self
    }

    /// The credentials to sign with; for [`aws`](Self::aws).
    pub fn aws_credentials(mut self, provider: SharedCredentialsProvider) -> Self {
        if let Way::Aws(login) = &mut self.0 {
            login.signer = login.signer.clone().credentials_provider(provider);
        }
        self
    }

    /// What Vault calls itself, its `iam_server_id_header_value`, so that the request is good for
    /// no other. Default: none. For [`aws`](Self::aws).
    pub fn aws_server_id(mut self, id: impl Into<String>) -> Self {
        if let Way::Aws(login) = &mut self.0 {
            login.server_id = Some(id.into());
        }
        self
    }

    /// The service account's token in another file; for [`kubernetes`](Self::kubernetes).
    pub fn jwt_path(mut self, path: impl Into<PathBuf>) -> Self {
        if let Way::Kubernetes { jwt, .. } = &mut self.0 {
            *jwt = path.into();
        }
        self
    }

    /// Where the auth method is mounted. Default: `approle`, `kubernetes`, `aws`.
    pub fn mount(mut self, path: impl Into<String>) -> Self {
        if let Way::AppRole { mount, .. }
        | Way::Kubernetes { mount, .. }
        | Way::Aws(AwsLogin { mount, .. }) = &mut self.0
        {
            *mount = path.into();
        }
        self
    }

    /// What is wrong with it, and which setting says so.
    pub(super) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        match &self.0 {
            Way::Token(token) => header(token.expose_secret())
                .map(drop)
                .map_err(|_| ("vault_token", "it is no token")),
            Way::Aws(login) if !login.names_a_server() => {
                Err(("vault_aws_server_id", "it is no value of a header"))
            }
            Way::AppRole { mount, .. }
            | Way::Kubernetes { mount, .. }
            | Way::Aws(AwsLogin { mount, .. }) => {
                let is_mount = !mount.is_empty()
                    && mount
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"_-/".contains(&byte));
                is_mount
                    .then_some(())
                    .ok_or(("vault_auth_mount", "it is not a path such as approle"))
            }
            Way::File(_) => Ok(()),
        }
    }

    /// The setting of the file that it needs, if that is not there.
    pub(super) fn lacks_its_file(&self) -> Option<&'static str> {
        let (key, path) = match &self.0 {
            Way::File(path) => ("vault_token_path", path),
            Way::AppRole { secret_id, .. } => ("vault_secret_id_path", secret_id),
            Way::Kubernetes { jwt, .. } => ("vault_jwt_path", jwt),
            Way::Token(_) | Way::Aws(_) => return None,
        };
        fs::metadata(path).is_err().then_some(key)
    }

    /// Whether another token can be had by asking.
    pub(super) fn can_log_in(&self) -> bool {
        matches!(
            self.0,
            Way::AppRole { .. } | Way::Kubernetes { .. } | Way::Aws(_)
        )
    }

    /// Whether the file that a token is from has not changed since. One that cannot be looked at is
    /// about to be replaced, or lost: its token is good as long as Vault says so.
    pub(super) async fn is_current(&self, token: &Token) -> bool {
        match (&self.0, &token.stamp) {
            (Way::File(path), Some(stamp)) => {
                let metadata = metadata(path).await;
                metadata.map_or(true, |metadata| stamp.still_tells(&metadata))
            }
            _ => true,
        }
    }

    /// A token, and how long it lives.
    pub(super) async fn obtain(
        &self,
        api: &Api,
        current: Option<&Token>,
    ) -> Result<Token, Unavailable> {
        match &self.0 {
            Way::Token(token) => {
                let before = current.and_then(|current| current.life);
                known(api, header(token.expose_secret())?, None, before).await
            }
            Way::File(path) => {
                let stamp = metadata(path).await.map(|metadata| Stamp::of(&metadata));
                let header = header(trimmed(&read_private(path).await?))?;
                match current.filter(|current| current.header == header) {
                    Some(current) => Ok(Token {
                        header,
                        life: current.life,
                        stamp: stamp.ok(),
                        logged_in: None,
                    }),
                    None => known(api, header, stamp.ok(), None).await,
                }
            }
            Way::AppRole {
                mount,
                role_id,
                secret_id,
            } => {
                let secret_id = read_private(secret_id).await?;
                let body = json!({"role_id": role_id, "secret_id": text(&secret_id)?});
                log_in(api, mount, &body).await
            }
            Way::Kubernetes { mount, role, jwt } => {
                // Kubernetes mounts it for everybody in the pod.
                let token = tokio::fs::read(jwt).await.map(Zeroizing::new);
                let token = token.map_err(|error| unreadable(jwt, error))?;
                let body = json!({"role": role, "jwt": text(&token)?});
                log_in(api, mount, &body).await
            }
            Way::Aws(login) => log_in(api, &login.mount, &login.body().await?).await,
        }
    }
}

/// A token that is given to us. One that may not look itself up is used as it is; where it could
/// before, it has ended, and what was known of it is what there is to be shown.
async fn known(
    api: &Api,
    header: HeaderValue,
    stamp: Option<Stamp>,
    before: Option<Life>,
) -> Result<Token, Unavailable> {
    #[derive(Deserialize)]
    struct Answer {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        ttl: u64,
        #[serde(default)]
        creation_ttl: u64,
        #[serde(default)]
        renewable: bool,
    }
    let life = match api.get(&header, "auth/token/lookup-self").await? {
        Reply::Good(answer) => serde_json::from_slice::<Answer>(&answer)
            .ok()
            .map(|answer| answer.data)
            // Zero is for ever: a root token.
            .filter(|data| data.ttl > 0)
            .map(|data| {
                let life = Life::new(Duration::from_secs(data.ttl), data.renewable);
                let created = Duration::from_secs(data.creation_ttl).min(LONGEST);
                let granted = before.map_or(created, |before| before.granted);
                Life {
                    granted: life.granted.max(granted),
                    dwindles: before.is_some_and(|before| before.dwindles),
                    ..life
                }
            }),
        Reply::Absent(_) | Reply::Denied(_) => before,
    };
    Ok(Token {
        header,
        life,
        stamp,
        logged_in: None,
    })
}

async fn log_in(api: &Api, mount: &str, body: &serde_json::Value) -> Result<Token, Unavailable> {
    let path = format!("auth/{}/login", mount.trim_matches('/'));
    match api.post(None, &path, body).await? {
        Reply::Good(answer) => Ok(Token {
            logged_in: Some(Instant::now()),
            ..granted(&answer)?
        }),
        Reply::Absent(said) | Reply::Denied(said) => Err(Unavailable::new(
            Trouble::Refused,
            format!("the login at {path} fails: {said}"),
        )),
    }
}

/// What an answer to a login, or to a renewal, grants.
pub(super) fn granted(answer: &[u8]) -> Result<Token, Unavailable> {
    #[derive(Deserialize)]
    struct Answer {
        auth: Auth,
    }
    #[derive(Deserialize)]
    struct Auth {
        client_token: String,
        lease_duration: u64,
        #[serde(default)]
        renewable: bool,
    }
    let Answer { auth } = serde_json::from_slice(answer)
        .map_err(|_| Unavailable::new(Trouble::Malformed, "a login without a token"))?;
    let token = Zeroizing::new(auth.client_token);
    Ok(Token {
        header: header(token.as_bytes())?,
        life: (auth.lease_duration > 0)
            .then(|| Life::new(Duration::from_secs(auth.lease_duration), auth.renewable)),
        stamp: None,
        logged_in: None,
    })
}

/// Looks that are under way: one that hangs, as at a file system of a network, keeps its thread, and
/// those that come after it must not take all the others.
static LOOKS: Semaphore = Semaphore::const_new(8);

/// Whoever waits for it does so for as long as he waits for Vault.
async fn metadata(path: &Path) -> io::Result<fs::Metadata> {
    let look = LOOKS.acquire().await.map_err(io::Error::other)?;
    let path = path.to_owned();
    let looked = tokio::task::spawn_blocking(move || {
        let _look = look;
        fs::metadata(path)
    });
    looked.await.map_err(io::Error::other)?
}

async fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, Unavailable> {
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || private(&owned, MAX_SECRET)).await;
    read.map_err(|error| unreadable(path, error))?
        .map_err(|problem| unreadable(path, problem))
}

fn unreadable(path: &Path, problem: impl fmt::Display) -> Unavailable {
    let detail = format!("{}: {problem}", path.display());
    Unavailable::new(Trouble::Unreachable, detail)
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

fn text(bytes: &[u8]) -> Result<&str, Unavailable> {
    std::str::from_utf8(trimmed(bytes))
        .map_err(|_| Unavailable::new(Trouble::Refused, "what it should log in with is not text"))
}

fn header(token: &[u8]) -> Result<HeaderValue, Unavailable> {
    let mut header = HeaderValue::from_bytes(token)
        .ok()
        .filter(|header| !header.is_empty())
        .ok_or_else(|| Unavailable::new(Trouble::Refused, "what should be a token is none"))?;
    // So that no log of the HTTP library shows it.
    header.set_sensitive(true);
    Ok(header)
}

/// Which way, and nothing that is given with it.
impl fmt::Debug for VaultLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Way::Token(_) => "VaultLogin(token)",
            Way::File(_) => "VaultLogin(token file)",
            Way::AppRole { .. } => "VaultLogin(AppRole)",
            Way::Kubernetes { .. } => "VaultLogin(Kubernetes)",
            Way::Aws(_) => "VaultLogin(AWS)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_before_it_ends_however_long_it_lives() {
        for seconds in [1, 3600, u64::MAX / 2, u64::MAX] {
            let answer = format!(
                r#"{{"auth":{{"client_token":"hvs.x","lease_duration":{seconds},"renewable":true}}}}"#
            );
            let life = granted(answer.as_bytes()).unwrap().life.unwrap();
            assert!(life.due() < life.since + life.ttl, "{seconds}");
        }
    }
}
