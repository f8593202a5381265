//! The hook by which the driver's own `connect` logs in through the Authenticator.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout_at},
};
use tokio_postgres::{
    config::SslMode as DriverSslMode,
    config::{SslNegotiation, TargetSessionAttrs},
    tls::{MakeTlsConnect, TlsConnect},
};

use super::{
    application_name::ApplicationName,
    config::{Address, Config, Endpoint},
    failure,
    login::{Delegate, Login, Policy},
    observer::Observed,
    stream::Stream,
    tls::TlsPolicy,
};
use crate::{
    AuthClient, Error, Hop, Result,
    error::printable,
    opentelemetry::{ConnectSpan, Phase, PhaseSpan},
};

/// Logs the driver's own connections in: for pools (deadpool, bb8), for the blocking driver
/// `postgres`, and for everything else that calls [`tokio_postgres::Config::connect`] itself.
///
/// To the driver it is a TLS connector. It does the TLS that [`Config`] asks for, or none; when the
/// driver begins a session it has the Authenticator answer the database's challenge, and when the
/// driver sends a cancel request it asks nobody.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use approzium::{AuthClient, postgres::{Config, Connector}};
///
/// let config: Config = "host=db.internal user=app dbname=shop".parse()?;
/// let connector = Connector::new(&config, &AuthClient::from_env()?)?;
/// let (client, connection) = connector.driver_config().connect(connector.clone()).await?;
/// # Ok(())
/// # }
/// ```
///
/// What comes of it is the driver's own client. Its login is in the Authenticator's audit log and
/// has a span, and so has each of its queries. Whose span a query belongs to is not known while the
/// driver's own connection moves its bytes: it is a root with `approzium.parent=unknown`. A
/// [`Connection`](super::Connection) in its place finds out where that is certain
/// ([how](crate::opentelemetry#queries-past-the-client)). For deadpool:
///
/// ```no_run
/// use approzium::postgres::{Connection, Connector};
/// use deadpool_postgres::{Connect, Manager, ManagerConfig, Pool};
/// use futures_util::future::BoxFuture;
/// use tokio::task::JoinHandle;
///
/// struct Traced(Connector);
///
/// impl Connect for Traced {
///     fn connect(
///         &self,
///         config: &tokio_postgres::Config,
///     ) -> BoxFuture<'_, Result<(tokio_postgres::Client, JoinHandle<()>), tokio_postgres::Error>> {
///         let config = config.clone();
///         Box::pin(async move {
///             let (client, connection) = config.connect(self.0.clone()).await?;
///             let connection = Connection::from(connection);
///             Ok((client, tokio::spawn(async { drop(connection.await) })))
///         })
///     }
/// }
///
/// # fn example(connector: Connector) -> Result<(), Box<dyn std::error::Error>> {
/// let config = connector.driver_config();
/// let manager = Manager::from_connect(config, Traced(connector), ManagerConfig::default());
/// let pool = Pool::builder(manager).max_size(16).build()?;
/// # Ok(())
/// # }
/// ```
/// A pool of [`Client`](super::Client)s, made by [`Config::connect_with`], knows the parent of every
/// query.
///
/// The driver's configuration is to be [`driver_config`](Self::driver_config)'s: with other TLS
/// settings the driver would not call the connector, or only after a request of its own.
///
/// A failure is inside the driver's error: see [`cause`](super::cause). After a denial by the
/// Authenticator no further host or address is tried in that `connect`; each clone of the connector
/// forgets it, so that a pool goes on asking.
#[derive(Debug)]
pub struct Connector {
    shared: Arc<Shared>,
    denial: Denial,
}

#[derive(Debug)]
struct Shared {
    tls: TlsPolicy,
    policy: Policy,
    name: ApplicationName,
    auth: AuthClient,
    timeout: Duration,
    driver: tokio_postgres::Config,
    /// The driver tells a connector the host's name, but not its port.
    ports: HashMap<String, u16>,
}

