//! What to connect to, and what to insist on.

mod endpoint;
mod parameters;
mod parse;
mod require_auth;
mod search_path;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, path::PathBuf, time::Duration};

use tokio_postgres::config::{
    ChannelBinding, LoadBalanceHosts, SslNegotiation, TargetSessionAttrs,
};

pub(super) use self::endpoint::{Address, Endpoint};
pub use self::require_auth::RequireAuth;
pub(super) use self::search_path::schema;
use crate::{Error, Result};

/// How a connection is made: the driver's settings, and what this library adds to them.
///
/// It parses the driver's two forms of connection strings, `key=value` pairs and URLs, with these
/// keys of libpq besides (<https://www.postgresql.org/docs/current/libpq-connect.html>):
///
/// | key | values | default |
/// |---|---|---|
/// | `sslmode` | `disable`, `prefer`, `require`, `verify-ca`, `verify-full` | `verify-full` |
/// | `sslrootcert` | path of a PEM file, or `system` | `system` with `verify-full` |
/// | `sslcert`, `sslkey` | paths of PEM files | no client certificate |
/// | `sslnegotiation` | `postgres`, `direct` | `postgres` |
/// | `channel_binding` | `disable`, `prefer`, `require` | `prefer` |
/// | `require_auth` | see [`RequireAuth`] | `scram-sha-256,md5` |
/// | `fallback_application_name` | see [`application_name`](Self::application_name) | service, place and role |
/// | `connect_timeout` | seconds for the whole connect, a day at most | 10 |
///
/// `connect_timeout` covers everything from looking the name up to the end of the login. Where
/// there are several hosts and addresses left to try, each gets an equal share of what is left.
///
/// Within it a login is begun once more, on a new connection to the database, where that may well
/// succeed at once: the Authenticator was lost before it had answered, or the password was refused
/// and may have been rotated.
///
/// There is no password in it. `password`, `passfile` and a password in a URL are errors, and
/// neither `PGPASSWORD` nor `~/.pgpass` is read: the Authenticator answers for the application.
///
/// ```
/// use approzium::postgres::{Config, SslMode};
///
/// let config: Config = "host=db.internal user=app dbname=shop sslrootcert=/etc/db/ca.pem".parse()?;
/// assert_eq!(config.get_ssl_mode(), SslMode::VerifyFull);
///
/// let refused = "postgresql://app:secret@db.internal/shop".parse::<Config>();
/// assert!(refused.unwrap_err().is_configuration());
/// # Ok::<(), approzium::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Never with a password, and its own TLS settings are not used.
    driver: tokio_postgres::Config,
    ssl_mode: SslMode,
    ssl_negotiation: SslNegotiation,
    ssl_root_cert: RootCertificates,
    ssl_cert: Option<PathBuf>,
    ssl_key: Option<PathBuf>,
    channel_binding: ChannelBinding,
    require_auth: RequireAuth,
    /// `None`: what is known of the application.
    fallback_application_name: Option<String>,
}

/// How far the database's TLS is trusted: libpq's `sslmode`.
///
/// libpq's `allow` is not among them: it tries plaintext first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server has it, plaintext if it says that it has not. Protects against nobody who
    /// can change what is sent.
    Prefer,
    /// TLS; the certificate is checked, as with [`VerifyCa`](Self::VerifyCa), only if
    /// `sslrootcert` is set.
    Require,
    /// TLS, and the certificate's chain ends at a root that `sslrootcert` names.
    VerifyCa,
    /// TLS, and the certificate's chain ends at a trusted root and names the host.
    #[default]
    VerifyFull,
}

/// Which certificate authorities the database's certificate may come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum RootCertificates {
    /// Nothing was said: the system's for `verify-full`, no check for less.
    #[default]
    Default,
    /// `sslrootcert=system`.
    System,
    File(PathBuf),
}

/// Applies to a connect whose settings say nothing, or 0, about it.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A day, so that no arithmetic with instants can overflow.
const MAX_CONNECT_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

impl Config {
    /// Without a host: [`host`](Self::host) is the least to be set.
    pub fn new() -> Self {
        Config {
            driver: tokio_postgres::Config::new(),
            ssl_mode: SslMode::default(),
            ssl_negotiation: SslNegotiation::Postgres,
            ssl_root_cert: RootCertificates::default(),
            ssl_cert: None,
            ssl_key: None,
            channel_binding: ChannelBinding::Prefer,
            require_auth: RequireAuth::default(),
            fallback_application_name: None,
        }
    }

    /// The database user. Default: the operating system's user.
    pub fn user(&mut self, user: impl Into<String>) -> &mut Self {
        self.driver.user(user);
        self
    }

