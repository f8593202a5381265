//! From settings to a session: hosts, their addresses, and one attempt at each.

use std::{future::poll_fn, net::SocketAddr, pin::pin, sync::OnceLock, task::Poll};

use tokio::{
    net::{UnixStream, lookup_host},
    sync::OnceCell,
    time::{Instant, timeout_at},
};
use tokio_postgres::{
    SimpleQueryMessage,
    config::{LoadBalanceHosts, TargetSessionAttrs},
};

use super::{
    cancel::{Canceller, DialledAddress},
    client::Client,
    config::{Address, Config, Endpoint, schema},
    connection::{Connection, Driver},
    connector::{Connect, Denial, Once, Tracing},
    failure,
    login::{Delegate, INVALID_PASSWORD, Login, Policy, Report},
    tls::TlsPolicy,
};
use crate::{
    AuthClient, Error, Hop, Result,
    error::Kind,
    opentelemetry::{ConnectSpan, ConnectionInfo, Identity, Server},
};

/// A session, and what moves its bytes.
pub(super) async fn connect(config: &Config, auth: &AuthClient) -> Result<(Client, Connection)> {
    config.check()?;
    let deadline = Instant::now() + config.get_connect_timeout();
    let mut endpoints = config.endpoints()?;
    let balance = config.driver().get_load_balance_hosts() == LoadBalanceHosts::Random;
    if balance {
        shuffle(&mut endpoints)?;
    }
    let hosts = Hosts {
        asked: Instant::now(),
        config,
        auth,
        tls: OnceCell::new(),
        schema: config.driver().get_options().and_then(schema),
        balance,
    };
    let mut failed = None;
    let mut left = endpoints.len();
    for endpoint in &endpoints {
        match hosts.endpoint(endpoint, share(deadline, left)).await {
            Ok(session) => return Ok(session),
            Err(error) => keep(&mut failed, error)?,
        }
        left -= 1;
    }
    Err(failed.unwrap_or_else(|| Error::configuration("no host is set")))
}

/// What all hosts of one connect have in common.
struct Hosts<'a> {
    /// When the application asked for a connection.
    asked: Instant,
    config: &'a Config,
    auth: &'a AuthClient,
    tls: OnceCell<TlsPolicy>,
    schema: Option<String>,
    balance: bool,
}

impl Hosts<'_> {
    /// One host, at each of its addresses. It has a span of its own.
    async fn endpoint(
        &self,
        endpoint: &Endpoint,
        deadline: Instant,
    ) -> Result<(Client, Connection)> {
        let span = ConnectSpan::start(&self.server(endpoint, None), self.auth.instrumentation());
        let result = self.addresses(endpoint, deadline, &span).await;
        // So that this span and that of the first query say where they come from.
        span.place_known(deadline).await;
        match &result {
            Ok(_) => span.finish(),
            Err(error) => span.fail(error),
        }
        result
    }

    async fn addresses(
        &self,
        endpoint: &Endpoint,
        deadline: Instant,
        span: &ConnectSpan,
    ) -> Result<(Client, Connection)> {
        // Each is done by a thread that may block, and neither needs the other.
        let (tls, addresses) = tokio::join!(self.tls(deadline), self.look_up(endpoint, deadline));
        let (tls, addresses) = (tls?, addresses?);
        let mut failed = None;
        let mut left = addresses.len();
        for address in addresses {
            let attempt = Attempt {
                hosts: self,
                endpoint,
                address,
                tls,
                span,
            };
            match attempt.twice_if_rotated(share(deadline, left)).await {
                Ok(session) => return Ok(session),
                Err(error) => keep(&mut failed, error)?,
            }
            left -= 1;
        }
        Err(failed.unwrap_or_else(|| {
            failure::unreachable(&endpoint.name(), "the name has no address".to_owned())
        }))
    }

    async fn tls(&self, deadline: Instant) -> Result<&TlsPolicy> {
        let read = || certificates(self.config, deadline);
        self.tls.get_or_try_init(read).await
    }

    async fn look_up(&self, endpoint: &Endpoint, deadline: Instant) -> Result<Vec<DialledAddress>> {
        let port = endpoint.port;
        let mut addresses = match &endpoint.address {
            Address::Ip(address) => vec![SocketAddr::new(*address, port)],
            Address::Name => timeout_at(deadline, lookup_host((endpoint.host.as_str(), port)))
                .await
                .map_err(|_| {
                    failure::timeout(Hop::DatabaseConnection, "looking up the database's name")
                })?
                .map_err(|error| failure::unreachable(&endpoint.name(), error))?
                .collect(),
            Address::Unix(folder) => {
                return Ok(vec![DialledAddress::Unix(
                    folder.join(format!(".s.PGSQL.{port}")),
                )]);
            }
        };
        if self.balance {
            shuffle(&mut addresses)?;
        }
        Ok(addresses.into_iter().map(DialledAddress::Tcp).collect())
    }

    fn server<'a>(&'a self, endpoint: &'a Endpoint, peer: Option<SocketAddr>) -> Server<'a> {
        let driver = self.config.driver();
        Server {
            host: &endpoint.host,
            port: endpoint.port,
            peer,
            database: driver
                .get_dbname()
                .or(driver.get_user())
                .unwrap_or_default(),
            schema: self.schema.as_deref(),
        }
    }
}

