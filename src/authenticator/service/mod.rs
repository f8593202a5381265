//! The service `approzium.v2.Authenticator`.
//!
//! A call is a task that reads the client's messages one after the other, each within its time.
//! What a caller is told when it is refused is in [`refusal`]; what the operator is told is one
//! audit line.

mod handshake;
mod known;
mod mechanism;
mod pace;
mod refusal;
mod session;
mod steps;
mod strangers;
mod v1;

use std::{net::IpAddr, sync::Arc, time::Duration};

use ::tracing::Instrument as _;
use futures_channel::mpsc;
use futures_util::SinkExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tonic::{
    Extensions, Request, Response, Status, Streaming,
    metadata::{MetadataMap, MetadataValue},
};
use uuid::Uuid;

#[cfg(fuzzing)]
pub(crate) use self::v1::fuzzing;
pub(crate) use self::{
    known::Known,
    strangers::{Admitting, Strangers},
    v1::{V1, V1Service},
};
use self::{known::Place, refusal::Refusal};
use super::{
    audit::{Audit, AuditLines, Decision, Reason},
    authorization::Authorizer,
    keys::KeyStore,
    limits::{Gate, Limits, Rate},
    listener::Peer,
    metrics::Metrics,
    sts::StsCalls,
    token::Tokens,
};
use crate::{
    identity::{
        Principal,
        aws::{Audiences, Skew, Verifier},
    },
    opentelemetry::server::ServerSpan,
    proto::v2::{
        AuthenticateRequest, AuthenticateResponse, CreateSessionRequest, CreateSessionResponse,
        authenticator_server::Authenticator,
    },
};

/// In the initial metadata of every answer, and in the trailers of every error.
const REQUEST_ID: &str = "x-approzium-request-id";

/// A token, a target and 64 attribution entries of 512 bytes fit well.
pub(crate) const MAX_MESSAGE_SIZE: usize = 64 << 10;
/// A proof of 4 KiB and an exchange of 6 fit well.
pub(crate) const MAX_V1_MESSAGE_SIZE: usize = 16 << 10;

/// Messages of one call that may wait for the network: a call has never more than four.
const OUTBOUND: usize = 4;

/// What all calls share.
pub(crate) struct Shared {
    pub(crate) verifier: Arc<dyn Verifier>,
    pub(crate) audiences: Audiences,
    pub(crate) skew: Skew,
    pub(crate) tokens: Tokens,
    pub(crate) authorizer: Authorizer,
    pub(crate) keys: KeyStore,
    pub(crate) limits: Limits,
    pub(crate) strangers: Arc<Strangers>,
    pub(crate) known: Known,
    /// Sessions in the making, of strangers.
    pub(crate) sessions: Arc<Gate<IpAddr>>,
    /// The same of who is known: whatever strangers do, these can go on.
    pub(crate) renewals: Arc<Gate<IpAddr>>,
    pub(crate) sts_calls: StsCalls,
    pub(crate) md5_answers: Rate<Principal>,
    /// Logins begun.
    pub(crate) handshakes: Rate<Principal>,
    pub(crate) handshakes_by_address: Rate<IpAddr>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) audit: Arc<AuditLines>,
}

/// The service.
#[derive(Clone)]
pub(crate) struct Service(pub(crate) Arc<Shared>);

#[tonic::async_trait]
impl Authenticator for Service {
    type CreateSessionStream = mpsc::Receiver<Result<CreateSessionResponse, Status>>;
    type AuthenticateStream = mpsc::Receiver<Result<AuthenticateResponse, Status>>;

    async fn create_session(
        &self,
        request: Request<Streaming<CreateSessionRequest>>,
    ) -> Result<Response<Self::CreateSessionStream>, Status> {
        let (call, response) =
            Call::begin(self, "approzium.v2.Authenticator/CreateSession", request)?;
        let span = ::tracing::info_span!("request", request_id = %call.audit.request_id);
        tokio::spawn(session::run(call).instrument(span));
        Ok(response)
    }

    async fn authenticate(
        &self,
        request: Request<Streaming<AuthenticateRequest>>,
    ) -> Result<Response<Self::AuthenticateStream>, Status> {
        let (call, response) =
            Call::begin(self, "approzium.v2.Authenticator/Authenticate", request)?;
        let span = ::tracing::info_span!("request", request_id = %call.audit.request_id);
        tokio::spawn(handshake::run(call).instrument(span));
        Ok(response)
    }
}

