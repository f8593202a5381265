//! One CreateSession.

use std::{
    sync::atomic::AtomicBool,
    time::{Duration, SystemTime},
};

use ::opentelemetry::Context;
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{Session, Sessions, clock::Skew, within};
use crate::{
    client::{lane::Connection, retries::Lost, status},
    error::{Error, Hop, Kind, Result},
    identity::Arn,
    opentelemetry::propagation::inject,
    proto::v2,
    secret::Secret,
};

/// No session is believed to last longer, whatever the Authenticator says.
const MAX_LIFETIME: Duration = Duration::from_secs(60 * 60);
const MAX_TOKEN: usize = 8 * 1024;
const NONCE: usize = 32;
const CLIENT_VERSION: &str = concat!("approzium-rust/", env!("CARGO_PKG_VERSION"));

/// The Authenticator's challenge, our proof, its grant.
pub(super) struct Exchange<'a> {
    pub(super) sessions: &'a Sessions,
    pub(super) connection: &'a Connection,
    pub(super) deadline: Instant,
}

pub(super) enum Failure {
    /// Nobody answered: worth another connection.
    Lost(Lost),
    Final(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Final(error)
    }
}

impl Exchange<'_> {
    pub(super) async fn run(&self, trace: &Context) -> Result<Session, Failure> {
        let (sender, receiver) = mpsc::channel(1);
        let mut request = tonic::Request::new(ReceiverStream::new(receiver));
        inject(trace, request.metadata_mut());
        let mut client = self.connection.client();
        let mut answers = self
            .answer(
                "the Authenticator's challenge",
                client.create_session(request),
            )
            .await?
            .into_inner();

        let challenge = self.challenge(&mut answers).await?;
        self.sessions.lanes.answered(self.connection);
        let skew = Skew::of(&challenge, SystemTime::now());

        let signed_at = SystemTime::now();
        let (aws, credentials_expiry) = self.sign(&challenge.nonce, signed_at).await?;
        let proof = v2::SessionProof {
            client_version: CLIENT_VERSION.to_owned(),
            proof: Some(v2::session_proof::Proof::Aws(aws)),
        };
        let message = v2::create_session_request::Message::Proof(proof);
        // Should the stream have ended meanwhile, its status is read below.
        let _ = sender
            .send(v2::CreateSessionRequest {
                message: Some(message),
            })
            .await;

        let grant = match self.grant(&mut answers).await {
            Err(Failure::Final(error)) => return Err(Failure::Final(skew.add_to(error))),
            other => other?,
        };
        let of_credentials =
            credentials_expiry.map(|expiry| expiry.duration_since(signed_at).unwrap_or_default());
        Ok(session(grant, of_credentials)?)
    }

    async fn challenge(
        &self,
        answers: &mut Streaming<v2::CreateSessionResponse>,
    ) -> Result<v2::SessionChallenge, Failure> {
        let answer = self
            .answer("the Authenticator's challenge", answers.message())
            .await?;
        match answer.and_then(|answer| answer.message) {
            Some(v2::create_session_response::Message::Challenge(challenge))
                if challenge.nonce.len() == NONCE =>
            {
                Ok(challenge)
            }
            _ => Err(unexpected("the challenge is none").into()),
        }
    }

    async fn sign(
        &self,
        nonce: &[u8],
        now: SystemTime,
    ) -> Result<(v2::AwsProof, Option<SystemTime>), Error> {
        let timed_out = || {
            self.sessions
                .timed_out(Hop::Credentials, "finding the credentials")
        };
        within(self.deadline, timed_out(), async {
            let signer = self.sessions.signer().await?;
            signer.sign(nonce, &self.sessions.audience, now).await
        })
        .await?
    }

    async fn grant(
        &self,
        answers: &mut Streaming<v2::CreateSessionResponse>,
    ) -> Result<v2::SessionGrant, Failure> {
        let answer = self
            .answer("the verification of the identity", answers.message())
            .await?;
        match answer.and_then(|answer| answer.message) {
            Some(v2::create_session_response::Message::Grant(grant)) => Ok(grant),
            _ => Err(unexpected("the grant is none").into()),
        }
    }

    async fn answer<T>(
        &self,
        step: &str,
        answer: impl Future<Output = Result<T, tonic::Status>>,
    ) -> Result<T, Failure> {
        let late = |late| {
            // It may be slow, or gone without a word: the next attempt dials again.
            self.connection.discard();
            late
        };
        let timed_out = self.sessions.timed_out(Hop::Session, step);
        match within(self.deadline, timed_out, answer)
            .await
            .map_err(late)?
        {
            Ok(answer) => Ok(answer),
            Err(status) if status::is_lost(&status) => Err(Failure::Lost(status::lost(
                &self.sessions.lanes,
                self.connection,
                &status,
            ))),
            Err(status) => Err(status::answered(&status, Hop::Session).into()),
        }
    }
}

/// Checks a grant. The session ends with the token, or with the credentials that proved it.
pub(super) fn session(
    grant: v2::SessionGrant,
    of_credentials: Option<Duration>,
) -> Result<Session> {
    let now = Instant::now();
    let token = Secret::from(grant.session_token);
    let granted = grant
        .lifetime
        // Of the least number of seconds the conversion would take the opposite, which there is not.
        .filter(|lifetime| lifetime.seconds >= 0)
        .and_then(|lifetime| Duration::try_from(lifetime).ok())
        .filter(|lifetime| !lifetime.is_zero())
        .ok_or_else(|| unexpected("the session has no lifetime"))?;
    if !(1..=MAX_TOKEN).contains(&token.expose_secret().len()) {
        return Err(unexpected("the session's token is empty or oversized"));
    }
    if !is_identity(&grant.iam_arn) {
        return Err(unexpected("the verified identity is no ARN"));
    }
    let lifetime = granted
        .min(MAX_LIFETIME)
        .min(of_credentials.unwrap_or(MAX_LIFETIME));
    Ok(Session {
        token,
        iam_arn: grant.iam_arn,
        renew_at: now + lifetime * 2 / 3,
        // A handshake that begins with the token should also reach the Authenticator with it.
        expires_at: now + lifetime * 19 / 20,
        accepted: AtomicBool::new(false),
    })
}

/// An ARN, and so bounded and safe to show.
pub(in crate::client) fn is_identity(arn: &str) -> bool {
    Arn::parse(arn).is_ok()
}

fn unexpected(what: &str) -> Error {
    Error::new(
        Kind::Protocol,
        Hop::Session,
        format!("the Authenticator broke its protocol: {what}"),
    )
}