    /// The database. Default: the name of the user.
    pub fn dbname(&mut self, dbname: impl Into<String>) -> &mut Self {
        self.driver.dbname(dbname);
        self
    }

    /// Command-line options for the server's session, as `-c statement_timeout=5s`.
    pub fn options(&mut self, options: impl Into<String>) -> &mut Self {
        self.driver.options(options);
        self
    }

    /// The `application_name`, by which `pg_stat_activity` and the server's log show the session.
    ///
    /// Default: `PGAPPNAME`, then
    /// [`fallback_application_name`](Self::fallback_application_name), then what this library knows
    /// of the application, as `checkout@checkout-6d9f7c5b8-x2vqp (checkout)`: the service, the
    /// pod, task or instance, and the IAM role. As with libpq, each of them also counts if it is
    /// set to nothing; the session then has no name.
    pub fn application_name(&mut self, name: impl Into<String>) -> &mut Self {
        self.driver.application_name(name);
        self
    }

    /// The name of sessions that were given none by
    /// [`application_name`](Self::application_name) or `PGAPPNAME`; empty: none at all.
    ///
    /// Default: `service@place (role)`, as far as it is known when a connection logs in, which
    /// waits for none of it: the service from the resource of the
    /// [`otlp`](crate::opentelemetry) pipeline or the span processor, else `OTEL_SERVICE_NAME`,
    /// else `service.name` in `OTEL_RESOURCE_ATTRIBUTES`; the place once
    /// [attribution](crate::attribution) has found it; the role once the Authenticator has verified
    /// it, which for a process's first connection is later, or once attribution has found it. It is
    /// printable ASCII of at most 63 bytes, as the server takes it. What is too long is cut and
    /// marked with `~`, a place at its beginning, the others at their end.
    pub fn fallback_application_name(&mut self, name: impl Into<String>) -> &mut Self {
        self.fallback_application_name = Some(name.into());
        self
    }

    /// Adds a host: a name, an address, or the folder of a Unix socket (it begins with `/`).
    /// Several are tried in order.
    pub fn host(&mut self, host: impl Into<String>) -> &mut Self {
        self.driver.host(host);
        self
    }

    /// Adds the address to dial for the host of the same position, whose name is then only
    /// verified, not looked up. As many as hosts, or none.
    pub fn hostaddr(&mut self, address: IpAddr) -> &mut Self {
        self.driver.hostaddr(address);
        self
    }

    /// Adds a port: one for all hosts, or one for each. Default: 5432.
    pub fn port(&mut self, port: u16) -> &mut Self {
        self.driver.port(port);
        self
    }