/// One address of one host.
struct Attempt<'a> {
    hosts: &'a Hosts<'a>,
    endpoint: &'a Endpoint,
    address: DialledAddress,
    tls: &'a TlsPolicy,
    span: &'a ConnectSpan,
}

impl Attempt<'_> {
    /// A wrong password may be yesterday's: the Authenticator reads the secret anew once it has
    /// heard of the failure, so that a second connection can succeed. A third cannot.
    async fn twice_if_rotated(&self, deadline: Instant) -> Result<(Client, Connection)> {
        match self.once(deadline).await {
            Err(error) if error.sqlstate() == Some(INVALID_PASSWORD) => {
                ::tracing::debug!(%error, "connecting once more");
                self.once(deadline).await
            }
            result => result,
        }
    }

    async fn once(&self, deadline: Instant) -> Result<(Client, Connection)> {
        let tracing = Tracing::dial(self.span.clone());
        let mut delegate = Delegate::new(
            self.hosts.auth.clone(),
            self.endpoint.host.clone(),
            self.endpoint.port,
            deadline,
        );
        let config = self.hosts.config;
        let report = delegate.report();
        // A server that may ask for nothing is waited for: the Authenticator is asked only if need
        // be. So it is where the driver is to find out who the user is.
        if let Some(user) = config.get_user()
            && !config.get_require_auth().none()
        {
            let database = config.get_dbname().unwrap_or(user);
            delegate = delegate.open_ahead(user, database, self.span);
        }
        let connect = Connect {
            tls: self.tls(),
            host: self.endpoint.host.clone(),
            deadline,
            tracing: tracing.clone(),
            login: Login::new(Policy::of(config), delegate, Denial::default()),
        };
        let session = timeout_at(deadline, self.drive(connect, deadline))
            .await
            .unwrap_or_else(|_| {
                Err(match tracing.is_dialling() {
                    true => failure::timeout(Hop::DatabaseConnection, "dialling the database"),
                    false => failure::timeout(Hop::DatabaseLogin, "the login at the database"),
                })
            });
        let (client, driver) = session.map_err(|error| {
            let error = match report.get() {
                Some(report) if error.request_id().is_none() => {
                    error.with_request_id(&report.request_id)
                }
                _ => error,
            };
            tracing.failed(&error);
            error
        })?;
        Ok(self.session(client, driver, &report))
    }

    async fn drive(
        &self,
        connect: Connect,
        deadline: Instant,
    ) -> Result<(tokio_postgres::Client, Driver)> {
        let name = self.endpoint.name();
        let mut driver = self.hosts.config.bare_driver_config();
        match &self.address {
            DialledAddress::Tcp(address) => {
                self.span.dialled(*address);
                driver
                    .host(&self.endpoint.host)
                    .hostaddr(address.ip())
                    .port(address.port())
                    .connect_timeout(deadline.saturating_duration_since(Instant::now()));
                let (client, connection) = driver
                    .connect(Once(Some(connect)))
                    .await
                    .map_err(|error| failure::of_driver(error, &name))?;
                Ok((client, Driver::Tcp(connection)))
            }
            DialledAddress::Unix(path) => {
                let socket = UnixStream::connect(path)
                    .await
                    .map_err(|error| failure::unreachable(&name, error))?;
                let (client, mut connection) = driver
                    .connect_raw(socket, connect)
                    .await
                    .map_err(|error| failure::of_driver(error, &name))?;
                // For TCP the driver sees to it.
                let wanted = driver.get_target_session_attrs();
                check_session(&client, &mut connection, wanted, &name).await?;
                Ok((client, Driver::Unix(connection)))
            }
        }
    }

    fn tls(&self) -> TlsPolicy {
        match &self.address {
            DialledAddress::Tcp(_) => self.tls.clone(),
            DialledAddress::Unix(_) => TlsPolicy::none(),
        }
    }

    fn session(
        &self,
        client: tokio_postgres::Client,
        driver: Driver,
        report: &OnceLock<Report>,
    ) -> (Client, Connection) {
        let auth = self.hosts.auth;
        let peer = match &self.address {
            DialledAddress::Tcp(address) => Some(*address),
            DialledAddress::Unix(_) => None,
        };
        let report = report.get();
        let number = auth.count_connection();
        self.span.counted(number);
        let server = self.hosts.server(self.endpoint, peer);
        let info = ConnectionInfo::postgresql(
            &server,
            &Identity {
                authenticated: report.is_some(),
                iam_arn: report.map(|report| report.iam_arn.as_str()),
                authenticator_address: report.map(|_| auth.authenticator_address()),
                request_id: report.map(|report| report.request_id.as_str()),
                num_connections: Some(number),
            },
            auth.instrumentation().cloned(),
        );
        self.span.opened(&info, &server, self.hosts.asked.elapsed());
        let canceller = Canceller {
            address: self.address.clone(),
            tls: self.tls(),
            host: self.endpoint.host.clone(),
            timeout: self.hosts.config.get_connect_timeout(),
        };
        (
            Client::new(client, info, canceller),
            Connection::new(driver),
        )
    }
}

