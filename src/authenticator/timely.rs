//! Requests of one message are whole in time, or are refused.
//!
//! tonic calls a service of unary calls once the request has ended, and waits for that without end.
//! Whoever has proved who they are on a connection could else keep requests on it for as long.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use ::http::{Request, Response};
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::{Status, body::Body as Message, server::NamedService};
use tower_service::Service;

/// A service whose requests have so long to be whole.
#[derive(Clone)]
pub(super) struct Timely<S> {
    pub(super) service: S,
    pub(super) within: Duration,
}

impl<S: NamedService> NamedService for Timely<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Message>> for Timely<S>
where
    S: Service<Request<Message>, Response = Response<Message>, Error = Infallible>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Message>) -> Self::Future {
        let request = request.map(|message| {
            Message::new(Awaited {
                message,
                over: Box::pin(sleep(self.within)),
            })
        });
        self.service.call(request)
    }
}

struct Awaited {
    message: Message,
    over: Pin<Box<Sleep>>,
}

impl Body for Awaited {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        // Before what there is to read: whoever never stops talking is late, too.
        if self.over.as_mut().poll(context).is_ready() {
            let late = Status::deadline_exceeded("the request was not whole in time");
            return Poll::Ready(Some(Err(late)));
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
