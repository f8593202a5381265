//! The hops to the Authenticator one by one, for who asks which one fails.

use std::net::SocketAddr;

use tokio::{net::TcpStream, time::Instant};

use super::AuthClient;
use crate::{error::Result, identity::aws::Region};

impl AuthClient {
    /// The addresses that its name means.
    pub(crate) async fn resolve(&self) -> Result<Vec<SocketAddr>> {
        self.0.lanes.dialer().resolve(self.probed_until()).await
    }

    /// A connection to one of them.
    pub(crate) async fn reach(&self, addresses: &[SocketAddr]) -> Result<TcpStream> {
        let dialer = self.0.lanes.dialer();
        dialer.connect(addresses, self.probed_until()).await
    }

    /// TLS on it; false if it is plaintext, on loopback.
    pub(crate) async fn secure(&self, socket: TcpStream) -> Result<bool> {
        let dialer = self.0.lanes.dialer();
        dialer.secure(socket, self.probed_until()).await?;
        Ok(!dialer.is_plaintext())
    }

    /// Finds the credentials and signs by them, for nobody; the region whose STS would be asked.
    pub(crate) async fn rehearse(&self) -> Result<&'static Region> {
        self.0.sessions.rehearse().await
    }

    fn probed_until(&self) -> Instant {
        Instant::now() + self.0.lanes.dialer().timeout()
    }
}
