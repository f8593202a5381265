//! The hops to the Authenticator one by one, for who asks which one fails.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{
    AuthClient,
    dial::{Dialer, rustls_error},
    status,
};
use crate::{error::Result, identity::aws::Region};

/// What a client of HTTP/2 says first (RFC 9113, 3.4): the preface, and settings, of which there
/// are none.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

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

    /// TLS on it, up to the first answer: under TLS 1.3 a server judges its client's certificate
    /// only after the handshake. False if it is plaintext, on loopback.
    pub(crate) async fn secure(&self, socket: TcpStream) -> Result<bool> {
        let dialer = self.0.lanes.dialer();
        greet(dialer, socket, self.probed_until()).await?;
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

async fn greet(dialer: &Dialer, socket: TcpStream, deadline: Instant) -> Result<()> {
    let mut dialled = dialer.secure(socket, deadline).await?;
    let answered = async {
        dialled.stream.write_all(GREETING).await?;
        dialled.stream.flush().await?;
        dialled.stream.read_u8().await
    };
    match timeout_at(deadline, answered).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(match rustls_error(&error) {
            Some(failure) => dialer.explain(failure),
            None => status::silent(dialer, dialled.asked_for_certificate),
        }
        .with_source(error)),
        Err(_) => Err(dialer.unavailable("it does not answer what HTTP/2 begins with")),
    }
}
