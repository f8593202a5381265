//! The Authenticator put together: listeners, services, and how they end.

mod running;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ::opentelemetry::metrics::{Meter, MeterProvider};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::running::Running;
#[cfg(feature = "redis")]
use super::RedisReplays;
use super::{
    audit::{AuditLines, stream::AuditLog},
    authorization::Authorizer,
    endpoints::{serve_grpc, serve_http},
    keys::KeyStore,
    limits::{Gate, Limits, OncePer, Rate},
    listener::Acceptor,
    metrics::Metrics,
    readiness::Readiness,
    replay::{InMemory, ReplayStore},
    secrets::SecretsManager,
    service::{Known, Service, Shared, Strangers, V1, V1Service},
    sts::StsCalls,
    tls::{LiveTls, ServerTls},
    token::{MAX_SESSION_LIFETIME, SessionKeys, Tokens},
};
use crate::{
    Error, Result,
    error::printable,
    identity::aws::{Audiences, PresignedLimits, Skew, Verifier, is_audience},
};

/// An Authenticator within this process.
///
/// ```no_run
/// use approzium::authenticator::{Authenticator, LocalSecrets, ServerTls};
/// use approzium::identity::aws::StsVerifier;
///
/// # async fn example() -> approzium::Result<()> {
/// let running = Authenticator::builder()
///     .verifier(StsVerifier::builder().build()?)
///     .secrets(LocalSecrets::open("secrets.yaml")?)
///     .tls(ServerTls::open("cert.pem".as_ref(), "key.pem".as_ref())?)
///     .start()
///     .await?;
/// println!("answering at {}", running.grpc_addr());
/// running.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Authenticator;

impl Authenticator {
    /// Describes one. A verifier, secrets and TLS (or [`disable_tls`]) must be given.
    ///
    /// [`disable_tls`]: AuthenticatorBuilder::disable_tls
    pub fn builder() -> AuthenticatorBuilder {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        AuthenticatorBuilder {
            grpc: loopback,
            http: Some(loopback),
            tls: None,
            plaintext: false,
            audiences: Vec::new(),
            own_name: None,
            verifier: None,
            secrets: None,
            session_keys: None,
            session_lifetime: MAX_SESSION_LIFETIME,
            limits: Limits::default(),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(20),
            audit_log: None,
            v1_api: None,
            v1_replays: None,
            meter: None,
        }
    }
}

/// The description of an [`Authenticator`].
pub struct AuthenticatorBuilder {
    grpc: SocketAddr,
    http: Option<SocketAddr>,
    tls: Option<ServerTls>,
    plaintext: bool,
    audiences: Vec<String>,
    own_name: Option<String>,
    verifier: Option<Arc<dyn Verifier>>,
    secrets: Option<SecretsManager>,
    session_keys: Option<SessionKeys>,
    session_lifetime: Duration,
    limits: Limits,
    drain_delay: Duration,
    drain_timeout: Duration,
    audit_log: Option<AuditLog>,
    v1_api: Option<PresignedLimits>,
    v1_replays: Option<Arc<dyn ReplayStore>>,
    meter: Option<Meter>,
}

impl AuthenticatorBuilder {
    /// Where applications reach it. Default: a free port of 127.0.0.1.
    pub fn grpc_address(mut self, address: SocketAddr) -> Self {
        self.grpc = address;
        self
    }

    /// Where health and metrics are read; `None` for nowhere. Default: a free port of 127.0.0.1.
    pub fn http_address(mut self, address: impl Into<Option<SocketAddr>>) -> Self {
        self.http = address.into();
        self
    }

    /// The certificate of both endpoints, and whose client certificates they demand.
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Speaks plaintext, at loopback addresses only: to applications beside it on one machine.
    pub fn disable_tls(mut self) -> Self {
        self.plaintext = true;
        self
    }

    /// The names that it answers to: proofs must be signed for one of them, letter by letter.
    /// Applications sign for the name that they dial, in lower case, unless they are told another.
    /// Default: the names of its certificate, in lower case, and its address.
    pub fn audiences<I>(mut self, names: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.audiences = names.into_iter().map(Into::into).collect();
        self
    }

    /// One more name that it answers to, beside the default ones.
    pub(crate) fn own_name(mut self, name: String) -> Self {
        self.own_name = Some(name);
        self
    }

    /// By whom proofs of identity are verified.
    pub fn verifier(mut self, verifier: impl Verifier) -> Self {
        self.verifier = Some(Arc::new(verifier));
        self
    }

