//! One delegated login.

mod message;

use std::{convert::Infallible, time::Duration};

use ::opentelemetry::Context;
pub(crate) use message::{Offered, Outcome, ScramFinal, Target};
use message::{
    about, client_first_messages, is_md5_response, is_message, request, start, unexpected,
};
use tokio::{
    runtime::Handle,
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{
    AuthClient,
    lane::Connection,
    retries::{Lost, Retries},
    session::is_identity,
    status,
};
use crate::{
    error::{Error, Hop, Kind, Result},
    opentelemetry::propagation::inject,
    proto::v2::{
        self, authenticate_request::Message as Request, authenticate_response::Message as Response,
    },
    wire::scram::{ClientFirstMessages, Mechanism},
};

/// A login is begun anew so often, if connections to the Authenticator break.
const RETRIES: usize = 2;
/// Start, challenge, outcome: the queue never fills.
const MESSAGES: usize = 3;
/// How long the Authenticator may take to note an outcome. Nobody waits for it.
const FAREWELL: Duration = Duration::from_secs(5);

/// One delegated login, accepted by the Authenticator.
///
/// Dropping it tells the Authenticator that the login was given up.
#[derive(Debug)]
pub(crate) struct Handshake {
    request_id: String,
    iam_arn: String,
    client_first: ClientFirstMessages,
    stream: Option<Stream>,
    client: AuthClient,
    deadline: Instant,
}

#[derive(Debug)]
struct Stream {
    requests: mpsc::Sender<v2::AuthenticateRequest>,
    responses: Streaming<v2::AuthenticateResponse>,
    runtime: Handle,
}

impl Handshake {
    pub(super) async fn open(
        client: &AuthClient,
        target: Target,
        deadline: Instant,
    ) -> Result<Self> {
        let mut retries = Retries::new(&client.0.lanes, RETRIES);
        let mut renewed = false;
        loop {
            let session = client.0.sessions.session(deadline).await?;
            let connection = timeout_at(deadline, client.0.lanes.connection())
                .await
                .map_err(|_| late(Hop::Authenticator, "the Authenticator was reached"))??;
            let start = start(client, &session, &target);
            let opening = Self::begin(client, &connection, start, deadline);
            let step = (Instant::now() + client.0.handshake_timeout).min(deadline);
            let opened = timeout_at(step, opening).await.map_err(|_| {
                // It may be slow, or gone without a word: the next login dials again.
                connection.discard();
                late(Hop::Handshake, "the Authenticator had accepted the login")
            })?;
            match opened {
                Ok(handshake) => {
                    session.accepted();
                    return Ok(handshake);
                }
                Err(Failure::Lost(lost)) => retries.another(lost)?,
                // The session's own time is over, or the Authenticator's key is a new one.
                Err(Failure::Final(error)) if error.is_unauthenticated() && !renewed => {
                    renewed = true;
                    client.0.sessions.discard(&session, &error);
                }
                Err(Failure::Final(error)) => return Err(about(error, &target)),
            }
        }
    }

    async fn begin(
        client: &AuthClient,
        connection: &Connection,
        start: v2::HandshakeStart,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let lost = |status: tonic::Status| {
            if status::is_lost(&status) {
                Failure::Lost(status::lost(&client.0.lanes, connection, &status))
            } else {
                Failure::Final(status::answered(&status, Hop::Handshake))
            }
        };
        let (requests, queue) = mpsc::channel(MESSAGES);
        enqueue(&requests, Request::Start(start))?;
        let mut call = tonic::Request::new(ReceiverStream::new(queue));
        inject(&Context::current(), call.metadata_mut());
        let mut responses = connection
            .client()
            .authenticate(call)
            .await
            .map_err(lost)?
            .into_inner();
        match responses
            .message()
            .await
            .map_err(lost)?
            .and_then(|answer| answer.message)
        {
            Some(Response::Accepted(accepted))
                if status::is_request_id(&accepted.request_id)
                    && is_identity(&accepted.iam_arn) =>
            {
                let client_first = client_first_messages(&accepted)?;
                client.0.lanes.answered(connection);
                Ok(Handshake {
                    request_id: accepted.request_id,
                    iam_arn: accepted.iam_arn,
                    client_first,
                    stream: Some(Stream {
                        requests,
                        responses,
                        runtime: Handle::current(),
                    }),
                    client: client.clone(),
                    deadline,
                })
            }
            _ => Err(Failure::Final(unexpected("the acceptance is none"))),
        }
    }

    /// The Authenticator's id of this handshake.
    pub(crate) fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The identity that the Authenticator verified.
    pub(crate) fn iam_arn(&self) -> &str {
        &self.iam_arn
    }

    /// The database offers SASL: the mechanism and the client-first-message for it, without asking
    /// anybody. None if the record leaves none: [`scram_refused`](Self::scram_refused) says why.
    pub(crate) fn scram_start(&self, offered: &Offered) -> Option<(Mechanism, &[u8])> {
        let mechanisms = offered.mechanisms.iter().map(String::as_str);
        let connection = offered.connection.clone();
        self.client_first.select(connection, mechanisms).ok()
    }

    /// No client-first-message fits: the Authenticator's reason, which it has noted.
    pub(crate) async fn scram_refused(&mut self, offered: &Offered) -> Result<Infallible> {
        let request = offered.challenge(&[]);
        self.exchange(request).await?;
        Err(self.unexpected("an answer where none of its client-first-messages fits"))
    }

    /// The database sent server-first.
    pub(crate) async fn scram_server_first(
        &mut self,
        offered: &Offered,
        message: &[u8],
    ) -> Result<ScramFinal> {
        let request = offered.challenge(message);
        match self.exchange(request).await? {
            Response::ScramClientFinal(last) if is_message(&last.message) => {
                let server_signature_sha256 = last
                    .server_signature_sha256
                    .try_into()
                    .map_err(|_| self.unexpected("the ServerSignature's hash is no SHA-256"))?;
                Ok(ScramFinal {
                    message: last.message,
                    server_signature_sha256,
                })
            }
            _ => Err(self.unexpected("no client-final-message")),
        }
    }

    /// The database asks for MD5: "md5" and 32 hexadecimal digits.
    pub(crate) async fn md5(&mut self, salt: [u8; 4]) -> Result<String> {
        let request = Request::Md5Challenge(v2::Md5Challenge {
            salt: salt.to_vec(),
        });
        match self.exchange(request).await? {
            Response::Md5Response(answer) if is_md5_response(&answer.password) => {
                Ok(answer.password)
            }
            _ => Err(self.unexpected("no MD5 response")),
        }
    }

    /// Tells the Authenticator how the login ended. Never waits.
    pub(crate) fn outcome(mut self, outcome: Outcome) {
        drop(self.finish(outcome));
    }

    /// As [`outcome`](Self::outcome), but waits until the Authenticator has noted it: what it
    /// learns from a wrong password is for the next handshake.
    pub(crate) async fn outcome_noted(mut self, outcome: Outcome) {
        if let Some(noted) = self.finish(outcome) {
            // Late or not, there is nothing to be done about it.
            let _ = timeout_at(self.deadline, noted).await;
        }
    }

    async fn exchange(&mut self, request: Request) -> Result<Response> {
        let answer = self.ask(request).await;
        answer.map_err(|error| self.named(error))
    }

    async fn ask(&mut self, request: Request) -> Result<Response> {
        let step = (Instant::now() + self.client.0.handshake_timeout).min(self.deadline);
        let stream = self
            .stream
            .as_mut()
            .ok_or_else(|| unexpected("it had ended the handshake"))?;
        enqueue(&stream.requests, request)?;
        let answer = timeout_at(step, stream.responses.message())
            .await
            .map_err(|_| {
                late(
                    Hop::Handshake,
                    "the Authenticator had answered the challenge",
                )
            })?;
        match answer {
            Ok(Some(v2::AuthenticateResponse {
                message: Some(answer),
            })) => Ok(answer),
            Ok(_) => Err(unexpected("no answer")),
            Err(status) => {
                self.stream = None;
                Err(if status::is_lost(&status) {
                    status::interrupted(self.client.0.lanes.dialer())
                } else {
                    status::answered(&status, Hop::Handshake)
                })
            }
        }
    }

    fn finish(&mut self, outcome: Outcome) -> Option<JoinHandle<()>> {
        let Stream {
            requests,
            mut responses,
            runtime,
            ..
        } = self.stream.take()?;
        requests
            .try_send(request(Request::Outcome(outcome.into())))
            .ok()?;
        // To let go of the stream at once would take the outcome back.
        let farewells = &self.client.0.farewells;
        Some(runtime.spawn(farewells.track_future(async move {
            drop(requests);
            let ended = async { while let Ok(Some(_)) = responses.message().await {} };
            if timeout(FAREWELL, ended).await.is_err() {
                ::tracing::debug!("the Authenticator did not end a handshake after its outcome");
            }
        })))
    }

    fn unexpected(&self, what: &str) -> Error {
        self.named(unexpected(what))
    }

    /// An error of this handshake is to be found in the audit log.
    fn named(&self, error: Error) -> Error {
        match error.request_id() {
            Some(_) => error,
            None => error.with_request_id(self.request_id.clone()),
        }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        drop(self.finish(Outcome::Cancelled));
    }
}

enum Failure {
    /// Nobody answered: worth another connection.
    Lost(Lost),
    Final(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Final(error)
    }
}

fn enqueue(requests: &mpsc::Sender<v2::AuthenticateRequest>, message: Request) -> Result<()> {
    // A closed queue belongs to a stream that has ended: its status is read next.
    match requests.try_send(request(message)) {
        Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
        Err(mpsc::error::TrySendError::Full(_)) => Err(Error::new(
            Kind::Protocol,
            Hop::Handshake,
            "the database asks for more than one proof",
        )),
    }
}

fn late(hop: Hop, before: &str) -> Error {
    Error::new(
        Kind::Timeout,
        hop,
        format!("its time was over before {before}"),
    )
}

#[cfg(all(test, feature = "authenticator"))]
mod tests;
