//! Accepting connections: bounded in number, with TLS, and not for long from strangers.

mod peer;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

pub(crate) use self::peer::Peer;
use super::{
    limits::{Gate, Limits, OncePer, Pass, neighbourhood},
    metrics::Metrics,
    tls::{Endpoint, LiveTls, remaining},
    token::{ClientCertificate, certificate_digest},
};

/// How long a connection may live on which nobody proved who they are. It covers a whole session
/// in the making.
const STRANGERS_STAY: Duration = Duration::from_secs(90);

/// As long as the preface of HTTP/2; no request of HTTP/1 is shorter. Until it is there, neither
/// protocol has a time limit of its own.
const PREFACE: usize = 24;

/// HTTP/2 streams at a time on one connection.
pub(crate) const MAX_STREAMS: u32 = 256;

/// How long to wait after the system refused to hand over a connection: it is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections to the HTTP endpoint: probes, and who reads metrics.
pub(super) const OPERATORS: usize = 256;

/// The same from one address (for IPv6: one /64).
const OPERATORS_PER_ADDRESS: usize = 32;

/// What the listeners of one Authenticator have in common.
#[derive(Clone)]
pub(crate) struct Acceptor {
    tls: Option<LiveTls>,
    endpoint: Endpoint,
    pub(crate) handshake_timeout: Duration,
    connections: Arc<Gate<IpAddr>>,
    strangers: Arc<Gate<IpAddr>>,
    metrics: Arc<Metrics>,
    /// A flood of connections must not become one of log lines.
    complaints: Arc<OncePer<()>>,
    /// No new connections.
    pub(crate) drain: CancellationToken,
    /// No connections at all.
    pub(crate) abort: CancellationToken,
}

impl Acceptor {
    pub(crate) fn new(
        tls: Option<LiveTls>,
        limits: &Limits,
        metrics: Arc<Metrics>,
        drain: CancellationToken,
    ) -> Self {
        Acceptor {
            tls,
            endpoint: Endpoint::Applications,
            handshake_timeout: limits.handshake_timeout,
            connections: Gate::new(limits.connections, limits.connections_per_address),
            strangers: Gate::new(limits.unauthenticated, limits.unauthenticated_per_address),
            metrics,
            complaints: Arc::new(OncePer::new(Duration::from_secs(1))),
            drain,
            abort: CancellationToken::new(),
        }
    }

    /// The same for HTTP, with bounds of its own: a crowd of strangers at the other endpoint would
    /// else keep probes out, and with them take every replica from those who have a session.
    /// It is open until `close`: while the other one drains, it says so.
    pub(crate) fn for_operators(&self, close: CancellationToken) -> Self {
        Acceptor {
            drain: close,
            endpoint: Endpoint::Operators,
            connections: Gate::new(OPERATORS, OPERATORS_PER_ADDRESS),
            strangers: Gate::new(OPERATORS, OPERATORS_PER_ADDRESS),
            ..self.clone()
        }
    }