    /// Where the records are: a [`LocalSecrets`](super::LocalSecrets), or the secrets manager of
    /// one's choice.
    pub fn secrets(mut self, secrets: impl Into<SecretsManager>) -> Self {
        self.secrets = Some(secrets.into());
        self
    }

    /// The keys of session tokens, where replicas share them. Default: a random one.
    pub fn session_keys(mut self, keys: SessionKeys) -> Self {
        self.session_keys = Some(keys);
        self
    }

    /// How long a session lasts. Default and maximum: [`MAX_SESSION_LIFETIME`].
    pub fn session_lifetime(mut self, lifetime: Duration) -> Self {
        self.session_lifetime = lifetime;
        self
    }

    /// How much it takes on.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// For how long at [`Running::shutdown`] it is not ready, and serves all the same: time for
    /// whoever sends it applications to ask, and to send them elsewhere. Default: none.
    pub fn drain_delay(mut self, delay: Duration) -> Self {
        self.drain_delay = delay;
        self
    }

    /// How long logins under way may then still take at [`Running::shutdown`]. Default: 20 s.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// Where audit lines go. Default: to the log, on the target `approzium::audit`.
    pub fn audit_log(mut self, log: impl Into<Option<AuditLog>>) -> Self {
        self.audit_log = log.into();
        self
    }

    /// Serves the original's API as well, for its Python and Go SDKs. Its proofs of identity can be
    /// replayed, and its answers let a client play the database: see the security documentation.
    /// Default: off.
    pub fn v1_api(mut self, limits: impl Into<Option<PresignedLimits>>) -> Self {
        self.v1_api = limits.into();
        self
    }

    /// Where who used a proof of the v1 API first is remembered for all replicas. Default: in each
    /// replica by itself.
    #[cfg(feature = "redis")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
    pub fn v1_replay_store(mut self, store: RedisReplays) -> Self {
        self.v1_replays = Some(Arc::new(store));
        self
    }

    /// Where its metrics go besides its own HTTP endpoint, by the same names. Default: nowhere.
    ///
    /// They are read as long as it runs: flush the provider before the shutdown, or what was counted
    /// since it was last read is not sent.
    pub fn meter_provider(mut self, provider: &(impl MeterProvider + ?Sized)) -> Self {
        self.meter = Some(provider.meter("approzium.authenticator"));
        self
    }

    /// Starts it. It runs on tasks of its own until it is shut down or dropped.
    ///
    /// # Errors
    /// A configuration error that names what is missing, wrong, or taken. It is
    /// [retryable](Error::is_retryable) where the settings may stay as they are.
    pub async fn start(self) -> Result<Running> {
        let missing = |what: &str| Error::configuration(format!("{what} is missing"));
        let audiences = Audiences::new(self.reached_by()?)?;
        let metrics = Arc::new(Metrics::default());
        if let Some(meter) = &self.meter {
            metrics.export(meter);
        }
        let [leaving, drain, close] = [(); 3].map(|()| CancellationToken::new());
        // Whatever was begun ends with a start that fails.
        let until_started = drain.clone().drop_guard();
        let tls = match self.tls {
            _ if self.plaintext => None,
            Some(tls) => Some(LiveTls::start(tls, metrics.clone(), drain.clone())?),
            None => {
                return Err(missing("tls_cert_path").with_help(
                    "give tls_cert_path and tls_key_path, or disable_tls on a loopback address",
                ));
            }
        };
        let keys = match self.session_keys {
            Some(keys) => keys,
            None => SessionKeys::random()?,
        };
        keys.keep_current(metrics.clone(), drain.clone());
        let limits = self.limits;
        let acceptor = Acceptor::new(tls, &limits, metrics.clone(), drain);
        let SecretsManager(secrets) = self.secrets.ok_or_else(|| missing("secrets_manager"))?;
        secrets.keep_current(&metrics, &acceptor.drain);
        // It may come up later than we do: whoever asks meanwhile is told to come again.
        if let Err(unavailable) = secrets.ready().await {
            let detail = printable(&unavailable.to_string());
            ::tracing::warn!(trouble = ?unavailable.trouble, ?detail, "no records can be had yet");
        }
        let readiness = Arc::new(Readiness::new(
            secrets.clone(),
            metrics.clone(),
            leaving.clone(),
        ));
        let shared = Arc::new(Shared {
            verifier: self.verifier.ok_or_else(|| missing("a verifier"))?,
            audiences,
            skew: Skew::default(),
            tokens: Tokens::new(keys, self.session_lifetime),
            authorizer: Authorizer::new(secrets, metrics.clone()),
            keys: KeyStore::new(limits.derivations_per_principal, metrics.clone())?,
            strangers: Strangers::new(&limits),
            known: Known::new(&limits),
            sessions: Gate::new(limits.unauthenticated, limits.unauthenticated_per_address),
            renewals: Gate::new(limits.unauthenticated, limits.unauthenticated_per_address),
            sts_calls: StsCalls::new(&limits, metrics.clone()),
            md5_answers: Rate::new(u32::MAX, limits.md5_per_second_per_principal),
            handshakes: Rate::new(u32::MAX, limits.handshakes_per_second_per_principal),
            handshakes_by_address: Rate::new(u32::MAX, limits.handshakes_per_second_per_address),
            metrics: metrics.clone(),
            audit: AuditLines::new(self.audit_log, metrics.clone()),
            limits,
        });
        let v1 = self.v1_api.map(|limits| {
            let sts_calls = shared.limits.sts_calls_per_second;
            ::tracing::warn!(
                "the v1 API is on: its proofs of identity can be replayed from the address that \
                 first used them, and its answers let a client play the database"
            );
            let proofs = self
                .v1_replays
                .unwrap_or_else(|| Arc::new(InMemory::new(sts_calls)));
            proofs.keep_current(&metrics, &acceptor.drain);
            V1Service(Arc::new(V1 {
                shared: shared.clone(),
                limits,
                unsalted: OncePer::new(V1::LATELY),
                proofs,
            }))
        });
        let service = Service(shared);

        let grpc = bind("grpc_port", self.grpc).await?;
        let http = match self.http {
            Some(address) => Some(bind("http_port", address).await?),
            None => None,
        };
        let grpc_addr = local(&grpc)?;
        let http_addr = http.as_ref().map(local).transpose()?;
        let grpc = serve_grpc(acceptor.clone(), grpc, service, v1, readiness.clone());
        let grpc = grpc.await;
        let http = http.map(|listener| {
            let acceptor = acceptor.for_operators(close.clone());
            serve_http(acceptor, listener, metrics.clone(), readiness)
        });
        until_started.disarm();
        Ok(Running {
            grpc_addr,
            http_addr,
            metrics,
            leaving,
            drain: acceptor.drain,
            close,
            abort: acceptor.abort,
            grpc,
            http,
            drain_delay: self.drain_delay,
            drain_timeout: self.drain_timeout,
        })
    }

