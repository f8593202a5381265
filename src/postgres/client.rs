//! The client: the driver's own, and a span for each query.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    pin::pin,
};

use tokio_postgres::{
    Error,
    types::{FromSqlOwned, ToSql},
};

use super::{
    cancel::{CancelToken, Canceller},
    spans::{InUse, Spans},
    statement::ToStatement,
    streams::SimpleQueryStream,
    transaction::{Transaction, TransactionBuilder},
};

/// A client of PostgreSQL: tokio-postgres' own, and a span for each query while
/// [instrumented](crate::opentelemetry::instrument).
///
/// It dereferences to [`tokio_postgres::Client`], so it goes wherever that one does. Its own methods
/// have the driver's names and do what the driver's do.
///
/// A query through the driver's client itself (`&*client`, or what takes a `GenericClient`) is a
/// span too: [what goes past this client](crate::opentelemetry#queries-past-the-client) says whose.
///
/// A future that is dropped before its query has ended leaves a span with
/// `error.type=cancelled`. Streams that are dropped are no error: who stops reading has what was
/// wanted.
pub struct Client {
    pub(super) driver: tokio_postgres::Client,
    pub(super) spans: Spans,
    canceller: Canceller,
    in_use: InUse,
}

impl Client {
    pub(super) fn new(driver: tokio_postgres::Client, spans: Spans, canceller: Canceller) -> Self {
        Client {
            driver,
            in_use: spans.in_use(),
            spans,
            canceller,
        }
    }

    /// The capability to cancel the query that runs on this connection, which knows by itself how
    /// to reach the database.
    pub fn cancel_token(&self) -> CancelToken {
        self.canceller.token(self.driver.cancel_token())
    }

    /// For benches: as many attributes of attribution as a span can have, for the queries past this
    /// client too. Only before the first query.
    #[doc(hidden)]
    #[must_use]
    pub fn __with_attribution(self, attribution: Vec<::opentelemetry::KeyValue>) -> Self {
        self.spans.extend(attribution);
        self
    }

    /// For benches: the span of a query that takes no time.
    #[doc(hidden)]
    pub fn __span<T: ?Sized + ToStatement>(&self, statement: &T) {
        self.spans.statement(statement).end(&Ok(()), None);
    }

    /// Whether the connection has ended.
    ///
    /// As [`tokio_postgres::Client::is_closed`].
    pub fn is_closed(&self) -> bool {
        self.driver.is_closed()
    }

    /// The driver's client, for what wants to own one. Its queries are spans as those
    /// [past this client](crate::opentelemetry#queries-past-the-client).
    pub fn into_driver(self) -> tokio_postgres::Client {
        self.in_use.goes_on();
        self.spans.hand_out();
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

/// Queries that a transaction does not have.
///
/// # Errors
/// The driver's own.
impl Client {
    /// Runs a statement and returns the one column of its rows.
    ///
    /// As [`tokio_postgres::Client::query_scalar`].
    pub async fn query_scalar<R: FromSqlOwned, T>(
        &self,
        statement: &T,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<R>, Error>
    where
        T: ?Sized + ToStatement + fmt::Debug,
    {
        let query = self.spans.statement(statement);
        let values = pin!(self.driver.query_scalar(statement, params));
        query.returning(values, Vec::len).await
    }

    /// Runs a statement that returns exactly one row of one column.
    ///
    /// As [`tokio_postgres::Client::query_one_scalar`].
    pub async fn query_one_scalar<R: FromSqlOwned, T>(
        &self,
        statement: &T,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<R, Error>
    where
        T: ?Sized + ToStatement + fmt::Debug,
    {
        let query = self.spans.statement(statement);
        let value = pin!(self.driver.query_one_scalar(statement, params));
        query.returning(value, |_| 1).await
    }

    /// Runs a statement that returns one row of one column, or none.
    ///
    /// As [`tokio_postgres::Client::query_opt_scalar`].
    pub async fn query_opt_scalar<R: FromSqlOwned, T>(
        &self,
        statement: &T,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<R>, Error>
    where
        T: ?Sized + ToStatement + fmt::Debug,
    {
        let query = self.spans.statement(statement);
        let value = pin!(self.driver.query_opt_scalar(statement, params));
        query.returning(value, |value| value.iter().count()).await
    }

    /// Runs statements by the simple protocol and returns their rows as they come.
    /// The span lasts until the stream is exhausted or dropped.
    ///
    /// As [`tokio_postgres::Client::simple_query_raw`].
    pub async fn simple_query_raw(&self, query: &str) -> Result<SimpleQueryStream, Error> {
        let operation = self.spans.simple(query);
        let text = operation.commented(query);
        let messages = pin!(self.driver.simple_query_raw(&text));
        operation.opened(messages, SimpleQueryStream::new).await
    }
}

impl Deref for Client {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        self.spans.hand_out();
        &self.driver
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.spans.hand_out();
        &mut self.driver
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
