//! Rows and copies as they come: the driver's streams, with the span that lasts as long.

use std::{
    future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream};
use pin_project_lite::pin_project;
use tokio_postgres::{Error, Row, SimpleQueryMessage};

use super::spans::failure;
use crate::opentelemetry::QuerySpan;

pin_project! {
    /// The rows of a query. Its span ends with the last row, or when the stream is dropped.
    ///
    /// As [`tokio_postgres::RowStream`].
    pub struct RowStream {
        #[pin]
        driver: tokio_postgres::RowStream,
        span: ReadSpan,
    }
}

pin_project! {
    /// The answers to a simple query. Its span ends with the last one, or when the stream is
    /// dropped.
    ///
    /// As [`tokio_postgres::SimpleQueryStream`].
    pub struct SimpleQueryStream {
        #[pin]
        driver: tokio_postgres::SimpleQueryStream,
        span: ReadSpan,
    }
}

pin_project! {
    /// The data of a `COPY … TO STDOUT`. Its span ends with the last piece, or when the stream is
    /// dropped.
    ///
    /// As [`tokio_postgres::CopyOutStream`].
    pub struct CopyOutStream {
        #[pin]
        driver: tokio_postgres::CopyOutStream,
        span: ReadSpan,
    }
}

pin_project! {
    /// The sink of a `COPY … FROM STDIN`. Its span ends when the copy is finished; a sink that is
    /// dropped before aborts the copy.
    ///
    /// As [`tokio_postgres::CopyInSink`].
    pub struct CopyInSink<T> {
        #[pin]
        driver: tokio_postgres::CopyInSink<T>,
        span: QuerySpan,
    }
}

impl RowStream {
    pub(super) fn new(driver: tokio_postgres::RowStream, span: QuerySpan) -> Self {
        let span = ReadSpan(span);
        RowStream { driver, span }
    }

    /// The number of rows affected by the query; `None` until the stream is exhausted.
    pub fn rows_affected(&self) -> Option<u64> {
        self.driver.rows_affected()
    }
}

impl SimpleQueryStream {
    pub(super) fn new(driver: tokio_postgres::SimpleQueryStream, span: QuerySpan) -> Self {
        let span = ReadSpan(span);
        SimpleQueryStream { driver, span }
    }
}

impl CopyOutStream {
    pub(super) fn new(driver: tokio_postgres::CopyOutStream, span: QuerySpan) -> Self {
        let span = ReadSpan(span);
        CopyOutStream { driver, span }
    }

    pub(super) fn into_parts(self) -> (tokio_postgres::CopyOutStream, ReadSpan) {
        (self.driver, self.span)
    }
}

impl<T> CopyInSink<T> {
    pub(super) fn new(driver: tokio_postgres::CopyInSink<T>, span: QuerySpan) -> Self {
        CopyInSink { driver, span }
    }

    pub(super) fn into_parts(self) -> (tokio_postgres::CopyInSink<T>, QuerySpan) {
        (self.driver, self.span)
    }
}

impl Stream for RowStream {
    type Item = Result<Row, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        let item = ready!(this.driver.poll_next(cx));
        this.span.see(&item);
        Poll::Ready(item)
    }
}

impl Stream for SimpleQueryStream {
    type Item = Result<SimpleQueryMessage, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        let item = ready!(this.driver.poll_next(cx));
        this.span.see(&item);
        Poll::Ready(item)
    }
}

impl Stream for CopyOutStream {
    type Item = Result<Bytes, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        let item = ready!(this.driver.poll_next(cx));
        this.span.see(&item);
        Poll::Ready(item)
    }
}

impl<T> CopyInSink<T>
where
    T: Buf + 'static + Send,
{
    /// A poll-based version of [`finish`](Self::finish).
    ///
    /// # Errors
    /// As of the driver's.
    pub fn poll_finish(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<u64, Error>> {
        let this = self.project();
        let result = ready!(this.driver.poll_finish(cx));
        this.span.take().end_with(&result, failure);
        Poll::Ready(result)
    }

    /// Completes the copy, returning the number of rows inserted.
    ///
    /// # Errors
    /// As of the driver's.
    pub async fn finish(mut self: Pin<&mut Self>) -> Result<u64, Error> {
        future::poll_fn(|cx| self.as_mut().poll_finish(cx)).await
    }
}

impl<T> Sink<T> for CopyInSink<T>
where
    T: Buf + 'static + Send,
{
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let this = self.project();
        let result = ready!(this.driver.poll_ready(cx));
        Poll::Ready(on_failure(this.span, result))
    }

    fn start_send(self: Pin<&mut Self>, item: T) -> Result<(), Error> {
        let this = self.project();
        let result = this.driver.start_send(item);
        on_failure(this.span, result)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let this = self.project();
        let result = ready!(this.driver.poll_flush(cx));
        Poll::Ready(on_failure(this.span, result))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_finish(cx).map_ok(|_| ())
    }
}

/// Ends a span only if the step failed.
pub(super) fn on_failure<T>(span: &mut QuerySpan, result: Result<T, Error>) -> Result<T, Error> {
    if let Err(error) = &result {
        span.take().fail(|| failure(error));
    }
    result
}

/// The span of a stream that is read: who stops reading has what was wanted.
#[derive(Debug)]
pub(super) struct ReadSpan(QuerySpan);

impl ReadSpan {
    pub(super) fn see<T>(&mut self, item: &Option<Result<T, Error>>) {
        match item {
            Some(Ok(_)) => {}
            Some(Err(error)) => self.0.take().fail(|| failure(error)),
            None => self.0.take().finish(),
        }
    }
}

impl Drop for ReadSpan {
    fn drop(&mut self) {
        self.0.take().finish();
    }
}
