//! Calls on connections on which somebody has proved who they are.
//!
//! That takes any AWS account. So also of these calls one address, and all together, have only so
//! many, and what a call may bring before anybody is on a record lies in memory for few of them:
//! a message that is longer than an application's waits for its turn.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, SizeHint};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};
use tonic::{Status, body::Body as Message};

use crate::authenticator::limits::{Gate, Limits, Pass, TurnsInAll};

/// A start with a token and the usual attribution has a quarter of it.
const SHORT: usize = 8 << 10;

/// How many calls of the known are open, and how many bring a long message.
#[derive(Debug)]
pub(crate) struct Known {
    open: Arc<Gate<IpAddr>>,
    long: Arc<Long>,
}

#[derive(Debug)]
struct Long {
    turns: TurnsInAll<IpAddr>,
    patience: Duration,
}

/// The place of one call, for as long as somebody holds it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    _pass: Arc<Pass<IpAddr>>,
}

impl Place {
    /// The answer, with which the place is held.
    pub(super) fn until_the_end_of(self, message: Message) -> Message {
        Message::new(message.map_frame(move |frame| {
            let _held = &self;
            frame
        }))
    }
}

/// Permits of an address, and of all.
type Turn = [OwnedSemaphorePermit; 2];

impl Known {
    pub(crate) fn new(limits: &Limits) -> Self {
        let (in_all, each) = (limits.unauthenticated, limits.unauthenticated_per_address);
        Known {
            open: Gate::new(limits.connections, limits.connections_per_address),
            long: Arc::new(Long {
                turns: TurnsInAll::new(in_all, each),
                patience: limits.handshake_timeout,
            }),
        }
    }

    pub(super) fn admit(&self, from: IpAddr) -> Option<Place> {
        let pass = self.open.enter(from)?;
        Some(Place {
            _pass: Arc::new(pass),
        })
    }

    /// The request, whose long messages wait for their turns.
    pub(super) fn bounded(&self, message: Message, from: IpAddr) -> Message {
        Message::new(Bounded {
            message,
            from,
            long: self.long.clone(),
            messages: Messages::default(),
            turn: None,
            waiting: None,
        })
    }
}

impl Long {
    async fn turn(self: Arc<Self>, from: IpAddr) -> Option<Turn> {
        let turn = timeout(self.patience, self.turns.take(from));
        turn.await.ok().flatten()
    }
}

struct Bounded {
    message: Message,
    from: IpAddr,
    long: Arc<Long>,
    messages: Messages,
    /// While a long message is on its way.
    turn: Option<Turn>,
    waiting: Option<Waiting>,
}

