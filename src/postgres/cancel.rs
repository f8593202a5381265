//! Cancelling a query that runs.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::{Instant, timeout_at},
};
use tokio_postgres::tls::TlsConnect;

use super::{failure, stream::Stream, tls::TlsPolicy};
use crate::{Error, Hop, Result};

/// The capability to cancel the query that runs on a connection.
///
/// As the driver's, but it knows by itself how to reach the database, over TLS or a Unix socket
/// alike. The Authenticator is not asked: a cancel request carries a key of the session's own.
#[derive(Clone)]
pub struct CancelToken {
    driver: tokio_postgres::CancelToken,
    canceller: Canceller,
}

impl CancelToken {
    /// Asks the database to cancel the query that runs on the connection of this token.
    ///
    /// Whether it did, only the query itself can tell: it fails with SQLSTATE 57014, unless it was
    /// done already.
    ///
    /// # Errors
    /// If the database cannot be reached within the connection's `connect_timeout`.
    pub async fn cancel_query(&self) -> Result<()> {
        let Canceller {
            address,
            tls,
            host,
            timeout,
        } = &self.canceller;
        let deadline = Instant::now() + *timeout;
        let tls = Passing {
            tls: tls.clone(),
            host: host.clone(),
        };
        let cancel = async {
            match address {
                DialledAddress::Tcp(address) => {
                    self.send(TcpStream::connect(address).await, tls).await
                }
                DialledAddress::Unix(path) => self.send(UnixStream::connect(path).await, tls).await,
            }
        };
        timeout_at(deadline, cancel).await.unwrap_or_else(|_| {
            Err(failure::timeout(
                Hop::DatabaseConnection,
                "the cancel request",
            ))
        })
    }

    async fn send<S>(&self, dialled: std::io::Result<S>, tls: Passing) -> Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = dialled.map_err(|error| failure::unreachable(&self.canceller.host, error))?;
        self.driver
            .cancel_query_raw(stream, tls)
            .await
            .map_err(|error| failure::of_driver(error, &self.canceller.host))
    }
}

impl std::fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelToken")
            .field("host", &self.canceller.host)
            .finish_non_exhaustive()
    }
}

/// How the server of a connection is reached again.
#[derive(Clone, Debug)]
pub(crate) struct Canceller {
    pub(super) address: DialledAddress,
    pub(super) tls: TlsPolicy,
    pub(super) host: String,
    pub(super) timeout: Duration,
}

/// Where the connection went in the end: a cancel must reach the same server.
#[derive(Clone, Debug)]
pub(super) enum DialledAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Canceller {
    /// The token for the driver's.
    pub(crate) fn token(&self, driver: tokio_postgres::CancelToken) -> CancelToken {
        CancelToken {
            driver,
            canceller: self.clone(),
        }
    }
}

/// TLS, and nothing else.
struct Passing {
    tls: TlsPolicy,
    host: String,
}

impl<S> TlsConnect<S> for Passing
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type Error = Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Stream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let transport = self.tls.negotiate(stream, &self.host).await?;
            Ok(Stream::open(transport))
        })
    }
}
