//! A transport whose bytes are seen by the observer.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Observed, callers};

/// A transport in the driver's hands: what passes is observed, and not changed.
#[derive(Debug)]
pub(in crate::postgres) struct Observing<T> {
    transport: T,
    observed: Arc<Observed>,
}

impl<T> Observing<T> {
    pub(in crate::postgres) fn new(transport: T, observed: Arc<Observed>) -> Self {
        Observing {
            transport,
            observed,
        }
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
        let task = callers::task(&this.observed);
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.transport).poll_read(&mut waiting(cx, &task), buffer);
        match &read {
            Poll::Pending => this.observed.drained(),
            Poll::Ready(Ok(())) => match buffer.filled().get(before..).unwrap_or_default() {
                [] => this.observed.closed(),
                bytes => this.observed.read(bytes, task.is_some()),
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
        let task = callers::task(&this.observed);
        let written = Pin::new(&mut this.transport).poll_write(&mut waiting(cx, &task), bytes);
        if let Poll::Ready(Ok(written)) = &written {
            let written = bytes.get(..*written).unwrap_or(bytes);
            this.observed.wrote([written], task.is_some());
        }
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let task = callers::task(&this.observed);
        let cx = &mut waiting(cx, &task);
        let written = Pin::new(&mut this.transport).poll_write_vectored(cx, slices);
        if let Poll::Ready(Ok(written)) = &written {
            let mut left = *written;
            let written = slices.iter().map(|slice| {
                let bytes = slice.get(..left).unwrap_or(slice);
                left -= bytes.len();
                bytes
            });
            this.observed.wrote(written, task.is_some());
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let task = callers::task(&this.observed);
        let flushed = Pin::new(&mut this.transport).poll_flush(&mut waiting(cx, &task));
        this.observed.flushed(flushed.is_ready());
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let task = callers::task(&this.observed);
        Pin::new(&mut this.transport).poll_shutdown(&mut waiting(cx, &task))
    }
}

/// With the task's own waker, if the one at hand notes who wakes it.
fn waiting<'a>(cx: &'a Context<'_>, task: &'a Option<Waker>) -> Context<'a> {
    Context::from_waker(task.as_ref().unwrap_or(cx.waker()))
}
