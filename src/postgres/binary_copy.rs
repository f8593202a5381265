//! Copies in PostgreSQL's binary format, with the span of their `COPY`.
//!
//! As [`tokio_postgres::binary_copy`].

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::Stream;
use pin_project_lite::pin_project;
use tokio_postgres::{
    Error,
    binary_copy::{self, BinaryCopyOutRow},
    types::{BorrowToSql, ToSql, Type},
};

use super::{
    spans::failure,
    streams::{CopyInSink, CopyOutStream, ReadSpan, on_failure},
};
use crate::opentelemetry::QuerySpan;

pin_project! {
    /// Writes rows in the binary format.
    pub struct BinaryCopyInWriter {
        #[pin]
        driver: binary_copy::BinaryCopyInWriter,
        span: QuerySpan,
    }
}

pin_project! {
    /// Reads rows in the binary format.
    pub struct BinaryCopyOutStream {
        #[pin]
        driver: binary_copy::BinaryCopyOutStream,
        span: ReadSpan,
    }
}

impl BinaryCopyInWriter {
    /// Writes into the sink of a `COPY … FROM STDIN BINARY`, rows of these types.
    pub fn new(sink: CopyInSink<Bytes>, types: &[Type]) -> Self {
        let (driver, span) = sink.into_parts();
        BinaryCopyInWriter {
            driver: binary_copy::BinaryCopyInWriter::new(driver, types),
            span,
        }
    }

    /// Writes one row.
    ///
    /// # Errors
    /// As of the driver's.
    ///
    /// # Panics
    /// If there are not as many values as types.
    pub async fn write(self: Pin<&mut Self>, values: &[&(dyn ToSql + Sync)]) -> Result<(), Error> {
        let this = self.project();
        on_failure(this.span, this.driver.write(values).await)
    }

    /// Writes one row, from an iterator.
    ///
    /// # Errors
    /// As of the driver's.
    ///
    /// # Panics
    /// If there are not as many values as types.
    pub async fn write_raw<P, I>(self: Pin<&mut Self>, values: I) -> Result<(), Error>
    where
        P: BorrowToSql,
        I: IntoIterator<Item = P>,
        I::IntoIter: ExactSizeIterator,
    {
        let this = self.project();
        on_failure(this.span, this.driver.write_raw(values).await)
    }

    /// Completes the copy, returning the number of rows inserted. Without it the copy is aborted.
    ///
    /// # Errors
    /// As of the driver's.
    pub async fn finish(self: Pin<&mut Self>) -> Result<u64, Error> {
        let this = self.project();
        let result = this.driver.finish().await;
        this.span
            .take()
            .end(|| result.as_ref().err().map(failure), None);
        result
    }
}

impl BinaryCopyOutStream {
    /// Reads from a `COPY … TO STDOUT BINARY`, rows of these types.
    pub fn new(stream: CopyOutStream, types: &[Type]) -> Self {
        let (driver, span) = stream.into_parts();
        BinaryCopyOutStream {
            driver: binary_copy::BinaryCopyOutStream::new(driver, types),
            span,
        }
    }
}

impl Stream for BinaryCopyOutStream {
    type Item = Result<BinaryCopyOutRow, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        let item = ready!(this.driver.poll_next(cx));
        this.span.see(&item);
        Poll::Ready(item)
    }
}
