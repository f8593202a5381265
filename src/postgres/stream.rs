//! The stream that the driver holds: it logs in under the driver's feet.
//!
//! ```text
//! First ── CancelRequest ──▶ Open        nobody is asked
//!   │
//!   └── StartupMessage ──▶ LoggingIn ──▶ Open        what the database said, replayed
//!                              └───────▶ Failed      our error, inside the driver's
//! ```
//! The driver's StartupMessage is not sent when it is written, but by the login, which the driver's
//! next read drives. What the driver then reads is AuthenticationOk and all that followed it, or
//! the database's own ErrorResponse; after that the stream is the transport, and an
//! [observer](super::observer) sees what passes.

#[cfg(test)]
mod tests;

use std::{
    fmt,
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

use super::{
    login::{LoggedIn, Login},
    observer::{Observed, Observing},
    tls::Transport,
};
use crate::{
    Error, Hop, Result,
    error::Kind,
    wire::postgres::{MAX_STARTUP_PACKET_LENGTH, StartupPacket},
};

/// A connection to a database that logs in without a password of the driver's.
pub struct Stream<S>(State<S>);

enum State<S> {
    /// The driver's first packet is not complete yet.
    First {
        transport: Transport<S>,
        packet: BytesMut,
        login: Box<Login>,
        observed: Arc<Observed>,
    },
    LoggingIn {
        /// Never locked: the mutex makes the stream `Sync`, as pools demand of it.
        login: Mutex<LoginFuture<S>>,
        observed: Arc<Observed>,
    },
    Open {
        transport: Observing<Transport<S>>,
        /// Read by the login, for the driver.
        unread: Bytes,
        /// Written by the driver before the transport was its own.
        unsent: Bytes,
    },
    Failed(Error),
}

type LoginFuture<S> = Pin<Box<dyn Future<Output = Result<LoggedIn<S>>> + Send>>;

impl<S> Stream<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    pub(super) fn new(transport: Transport<S>, login: Login, observed: Arc<Observed>) -> Self {
        Stream(State::First {
            transport,
            packet: BytesMut::new(),
            login: Box::new(login),
            observed,
        })
    }

    /// Without a login: the caller sends a cancel request.
    pub(super) fn open(transport: Transport<S>) -> Self {
        Stream(State::Open {
            transport: unobserved(transport),
            unread: Bytes::new(),
            unsent: Bytes::new(),
        })
    }

    /// Takes of `bytes` what belongs to the first packet, and goes on when that is complete.
    fn take_first(&mut self, bytes: &[u8]) -> Result<usize> {
        let State::First { packet, .. } = &mut self.0 else {
            return Ok(0);
        };
        let mut taken = take(packet, 4, bytes);
        if let Some(length) = packet.first_chunk().copied().map(u32::from_be_bytes) {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if !(8..=MAX_STARTUP_PACKET_LENGTH).contains(&length) {
                return Err(misused("the first packet has an impossible length"));
            }
            taken += take(packet, length, bytes.get(taken..).unwrap_or_default());
            if packet.len() == length {
                self.begin()?;
            }
        }
        Ok(taken)
    }

    /// The first packet is complete.
    fn begin(&mut self) -> Result<()> {
        let failed = State::Failed(misused("the login did not begin"));
        let State::First {
            transport,
            mut packet,
            login,
            observed,
        } = std::mem::replace(&mut self.0, failed)
        else {
            return Ok(());
        };
        self.0 = match StartupPacket::read(&mut packet) {
            Ok(Some(StartupPacket::Startup(startup))) => State::LoggingIn {
                login: Mutex::new(Box::pin(login.run(transport, startup))),
                observed,
            },
            Ok(Some(StartupPacket::CancelRequest(cancel))) => State::Open {
                transport: unobserved(transport),
                unread: Bytes::new(),
                unsent: cancel.raw().clone(),
            },
            _ => {
                return Err(misused(
                    "the first packet is neither a startup nor a cancel",
                ));
            }
        };
        Ok(())
    }

    /// Drives the login; ready when there is none under way.
    fn poll_login(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let State::LoggingIn { login, observed } = &mut self.0 {
            let login = login.get_mut().unwrap_or_else(PoisonError::into_inner);
            self.0 = match ready!(login.as_mut().poll(cx)) {
                Ok(logged_in) => open(logged_in, Arc::clone(observed)),
                Err(error) => State::Failed(error),
            };
        }
        match &self.0 {
            State::Failed(error) => Poll::Ready(Err(io::Error::other(error.clone()))),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Sends what the driver wrote before the transport was its own.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let State::Open {
            transport, unsent, ..
        } = &mut self.0
        {
            while unsent.has_remaining() {
                let sent = ready!(Pin::new(&mut *transport).poll_write(cx, unsent))?;
                if sent == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                unsent.advance(sent);
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The session begins.
fn open<S>(logged_in: LoggedIn<S>, observed: Arc<Observed>) -> State<S> {
    let LoggedIn {
        transport,
        unread,
        connection,
    } = logged_in;
    if let Some(connection) = connection {
        observed.connected(connection);
    }
    observed.opened(&unread);
    State::Open {
        transport: Observing::new(transport, observed),
        unread,
        unsent: Bytes::new(),
    }
}

/// For a cancel request, which is no session.
fn unobserved<S>(transport: Transport<S>) -> Observing<Transport<S>> {
    Observing::new(transport, Arc::default())
}

/// Fills `packet` up to `length`; how much it took.
fn take(packet: &mut BytesMut, length: usize, bytes: &[u8]) -> usize {
    let missing = length.saturating_sub(packet.len()).min(bytes.len());
    packet.extend_from_slice(bytes.get(..missing).unwrap_or_default());
    missing
}

fn misused(message: &'static str) -> Error {
    Error::new(Kind::Protocol, Hop::DatabaseLogin, message)
}

impl<S> AsyncRead for Stream<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match &mut this.0 {
                State::Open {
                    transport, unread, ..
                } => {
                    if !unread.has_remaining() {
                        return Pin::new(transport).poll_read(cx, buffer);
                    }
                    let replayed = unread.len().min(buffer.remaining());
                    buffer.put_slice(&unread.split_to(replayed));
                    if unread.is_empty() {
                        // Lets go of the login's memory.
                        *unread = Bytes::new();
                    }
                    return Poll::Ready(Ok(()));
                }
                State::First { .. } => {
                    let error = misused("a read before the first packet was written");
                    return Poll::Ready(Err(io::Error::other(error)));
                }
                State::LoggingIn { .. } | State::Failed(_) => ready!(this.poll_login(cx))?,
            }
        }
    }
}

impl<S> AsyncWrite for Stream<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let State::First { .. } = this.0 {
            return Poll::Ready(this.take_first(bytes).map_err(|error| {
                this.0 = State::Failed(error.clone());
                io::Error::other(error)
            }));
        }
        ready!(this.poll_login(cx))?;
        ready!(this.poll_send(cx))?;
        match &mut this.0 {
            State::Open { transport, .. } => Pin::new(transport).poll_write(cx, bytes),
            _ => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let State::Open {
            transport, unsent, ..
        } = &mut self.0
            && unsent.is_empty()
        {
            return Pin::new(transport).poll_write_vectored(cx, slices);
        }
        let first = slices.iter().find(|slice| !slice.is_empty());
        self.poll_write(cx, first.map_or(&[], |slice| slice))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            State::Open { transport, .. } => transport.is_write_vectored(),
            _ => false,
        }
    }

    /// Does not wait for the login: the driver reads next, and that drives it.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        match &mut this.0 {
            State::Open { transport, .. } => Pin::new(transport).poll_flush(cx),
            State::First { .. } | State::LoggingIn { .. } | State::Failed(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        match &mut this.0 {
            State::First { transport, .. } => Pin::new(transport).poll_shutdown(cx),
            State::Open { transport, .. } => Pin::new(transport).poll_shutdown(cx),
            State::LoggingIn { .. } | State::Failed(_) => Poll::Ready(Ok(())),
        }
    }
}

/// Says nothing of channel binding: the login is not the driver's.
impl<S> TlsStream for Stream<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S> fmt::Debug for Stream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.0 {
            State::First { .. } => "First",
            State::LoggingIn { .. } => "LoggingIn",
            State::Open { .. } => "Open",
            State::Failed(_) => "Failed",
        };
        f.debug_tuple("Stream").field(&state).finish()
    }
}
