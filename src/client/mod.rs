//! The application's side of the Authenticator: addresses, TLS, sessions, handshakes.
//!
//! ```no_run
//! # fn main() -> approzium::Result<()> {
//! let client = approzium::AuthClient::builder("authenticator.internal:6001")
//!     .tls(approzium::TlsConfig::new().roots_file("/etc/approzium/ca.pem"))
//!     .region("eu-central-1")
//!     .build()?;
//! approzium::set_default_auth_client(client);
//! # Ok(())
//! # }
//! ```
//!
//! Nothing is asked of anybody before the first database connection. Then, and once for all
//! connections that are waiting, the client dials the Authenticator, proves its identity and holds
//! a session; the session is renewed in the background of later connects while it is still good.

#![cfg_attr(
    not(feature = "postgres"),
    allow(
        dead_code,
        unused_imports,
        reason = "handshakes are what drivers ask for"
    )
)]

mod address;
mod backoff;
mod builder;
mod default;
mod dial;
mod flight;
mod handshake;
mod information;
mod lane;
mod probe;
mod retries;
mod session;
mod status;
#[cfg(all(test, feature = "authenticator"))]
mod testing;
mod tls;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

pub use builder::AuthClientBuilder;
pub use default::{default_auth_client, set_default_auth_client};
pub(crate) use handshake::{Handshake, Offered, Outcome, Target};
pub use information::AttributionInfo;
use lane::Lanes;
use session::Sessions;
#[cfg(fuzzing)]
pub(crate) use session::fuzzing;
pub use tls::TlsConfig;

use crate::{error::Result, opentelemetry::Instrumentation};

/// A connection to an Authenticator, and the session that proves who this application is.
///
/// Clones are cheap and share everything: make one for a process.
#[derive(Clone)]
pub struct AuthClient(Arc<Inner>);

struct Inner {
    address: String,
    lanes: Arc<Lanes>,
    sessions: Arc<Sessions>,
    handshake_timeout: Duration,
    attribution: bool,
    instrumentation: Option<Arc<Instrumentation>>,
    connections: AtomicU64,
    /// Outcomes that are on their way.
    farewells: TaskTracker,
}

impl AuthClient {
    /// Waits until the Authenticator has noted how the logins so far ended: for who is about to end
    /// itself, and with it what it has not sent.
    #[cfg(feature = "postgres")]
    pub(crate) async fn outcomes_noted(&self, within: Duration) {
        self.0.farewells.close();
        // Late or not, there is nothing to be done about it.
        let _ = tokio::time::timeout(within, self.0.farewells.wait()).await;
        self.0.farewells.reopen();
    }

    /// A client of the Authenticator at `address` (`host:port`), everything else by default.
    ///
    /// # Errors
    /// As [`AuthClientBuilder::build`].
    pub fn new(address: impl Into<String>) -> Result<Self> {
        Self::builder(address).build()
    }

    /// A client as the environment describes it: `APPROZIUM_ADDRESS` and `APPROZIUM_CA`.
    ///
    /// # Errors
    /// As [`AuthClientBuilder::build`], and if `APPROZIUM_ADDRESS` is not set.
    pub fn from_env() -> Result<Self> {
        AuthClientBuilder::from_env()?.build()
    }

    /// Starts the description of a client of the Authenticator at `address`.
    pub fn builder(address: impl Into<String>) -> AuthClientBuilder {
        AuthClientBuilder::new(address)
    }

    /// The Authenticator's address: `host:port`.
    pub fn authenticator_address(&self) -> &str {
        &self.0.address
    }

    /// What is known now about this client, its identity and the place where it runs.
    pub fn attribution_info(&self) -> AttributionInfo {
        AttributionInfo::of(self)
    }

    /// [`attribution_info`](Self::attribution_info) as one JSON object.
    pub fn attribution_info_json(&self) -> String {
        self.attribution_info().to_json()
    }

    /// The identity as the Authenticator last verified it; `None` before it has.
    pub fn iam_arn(&self) -> Option<String> {
        self.0.sessions.iam_arn()
    }

    /// How many database connections were made through this client.
    pub fn num_connections(&self) -> u64 {
        self.0.connections.load(Ordering::Relaxed)
    }

    /// What this client's connections report, if it has a will of its own.
    pub(crate) fn instrumentation(&self) -> Option<&Arc<Instrumentation>> {
        self.0.instrumentation.as_ref()
    }

    /// Counts one database connection; the new number, this one among them.
    pub(crate) fn count_connection(&self) -> u64 {
        self.0.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Proves the identity now, if no session is there: what the first connection would wait for
    /// otherwise. An application that calls it at its start knows early if it cannot log in.
    ///
    /// ```no_run
    /// # async fn example() -> approzium::Result<()> {
    /// let client = approzium::AuthClient::from_env()?;
    /// client.authenticate().await?;
    /// println!("I am {}", client.iam_arn().unwrap_or_default());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Whatever stands between: the [hop](crate::Error::hop) says where.
    pub async fn authenticate(&self) -> Result<()> {
        // The attempt has a time of its own and says what it was spent on. After a failure there is
        // the backoff to wait for.
        let deadline = Instant::now() + self.0.sessions.timeout() * 2;
        self.session(deadline).await
    }

    /// Whether a handshake would find a session that lasts.
    pub(crate) fn has_session(&self) -> bool {
        self.0.sessions.has_one()
    }

    /// The session alone: a phase of a connect that has its own span. [`handshake`](Self::handshake)
    /// would make it too.
    pub(crate) async fn session(&self, deadline: Instant) -> Result<()> {
        self.0.sessions.session(deadline).await.map(drop)
    }

    /// Opens a handshake for one database connection: dials and makes the session if need be, and
    /// waits until the Authenticator has accepted the start. It is meant to run while the
    /// connection to the database is still being made. Cancelling it harms nobody.
    pub(crate) async fn handshake(&self, target: Target, deadline: Instant) -> Result<Handshake> {
        Handshake::open(self, target, deadline).await
    }
}

impl fmt::Debug for AuthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthClient")
            .field("address", &self.0.address)
            .finish_non_exhaustive()
    }
}
