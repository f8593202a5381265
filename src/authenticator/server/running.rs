//! An Authenticator under way, and how it ends.

use std::{net::SocketAddr, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// An Authenticator that runs. Dropping it ends it at once; [`shutdown`](Self::shutdown) lets
/// logins under way finish.
#[derive(Debug)]
pub struct Running {
    pub(super) grpc_addr: SocketAddr,
    pub(super) http_addr: Option<SocketAddr>,
    pub(super) drain: CancellationToken,
    pub(super) abort: CancellationToken,
    pub(super) servers: Vec<JoinHandle<()>>,
    pub(super) drain_timeout: Duration,
}

impl Running {
    /// Where applications reach it.
    pub fn grpc_addr(&self) -> SocketAddr {
        self.grpc_addr
    }

    /// Where health and metrics are read, if anywhere.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http_addr
    }

    /// Takes no new connections and calls, and waits for those under way, no longer than the drain
    /// timeout. Says whether all ended by themselves.
    pub async fn shutdown(mut self) -> bool {
        self.drain.cancel();
        let all = futures_util::future::join_all(self.servers.iter_mut());
        let drained = tokio::time::timeout(self.drain_timeout, all).await.is_ok();
        self.abort.cancel();
        drained
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.drain.cancel();
        self.abort.cancel();
        for server in &self.servers {
            server.abort();
        }
    }
}
