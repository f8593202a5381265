//! Messages to and from the database during a login, with every bound that they have.

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use super::refusal::broken;
use crate::{
    Error, Hop,
    error::Kind,
    postgres::{failure, tls::Transport},
    wire::postgres::{
        Authentication, BackendMessage, Frame, MAX_LOGIN_MESSAGE_LENGTH, NegotiateProtocolVersion,
    },
};

/// Why a login ended early.
pub(super) enum Stop {
    /// The database said why; the driver will read it.
    Refused {
        sqlstate: String,
    },
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

/// The database's side of a login.
pub(super) struct Exchange<S> {
    transport: Transport<S>,
    deadline: Instant,
    /// Read, and not looked at.
    input: BytesMut,
    /// Looked at, and to be read by the driver.
    replay: BytesMut,
    /// Notices before AuthenticationOk, where the driver does not expect any.
    notices: BytesMut,
    messages: usize,
    bytes: usize,
}

/// Far more than a login has, session parameters included.
const MESSAGE_COUNT_LIMIT: usize = 1_000;

/// All messages of a login together, in bytes.
const TOTAL_LENGTH_LIMIT: usize = 1024 * 1024;

/// One ErrorResponse, as of an extension that has much to say, or one parameter.
const SESSION_MESSAGE_LENGTH_LIMIT: usize = 64 * 1024;

/// What a login's answer usually fits into, in bytes.
const READ_LENGTH: usize = 2 * 1024;

impl<S> Exchange<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    pub(super) fn new(transport: Transport<S>, deadline: Instant) -> Self {
        Exchange {
            transport,
            deadline,
            input: BytesMut::new(),
            replay: BytesMut::new(),
            notices: BytesMut::new(),
            messages: 0,
            bytes: 0,
        }
    }

    pub(super) fn transport(&self) -> &Transport<S> {
        &self.transport
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The transport, and what the driver is to read before anything else from it.
    pub(super) fn into_parts(mut self) -> (Transport<S>, Bytes) {
        self.replay.unsplit(self.input);
        (self.transport, self.replay.freeze())
    }

    pub(super) async fn send(&mut self, message: &[u8]) -> Result<(), Error> {
        let send = async {
            self.transport.write_all(message).await?;
            self.transport.flush().await
        };
        timeout_at(self.deadline, send)
            .await
            .map_err(|_| late())?
            .map_err(lost)
    }

    /// Waits for the Authenticator's answer, while the database should wait too. What the database
    /// says meanwhile (that it is shutting down, that this takes too long) is what counts.
    pub(super) async fn beside<T>(
        &mut self,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Stop> {
        tokio::select! {
            biased;
            interruption = self.request() => match interruption {
                Err(stop) => Err(stop),
                Ok(_) => Err(broken("the database did not wait for an answer").into()),
            },
            answer = answer => Ok(answer?),
        }
    }

    /// The next authentication request. AuthenticationOk is kept for the driver.
    pub(super) async fn authentication(&mut self) -> Result<Authentication, Stop> {
        timeout_at(self.deadline, self.request())
            .await
            .unwrap_or_else(|_| Err(late().into()))
    }

    async fn request(&mut self) -> Result<Authentication, Stop> {
        loop {
            let frame = self.frame(MAX_LOGIN_MESSAGE_LENGTH).await?;
            let raw = frame.raw().clone();
            match BackendMessage::parse(frame).map_err(malformed)? {
                BackendMessage::Authentication(Authentication::Ok) => {
                    self.replay.extend_from_slice(&raw);
                    let notices = std::mem::take(&mut self.notices);
                    self.replay.extend_from_slice(&notices);
                    return Ok(Authentication::Ok);
                }
                BackendMessage::Authentication(request) => return Ok(request),
                BackendMessage::ErrorResponse(error) => return Err(self.refused(&error, &raw)),
                BackendMessage::NoticeResponse(_) => self.notices.extend_from_slice(&raw),
                BackendMessage::NegotiateProtocolVersion(version) => accept(&version)?,
                BackendMessage::Other(_) => {
                    return Err(broken("a message that has no place in a login").into());
                }
            }
        }
    }

    /// The session's parameters and its key, up to ReadyForQuery, all kept for the driver.
    pub(super) async fn until_ready(&mut self) -> Result<(), Stop> {
        timeout_at(self.deadline, self.session())
            .await
            .unwrap_or_else(|_| Err(late().into()))
    }

    async fn session(&mut self) -> Result<(), Stop> {
        loop {
            let frame = self.frame(SESSION_MESSAGE_LENGTH_LIMIT).await?;
            let raw = frame.raw().clone();
            match frame.tag() {
                b'Z' => {
                    self.replay.extend_from_slice(&raw);
                    return Ok(());
                }
                b'E' => match BackendMessage::parse(frame).map_err(malformed)? {
                    BackendMessage::ErrorResponse(error) => return Err(self.refused(&error, &raw)),
                    _ => return Err(broken("an error that is none").into()),
                },
                // BackendKeyData, NoticeResponse, ParameterStatus.
                b'K' | b'N' | b'S' => self.replay.extend_from_slice(&raw),
                _ => return Err(broken("a message that has no place in a login").into()),
            }
        }
    }

    fn refused(&mut self, error: &crate::wire::postgres::Fields, raw: &[u8]) -> Stop {
        self.replay.extend_from_slice(raw);
        Stop::Refused {
            sqlstate: error.sqlstate().unwrap_or_default().to_owned(),
        }
    }

    async fn frame(&mut self, limit: usize) -> Result<Frame, Error> {
        let frame = self.read(limit).await?;
        self.messages += 1;
        self.bytes += frame.raw().len();
        if self.messages > MESSAGE_COUNT_LIMIT || self.bytes > TOTAL_LENGTH_LIMIT {
            return Err(broken("a login that does not end"));
        }
        Ok(frame)
    }

    async fn read(&mut self, limit: usize) -> Result<Frame, Error> {
        loop {
            if let Some(frame) = Frame::read(&mut self.input, limit).map_err(malformed)? {
                return Ok(frame);
            }
            self.input.reserve(READ_LENGTH);
            let read = self.transport.read_buf(&mut self.input);
            if read.await.map_err(lost)? == 0 {
                return Err(Error::new(
                    Kind::Unavailable,
                    Hop::DatabaseLogin,
                    "the database hung up during the login",
                ));
            }
        }
    }
}

/// The driver asks for 3.0 and for no option, so that there is nothing to fall back to.
fn accept(version: &NegotiateProtocolVersion) -> Result<(), Error> {
    match version.unrecognized_options() {
        [] => Ok(()),
        _ => Err(broken(
            "the database does not know an option of the session",
        )),
    }
}

fn late() -> Error {
    failure::timeout(Hop::DatabaseLogin, "the login at the database")
}

fn lost(error: std::io::Error) -> Error {
    // In TLS 1.3 the server looks at a client's certificate after the handshake.
    if let Some(rustls::Error::AlertReceived(alert)) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        let message = format!("the database ended TLS: {alert:?}");
        return Error::new(Kind::Protocol, Hop::DatabaseConnection, message)
            .with_help("it may not like the client certificate: see sslcert and sslkey")
            .with_source(error);
    }
    Error::new(
        Kind::Unavailable,
        Hop::DatabaseLogin,
        "the connection to the database was lost during the login",
    )
    .with_source(error)
}

fn malformed(error: crate::wire::postgres::Error) -> Error {
    broken("the database broke the protocol").with_source(error)
}
