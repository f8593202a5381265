//! Holders of proofs in a Redis that replicas share.

mod live;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use ::redis::{Cmd, IntoConnectionInfo, RedisError};
use arc_swap::{ArcSwap, ArcSwapOption};
use tokio_util::sync::CancellationToken;
use url::Url;

use self::live::{Address, Live};
use super::{ReplayStore, ReplayStoreUnavailable};
use crate::{
    Error, Result,
    authenticator::{
        metrics::{File, Metrics},
        reload::{self, Watched},
        token::hexadecimal,
    },
    error::printable,
};

/// The longest that a login waits for an answer, a new connection included.
const PATIENCE: Duration = Duration::from_secs(2);

/// Names in a database that others may use too.
const PREFIX: &str = "approzium:v1:";

/// Who used which proof of the v1 API first, in a Redis (7.0 or later) or a Valkey that replicas
/// share, so that a proof that was used at one of them is known to all, also after a restart.
///
/// Only `rediss://` is spoken, or `redis://` on loopback. While it does not answer, v1's logins are
/// refused as `UNAVAILABLE`; this API's go on. Its files are read again when they change.
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
    address: Arc<Address>,
    live: Arc<ArcSwap<Live>>,
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
        let mut command = Cmd::new();
        command.arg("SET");
        command.arg(name).arg(holder).arg("NX").arg("GET");
        // Zero would be an error.
        command.arg("PX").arg(milliseconds.max(1));
        let live = self.live.load_full();
        let answer = live.ask(&command).await;
        let answer = answer.map_err(|error| unavailable(&error))?;
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
        let address = Address {
            information: url.into_connection_info().map_err(unusable)?,
            password_path: self.password_path,
            ca_path: self.ca_path,
        };
        let live = Live::of(&address, address.read()?)?;
        Ok(RedisReplays {
            address: Arc::new(address),
            live: Arc::new(ArcSwap::from_pointee(live)),
        })
    }
}

impl RedisReplays {
    /// By what stands in its files now; whether that is something else.
    fn read_again(&self) -> Result<bool> {
        let read = self.address.read()?;
        let before = self.live.load_full();
        let changed = read != before.files;
        if changed {
            let mut live = Live::of(&self.address, read)?;
            live.before = ArcSwapOption::new(Some(before.last_good()));
            self.live.store(Arc::new(live));
        }
        Ok(changed)
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

    fn keep_current(&self, metrics: &Arc<Metrics>, end: &CancellationToken) {
        let watched = Watched::new(self.address.files());
        let (replays, metrics) = (self.clone(), metrics.clone());
        let look = move || {
            watched.look(File::ReplayStore, &metrics, || replays.read_again());
        };
        reload::watch(look, end.clone());
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
