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
        let span = ReadSpan::of_rows(span);
        RowStream { driver, span }
    }

    /// The number of rows affected by the query; `None` until the stream is exhausted.
    pub fn rows_affected(&self) -> Option<u64> {
        self.driver.rows_affected()
    }
}

impl SimpleQueryStream {
    pub(super) fn new(driver: tokio_postgres::SimpleQueryStream, span: QuerySpan) -> Self {
        let span = ReadSpan::of_rows(span);
        SimpleQueryStream { driver, span }
    }
}

impl CopyOutStream {
    pub(super) fn new(driver: tokio_postgres::CopyOutStream, span: QuerySpan) -> Self {
        let span = ReadSpan::of_data(span);
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
        this.span.see_if(&item, is_row);
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
        this.span
            .take()
            .end(|| result.as_ref().err().map(failure), None);
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

/// Whether it is one of the rows that a simple query returns.
pub(super) fn is_row(message: &SimpleQueryMessage) -> bool {
    matches!(message, SimpleQueryMessage::Row(_))
}

/// The span of a stream that is read: who stops reading has what was wanted.
#[derive(Debug)]
pub(super) struct ReadSpan {
    span: QuerySpan,
    /// The rows so far, of what returns rows.
    rows: Option<u64>,
}

impl ReadSpan {
    fn of_rows(span: QuerySpan) -> Self {
        let rows = Some(0);
        ReadSpan { span, rows }
    }

    fn of_data(span: QuerySpan) -> Self {
        ReadSpan { span, rows: None }
    }

    pub(super) fn see<T>(&mut self, item: &Option<Result<T, Error>>) {
        self.see_if(item, |_| true);
    }

    fn see_if<T>(&mut self, item: &Option<Result<T, Error>>, is_row: impl FnOnce(&T) -> bool) {
        match item {
            Some(Ok(item)) => {
                if let Some(rows) = &mut self.rows {
                    *rows += u64::from(is_row(item));
                }
            }
            Some(Err(error)) => self.counted().fail(|| failure(error)),
            None => self.counted().finish(),
        }
    }

    /// The span, which is to end now.
    fn counted(&mut self) -> QuerySpan {
        let span = self.span.take();
        if let Some(rows) = self.rows {
            span.rows(rows);
        }
        span
    }
}

impl Drop for ReadSpan {
    fn drop(&mut self) {
        self.counted().finish();
    }
}
