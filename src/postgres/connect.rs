//! From settings to a session: hosts, their addresses, and an attempt at each.

mod attempt;
mod failover;

use std::net::SocketAddr;

use tokio::{
    net::lookup_host,
    sync::OnceCell,
    time::{Instant, timeout_at},
};
use tokio_postgres::config::LoadBalanceHosts;

use self::{
    attempt::Attempt,
    failover::{keep, share, shuffle},
};
use super::{
    cancel::DialledAddress,
    client::Client,
    config::{Address, Config, Endpoint, schema},
    connection::Connection,
    failure,
    tls::TlsPolicy,
};
use crate::{
    AuthClient, Error, Hop, Result,
    opentelemetry::{ConnectSpan, Server},
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
            match attempt.once_or_twice(share(deadline, left)).await {
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
        let mut addresses = look_up(endpoint, deadline).await?;
        if self.balance {
            shuffle(&mut addresses)?;
        }
        Ok(addresses)
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

/// The addresses of one host, in the resolver's order.
pub(super) async fn look_up(endpoint: &Endpoint, deadline: Instant) -> Result<Vec<DialledAddress>> {
    let port = endpoint.port;
    Ok(match &endpoint.address {
        Address::Ip(address) => vec![DialledAddress::Tcp(SocketAddr::new(*address, port))],
        Address::Name => timeout_at(deadline, lookup_host((endpoint.host.as_str(), port)))
            .await
            .map_err(|_| {
                failure::timeout(Hop::DatabaseConnection, "looking up the database's name")
            })?
            .map_err(|error| failure::unreachable(&endpoint.name(), error))?
            .map(DialledAddress::Tcp)
            .collect(),
        Address::Unix(folder) => {
            vec![DialledAddress::Unix(
                folder.join(format!(".s.PGSQL.{port}")),
            )]
        }
    })
}

/// They are looked at on every connect, so that those of tomorrow are used tomorrow, but read only
/// when they have changed.
pub(super) async fn certificates(config: &Config, deadline: Instant) -> Result<TlsPolicy> {
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