/// What the driver does for `target_session_attrs` after a connect of its own.
async fn check_session<S, T>(
    client: &tokio_postgres::Client,
    connection: &mut tokio_postgres::Connection<S, T>,
    wanted: TargetSessionAttrs,
    name: &str,
) -> Result<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio_postgres::tls::TlsStream + Unpin,
{
    let read_only = match wanted {
        TargetSessionAttrs::ReadWrite => false,
        TargetSessionAttrs::ReadOnly => true,
        _ => return Ok(()),
    };
    let mut answer = pin!(client.simple_query("SHOW transaction_read_only"));
    let mut connection = std::pin::Pin::new(connection);
    let messages = poll_fn(|cx| {
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(match ended {
                Err(error) => Err(failure::of_driver(error, name)),
                Ok(()) => Err(failure::closed(name)),
            });
        }
        let answer = std::task::ready!(answer.as_mut().poll(cx));
        Poll::Ready(answer.map_err(|error| failure::of_driver(error, name)))
    })
    .await?;
    let is_read_only = messages.iter().any(|message| {
        matches!(message, SimpleQueryMessage::Row(row) if row.try_get(0).ok().flatten() == Some("on"))
    });
    if is_read_only == read_only {
        Ok(())
    } else {
        Err(failure::wrong_session(name))
    }
}

