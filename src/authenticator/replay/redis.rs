//! Holders of proofs in a Redis that replicas share.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ::redis::{
    Client, IntoConnectionInfo, RedisError, TlsCertificates,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::{sync::OnceCell, time::timeout};
use url::Url;

use super::{ReplayStore, ReplayStoreUnavailable};
use crate::{
    Error, Result,
    authenticator::{secrets::private, token::hexadecimal},
    error::printable,
};

/// The longest that a login waits for an answer, a new connection included.
const PATIENCE: Duration = Duration::from_secs(2);

/// Names in a database that others may use too.
const PREFIX: &str = "approzium:v1:";

const MAX_PASSWORD_FILE: u64 = 4 << 10;

/// Who used which proof of the v1 API first, in a Redis (7.0 or later) or a Valkey that replicas
/// share, so that a proof that was used at one of them is known to all, also after a restart.
///
/// Only `rediss://` is spoken, or `redis://` on loopback. While it does not answer, v1's logins are
/// refused as `UNAVAILABLE`; this API's go on.
///
/// ```no_run
/// use approzium::{authenticator::{Authenticator, RedisReplays}, identity::aws::PresignedLimits};
///
/// # fn example() -> approzium::Result<()> {
/// let replays = RedisReplays::builder("rediss://approzium@redis.internal")
///     .password_file("/etc/approzium/redis.password")
///     .build()?;
/// let authenticator = Authenticator::builder()
///     .v1_api(PresignedLimits::default())
///     .v1_replay_store(replays);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisReplays {
    client: Client,
    /// Made when it is first needed, and made anew by itself whenever it breaks.
    connection: Arc<OnceCell<ConnectionManager>>,
}

/// The description of a [`RedisReplays`].
pub struct RedisReplaysBuilder {
    url: String,
    password_path: Option<PathBuf>,
    ca_path: Option<PathBuf>,
}

impl RedisReplays {
    /// At this address: `rediss://[user@]host[:port][/database]`.
    pub fn builder(url: impl Into<String>) -> RedisReplaysBuilder {
        RedisReplaysBuilder {
            url: url.into(),
            password_path: None,
            ca_path: None,
        }
    }

    /// Whether it answers now as it is to answer logins: one that is too old does not.
    pub(crate) async fn reach(&self) -> Result<(), ReplayStoreUnavailable> {
        let name = format!("{PREFIX}ready");
        self.first(&name, "", Duration::from_millis(1))
            .await
            .map(drop)
    }

    /// Who is at this name: `holder`, if nobody was. One command, so that of two replicas that ask
    /// at once one is the first.
    async fn first(
        &self,
        name: &str,
        holder: &str,
        keep_for: Duration,
    ) -> Result<String, ReplayStoreUnavailable> {
        let milliseconds = u64::try_from(keep_for.as_millis()).unwrap_or(u64::MAX);
        let mut command = ::redis::cmd("SET");
        command.arg(name).arg(holder).arg("NX").arg("GET");
        // Zero would be an error, and is a proof that nobody accepts any more.
        command.arg("PX").arg(milliseconds.max(1));
        let answer = async {
            let connect = || async { self.client.get_connection_manager_lazy(bounds()) };
            let mut connection = self.connection.get_or_try_init(connect).await?.clone();
            command.query_async::<Option<String>>(&mut connection).await
        };
        let answer = timeout(PATIENCE, answer)
            .await
            .map_err(|_| ReplayStoreUnavailable("Redis: no answer in time".to_owned()))?
            .map_err(|error| unavailable(&error))?;
        Ok(answer.unwrap_or_else(|| holder.to_owned()))
    }
}

impl RedisReplaysBuilder {
    /// The password, in a file that its owner (and group) alone can read.
    pub fn password_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.password_path = Some(path.into());
        self
    }

    /// The authority of its certificate (PEM). Default: those that this machine trusts.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_path = Some(path.into());
        self
    }

    /// Nobody is asked yet.
    ///
    /// # Errors
    /// A configuration error that names what is wrong.
    pub fn build(self) -> Result<RedisReplays> {
        let refuse = |problem: String| Error::configuration(format!("v1_replay_store: {problem}"));
        let url = address(&self.url).map_err(|problem| refuse(problem.to_owned()))?;
        let unusable = |error: RedisError| refuse(printable(&error.to_string()));
        let mut information = url.into_connection_info().map_err(unusable)?;
        if let Some(path) = &self.password_path {
            let password = password(path).map_err(|problem| {
                let path = path.display();
                Error::configuration(format!("v1_replay_store_password_path: {path}: {problem}"))
            })?;
            let settings = information.redis_settings().clone();
            information = information.set_redis_settings(settings.set_password(&*password));
        }
        let root_cert = self.ca_path.map(|path| {
            std::fs::read(&path).map_err(|error| {
                let path = path.display();
                Error::configuration(format!("v1_replay_store_ca_path: {path}: {error}"))
            })
        });
        let client = match root_cert.transpose()? {
            Some(root_cert) => {
                let certificates = TlsCertificates {
                    client_tls: None,
                    root_cert: Some(root_cert),
                };
                Client::build_with_tls(information, certificates)
            }
            None => Client::open(information),
        };
        Ok(RedisReplays {
            client: client.map_err(unusable)?,
            connection: Arc::default(),
        })
    }
}

