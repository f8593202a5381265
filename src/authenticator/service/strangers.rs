//! Calls on connections on which nobody has proved yet who they are.
//!
//! What such a call may bring lies in memory before anybody knows whose it is. Of one connection few
//! are read at a time, and of one address, and in all, only so many; the others wait. An honest
//! client's first call says who it is, and from then on no call on its connection is waited for.

use std::{
    convert::Infallible,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use ::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use futures_util::poll;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, SizeHint};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Status, body::Body as Message, server::NamedService};
use tower_service::Service;
use uuid::Uuid;

use super::{Shared, refusal::Refusal};
use crate::authenticator::{
    audit::{Audit, Reason},
    limits::{Gate, Limits, TurnsInAll},
    listener::Peer,
};

/// How many times as many calls may wait as are read.
const WAITING: usize = 10;
/// Who waits keeps his headers: an honest client's are shorter.
const MAX_HEADERS: usize = 2 << 10;

/// The one call of v2 that strangers have to make.
const CREATE_SESSION: &str = "/approzium.v2.Authenticator/CreateSession";
/// A proof, its security token of 8 KiB included. It is the one message of its stream.
const MAX_PROOF: usize = 16 << 10;

/// How many calls of strangers are read, and wait for it.
#[derive(Debug)]
pub(crate) struct Strangers {
    turns: TurnsInAll<IpAddr>,
    waiting: Arc<Gate<IpAddr>>,
    patience: Duration,
}

/// Permits of a connection, an address, and all.
type Turn = [OwnedSemaphorePermit; 3];

impl Strangers {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        let (in_all, each) = (limits.unauthenticated, limits.unauthenticated_per_address);
        Arc::new(Strangers {
            turns: TurnsInAll::new(in_all, each),
            waiting: Gate::new(in_all.saturating_mul(WAITING), each.saturating_mul(WAITING)),
            patience: limits.handshake_timeout,
        })
    }

    /// Waits until a call may be read: nothing, if that is refused.
    async fn admit(&self, peer: &Peer, headers: &HeaderMap) -> Option<Admitted> {
        let known = peer.known();
        if known.is_cancelled() {
            return Some(Admitted::Known);
        }
        let from = peer.neighbourhood();
        let turn = self.turn(peer, from);
        tokio::pin!(turn);
        if let Poll::Ready(turn) = poll!(&mut turn) {
            return turn.map(Admitted::Stranger);
        }
        let _place = self.waiting.enter(from).filter(|_| is_short(headers))?;
        let soon = async {
            tokio::select! {
                () = known.cancelled() => Some(Admitted::Known),
                turn = turn => turn.map(Admitted::Stranger),
            }
        };
        timeout(self.patience, soon).await.ok().flatten()
    }

    /// Who waits for others of his own connection has no turn of his address.
    async fn turn(&self, peer: &Peer, from: IpAddr) -> Option<Turn> {
        let of_connection = peer.calls_of_stranger.clone().acquire_owned().await.ok()?;
        let [of_address, in_all] = self.turns.take(from).await?;
        Some([of_connection, of_address, in_all])
    }
}

enum Admitted {
    Known,
    Stranger(Turn),
}

fn is_short(headers: &HeaderMap) -> bool {
    let lengths = headers.iter();
    let lengths = lengths.map(|(name, value)| name.as_str().len() + value.len());
    lengths.sum::<usize>() <= MAX_HEADERS
}

/// A service of which strangers have few calls at a time.
#[derive(Clone)]
pub(crate) struct Admitting<S> {
    pub(crate) service: S,
    pub(crate) shared: Arc<Shared>,
}

impl<S: NamedService> NamedService for Admitting<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Message>> for Admitting<S>
where
    S: Service<Request<Message>, Response = Response<Message>, Error = Infallible>
        + NamedService
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Message>) -> Self::Future {
        let Some(peer) = request.extensions().get::<Peer>().cloned() else {
            return Box::pin(self.service.call(request));
        };
        // The one that is ready is the one that is called.
        let next = self.service.clone();
        let mut service = std::mem::replace(&mut self.service, next);
        let shared = self.shared.clone();
        Box::pin(async move {
            let request = match request.uri().path() {
                CREATE_SESSION => request.map(short),
                _ => request,
            };
            match shared.strangers.admit(&peer, request.headers()).await {
                Some(Admitted::Known) => {
                    let from = peer.neighbourhood();
                    let Some(place) = shared.known.admit(from) else {
                        let problem =
                            "there are too many calls at a time from this address, or in all";
                        return Ok(refused(&shared, S::NAME, &peer, problem).await);
                    };
                    let mut request = request.map(|message| shared.known.bounded(message, from));
                    request.extensions_mut().insert(place.clone());
                    let answer = service.call(request).await?;
                    Ok(answer.map(|message| place.until_the_end_of(message)))
                }
                Some(Admitted::Stranger(turn)) => {
                    let answer = service.call(request).await?;
                    Ok(answer.map(|message| Message::new(Held::new(message, turn, &peer))))
                }
                None => {
                    let problem =
                        "there are too many calls on connections on which nobody is identified yet";
                    Ok(refused(&shared, S::NAME, &peer, problem).await)
                }
            }
        })
    }
}

async fn refused(
    shared: &Shared,
    service: &'static str,
    peer: &Peer,
    problem: &'static str,
) -> Response<Message> {
    let request_id = Uuid::new_v4().to_string();
    let refusal = Refusal::exhausted(problem, Reason::TooManyCalls);
    let status = refusal.status(&request_id);
    let lines = shared.audit.clone();
    let audit = Audit::new(lines, service, request_id, peer.address);
    let (decision, reason) = (refusal.decision(), refusal.reason());
    audit.decide(&shared.metrics, decision, reason, None).await;
    status.into_http()
}

/// An answer that holds its call's turn, until it ends or it is known whose it is.
struct Held {
    message: Message,
    turn: Option<Turn>,
    known: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Held {
    fn new(message: Message, turn: Turn, peer: &Peer) -> Self {
        Held {
            message,
            turn: Some(turn),
            known: Box::pin(peer.known().clone().cancelled_owned()),
        }
    }
}

impl Body for Held {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.turn.is_some() && self.known.as_mut().poll(context).is_ready() {
            self.turn = None;
        }
        Pin::new(&mut self.message).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.message.size_hint()
    }
}

/// A request of which no more is read than one proof.
fn short(message: Message) -> Message {
    /// What stands before a message of gRPC: whether it is compressed, and its length.
    const PREFIX: usize = 5;

    let limited = Limited::new(message, MAX_PROOF + PREFIX);
    Message::new(limited.map_err(|error| match error.downcast::<Status>() {
        Ok(status) => *status,
        Err(_) => Status::out_of_range("the proof is too long"),
    }))
}
