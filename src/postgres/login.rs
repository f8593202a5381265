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

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::config::ChannelBinding;

pub(super) use self::delegate::{Delegate, Report};
use self::{
    exchange::{Exchange, Stop},
    refusal::{broken, not_answered, not_scram, policy, refused, require, unsendable},
};
use super::{
    application_name::ApplicationName,
    config::{Config, RequireAuth},
    connector::Denial,
    tls::Transport,
};
use crate::{
    Hop, Result,
    client::{Handshake, Offered, Outcome},
    opentelemetry::{ConnectSpan, ConnectionInfo, Phase, PhaseSpan},
    wire::{
        postgres::{
            Authentication, StartupMessage, password_message, sasl_initial_response, sasl_response,
        },
        scram::{Mechanism, Offer, verify_server_final},
    },
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

/// How the server was satisfied.
enum Authenticated {
    /// It asked for nothing.
    NothingAsked,
    /// It asked for MD5, and has proved nothing itself.
    Md5,
    /// It has proved that it knows the keys: its ServerSignature.
    Scram(Vec<u8>),
}

impl Login {
    pub(super) fn new(policy: Policy, delegate: Delegate, denial: Denial) -> Self {
        Login {
            policy,
            name: None,
            delegate,
            denial,
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
        let mut session = Session {
            policy,
            delegate: Some(delegate),
            handshake: None,
            span: &span,
        };
        let database = span.phase(Phase::Database);
        let result = match session.authenticate(&mut exchange, &startup).await {
            Ok(authenticated) => exchange
                .until_ready()
                .await
                .map(|()| authenticated.server_signature()),
            Err(stop) => Err(stop),
        };
        let handshake = session.handshake.take();
        let failed = match &result {
            Ok(_) => None,
            Err(Stop::Failed(error)) => Some(error.clone()),
            Err(Stop::Refused { sqlstate }) => Some(refused(sqlstate)),
        };
        match &failed {
            None => database.finish(),
            Some(error) => {
                denial.note(error);
                // Where the Authenticator failed, the database was only given up.
                if matches!(error.hop(), Hop::DatabaseConnection | Hop::DatabaseLogin) {
                    database.fail(error);
                }
            }
        }
        let mut connection = None;
        if let Some(subject) = counting {
            span.place_known(exchange.deadline()).await;
            match &failed {
                None => {
                    let number = subject.auth().count_connection();
                    connection = Some(subject.connected(number));
                    span.counted(number);
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

impl Authenticated {
    fn server_signature(self) -> Vec<u8> {
        match self {
            Authenticated::Scram(signature) => signature,
            Authenticated::Md5 | Authenticated::NothingAsked => Vec::new(),
        }
    }
}

/// The login while it runs.
struct Session<'a> {
    policy: Policy,
    /// Until the Authenticator is asked.
    delegate: Option<Delegate>,
    handshake: Option<Handshake>,
    span: &'a ConnectSpan,
}

impl Session<'_> {
    /// Up to and including AuthenticationOk.
    async fn authenticate<S>(
        &mut self,
        exchange: &mut Exchange<S>,
        startup: &StartupMessage,
    ) -> Result<Authenticated, Stop>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        exchange.send(startup.raw()).await?;
        let methods = self.policy.require_auth;
        let authenticated = match exchange.authentication().await? {
            Authentication::Ok => {
                self.accept_silence()?;
                return Ok(Authenticated::NothingAsked);
            }
            Authentication::Sasl { mechanisms } => {
                require(methods.scram_sha_256(), "scram-sha-256")?;
                self.scram(exchange, startup, mechanisms).await?
            }
            Authentication::Md5Password { salt } => {
                require(methods.md5(), "md5")?;
                self.md5(exchange, startup, salt).await?
            }
            other => return Err(not_answered(&other).into()),
        };
        match exchange.authentication().await? {
            Authentication::Ok => Ok(authenticated),
            _ => Err(broken("a second challenge after an answer").into()),
        }
    }

    /// The server asks for nothing: trust, or a client certificate (or a man in the middle).
    fn accept_silence(&self) -> Result<()> {
        if !self.policy.require_auth.none() {
            return Err(
                policy("the database let the connection in without asking for anything").with_help(
                    "if its pg_hba.conf says trust or cert, and that is meant, add none to \
                     require_auth",
                ),
            );
        }
        if self.policy.channel_binding == ChannelBinding::Require {
            return Err(policy(
                "channel_binding=require, but the database asked for no SCRAM exchange to bind",
            ));
        }
        Ok(())
    }

    async fn scram<S>(
        &mut self,
        exchange: &mut Exchange<S>,
        startup: &StartupMessage,
        mechanisms: Vec<String>,
    ) -> Result<Authenticated, Stop>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let required = self.policy.channel_binding == ChannelBinding::Require;
        let tls = exchange.transport().is_tls();
        let end_point = match self.policy.channel_binding {
            ChannelBinding::Disable => None,
            _ => exchange.transport().tls_server_end_point(),
        };
        let bound = Mechanism::ScramSha256Plus.as_str();
        let unbound = Mechanism::ScramSha256.as_str();
        if !mechanisms
            .iter()
            .any(|name| name == bound || name == unbound)
        {
            return Err(not_scram(&mechanisms).into());
        }
        if required && !mechanisms.iter().any(|mechanism| mechanism == bound) {
            let help = match tls {
                true => "it needs PostgreSQL 11 or later with a certificate of its own",
                false => "it needs TLS: see sslmode",
            };
            return Err(
                policy("channel_binding=require, but the database does not offer it")
                    .with_help(help)
                    .into(),
            );
        }
        if required && end_point.is_none() {
            return Err(policy(
                "channel_binding=require, but it is not defined for the database's certificate",
            )
            .with_help("use a certificate signed with SHA-256 or better, and not by Ed25519")
            .into());
        }

        let (handshake, mut phase) = self.open(exchange, startup).await?;
        let offered = Offered {
            mechanisms,
            connection: Offer {
                tls,
                tls_server_end_point: end_point,
                require_channel_binding: required,
            },
        };
        let Some((mechanism, client_first)) = handshake.scram_start(&offered) else {
            let refused = handshake.scram_refused(&offered);
            match phase.answer(exchange, refused).await? {}
        };
        let response = sasl_initial_response(mechanism.as_str(), client_first);
        exchange.send(&response.map_err(unsendable)?).await?;

        let Authentication::SaslContinue(server_first) = exchange.authentication().await? else {
            return Err(broken("no server-first-message in the SCRAM exchange").into());
        };
        let answer = handshake.scram_server_first(&offered, &server_first);
        let client_final = phase.answer(exchange, answer).await?;
        phase.finish();
        exchange
            .send(&sasl_response(&client_final.message).map_err(unsendable)?)
            .await?;

        let Authentication::SaslFinal(server_final) = exchange.authentication().await? else {
            return Err(broken(
                "the database claims success without having proved that it knows the password",
            )
            .with_help("something else may be answering in its place")
            .into());
        };
        let signature = verify_server_final(&server_final, &client_final.server_signature_sha256)
            .map_err(|error| {
            broken("the database did not prove that it knows the password")
                .with_help("something else may be answering in its place")
                .with_source(error)
        })?;
        Ok(Authenticated::Scram(signature))
    }

    async fn md5<S>(
        &mut self,
        exchange: &mut Exchange<S>,
        startup: &StartupMessage,
        salt: [u8; 4],
    ) -> Result<Authenticated, Stop>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if self.policy.channel_binding == ChannelBinding::Require {
            return Err(policy(
                "channel_binding=require, but the database asks for MD5, which cannot be bound",
            )
            .into());
        }
        let (handshake, mut phase) = self.open(exchange, startup).await?;
        let answer = handshake.md5(salt);
        let response = phase.answer(exchange, answer).await?;
        phase.finish();
        exchange
            .send(&password_message(&response).map_err(unsendable)?)
            .await?;
        Ok(Authenticated::Md5)
    }

    /// The Authenticator is asked now, or was when the dial began.
    async fn open<S>(
        &mut self,
        exchange: &mut Exchange<S>,
        startup: &StartupMessage,
    ) -> Result<(&mut Handshake, Answering), Stop>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let delegate = self
            .delegate
            .take()
            .ok_or_else(|| broken("a second challenge"))?;
        let (handshake, phase) = exchange.beside(delegate.open(startup, self.span)).await?;
        Ok((self.handshake.insert(handshake), Answering(Some(phase))))
    }
}

/// The phase of a connect in which the Authenticator answers.
struct Answering(Option<PhaseSpan>);

impl Answering {
    async fn answer<S, T>(
        &mut self,
        exchange: &mut Exchange<S>,
        answer: impl Future<Output = Result<T>>,
    ) -> Result<T, Stop>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let answer = delegate::within(exchange.deadline(), answer);
        let answer = exchange.beside(answer).await;
        if let Err(Stop::Failed(error)) = &answer
            && let Some(phase) = self.0.take()
        {
            phase.fail(error);
        }
        answer
    }

    fn finish(mut self) {
        if let Some(phase) = self.0.take() {
            phase.finish();
        }
    }
}