struct Waiting {
    turn: Pin<Box<dyn Future<Output = Option<Turn>> + Send>>,
    data: Bytes,
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.waiting.is_none() {
            let frame = match ready!(Pin::new(&mut self.message).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            let data = match frame.into_data() {
                Ok(data) => data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            };
            self.messages.read(&data);
            if !self.messages.is_in_long_one() {
                self.turn = None;
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if self.turn.is_some() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            let turn = Box::pin(self.long.clone().turn(self.from));
            self.waiting = Some(Waiting { turn, data });
        }
        let Some(waiting) = &mut self.waiting else {
            return Poll::Pending;
        };
        let turn = ready!(waiting.turn.as_mut().poll(context));
        let data = std::mem::take(&mut waiting.data);
        self.waiting = None;
        self.turn = turn;
        Poll::Ready(Some(match self.turn {
            Some(_) => Ok(Frame::data(data)),
            None => Err(Status::resource_exhausted(
                "there are too many long messages on their way",
            )),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_none() && self.message.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// Where the messages of gRPC in a request begin and end.
#[derive(Debug, Default)]
struct Messages {
    /// What has come of what stands before a message: whether it is compressed, and its length.
    prefix: Vec<u8>,
    length: usize,
    remaining: usize,
}

impl Messages {
    const PREFIX: usize = 5;

    fn read(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.remaining == 0 {
                let missing = Self::PREFIX - self.prefix.len();
                let (of_prefix, rest) = data.split_at(missing.min(data.len()));
                self.prefix.extend_from_slice(of_prefix);
                data = rest;
                if let [_, length @ ..] = &*self.prefix
                    && let Ok(length) = <[u8; 4]>::try_from(length)
                {
                    self.length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                    self.remaining = self.length;
                    self.prefix.clear();
                }
            }
            let of_message = self.remaining.min(data.len());
            self.remaining -= of_message;
            data = data.get(of_message..).unwrap_or_default();
        }
    }

    fn is_in_long_one(&self) -> bool {
        self.remaining > 0 && self.length > SHORT
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use http_body_util::Full;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn known() -> Known {
        Known::new(&Limits {
            unauthenticated: 3,
            unauthenticated_per_address: 2,
            ..Limits::default()
        })
    }

    fn message(length: usize) -> Vec<u8> {
        let mut message = vec![0];
        message.extend(u32::try_from(length).unwrap().to_be_bytes());
        message.extend(vec![7; length]);
        message
    }

    /// Of which that much has come.
    fn begun(known: &Known, from: IpAddr, bytes: Vec<u8>) -> Message {
        let whole = Full::new(Bytes::from(bytes)).map_err(|never| match never {});
        known.bounded(Message::new(whole), from)
    }

    fn frame(message: &mut Message) -> Option<Bytes> {
        let frame = message.frame().now_or_never()?;
        Some(frame.unwrap().unwrap().into_data().unwrap())
    }

    #[tokio::test]
    async fn long_messages_wait_for_each_other_and_short_ones_for_nobody() {
        let known = known();
        let long = message(SHORT + 1);
        let half = || long[..100].to_vec();
        let mut first = begun(&known, HERE, half());
        let mut second = begun(&known, HERE, half());
        assert!(frame(&mut first).is_some() && frame(&mut second).is_some());
        let mut third = begun(&known, HERE, half());
        assert_eq!(frame(&mut third), None);
        for bytes in [message(SHORT), message(3)[..6].to_vec(), long.clone()] {
            // One that is there as a whole takes no more room than it has.
            let there = frame(&mut begun(&known, HERE, bytes.clone()));
            assert_eq!(there.unwrap(), bytes);
        }
        let mut elsewhere = begun(&known, ELSEWHERE, half());
        assert!(frame(&mut elsewhere).is_some());
        let mut late = begun(&known, ELSEWHERE, half());
        assert_eq!(frame(&mut late), None, "there are as many as may be");
        drop(first);
        assert_eq!(frame(&mut late).unwrap(), half());
        assert_eq!(frame(&mut third), None);
        drop(second);
        assert_eq!(frame(&mut third).unwrap(), half());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_s_turn_does_not_come_is_told_so() {
        let known = known();
        let half = || message(SHORT + 1)[..100].to_vec();
        let mut held: Vec<_> = (0..2).map(|_| begun(&known, HERE, half())).collect();
        held.iter_mut().for_each(|one| drop(frame(one)));
        let refused = begun(&known, HERE, half()).frame().await.unwrap();
        assert_eq!(refused.unwrap_err().code(), tonic::Code::ResourceExhausted);
    }

    #[test]
    fn messages_are_told_apart_wherever_they_are_cut() {
        let mut bytes = message(2);
        bytes.extend(message(0));
        bytes.extend(message(SHORT + 1));
        bytes.extend(message(SHORT));
        for size in 1..50 {
            let mut messages = Messages::default();
            let mut long = 0;
            for cut in bytes.chunks(size) {
                messages.read(cut);
                long += usize::from(messages.is_in_long_one()) * cut.len();
            }
            assert_eq!((messages.remaining, messages.prefix.len()), (0, 0));
            assert!(long.abs_diff(SHORT + 1) <= size, "{size}: {long}");
        }
    }

    #[test]
    fn calls_of_one_address_and_of_all_are_bounded() {
        let known = Known::new(&Limits {
            connections: 3,
            connections_per_address: 2,
            ..Limits::default()
        });
        let one = known.admit(HERE).unwrap();
        let another = (one.clone(), known.admit(HERE).unwrap());
        assert!(known.admit(HERE).is_none());
        let _elsewhere = known.admit(ELSEWHERE).unwrap();
        drop(one);
        assert!(known.admit(HERE).is_none(), "its answer is still there");
        drop(another);
        assert!(known.admit(HERE).is_some());
    }
}