/// What every call begins with: whose connection it came on, a place among its calls, a line for the
/// audit log, and a span.
fn begin(
    shared: &Shared,
    method: &'static str,
    extensions: &Extensions,
    metadata: &MetadataMap,
) -> Result<(Peer, OwnedSemaphorePermit, Audit, ServerSpan), Status> {
    let Some(peer) = extensions.get::<Peer>().cloned() else {
        return Err(Status::internal("the connection has no peer"));
    };
    let Ok(place) = peer.calls.clone().try_acquire_owned() else {
        return Err(Status::resource_exhausted(
            "too many calls on one connection",
        ));
    };
    let request_id = Uuid::new_v4().to_string();
    let span = ServerSpan::start(method, &request_id, metadata);
    let lines = shared.audit.clone();
    let call = method.rsplit('/').next().unwrap_or_default();
    let audit = Audit::new(lines, call, request_id, peer.address);
    Ok((peer, place, audit, span))
}

/// One call under way. Thousands wait for their clients: it is boxed, since a future holds its
/// arguments twice, and its channel holds no places in advance.
struct Call<Q, A> {
    shared: Arc<Shared>,
    peer: Peer,
    inbound: Streaming<Q>,
    outbound: mpsc::Sender<Result<A, Status>>,
    audit: Audit,
    span: ServerSpan,
    _place: OwnedSemaphorePermit,
    /// Also where its answers have nobody left to hear them.
    _open: Option<Place>,
}

type Answers<A> = Response<mpsc::Receiver<Result<A, Status>>>;

impl<Q, A> Call<Q, A> {
    fn begin(
        service: &Service,
        method: &'static str,
        request: Request<Streaming<Q>>,
    ) -> Result<(Box<Self>, Answers<A>), Status> {
        let (peer, place, audit, span) =
            begin(&service.0, method, request.extensions(), request.metadata())?;
        let open = request.extensions().get::<Place>().cloned();
        let (outbound, answers) = mpsc::channel(OUTBOUND);
        let mut response = Response::new(answers);
        if let Ok(id) = MetadataValue::try_from(&audit.request_id) {
            response.metadata_mut().insert(REQUEST_ID, id);
        }
        let call = Box::new(Call {
            shared: service.0.clone(),
            audit,
            peer,
            inbound: request.into_inner(),
            outbound,
            span,
            _place: place,
            _open: open,
        });
        Ok((call, response))
    }

    /// The client's next message; `None` if it has no more.
    async fn next(&mut self, within: Duration, late: Reason) -> Result<Option<Q>, Refusal> {
        match tokio::time::timeout(within, self.inbound.message()).await {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(status)) => Err(Refusal::unreadable(&status)),
            Err(_) => Err(Refusal::late(late)),
        }
    }

    async fn send(&mut self, answer: A) -> Result<(), Refusal> {
        self.outbound
            .send(Ok(answer))
            .await
            .map_err(|_| Refusal::client_gone())
    }

    /// Gives what the client is allowed to have, once the operator's line is written.
    async fn allow(
        &mut self,
        answer: A,
        reason: Reason,
        detail: Option<&str>,
    ) -> Result<(), Refusal> {
        let room = std::future::poll_fn(|context| self.outbound.poll_ready(context)).await;
        room.map_err(|_| Refusal::client_gone())?;
        let metrics = &self.shared.metrics;
        self.audit
            .decide(metrics, Decision::Allowed, reason, detail)
            .await;
        // Nobody to have it, if the client went away meanwhile.
        let _ = self.outbound.start_send(Ok(answer));
        Ok(())
    }

    /// Tells the client no, and the operator why.
    async fn refuse(&mut self, refusal: &Refusal) {
        self.audit
            .decide(
                &self.shared.metrics,
                refusal.decision(),
                refusal.reason(),
                refusal.detail(),
            )
            .await;
        // Nobody to tell, if the client is gone.
        let _ = self
            .outbound
            .send(Err(refusal.status(&self.audit.request_id)))
            .await;
    }
}
