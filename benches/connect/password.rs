//! The application as it was: the same driver, with a password and a TLS connector of its own.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use approzium::wire::channel_binding::tls_server_end_point;
use approzium_peers::{Postgres, certificates};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{
    Socket,
    config::{ChannelBinding as Binding, SslMode},
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};
use tokio_rustls::TlsConnector;

/// All that such an application keeps between its connects.
pub(crate) struct Password {
    config: tokio_postgres::Config,
    tls: Tls,
}

pub(crate) type Session = (
    tokio_postgres::Client,
    tokio_postgres::Connection<Socket, Bound>,
);

impl Password {
    /// Verifies the server's certificate, and binds to it (SCRAM-SHA-256-PLUS), as is done without
    /// a password.
    pub(crate) fn new(server: &Postgres, user: &str, password: &str) -> Self {
        let mut config = tokio_postgres::Config::new();
        config
            .host(server.host())
            .port(server.port())
            .user(user)
            .password(password)
            .dbname("postgres")
            .ssl_mode(SslMode::Require)
            .channel_binding(Binding::Require);
        let tls = certificates::client_configuration(&[server.authority().der()]);
        Password {
            config,
            tls: Tls(Arc::new(tls)),
        }
    }

    pub(crate) async fn connect(&self) -> Session {
        let connected = self.config.connect(self.tls.clone()).await;
        connected.expect("a login by password")
    }
}

#[derive(Clone)]
struct Tls(Arc<ClientConfig>);

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Bound;
    type TlsConnect = TlsTo;
    type Error = rustls::pki_types::InvalidDnsNameError;

    fn make_tls_connect(&mut self, host: &str) -> Result<TlsTo, Self::Error> {
        Ok(TlsTo {
            config: Arc::clone(&self.0),
            name: ServerName::try_from(host.to_owned())?,
        })
    }
}

struct TlsTo {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsConnect<Socket> for TlsTo {
    type Stream = Bound;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Bound>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        let handshake = TlsConnector::from(self.config).connect(self.name, socket);
        Box::pin(async move { Ok(Bound(handshake.await?)) })
    }
}

/// A stream that knows what to bind to.
pub(crate) struct Bound(tokio_rustls::client::TlsStream<Socket>);

impl TlsStream for Bound {
    fn channel_binding(&self) -> ChannelBinding {
        let certificates = self.0.get_ref().1.peer_certificates();
        let end_point = certificates
            .and_then(|chain| chain.first())
            .and_then(|certificate| tls_server_end_point(certificate));
        end_point.map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl AsyncRead for Bound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Bound {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
