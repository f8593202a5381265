//! Connections to the Authenticator: one for each runtime, shared by everything on it.
//!
//! A connection lives in the runtime that made it, and does nothing while that runtime is not
//! driven. Applications with one runtime have one connection; those whose drivers block each on a
//! runtime of its own have one for each.

use std::{
    collections::HashMap,
    fmt, io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::{Handle, Id},
    time::{Instant, sleep_until},
};
use tonic::transport::{Channel, Endpoint};

use super::{
    backoff::Backoff,
    dial::{Dialer, Stream, rustls_error},
    flight::SingleFlight,
    session::Session,
};
use crate::{
    error::{Error, Kind, Result},
    proto::v2::authenticator_client::AuthenticatorClient,
};

/// How often a silent Authenticator is asked whether it is still there.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Answers are small; an Authenticator that sends more is none.
const MAX_MESSAGE: usize = 64 * 1024;
const MAX_HEADERS: u32 = 16 * 1024;
/// More runtimes than this are looked through for such as have ended.
const MANY_LANES: usize = 8;
const USER_AGENT: &str = concat!("approzium-rust/", env!("CARGO_PKG_VERSION"));

/// The connections of a client.
#[derive(Debug)]
pub(super) struct Lanes {
    dialer: Dialer,
    lanes: Mutex<HashMap<Id, Arc<Lane>>>,
    backoff: Mutex<Backoff>,
    /// It has answered before: if it is away now, it is probably being restarted.
    reached: AtomicBool,
}

/// What one runtime shares.
#[derive(Debug)]
pub(super) struct Lane {
    connection: Mutex<Option<Connection>>,
    dialling: SingleFlight<Connection>,
    /// The proof of identity that is under way.
    pub(super) proving: SingleFlight<Arc<Session>>,
}

/// An HTTP/2 connection.
#[derive(Clone)]
pub(super) struct Connection {
    channel: Channel,
    state: Arc<ConnectionState>,
}

#[derive(Debug, Default)]
struct ConnectionState {
    closed: AtomicBool,
    answered: AtomicBool,
    asked_for_certificate: bool,
    /// HTTP/2 would make a mere text of it.
    tls_failure: OnceLock<rustls::Error>,
}

impl Lanes {
    pub(super) fn new(dialer: Dialer) -> Self {
        Lanes {
            dialer,
            lanes: Mutex::default(),
            backoff: Mutex::new(Backoff::new(
                Duration::from_millis(100),
                Duration::from_secs(2),
            )),
            reached: AtomicBool::new(false),
        }
    }

    pub(super) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// The current runtime's lane.
    pub(super) fn lane(&self) -> Arc<Lane> {
        let mut lanes = lock(&self.lanes);
        let id = Handle::current().id();
        if !lanes.contains_key(&id) && lanes.len() >= MANY_LANES {
            lanes.retain(|_, lane| !lane.is_idle());
        }
        Arc::clone(lanes.entry(id).or_default())
    }

    /// The current runtime's connection, dialled if there is none.
    pub(super) async fn connection(self: &Arc<Self>) -> Result<Connection> {
        let lane = self.lane();
        if let Some(connection) = lane.connection() {
            return Ok(connection);
        }
        let lanes = Arc::clone(self);
        let target = Arc::clone(&lane);
        lane.dialling
            .run(move || async move {
                let connection = lanes.dial().await?;
                *lock(&target.connection) = Some(connection.clone());
                Ok(connection)
            })
            .await
    }

    /// Dials, not before the backoff allows it. An Authenticator that has answered before is given
    /// as long as one attempt may take to come back.
    async fn dial(&self) -> Result<Connection> {
        let give_up = Instant::now() + self.dialer.timeout();
        loop {
            let not_before = lock(&self.backoff).not_before();
            if let Some(instant) = not_before {
                sleep_until(instant).await;
            }
            match self.dial_once().await {
                Ok(connection) => return Ok(connection),
                Err(error) => {
                    lock(&self.backoff).failed();
                    let restarting = *error.kind() == Kind::Unavailable && self.was_reached();
                    if !restarting || Instant::now() >= give_up {
                        return Err(error);
                    }
                    ::tracing::debug!(%error, "the Authenticator is away; trying again");
                }
            }
        }
    }