    /// The names that it answers to, at addresses where it may.
    pub(crate) fn reached_by(&self) -> Result<Vec<String>> {
        for address in [Some(self.grpc), self.http].into_iter().flatten() {
            if self.plaintext && !address.ip().is_loopback() {
                return Err(Error::configuration(format!(
                    "disable_tls: {address} is not a loopback address, and nothing else may be \
                     spoken to in plaintext"
                )));
            }
        }
        let names = self.audience_names();
        if names.is_empty() {
            return Err(Error::configuration(
                "audiences: there are none, and the certificate has no name that can be dialled",
            )
            .with_help(
                "give audiences the names by which applications dial, or a certificate of these \
                 names (a wildcard is none)",
            ));
        }
        Audiences::new(names.iter().cloned())?;
        Ok(names)
    }

    fn audience_names(&self) -> Vec<String> {
        if !self.audiences.is_empty() {
            return self.audiences.clone();
        }
        let mut names = self.tls.as_ref().map(ServerTls::names).unwrap_or_default();
        // Where it listens everywhere, that is nowhere to be dialled.
        let own_name = self.own_name.clone().filter(|name| {
            let address = name.parse::<IpAddr>();
            !address.is_ok_and(|address| address.is_unspecified())
        });
        names.extend(own_name);
        let ip = self.grpc.ip();
        if !ip.is_unspecified() {
            names.push(ip.to_string());
        }
        if self.plaintext && ip.is_loopback() {
            names.push("localhost".to_owned());
        }
        // Clients sign for what they dial, and names of DNS have no case: they take the lower one.
        for name in &mut names {
            name.make_ascii_lowercase();
        }
        // A certificate may carry names that cannot be dialled, too.
        names.retain(|name| is_audience(name));
        names.sort();
        names.dedup();
        names
    }
}

impl fmt::Debug for AuthenticatorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticatorBuilder")
            .field("grpc", &self.grpc)
            .field("http", &self.http)
            .field("audiences", &self.audiences)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

async fn bind(setting: &str, address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| Error::configuration(format!("{setting}: {address}: {error}")).unready())
}

fn local(listener: &TcpListener) -> Result<SocketAddr> {
    listener
        .local_addr()
        .map_err(|error| Error::configuration("no local address").with_source(error))
}
