//! One login at the database, with the Authenticator's answers to its challenges.
//!
//! ```text
//! application            database                 Authenticator
//!     │ ◀── accepted, client-first for each gs2 header ─┤
//!     ├─ StartupMessage ───▶ │                          │
//!     │ ◀─ SASL: mechanisms ─┤                          │
//!     ├─ client-first ─────▶ │                          │
//!     │ ◀──── server-first ──┤                          │
//!     ├─ offer, tls-server-end-point, server-first ───▶ │
//!     │ ◀───── client-final, SHA-256(ServerSignature) ──┤
//!     ├─ client-final ─────▶ │                          │
//!     │ ◀──── server-final ──┤  its v= is verified here │
//!     │ ◀ AuthenticationOk … ┤                          │
//!     │ ◀──── ReadyForQuery ─┤                          │
//!     ├─ outcome ─────────────────────────────────────▶ │
//! ```
//! AuthenticationOk means nothing by itself: it is believed only after a verified server-final, or
//! after an MD5 response, or from a server of which nothing else was asked for
//! ([`RequireAuth::none`](super::RequireAuth::none)).

mod delegate;
mod exchange;
mod refusal;
mod session;
mod turn;

use std::sync::Arc;

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tokio_postgres::config::ChannelBinding;

pub(super) use self::delegate::{Delegate, Report};
use self::{
    exchange::{Exchange, Stop},
    refusal::refused,
    session::Session,
};
use super::{
    application_name::ApplicationName,
    config::{Config, RequireAuth},
    connector::Denial,
    tls::Transport,
};
use crate::{
    Result,
    client::Outcome,
    opentelemetry::{ConnectSpan, ConnectionInfo},
    wire::postgres::StartupMessage,
};

/// SQLSTATE `invalid_password`: that, or no such user.
pub(super) const INVALID_PASSWORD: &str = "28P01";

/// What the application insists on in a login.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    require_auth: RequireAuth,
    channel_binding: ChannelBinding,
}

impl Policy {
    pub(super) fn of(config: &Config) -> Self {
        Policy {
            require_auth: config.get_require_auth(),
            channel_binding: config.get_channel_binding(),
        }
    }
}

/// A login that has not begun.
#[derive(Debug)]
pub(super) struct Login {
    policy: Policy,
    /// None: as the driver has it.
    name: Option<ApplicationName>,
    delegate: Delegate,
    denial: Denial,
    /// When the driver asked for it: TLS comes first.
    begun: Instant,
    /// Part of a connect whose span there is already; else the login is its own.
    span: Option<ConnectSpan>,
}

/// A connection whose server said ReadyForQuery, or gave the reason why not.
pub(super) struct LoggedIn<S> {
    pub(super) transport: Transport<S>,
    /// What the driver is to read first.
    pub(super) unread: Bytes,
    /// What is known of a connection that the driver made by itself.
    pub(super) connection: Option<Arc<ConnectionInfo>>,
}

impl Login {
    pub(super) fn new(policy: Policy, delegate: Delegate, denial: Denial) -> Self {
        Login {
            policy,
            name: None,
            delegate,
            denial,
            begun: Instant::now(),
            span: None,
        }
    }

    /// What the session is called if the driver gives it no name.
    pub(super) fn named(self, name: ApplicationName) -> Self {
        Login {
            name: Some(name),
            ..self
        }
    }

    pub(super) fn traced(self, span: Option<ConnectSpan>) -> Self {
        Login { span, ..self }
    }

    /// Sends the driver's own StartupMessage, with a name if it has none, and goes on until the server is ready for queries.
    ///
    /// An ErrorResponse of the server's is not an error here: it is for the driver to read.
    /// Dropped, it tells the Authenticator that the login was given up.
    pub(super) async fn run<S>(
        self,
        transport: Transport<S>,
        startup: StartupMessage,
    ) -> Result<LoggedIn<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Login {
            policy,
            name,
            delegate,
            denial,
            begun,
            span,
        } = self;
        let startup = match name {
            Some(name) => name.give(startup, delegate.auth()),
            None => startup,
        };
        // What the driver connects by itself, nobody else counts or has a span for.
        let counting = span.is_none().then(|| delegate.subject(&startup));
        let span = span.unwrap_or_else(|| delegate.subject(&startup).start_span());
        let mut exchange = Exchange::new(transport, delegate.deadline());
        let mut session = Session::new(policy, delegate, &span);
        let result = match session.authenticate(&mut exchange, &startup).await {
            Ok(authenticated) => exchange
                .until_ready()
                .await
                .map(|()| authenticated.server_signature()),
            Err(stop) => Err(stop),
        };
        let (handshake, turn) = session.into_parts();
        let failed = match &result {
            Ok(_) => None,
            Err(Stop::Failed(error)) => Some(error.clone()),
            Err(Stop::Refused { sqlstate }) => Some(refused(sqlstate)),
        };
        if let Some(error) = &failed {
            denial.note(error);
        }
        turn.over(failed.as_ref());
        let mut connection = None;
        if let Some(subject) = counting {
            span.place_known(exchange.deadline()).await;
            match &failed {
                None => {
                    connection = Some(subject.connected(&span, begun.elapsed()));
                    span.finish();
                }
                Some(error) => span.fail(error),
            }
        }
        let outcome = match result {
            Ok(server_signature) => Outcome::Succeeded { server_signature },
            Err(Stop::Refused { sqlstate }) => Outcome::Refused { sqlstate },
            Err(Stop::Failed(error)) => return Err(error),
        };
        if let Some(handshake) = handshake {
            match &outcome {
                // The next connection is to profit from what the Authenticator learns of it.
                Outcome::Refused { sqlstate } if sqlstate == INVALID_PASSWORD => {
                    handshake.outcome_noted(outcome).await;
                }
                _ => handshake.outcome(outcome),
            }
        }
        let (transport, unread) = exchange.into_parts();
        Ok(LoggedIn {
            transport,
            unread,
            connection,
        })
    }
}