    /// Whether who comes has to show a certificate.
    pub(crate) fn is_mutual(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_mutual)
    }

    /// Accepts until drained. The connections come out after their TLS handshakes.
    pub(crate) fn listen(self, listener: TcpListener) -> mpsc::Receiver<Connection> {
        let (connections, accepted) = mpsc::channel(1);
        tokio::spawn(async move {
            let drain = self.drain.clone();
            while let Some(stream) = drain.run_until_cancelled(listener.accept()).await {
                match stream {
                    Ok((stream, address)) => self.admit(stream, address, &connections),
                    Err(error) => {
                        ::tracing::warn!(%error, "accepting a connection failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        });
        accepted
    }

    /// Refusal is silent and immediate: whatever else would cost what the bound is to save.
    fn admit(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        connections: &mpsc::Sender<Connection>,
    ) {
        let neighbourhood = neighbourhood(address.ip());
        let place = self.connections.enter(neighbourhood);
        let pass = self.strangers.enter(neighbourhood);
        let (Some(place), Some(pass)) = (place, pass) else {
            self.metrics.connection_refused();
            if self.complaints.allow((), Instant::now()) {
                ::tracing::warn!(peer = %address, "connections are refused: there are too many");
            }
            return;
        };
        let (acceptor, connections) = (self.clone(), connections.clone());
        tokio::spawn(async move {
            let handshake =
                tokio::time::timeout(acceptor.handshake_timeout, acceptor.secure(stream));
            let problem = match handshake.await {
                Ok(Ok((io, shown))) => {
                    let (certificate, validity) = shown.unzip();
                    let peer = Peer::new(address, certificate, pass);
                    let silence = acceptor.handshake_timeout;
                    let abort = acceptor.abort.clone();
                    let connection = Connection::new(io, peer, place, silence, validity, abort);
                    // Nobody takes it any more once the server stops.
                    let _ = connections.send(connection).await;
                    return;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "timed out".to_owned(),
            };
            ::tracing::debug!(peer = %address, ?problem, "TLS handshake failed");
        });
    }

    /// With the certificate that was shown, and for how long that is valid.
    async fn secure(
        &self,
        stream: TcpStream,
    ) -> io::Result<(Io, Option<(ClientCertificate, Duration)>)> {
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok((Io::Plain(stream), None));
        };
        let config = tls.of(self.endpoint);
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let certificate = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|certificate| (certificate_digest(certificate), remaining(certificate)));
        Ok((Io::Tls(Box::new(stream)), certificate))
    }
}

/// An accepted connection. It ends when the server gives up on draining, when nobody began to speak,
/// or was identified, on it for too long, and with the certificate that was shown on it.
pub(crate) struct Connection {
    io: Io,
    peer: Peer,
    /// Bytes to come until somebody has begun to speak.
    awaited: usize,
    begun: CancellationToken,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    _place: Pass<IpAddr>,
}

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    fn new(
        io: Io,
        peer: Peer,
        place: Pass<IpAddr>,
        silence: Duration,
        validity: Option<Duration>,
        abort: CancellationToken,
    ) -> Self {
        let (known, begun) = (peer.known().clone(), CancellationToken::new());
        let spoken = begun.clone();
        let end = async move {
            tokio::select! {
                () = abort.cancelled() => {}
                () = missed(silence, spoken) => {}
                () = missed(STRANGERS_STAY, known) => {}
                () = over(validity) => {}
            }
        };
        Connection {
            io,
            peer,
            awaited: PREFACE,
            begun,
            end: Box::pin(end),
            _place: place,
        }
    }

    /// Whether whoever is at its other end has a certificate that was asked for.
    pub(crate) fn shows_certificate(&self) -> bool {
        self.peer.certificate.is_some()
    }

    fn has_read(&mut self, bytes: usize) {
        if self.awaited > 0 && bytes > 0 {
            self.awaited = self.awaited.saturating_sub(bytes);
            if self.awaited == 0 {
                self.begun.cancel();
            }
        }
    }

    /// Whether it is over. To be asked in everything that may have to wait for the peer: who takes
    /// nothing would otherwise never be seen to overstay.
    fn poll_end(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.end.as_mut().poll(context).is_pending() {
            return Ok(());
        }
        // A future that is ready is not polled again: from here on it stays so.
        self.end = Box::pin(std::future::ready(()));
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}

/// Ends if the event does not come within that time, and else never.
async fn missed(within: Duration, event: CancellationToken) {
    if tokio::time::timeout(within, event.cancelled())
        .await
        .is_ok()
    {
        std::future::pending::<()>().await;
    }
}

async fn over(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_end(context)?;
        let before = buffer.filled().len();
        let read = match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Io::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        self.has_read(buffer.filled().len() - before);
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_end(context)?;
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Io::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_end(context)?;
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_flush(context),
            Io::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_end(context)?;
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Io::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// The accepted connections as tonic wants them.
pub(crate) struct GrpcListener(pub(crate) mpsc::Receiver<Connection>);

impl tokio_stream::Stream for GrpcListener {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(ready!(self.0.poll_recv(context)).map(Ok))
    }
}

#[cfg(test)]
mod tests;
