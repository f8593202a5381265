//! The hops to a database one by one, for who asks which one fails.

use std::{fmt, net::SocketAddr};

use tokio::{
    net::{TcpStream, UnixStream},
    time::{Instant, timeout_at},
};

use super::{
    cancel::DialledAddress,
    config::{Config, Endpoint},
    connect, failure,
};
use crate::{Hop, Result};

/// One of the servers that a configuration names.
pub(crate) struct Server<'a> {
    config: &'a Config,
    endpoint: Endpoint,
}

/// Where a server is dialled.
pub(crate) struct Addresses(Vec<DialledAddress>);

/// A connection to it.
pub(crate) enum Socket {
    Tcp(TcpStream, SocketAddr),
    Unix,
}

/// What a connection is protected by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    Tls,
    /// As `sslmode` allows.
    Plaintext,
    /// It does not leave the machine.
    Unix,
}

/// The servers in their order.
pub(crate) fn servers(config: &Config) -> Result<Vec<Server<'_>>> {
    config.check()?;
    let endpoints = config.endpoints()?.into_iter();
    Ok(endpoints
        .map(|endpoint| Server { config, endpoint })
        .collect())
}

impl Server<'_> {
    /// As a record names it.
    pub(crate) fn host(&self) -> &str {
        &self.endpoint.host
    }

    /// As a record names it.
    pub(crate) fn port(&self) -> u16 {
        self.endpoint.port
    }

    /// For people.
    pub(crate) fn name(&self) -> String {
        self.endpoint.name()
    }

    /// Looks its name up.
    pub(crate) async fn look_up(&self) -> Result<Addresses> {
        let addresses = connect::look_up(&self.endpoint, self.until()).await?;
        if addresses.is_empty() {
            let name = self.endpoint.name();
            return Err(failure::unreachable(&name, "the name has no address"));
        }
        Ok(Addresses(addresses))
    }

    /// Connects to the first address that lets it.
    pub(crate) async fn dial(&self, addresses: &Addresses) -> Result<Socket> {
        let mut failed = failure::timeout(Hop::DatabaseConnection, "dialling the database");
        let until = self.until();
        for (index, address) in addresses.0.iter().enumerate() {
            let left = u32::try_from(addresses.0.len() - index).unwrap_or(u32::MAX);
            let now = Instant::now();
            let share = now + until.saturating_duration_since(now) / left;
            let dialled = async {
                match address {
                    DialledAddress::Tcp(address) => {
                        let socket = TcpStream::connect(address).await?;
                        Ok(Socket::Tcp(socket, *address))
                    }
                    DialledAddress::Unix(path) => {
                        UnixStream::connect(path).await.map(|_| Socket::Unix)
                    }
                }
            };
            match timeout_at(share, dialled).await {
                Ok(Ok(socket)) => return Ok(socket),
                Ok(Err(error)) => failed = failure::unreachable(&self.endpoint.name(), error),
                Err(_) => {}
            }
        }
        Err(failed)
    }

    /// TLS, as `sslmode` wants it. The connection is then closed, before anything is said on it.
    pub(crate) async fn secure(&self, socket: Socket) -> Result<Protection> {
        let Socket::Tcp(socket, _) = socket else {
            return Ok(Protection::Unix);
        };
        let until = self.until();
        let policy = connect::certificates(self.config, until).await?;
        let transport = timeout_at(until, policy.negotiate(socket, &self.endpoint.host))
            .await
            .map_err(|_| failure::timeout(Hop::DatabaseConnection, "the TLS handshake"))??;
        Ok(match transport.is_tls() {
            true => Protection::Tls,
            false => Protection::Plaintext,
        })
    }

    fn until(&self) -> Instant {
        Instant::now() + self.config.get_connect_timeout()
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            match address {
                DialledAddress::Tcp(address) => write!(f, "{}", address.ip())?,
                DialledAddress::Unix(path) => write!(f, "{path:?}")?,
            }
        }
        Ok(())
    }
}
