//! One attempt at one address of one host, and the session that it makes.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, OnceLock},
    task::{Poll, ready},
};

use tokio::{
    net::UnixStream,
    time::{Instant, timeout_at},
};
use tokio_postgres::{SimpleQueryMessage, config::TargetSessionAttrs};

use super::Hosts;
use crate::{
    Hop, Result,
    error::Kind,
    opentelemetry::{ConnectSpan, ConnectionInfo},
    postgres::{
        application_name::ApplicationName,
        cancel::{Canceller, DialledAddress},
        client::Client,
        config::Endpoint,
        connection::{Connection, Driver},
        connector::{Connect, Denial, Once, Tracing},
        failure,
        login::{Delegate, INVALID_PASSWORD, Login, Policy, Report},
        observer::Observed,
        spans::Spans,
        tls::TlsPolicy,
    },
};

/// One address of one host.
pub(super) struct Attempt<'a> {
    pub(super) hosts: &'a Hosts<'a>,
    pub(super) endpoint: &'a Endpoint,
    pub(super) address: DialledAddress,
    pub(super) tls: &'a TlsPolicy,
    pub(super) span: &'a ConnectSpan,
}

impl Attempt<'_> {
    /// A wrong password may be yesterday's: the Authenticator reads the secret anew once it has
    /// heard of the failure, so that a second connection can succeed. A third cannot. The second may
    /// be another replica's, which is told.
    ///
    /// An Authenticator that was lost before it had answered the database's challenge has replicas,
    /// or comes back. The database has had no proof then, and its challenge was for the nonce of the
    /// one that is lost: another one begins with a connection of its own.
    pub(super) async fn once_or_twice(&self, deadline: Instant) -> Result<(Client, Connection)> {
        let error = match self.once(deadline, false).await {
            Err(error) => error,
            connected => return connected,
        };
        let refused = error.sqlstate() == Some(INVALID_PASSWORD);
        if !refused && *error.kind() != Kind::Interrupted {
            return Err(error);
        }
        ::tracing::debug!(%error, "connecting once more");
        self.once(deadline, refused).await
    }

    async fn once(&self, deadline: Instant, after_refusal: bool) -> Result<(Client, Connection)> {
        let tracing = Tracing::dial(self.span.clone());
        let mut delegate = Delegate::new(
            self.hosts.auth.clone(),
            self.endpoint.host.clone(),
            self.endpoint.port,
            deadline,
        )
        .after_refusal(after_refusal);
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
        let observed = Arc::default();
        let connect = Connect {
            tls: self.tls(),
            host: self.endpoint.host.clone(),
            deadline,
            tracing: tracing.clone(),
            login: Login::new(Policy::of(config), delegate, Denial::default())
                .named(ApplicationName::of(config)),
            observed: Arc::clone(&observed),
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
        Ok(self.session(client, driver, &report, observed))
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
        observed: Arc<Observed>,
    ) -> (Client, Connection) {
        let auth = self.hosts.auth;
        let peer = match &self.address {
            DialledAddress::Tcp(address) => Some(*address),
            DialledAddress::Unix(_) => None,
        };
        let number = auth.count_connection();
        self.span.counted(number);
        let server = self.hosts.server(self.endpoint, peer);
        let info = ConnectionInfo::postgresql(
            &server,
            &Report::identity(report.get(), auth, number),
            auth.instrumentation().cloned(),
        );
        self.span.opened(&info, &server, self.hosts.asked.elapsed());
        let canceller = Canceller {
            address: self.address.clone(),
            tls: self.tls(),
            host: self.endpoint.host.clone(),
            timeout: self.hosts.config.get_connect_timeout(),
        };
        observed.connected(Arc::clone(&info));
        observed.keep_to_us();
        let spans = Spans::new(info, observed);
        (
            Client::new(client, spans, canceller),
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
    let mut connection = Pin::new(connection);
    let messages = poll_fn(|cx| {
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(match ended {
                Err(error) => Err(failure::of_driver(error, name)),
                Ok(()) => Err(failure::closed(name)),
            });
        }
        let answer = ready!(answer.as_mut().poll(cx));
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