    /// The time for a whole connect: every host, TLS, the Authenticator, the login. A day at most.
    /// Default: 10 s.
    pub fn connect_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.driver.connect_timeout(timeout);
        self
    }

    /// How long sent data may stay unacknowledged (`TCP_USER_TIMEOUT`). Default: the system's.
    pub fn tcp_user_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.driver.tcp_user_timeout(timeout);
        self
    }

    /// Whether TCP keepalives are sent. Default: true.
    pub fn keepalives(&mut self, keepalives: bool) -> &mut Self {
        self.driver.keepalives(keepalives);
        self
    }

    /// Idle time before the first keepalive. Default: 2 hours.
    pub fn keepalives_idle(&mut self, idle: Duration) -> &mut Self {
        self.driver.keepalives_idle(idle);
        self
    }

    /// Time between keepalives. Default: the system's.
    pub fn keepalives_interval(&mut self, interval: Duration) -> &mut Self {
        self.driver.keepalives_interval(interval);
        self
    }

    /// Unanswered keepalives before the connection is given up. Default: the system's.
    pub fn keepalives_retries(&mut self, retries: u32) -> &mut Self {
        self.driver.keepalives_retries(retries);
        self
    }

    /// What the session must be able to do. Default: any.
    pub fn target_session_attrs(&mut self, attributes: TargetSessionAttrs) -> &mut Self {
        self.driver.target_session_attrs(attributes);
        self
    }

    /// Whether hosts, and the addresses of each, are tried in random order. Default: no.
    pub fn load_balance_hosts(&mut self, balance: LoadBalanceHosts) -> &mut Self {
        self.driver.load_balance_hosts(balance);
        self
    }

    /// How far TLS is trusted. Default: [`SslMode::VerifyFull`]. Unix sockets have no TLS.
    pub fn ssl_mode(&mut self, mode: SslMode) -> &mut Self {
        self.ssl_mode = mode;
        self
    }

    /// How TLS begins: by a request in plaintext, or at once (PostgreSQL 17 and later). Default:
    /// by a request.
    pub fn ssl_negotiation(&mut self, negotiation: SslNegotiation) -> &mut Self {
        self.ssl_negotiation = negotiation;
        self
    }

    /// The PEM file of the trusted roots. A server certificate that itself stands in the file is
    /// trusted too. It is read for each connect, so that a new one is taken without a restart.
    /// Default: the system's roots, with [`SslMode::VerifyFull`] alone.
    pub fn ssl_root_cert(&mut self, path: impl Into<PathBuf>) -> &mut Self {
        self.ssl_root_cert = RootCertificates::File(path.into());
        self
    }

    /// The PEM files of the client's certificate chain and its key.
    pub fn ssl_client_cert(
        &mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> &mut Self {
        self.ssl_cert = Some(certificate.into());
        self.ssl_key = Some(key.into());
        self
    }

    /// Whether SCRAM is bound to the TLS connection (SCRAM-SHA-256-PLUS). Default: if the server
    /// offers it.
    pub fn channel_binding(&mut self, channel_binding: ChannelBinding) -> &mut Self {
        self.channel_binding = channel_binding;
        self
    }

    /// How the server may authenticate the client. Default: by SCRAM or MD5.
    pub fn require_auth(&mut self, methods: RequireAuth) -> &mut Self {
        self.require_auth = methods;
        self
    }

    /// The database user, if it is set.
    pub fn get_user(&self) -> Option<&str> {
        self.driver.get_user()
    }

    /// The database, if it is set.
    pub fn get_dbname(&self) -> Option<&str> {
        self.driver.get_dbname()
    }

    /// The name of sessions that were given none, if it is set.
    pub fn get_fallback_application_name(&self) -> Option<&str> {
        self.fallback_application_name.as_deref()
    }

    /// How far TLS is trusted.
    pub fn get_ssl_mode(&self) -> SslMode {
        self.ssl_mode
    }

    /// How TLS begins.
    pub fn get_ssl_negotiation(&self) -> SslNegotiation {
        self.ssl_negotiation
    }

    /// Whether SCRAM is bound to the TLS connection.
    pub fn get_channel_binding(&self) -> ChannelBinding {
        self.channel_binding
    }

    /// How the server may authenticate the client.
    pub fn get_require_auth(&self) -> RequireAuth {
        self.require_auth
    }

    /// The time for a whole connect.
    pub fn get_connect_timeout(&self) -> Duration {
        self.driver
            .get_connect_timeout()
            .copied()
            .filter(|timeout| !timeout.is_zero())
            .unwrap_or(DEFAULT_CONNECT_TIMEOUT)
    }

    pub(super) fn driver(&self) -> &tokio_postgres::Config {
        &self.driver
    }

    pub(super) fn root_certificates(&self) -> &RootCertificates {
        &self.ssl_root_cert
    }

    pub(super) fn client_certificate(&self) -> (Option<&PathBuf>, Option<&PathBuf>) {
        (self.ssl_cert.as_ref(), self.ssl_key.as_ref())
    }

    /// Refuses settings that contradict each other, before anything is dialled.
    pub(super) fn check(&self) -> Result<()> {
        let weak = matches!(self.ssl_mode, SslMode::Disable | SslMode::Prefer);
        if weak && self.ssl_negotiation == SslNegotiation::Direct {
            return Err(Error::configuration(
                "sslnegotiation=direct cannot go with sslmode=disable or prefer",
            )
            .with_help("set sslmode to require, verify-ca or verify-full"));
        }
        if self.ssl_root_cert == RootCertificates::System && self.ssl_mode != SslMode::VerifyFull {
            return Err(Error::configuration(
                "sslrootcert=system trusts every public authority, so the host name must be verified",
            )
            .with_help("set sslmode=verify-full"));
        }
        if self.ssl_mode == SslMode::VerifyCa && self.ssl_root_cert == RootCertificates::Default {
            return Err(Error::configuration(
                "sslmode=verify-ca checks no host name, so it must be said which authority is trusted",
            )
            .with_help("name the database's own with sslrootcert, or set sslmode=verify-full"));
        }
        if self.get_connect_timeout() > MAX_CONNECT_TIMEOUT {
            return Err(Error::configuration(format!(
                "connect_timeout is {:?}: at most a day is allowed",
                self.get_connect_timeout()
            )));
        }
        if self.ssl_mode == SslMode::Disable && self.channel_binding == ChannelBinding::Require {
            return Err(Error::configuration(
                "channel_binding=require needs TLS, and sslmode=disable forbids it",
            ));
        }
        if self.ssl_cert.is_some() != self.ssl_key.is_some() {
            return Err(Error::configuration(
                "sslcert and sslkey belong together: only one of them is set",
            ));
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Config::new()
    }
}
