//! The server's challenges, from the StartupMessage up to AuthenticationOk.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::config::ChannelBinding;

use super::{
    Policy,
    delegate::{self, Delegate},
    exchange::{Exchange, Stop},
    refusal::{broken, not_answered, not_scram, policy, require, unsendable},
    turn::Turn,
};
use crate::{
    Hop, Result,
    client::{Handshake, Offered},
    opentelemetry::{ConnectSpan, PhaseSpan},
    wire::{
        postgres::{
            Authentication, StartupMessage, password_message, sasl_initial_response, sasl_response,
        },
        scram::{Mechanism, Offer, verify_server_final},
    },
};

/// The login while it runs.
pub(super) struct Session<'a> {
    policy: Policy,
    /// Until the Authenticator is asked.
    delegate: Option<Delegate>,
    handshake: Option<Handshake>,
    turn: Turn<'a>,
    span: &'a ConnectSpan,
}

/// How the server was satisfied.
pub(super) enum Authenticated {
    /// It asked for nothing.
    NothingAsked,
    /// It asked for MD5, and has proved nothing itself.
    Md5,
    /// It has proved that it knows the keys: its ServerSignature.
    Scram(Vec<u8>),
}

impl Authenticated {
    pub(super) fn server_signature(self) -> Vec<u8> {
        match self {
            Authenticated::Scram(signature) => signature,
            Authenticated::Md5 | Authenticated::NothingAsked => Vec::new(),
        }
    }
}

impl<'a> Session<'a> {
    pub(super) fn new(policy: Policy, delegate: Delegate, span: &'a ConnectSpan) -> Self {
        Session {
            policy,
            delegate: Some(delegate),
            handshake: None,
            turn: Turn::startup(span),
            span,
        }
    }

    /// What is left to be said to the Authenticator, if it was asked; and the database's turn.
    pub(super) fn into_parts(self) -> (Option<Handshake>, Turn<'a>) {
        (self.handshake, self.turn)
    }

    /// Up to and including AuthenticationOk.
    pub(super) async fn authenticate<S>(
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
                self.turn.answered();
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
        self.turn.answered();

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
        self.turn.answered();
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
        self.turn.challenged();
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
        // The database may have hung up meanwhile.
        if let Err(Stop::Failed(error)) = &answer
            && !matches!(error.hop(), Hop::DatabaseConnection | Hop::DatabaseLogin)
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