#[tonic::async_trait]
impl ReplayStore for RedisReplays {
    async fn is_held_by(
        &self,
        proof: &[u8; 32],
        holder: &[u8; 32],
        keep_for: Duration,
    ) -> Result<bool, ReplayStoreUnavailable> {
        let name = format!("{PREFIX}{}", hexadecimal(proof));
        let holder = hexadecimal(holder);
        let first = self.first(&name, &holder, keep_for).await?;
        Ok(first == holder)
    }
}

impl fmt::Debug for RedisReplays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisReplays").finish_non_exhaustive()
    }
}

/// Without the URL, which may hold a password until [`build`](RedisReplaysBuilder::build) refuses it.
impl fmt::Debug for RedisReplaysBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisReplaysBuilder")
            .field("password_path", &self.password_path)
            .field("ca_path", &self.ca_path)
            .finish_non_exhaustive()
    }
}

/// Whoever waits for a connection that cannot be had is told so, and the next one dials again.
fn bounds() -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_number_of_retries(1)
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE))
}

/// TLS, or loopback; and no password, which would stand in a configuration.
fn address(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is not a URL such as rediss://redis.internal")?;
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        // The host of a scheme that no browser knows is not parsed.
        Some(url::Host::Domain(name)) => {
            let address = name.parse::<std::net::IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
        None => return Err("it names no host"),
    };
    match url.scheme() {
        "rediss" => {}
        "redis" if loopback => {}
        "redis" => return Err("it is plaintext, which only an address of loopback may be: rediss"),
        _ => return Err("it is not a URL such as rediss://redis.internal"),
    }
    if url.password().is_some() {
        return Err("it holds a password: give v1_replay_store_password_path");
    }
    if url.query().is_some() || url.fragment().is_some() {
        // By a fragment certificates would not be verified.
        return Err("it holds a query or a fragment");
    }
    Ok(url)
}

fn password(path: &Path) -> Result<zeroize::Zeroizing<String>, String> {
    let bytes = private(path, MAX_PASSWORD_FILE)?;
    let text = str::from_utf8(&bytes).map_err(|_| "it is not text".to_owned())?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err("it is empty".to_owned()),
        password => Ok(password.to_owned().into()),
    }
}

/// Its own words name commands and what is wrong with them, and nothing that was sent.
fn unavailable(error: &RedisError) -> ReplayStoreUnavailable {
    ReplayStoreUnavailable(format!("Redis: {}", printable(&error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_reached_by_tls_or_on_this_machine_and_its_password_is_in_a_file() {
        for good in [
            "rediss://redis.internal",
            "rediss://approzium@redis.internal:6380/2",
            "redis://127.0.0.1:6379",
            "redis://[::1]:6379",
            "redis://localhost",
        ] {
            assert!(RedisReplays::builder(good).build().is_ok(), "{good}");
        }
        for bad in [
            "redis://redis.internal",
            "redis://127.0.0.1.example",
            "redis://10.0.0.1",
            "rediss://approzium:hunter2@redis.internal",
            "rediss://redis.internal#insecure",
            "rediss://redis.internal?protocol=resp3",
            "rediss://",
            "unix:///run/redis.sock",
            "redis.internal:6379",
        ] {
            let error = RedisReplays::builder(bad).build().unwrap_err();
            assert!(error.is_configuration(), "{bad}");
            let said = error.to_string();
            assert!(
                said.contains("v1_replay_store") && !said.contains("hunter2"),
                "{said}"
            );
        }
    }

    #[tokio::test]
    async fn one_that_never_answers_is_not_waited_for() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let silent = RedisReplays::builder(url).build().unwrap();
        let asked = silent.is_held_by(&[1; 32], &[2; 32], PATIENCE).await;
        let problem = asked.unwrap_err().to_string();
        assert!(problem.starts_with("Redis: "), "{problem}");
    }

    #[test]
    fn a_password_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "hunter2\n").unwrap();
        let build = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            RedisReplays::builder("redis://localhost")
                .password_file(&path)
                .build()
        };
        let good = build(0o600).unwrap();
        assert!(!format!("{good:?}").contains("hunter2"));
        let said = build(0o644).unwrap_err().to_string();
        assert!(said.contains("v1_replay_store_password_path"), "{said}");
        std::fs::write(&path, "\n").unwrap();
        assert!(build(0o600).unwrap_err().to_string().contains("empty"));
    }
}
