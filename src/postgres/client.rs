//! The client: the driver's own, and a span for each query.

mod queries;

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
};

use tokio_postgres::Error;

use super::{
    cancel::{CancelToken, Canceller},
    spans::Spans,
    transaction::{Transaction, TransactionBuilder},
};
use crate::opentelemetry::ConnectionInfo;

/// A client of PostgreSQL: tokio-postgres' own, and a span for each query while
/// [instrumented](crate::opentelemetry::instrument).
///
/// It dereferences to [`tokio_postgres::Client`], so it goes wherever that one does. Its own methods
/// have the driver's names and do what the driver's do; a query that is made through the driver's
/// client itself (`&*client`) makes no span.
///
/// A future that is dropped before its query has ended leaves a span with
/// `error.type=cancelled`. Streams that are dropped are no error: who stops reading has what was
/// wanted.
pub struct Client {
    driver: tokio_postgres::Client,
    spans: Spans,
    canceller: Canceller,
}

impl Client {
    pub(crate) fn new(
        driver: tokio_postgres::Client,
        connection: Arc<ConnectionInfo>,
        canceller: Canceller,
    ) -> Self {
        Client {
            driver,
            spans: Spans::new(connection),
            canceller,
        }
    }

    /// The capability to cancel the query that runs on this connection, which knows by itself how
    /// to reach the database.
    pub fn cancel_token(&self) -> CancelToken {
        self.canceller.token(self.driver.cancel_token())
    }

    /// For benches: as many attributes of attribution as a span can have.
    #[doc(hidden)]
    #[must_use]
    pub fn __with_attribution(mut self, attribution: Vec<::opentelemetry::KeyValue>) -> Self {
        self.spans.extend(attribution);
        self
    }

    /// The driver's client, for what wants to own one. Its queries make no spans.
    pub fn into_driver(self) -> tokio_postgres::Client {
        self.driver
    }

    /// Begins a transaction, which is rolled back unless it is committed.
    ///
    /// As [`tokio_postgres::Client::transaction`].
    pub async fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        self.build_transaction().start().await
    }

    /// Begins a transaction with settings.
    ///
    /// As [`tokio_postgres::Client::build_transaction`].
    pub fn build_transaction(&mut self) -> TransactionBuilder<'_> {
        TransactionBuilder::new(
            self.driver.build_transaction(),
            &self.spans,
            &self.canceller,
        )
    }
}

impl Deref for Client {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.driver
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.driver
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