impl Connector {
    /// Reads the certificate files that `config` names.
    ///
    /// # Errors
    /// A configuration error: for settings that contradict each other, for certificate files that
    /// cannot be read, for Unix sockets (the driver does not call connectors for those; use
    /// [`connect`](super::connect)), and for a host that stands in `config` with several ports.
    pub fn new(config: &Config, auth: &AuthClient) -> Result<Self> {
        config.check()?;
        let mut driver = config.bare_driver_config();
        driver
            .connect_timeout(config.get_connect_timeout())
            .load_balance_hosts(config.driver().get_load_balance_hosts());
        let dialled_by_address = !config.driver().get_hostaddrs().is_empty();
        let mut ports = HashMap::new();
        for endpoint in config.endpoints()? {
            match endpoint.address {
                Address::Ip(address) if dialled_by_address => {
                    driver.hostaddr(address);
                }
                Address::Ip(_) | Address::Name => {}
                Address::Unix(_) => {
                    return Err(Error::configuration(
                        "the driver calls no connector for a Unix socket",
                    )
                    .with_help("use approzium::postgres::connect"));
                }
            }
            driver.host(&endpoint.host).port(endpoint.port);
            let known = ports.insert(endpoint.host.clone(), endpoint.port);
            if known.is_some_and(|port| port != endpoint.port) {
                return Err(Error::configuration(format!(
                    "{} stands with several ports, and the driver does not tell a connector which",
                    printable(&endpoint.host)
                ))
                .with_help("use approzium::postgres::connect, or a connector for each"));
            }
        }
        Ok(Connector {
            shared: Arc::new(Shared {
                tls: TlsPolicy::read(config)?,
                policy: Policy::of(config),
                name: ApplicationName::of(config),
                auth: auth.clone(),
                timeout: config.get_connect_timeout(),
                driver,
                ports,
            }),
            denial: Denial::default(),
        })
    }

    /// The driver's configuration to connect with: that of the connector's [`Config`], with the TLS
    /// settings by which the driver leaves everything to the connector.
    ///
    /// Its `connect_timeout` is for each dial; the connector then takes at most as long again.
    pub fn driver_config(&self) -> tokio_postgres::Config {
        self.shared.driver.clone()
    }
}

impl Shared {
    /// Whether the driver asks each new session if it takes writes.
    fn checks_session(&self) -> bool {
        self.driver.get_target_session_attrs() != TargetSessionAttrs::Any
    }
}

impl Clone for Connector {
    fn clone(&self) -> Self {
        Connector {
            shared: Arc::clone(&self.shared),
            denial: Denial::default(),
        }
    }
}

impl<S> MakeTlsConnect<S> for Connector
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type TlsConnect = Connect;
    type Error = Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<Connect> {
        if let Some(denial) = self.denial.get() {
            return Err(denial.clone());
        }
        let shared = &self.shared;
        let port = *shared.ports.get(host).ok_or_else(|| {
            Error::configuration(format!(
                "the connector was not made for the host {}",
                printable(host)
            ))
            .with_help("connect with the connector's driver_config()")
        })?;
        let deadline = Instant::now() + shared.timeout;
        Ok(Connect {
            tls: shared.tls.clone(),
            host: host.to_owned(),
            deadline,
            tracing: Tracing::default(),
            login: Login::new(
                shared.policy,
                Delegate::new(shared.auth.clone(), host.to_owned(), port, deadline),
                self.denial.clone(),
            )
            .named(shared.name.clone()),
            observed: Arc::new(Observed::checked(shared.checks_session())),
        })
    }
}

/// The first denial of one `connect`, which ends its list of hosts and addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Denial(Arc<OnceLock<Error>>);

impl Denial {
    pub(super) fn note(&self, error: &Error) {
        if failure::is_final(error) {
            // A later one adds nothing.
            let _ = self.0.set(error.clone());
        }
    }

    fn get(&self) -> Option<&Error> {
        self.0.get()
    }
}