    async fn dial_once(&self) -> Result<Connection> {
        let dialled = self.dialer.dial().await?;
        let state = Arc::new(ConnectionState {
            asked_for_certificate: dialled.asked_for_certificate,
            ..ConnectionState::default()
        });
        let watched = Watched {
            stream: dialled.stream,
            state: Arc::clone(&state),
        };
        let channel = self
            .endpoint()?
            .connect_with_connector(Once(Some(TokioIo::new(watched))))
            .await
            .map_err(|error| {
                self.dialer
                    .unavailable("the connection broke at once")
                    .with_source(error)
            })?;
        ::tracing::debug!(address = %self.dialer.address(), "connected to the Authenticator");
        Ok(Connection { channel, state })
    }

    /// Nobody is to be dialled just now.
    pub(super) fn dial_later(&self) {
        lock(&self.backoff).failed();
    }

    fn endpoint(&self) -> Result<Endpoint> {
        let uri = |scheme: &str| {
            format!("{scheme}://{}", self.dialer.address())
                .parse::<Uri>()
                .map_err(|error| {
                    Error::configuration("the Authenticator's address is no authority")
                        .with_source(error)
                })
        };
        let scheme = if self.dialer.is_plaintext() {
            "http"
        } else {
            "https"
        };
        // The connector below brings TLS with it: tonic itself is to know of none.
        Endpoint::from(uri("http")?)
            .origin(uri(scheme)?)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .http2_max_header_list_size(MAX_HEADERS)
            .user_agent(USER_AGENT)
            .map_err(|error| {
                Error::configuration("the user agent is no header value").with_source(error)
            })
    }

    /// It has been heard from through `connection`.
    pub(super) fn answered(&self, connection: &Connection) {
        connection.state.answered.store(true, Ordering::Relaxed);
        self.reached.store(true, Ordering::Relaxed);
        // Not before: a proxy can be dialled, whatever is behind it.
        lock(&self.backoff).succeeded();
    }

    pub(super) fn was_reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }
}

impl Lane {
    fn connection(&self) -> Option<Connection> {
        lock(&self.connection)
            .clone()
            .filter(|connection| !connection.is_closed())
    }

    fn is_idle(&self) -> bool {
        self.connection().is_none() && !self.dialling.is_running() && !self.proving.is_running()
    }
}

impl Default for Lane {
    fn default() -> Self {
        Lane {
            connection: Mutex::default(),
            dialling: SingleFlight::new(),
            proving: SingleFlight::new(),
        }
    }
}

impl Connection {
    pub(super) fn client(&self) -> AuthenticatorClient<Channel> {
        AuthenticatorClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    /// Nothing new is to begin on it. What is under way on it may end well.
    pub(super) fn discard(&self) {
        self.state.closed.store(true, Ordering::Relaxed);
    }

    /// It has brought an answer before.
    pub(super) fn has_answered(&self) -> bool {
        self.state.answered.load(Ordering::Relaxed)
    }

    /// The Authenticator wanted to see a client certificate.
    pub(super) fn was_asked_for_certificate(&self) -> bool {
        self.state.asked_for_certificate
    }

    /// The TLS failure that ended it, if one did.
    pub(super) fn tls_failure(&self) -> Option<&rustls::Error> {
        self.state.tls_failure.get()
    }

    fn is_closed(&self) -> bool {
        self.state.closed.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Gives away the one connection that it has. Dialling again is for [`Lanes`], which tells all who
/// wait of the same failure.
struct Once(Option<TokioIo<Watched>>);

impl tower_service::Service<Uri> for Once {
    type Response = TokioIo<Watched>;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        std::future::ready(
            self.0
                .take()
                .ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)),
        )
    }
}

/// A stream of which one can know that it is gone, even if its runtime took it away.
struct Watched {
    stream: Box<dyn Stream>,
    state: Arc<ConnectionState>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::Relaxed);
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Poll::Ready(Err(error)) = &read
            && let Some(failure) = rustls_error(error)
        {
            let _ = self.state.tls_failure.set(failure.clone());
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
