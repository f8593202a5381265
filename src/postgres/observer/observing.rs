//! A transport whose bytes are seen by the observer.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Observed, callers::introduce, poll::Task};

/// A transport in the driver's hands: what passes is observed, and not changed.
#[derive(Debug)]
pub(in crate::postgres) struct Observing<T> {
    transport: T,
    observed: Arc<Observed>,
    task: Task,
}

impl<T> Observing<T> {
    pub(in crate::postgres) fn new(transport: T, observed: Arc<Observed>) -> Self {
        Observing {
            transport,
            observed,
            task: Task::default(),
        }
    }

    fn wrote<'a>(&self, bytes: impl IntoIterator<Item = &'a [u8]> + Clone) {
        let poll = &self.observed.poll;
        poll.came_to_write(false);
        self.observed.wrote(bytes, poll.is_now());
    }
}

/// What was under way goes with it.
impl<T> Drop for Observing<T> {
    fn drop(&mut self) {
        self.observed.dropped();
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Observing<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let poll = &this.observed.poll;
        // A connection always begins by reading.
        if !poll.is_now() {
            introduce(&this.observed);
        }
        let before = buffer.filled().len();
        let read =
            Pin::new(&mut this.transport).poll_read(&mut this.task.context(poll, cx), buffer);
        poll.came_to_read(read.is_pending());
        match &read {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => match buffer.filled().get(before..).unwrap_or_default() {
                [] => this.observed.closed(),
                bytes => this.observed.read(bytes, poll.is_now()),
            },
            Poll::Ready(Err(_)) => this.observed.closed(),
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Observing<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let cx = &mut this.task.context(&this.observed.poll, cx);
        let written = Pin::new(&mut this.transport).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = &written {
            let written = bytes.get(..*written).unwrap_or(bytes);
            this.wrote([written]);
        }
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let cx = &mut this.task.context(&this.observed.poll, cx);
        let written = Pin::new(&mut this.transport).poll_write_vectored(cx, slices);
        if let Poll::Ready(Ok(written)) = &written {
            let written = slices.iter().scan(*written, |left, slice| {
                let bytes = slice.get(..*left).unwrap_or(slice);
                *left -= bytes.len();
                Some(bytes)
            });
            this.wrote(written);
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let poll = &this.observed.poll;
        let flushed = Pin::new(&mut this.transport).poll_flush(&mut this.task.context(poll, cx));
        poll.came_to_write(flushed.is_ready());
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let cx = &mut this.task.context(&this.observed.poll, cx);
        Pin::new(&mut this.transport).poll_shutdown(cx)
    }
}