/// TLS for one connection of the driver's, and the login that follows when the driver begins.
#[derive(Debug)]
pub struct Connect {
    pub(super) tls: TlsPolicy,
    pub(super) host: String,
    pub(super) deadline: Instant,
    pub(super) tracing: Tracing,
    pub(super) login: Login,
    pub(super) observed: Arc<Observed>,
}

impl<S> TlsConnect<S> for Connect
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Stream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            self.tracing.dialled();
            let negotiation = timeout_at(self.deadline, self.tls.negotiate(stream, &self.host));
            let negotiation = async {
                negotiation.await.unwrap_or_else(|_| {
                    Err(failure::timeout(
                        Hop::DatabaseConnection,
                        "TLS with the database",
                    ))
                })
            };
            let transport = match &self.tracing.span {
                Some(span) if !self.tls.is_none() => {
                    span.phase(Phase::Tls).run(negotiation).await?
                }
                _ => negotiation.await?,
            };
            let login = self.login.traced(self.tracing.span);
            Ok(Stream::new(transport, login, self.observed))
        })
    }
}

/// A [`Connect`] for the one connection that a `connect` of the driver's makes.
#[derive(Debug)]
pub(super) struct Once(pub(super) Option<Connect>);

impl<S> MakeTlsConnect<S> for Once
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type TlsConnect = Connect;
    type Error = Error;

    fn make_tls_connect(&mut self, _host: &str) -> Result<Connect> {
        self.0
            .take()
            .ok_or_else(|| Error::configuration("the driver connected twice"))
    }
}

/// The span of the connect that a connection is part of, and its phase of dialling.
#[derive(Clone, Debug, Default)]
pub(super) struct Tracing {
    /// None: the login is a connect of its own.
    pub(super) span: Option<ConnectSpan>,
    dial: Arc<Mutex<Option<PhaseSpan>>>,
}

impl Tracing {
    /// Dialling begins.
    pub(super) fn dial(span: ConnectSpan) -> Self {
        let dial = span.phase(Phase::Dial);
        Tracing {
            span: Some(span),
            dial: Arc::new(Mutex::new(Some(dial))),
        }
    }

    /// The connection stands.
    pub(super) fn dialled(&self) {
        if let Some(dial) = self.take() {
            dial.finish();
        }
    }

    /// Whether the connection does not stand yet.
    pub(super) fn is_dialling(&self) -> bool {
        self.lock().is_some()
    }

    /// The connection failed, perhaps before it stood.
    pub(super) fn failed(&self, error: &Error) {
        if let Some(dial) = self.take() {
            dial.fail(error);
        }
    }

    fn take(&self) -> Option<PhaseSpan> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<PhaseSpan>> {
        self.dial.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Config {
    /// The driver's settings without hosts, with those by which it leaves TLS and login to us: it
    /// then sends no byte before it calls the connector.
    pub(super) fn bare_driver_config(&self) -> tokio_postgres::Config {
        let from = self.driver();
        let mut to = tokio_postgres::Config::new();
        to.ssl_mode(DriverSslMode::Require)
            .ssl_negotiation(SslNegotiation::Direct)
            .keepalives(from.get_keepalives())
            .keepalives_idle(from.get_keepalives_idle())
            .target_session_attrs(from.get_target_session_attrs());
        if let Some(user) = from.get_user() {
            to.user(user);
        }
        if let Some(database) = from.get_dbname() {
            to.dbname(database);
        }
        if let Some(options) = from.get_options() {
            to.options(options);
        }
        if let Some(name) = from.get_application_name() {
            to.application_name(name);
        }
        if let Some(timeout) = from.get_tcp_user_timeout() {
            to.tcp_user_timeout(*timeout);
        }
        if let Some(interval) = from.get_keepalives_interval() {
            to.keepalives_interval(interval);
        }
        if let Some(retries) = from.get_keepalives_retries() {
            to.keepalives_retries(retries);
        }
        to
    }
}

impl Endpoint {
    /// For messages.
    pub(super) fn name(&self) -> String {
        format!("{}:{}", printable(&self.host), self.port)
    }
}
