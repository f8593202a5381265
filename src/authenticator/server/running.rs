//! An Authenticator under way, and how it ends.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::authenticator::metrics::Metrics;

/// An Authenticator that runs. Dropping it ends it at once; [`shutdown`](Self::shutdown) lets
/// logins under way finish.
#[derive(Debug)]
pub struct Running {
    pub(super) grpc_addr: SocketAddr,
    pub(super) http_addr: Option<SocketAddr>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) leaving: CancellationToken,
    pub(super) drain: CancellationToken,
    pub(super) close: CancellationToken,
    pub(super) abort: CancellationToken,
    pub(super) grpc: JoinHandle<()>,
    pub(super) http: Option<JoinHandle<()>>,
    pub(super) drain_delay: Duration,
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

    /// What it counts, which a meter reads as long as somebody has it.
    pub(crate) fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// Is ready no more, and says so to whoever asks; after the drain delay takes no new connections
    /// and calls, and waits for those under way, no longer than the drain timeout. Who asks for its
    /// health is answered until then. Says whether all ended by themselves.
    pub async fn shutdown(mut self) -> bool {
        self.leaving.cancel();
        self.metrics.draining();
        tokio::time::sleep(self.drain_delay).await;
        self.drain.cancel();
        let all = async {
            let _ = (&mut self.grpc).await;
            self.close.cancel();
            if let Some(http) = &mut self.http {
                let _ = http.await;
            }
        };
        let drained = tokio::time::timeout(self.drain_timeout, all).await.is_ok();
        self.abort.cancel();
        drained
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.leaving.cancel();
        self.drain.cancel();
        self.close.cancel();
        self.abort.cancel();
        self.grpc.abort();
        if let Some(http) = &self.http {
            http.abort();
        }
    }
}