/// They are looked at on every connect, so that those of tomorrow are used tomorrow, but read only
/// when they have changed.
async fn certificates(config: &Config, deadline: Instant) -> Result<TlsPolicy> {
    if let Some(policy) = TlsPolicy::unchanged(config) {
        return Ok(policy);
    }
    let config = config.clone();
    let reading = tokio::task::spawn_blocking(move || TlsPolicy::read(&config));
    timeout_at(deadline, reading)
        .await
        .map_err(|_| failure::timeout(Hop::Configuration, "reading the certificate files"))?
        .unwrap_or_else(|error| {
            Err(Error::configuration("the certificates were not read").with_source(error))
        })
}

/// An equal share of the time left for each of what is left to try, so that one that never answers
/// leaves time for the next.
fn share(deadline: Instant, left: usize) -> Instant {
    let now = Instant::now();
    let left = u32::try_from(left).unwrap_or(u32::MAX).max(1);
    now + deadline.saturating_duration_since(now) / left
}

/// Goes on after a failure unless it is final. Of several failures the last one is kept, but what
/// a database said is not forgotten for a host that cannot be reached.
fn keep(failed: &mut Option<Error>, error: Error) -> Result<()> {
    let weight = |error: &Error| match error.kind() {
        Kind::Database(_) => 2,
        Kind::Unavailable | Kind::Timeout => 0,
        _ => 1,
    };
    if failure::is_final(&error) {
        return Err(error);
    }
    if failed
        .as_ref()
        .is_none_or(|kept| weight(kept) <= weight(&error))
    {
        *failed = Some(error);
    }
    Ok(())
}

/// Fisher and Yates's.
fn shuffle<T>(items: &mut [T]) -> Result<()> {
    for last in (1..items.len()).rev() {
        let random = getrandom::u32().map_err(|error| {
            Error::new(
                Kind::Unavailable,
                Hop::Configuration,
                "the system gives no random numbers",
            )
            .with_source(error)
        })?;
        let bound = u32::try_from(last + 1).unwrap_or(u32::MAX);
        // Biased by less than one in a million for any list of hosts that there is.
        items.swap(last, usize::try_from(random % bound).unwrap_or(last));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn error(kind: Kind) -> Error {
        Error::new(kind, Hop::DatabaseConnection, "x")
    }

    #[test]
    fn what_says_more_is_kept_and_a_denial_ends_the_list() {
        let database = || Kind::Database("28P01".into());
        for (before, after, kept) in [
            (Kind::Unavailable, Kind::Timeout, Kind::Timeout),
            (database(), Kind::Unavailable, database()),
            (database(), Kind::Protocol, database()),
            (Kind::Protocol, Kind::Unavailable, Kind::Protocol),
            (Kind::Timeout, database(), database()),
        ] {
            let mut failed = None;
            keep(&mut failed, error(before)).unwrap();
            keep(&mut failed, error(after)).unwrap();
            assert_eq!(failed.unwrap().kind(), &kept);
        }
        for denial in [
            Kind::PermissionDenied,
            Kind::Unauthenticated,
            Kind::Policy,
            Kind::Credentials,
        ] {
            let mut failed = Some(error(database()));
            assert!(keep(&mut failed, error(denial)).is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_left_is_shared_equally() {
        let deadline = Instant::now() + Duration::from_secs(9);
        assert_eq!(share(deadline, 3) - Instant::now(), Duration::from_secs(3));
        assert_eq!(share(deadline, 1), deadline);
        assert_eq!(share(deadline, 0), deadline);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(share(deadline, 2), Instant::now());
    }

    #[test]
    fn shuffling_loses_nobody() {
        let mut items: Vec<u32> = (0..50).collect();
        shuffle(&mut items).unwrap();
        assert!(!items.is_sorted());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
