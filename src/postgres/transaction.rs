//! Transactions and savepoints.

use std::ops::Deref;

use bytes::Buf;
use tokio_postgres::{
    Error, IsolationLevel, Row, SimpleQueryMessage, Statement,
    types::{BorrowToSql, ToSql, Type},
};

use super::{
    cancel::{CancelToken, Canceller},
    portal::Portal,
    spans::{Spans, failure, traced},
    statement::ToStatement,
    streams::{CopyInSink, CopyOutStream, RowStream},
};
use crate::opentelemetry::sql::describe;

/// A transaction, or a savepoint within one. It is rolled back when it is dropped.
///
/// It dereferences to [`tokio_postgres::Transaction`]. Beginning, committing and rolling back are
/// spans of their own; of a rollback by drop the span shows when it was sent, since nobody waits
/// for its answer.
pub struct Transaction<'a> {
    // Rolls back before the span of that is made: fields are dropped in order.
    driver: tokio_postgres::Transaction<'a>,
    rollback: RollbackOnDrop<'a>,
    spans: &'a Spans,
    canceller: &'a Canceller,
    /// How many savepoints deep.
    depth: u32,
}

impl<'a> Transaction<'a> {
    /// Commits the transaction, or releases the savepoint.
    ///
    /// # Errors
    /// The driver's own.
    pub async fn commit(self) -> Result<(), Error> {
        let text = match self.rollback.disarm() {
            Some(savepoint) => format!("RELEASE {savepoint}"),
            None => "COMMIT".to_owned(),
        };
        traced(self.spans.text(&text), self.driver.commit()).await
    }

    /// Rolls the transaction back, or to the savepoint.
    ///
    /// # Errors
    /// The driver's own.
    pub async fn rollback(self) -> Result<(), Error> {
        let text = rollback(self.rollback.disarm().as_deref());
        traced(self.spans.text(&text), self.driver.rollback()).await
    }

    /// Sets a savepoint.
    ///
    /// # Errors
    /// The driver's own.
    pub async fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        let name = format!("sp_{}", self.depth + 1);
        self.savepoint(name).await
    }

    /// Sets a savepoint of that name.
    ///
    /// # Errors
    /// The driver's own.
    pub async fn savepoint<I>(&mut self, name: I) -> Result<Transaction<'_>, Error>
    where
        I: Into<String>,
    {
        let name = name.into();
        let span = self.spans.text(&format!("SAVEPOINT {name}"));
        let driver = traced(span, self.driver.savepoint(name.clone())).await?;
        Ok(Transaction {
            driver,
            rollback: RollbackOnDrop::new(self.spans, Some(name)),
            spans: self.spans,
            canceller: self.canceller,
            depth: self.depth + 1,
        })
    }

    /// As [`Client::cancel_token`](super::Client::cancel_token).
    pub fn cancel_token(&self) -> CancelToken {
        self.canceller.token(self.driver.cancel_token())
    }

    /// Binds parameters to a statement. The span says so: its operation is `BIND`.
    ///
    /// # Errors
    /// The driver's own.
    ///
    /// # Panics
    /// If there are not as many parameters as the statement has.
    pub async fn bind<T>(
        &self,
        statement: &T,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Portal, Error>
    where
        T: ?Sized + ToStatement,
    {
        self.bind_raw(statement, params.iter().copied()).await
    }

    /// Binds parameters from an iterator to a statement.
    ///
    /// # Errors
    /// The driver's own.
    ///
    /// # Panics
    /// If there are not as many parameters as the statement has.
    pub async fn bind_raw<P, T, I>(&self, statement: &T, params: I) -> Result<Portal, Error>
    where
        T: ?Sized + ToStatement,
        P: BorrowToSql,
        I: IntoIterator<Item = P>,
        I::IntoIter: ExactSizeIterator,
    {
        let description = self.spans.description(statement);
        let span = self.spans.only("BIND", &description);
        let driver = traced(span, self.driver.bind_raw(statement, params)).await?;
        Ok(Portal {
            driver,
            description,
        })
    }

    /// Takes at most `max_rows` rows of a portal; all of them if it is 0 or negative.
    ///
    /// # Errors
    /// The driver's own.
    pub async fn query_portal(&self, portal: &Portal, max_rows: i32) -> Result<Vec<Row>, Error> {
        let span = self.spans.described(&portal.description);
        traced(span, self.driver.query_portal(&portal.driver, max_rows)).await
    }

    /// Takes at most `max_rows` rows of a portal, as they come.
    ///
    /// # Errors
    /// The driver's own.
    pub async fn query_portal_raw(
        &self,
        portal: &Portal,
        max_rows: i32,
    ) -> Result<RowStream, Error> {
        let span = self.spans.described(&portal.description);
        match self.driver.query_portal_raw(&portal.driver, max_rows).await {
            Ok(driver) => Ok(RowStream::new(driver, span)),
            Err(error) => {
                span.fail(|| failure(&error));
                Err(error)
            }
        }
    }
}

/// Queries.
///
/// # Errors
/// The driver's own.
impl Transaction<'_> {
    /// Runs a statement and returns its rows.
    ///
    /// As [`tokio_postgres::Transaction::query`].
    pub async fn query<T>(
        &self,
        statement: &T,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error>
    where
        T: ?Sized + ToStatement,
    {
        let span = self.spans.statement(statement);
        traced(span, self.driver.query(statement, params)).await
    }

    /// Runs a statement that returns exactly one row.
    ///
    /// As [`tokio_postgres::Transaction::query_one`].
    pub async fn query_one<T>(
        &self,
        statement: &T,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, Error>
    where
        T: ?Sized + ToStatement,
    {
        let span = self.spans.statement(statement);
        traced(span, self.driver.query_one(statement, params)).await
    }

    /// Runs a statement that returns one row or none.
    ///
    /// As [`tokio_postgres::Transaction::query_opt`].
    pub async fn query_opt<T>(
        &self,
        statement: &T,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Error>
    where
        T: ?Sized + ToStatement,
    {
        let span = self.spans.statement(statement);
        traced(span, self.driver.query_opt(statement, params)).await
    }

    /// Runs a statement and returns its rows as they come.
    /// The span lasts until the stream is exhausted or dropped.
    ///
    /// As [`tokio_postgres::Transaction::query_raw`].
    pub async fn query_raw<T, P, I>(&self, statement: &T, params: I) -> Result<RowStream, Error>
    where
        T: ?Sized + ToStatement,
        P: BorrowToSql,
        I: IntoIterator<Item = P>,
        I::IntoIter: ExactSizeIterator,
    {
        let span = self.spans.statement(statement);
        match self.driver.query_raw(statement, params).await {
            Ok(driver) => Ok(RowStream::new(driver, span)),
            Err(error) => {
                span.fail(|| failure(&error));
                Err(error)
            }
        }
    }

    /// Runs a text with parameters of given types, in one round trip.
    ///
    /// As [`tokio_postgres::Transaction::query_typed`].
    pub async fn query_typed(
        &self,
        query: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, Error> {
        let span = self.spans.text(query);
        traced(span, self.driver.query_typed(query, params)).await
    }

    /// Runs a text with parameters of given types that returns exactly one row.
    ///
    /// As [`tokio_postgres::Transaction::query_typed_one`].
    pub async fn query_typed_one(
        &self,
        query: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Row, Error> {
        let span = self.spans.text(query);
        traced(span, self.driver.query_typed_one(query, params)).await
    }

    /// Runs a text with parameters of given types that returns one row or none.
    ///
    /// As [`tokio_postgres::Transaction::query_typed_opt`].
    pub async fn query_typed_opt(
        &self,
        query: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Option<Row>, Error> {
        let span = self.spans.text(query);
        traced(span, self.driver.query_typed_opt(query, params)).await
    }

    /// Runs a text with parameters of given types and returns its rows as they come.
    /// The span lasts until the stream is exhausted or dropped.
    ///
    /// As [`tokio_postgres::Transaction::query_typed_raw`].
    pub async fn query_typed_raw<P, I>(&self, query: &str, params: I) -> Result<RowStream, Error>
    where
        P: BorrowToSql,
        I: IntoIterator<Item = (P, Type)>,
    {
        let span = self.spans.text(query);
        match self.driver.query_typed_raw(query, params).await {
            Ok(driver) => Ok(RowStream::new(driver, span)),
            Err(error) => {
                span.fail(|| failure(&error));
                Err(error)
            }
        }
    }

    /// Runs a statement and returns the number of rows affected.
    ///
    /// As [`tokio_postgres::Transaction::execute`].
    pub async fn execute<T>(
        &self,
        statement: &T,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Error>
    where
        T: ?Sized + ToStatement,
    {
        let span = self.spans.statement(statement);
        traced(span, self.driver.execute(statement, params)).await
    }

    /// Runs a text with parameters of given types and returns the number of rows affected.
    ///
    /// As [`tokio_postgres::Transaction::execute_typed`].
    pub async fn execute_typed(
        &self,
        query: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<u64, Error> {
        let span = self.spans.text(query);
        traced(span, self.driver.execute_typed(query, params)).await
    }

    /// Runs a statement with parameters from an iterator and returns the number of rows affected.
    ///
    /// As [`tokio_postgres::Transaction::execute_raw`].
    pub async fn execute_raw<P, I, T>(&self, statement: &T, params: I) -> Result<u64, Error>
    where
        T: ?Sized + ToStatement,
        P: BorrowToSql,
        I: IntoIterator<Item = P>,
        I::IntoIter: ExactSizeIterator,
    {
        let span = self.spans.statement(statement);
        traced(span, self.driver.execute_raw(statement, params)).await
    }

    /// Runs a `COPY … FROM STDIN` and returns the sink of its data.
    /// The span lasts until the copy is finished.
    ///
    /// As [`tokio_postgres::Transaction::copy_in`].
    pub async fn copy_in<T, U>(&self, statement: &T) -> Result<CopyInSink<U>, Error>
    where
        T: ?Sized + ToStatement,
        U: Buf + 'static + Send,
    {
        let span = self.spans.statement(statement);
        match self.driver.copy_in(statement).await {
            Ok(driver) => Ok(CopyInSink::new(driver, span)),
            Err(error) => {
                span.fail(|| failure(&error));
                Err(error)
            }
        }
    }

    /// Runs a `COPY … TO STDOUT` and returns the stream of its data.
    /// The span lasts until the stream is exhausted or dropped.
    ///
    /// As [`tokio_postgres::Transaction::copy_out`].
    pub async fn copy_out<T>(&self, statement: &T) -> Result<CopyOutStream, Error>
    where
        T: ?Sized + ToStatement,
    {
        let span = self.spans.statement(statement);
        match self.driver.copy_out(statement).await {
            Ok(driver) => Ok(CopyOutStream::new(driver, span)),
            Err(error) => {
                span.fail(|| failure(&error));
                Err(error)
            }
        }
    }

    /// Runs statements by the simple protocol and returns their rows as text.
    ///
    /// As [`tokio_postgres::Transaction::simple_query`].
    pub async fn simple_query(&self, query: &str) -> Result<Vec<SimpleQueryMessage>, Error> {
        let span = self.spans.text(query);
        traced(span, self.driver.simple_query(query)).await
    }

    /// Runs statements by the simple protocol.
    ///
    /// As [`tokio_postgres::Transaction::batch_execute`].
    pub async fn batch_execute(&self, query: &str) -> Result<(), Error> {
        let span = self.spans.text(query);
        traced(span, self.driver.batch_execute(query)).await
    }

    /// Prepares a statement. The span says so: its operation is `PREPARE`.
    ///
    /// As [`tokio_postgres::Transaction::prepare`].
    pub async fn prepare(&self, query: &str) -> Result<Statement, Error> {
        self.prepare_typed(query, &[]).await
    }

    /// Prepares a statement with parameters of given types.
    ///
    /// As [`tokio_postgres::Transaction::prepare_typed`].
    pub async fn prepare_typed(
        &self,
        query: &str,
        parameter_types: &[Type],
    ) -> Result<Statement, Error> {
        let description = describe(query);
        let span = self.spans.only("PREPARE", &description);
        let prepare = self.driver.prepare_typed(query, parameter_types);
        let statement = traced(span, prepare).await?;
        self.spans.remember(&statement, description);
        Ok(statement)
    }
}

impl<'a> Deref for Transaction<'a> {
    type Target = tokio_postgres::Transaction<'a>;

    fn deref(&self) -> &Self::Target {
        &self.driver
    }
}

/// A transaction that is about to begin.
pub struct TransactionBuilder<'a> {
    driver: tokio_postgres::TransactionBuilder<'a>,
    spans: &'a Spans,
    canceller: &'a Canceller,
    isolation_level: Option<IsolationLevel>,
    read_only: Option<bool>,
    deferrable: Option<bool>,
}

impl<'a> TransactionBuilder<'a> {
    pub(super) fn new(
        driver: tokio_postgres::TransactionBuilder<'a>,
        spans: &'a Spans,
        canceller: &'a Canceller,
    ) -> Self {
        TransactionBuilder {
            driver,
            spans,
            canceller,
            isolation_level: None,
            read_only: None,
            deferrable: None,
        }
    }

    /// How much of concurrent transactions is seen.
    pub fn isolation_level(self, isolation_level: IsolationLevel) -> Self {
        TransactionBuilder {
            driver: self.driver.isolation_level(isolation_level),
            isolation_level: Some(isolation_level),
            ..self
        }
    }

    /// Whether nothing may be written.
    pub fn read_only(self, read_only: bool) -> Self {
        TransactionBuilder {
            driver: self.driver.read_only(read_only),
            read_only: Some(read_only),
            ..self
        }
    }

    /// Whether a serializable, read-only transaction waits until it can run undisturbed.
    pub fn deferrable(self, deferrable: bool) -> Self {
        TransactionBuilder {
            driver: self.driver.deferrable(deferrable),
            deferrable: Some(deferrable),
            ..self
        }
    }

    /// Begins the transaction.
    ///
    /// # Errors
    /// The driver's own.
    pub async fn start(self) -> Result<Transaction<'a>, Error> {
        let span = self.spans.text(&self.text());
        let driver = traced(span, self.driver.start()).await?;
        Ok(Transaction {
            driver,
            rollback: RollbackOnDrop::new(self.spans, None),
            spans: self.spans,
            canceller: self.canceller,
            depth: 0,
        })
    }

    /// What the driver sends.
    fn text(&self) -> String {
        let level = self.isolation_level.map(|level| match level {
            IsolationLevel::ReadUncommitted => "ISOLATION LEVEL READ UNCOMMITTED",
            IsolationLevel::RepeatableRead => "ISOLATION LEVEL REPEATABLE READ",
            IsolationLevel::Serializable => "ISOLATION LEVEL SERIALIZABLE",
            _ => "ISOLATION LEVEL READ COMMITTED",
        });
        let access = self.read_only.map(|read_only| match read_only {
            true => "READ ONLY",
            false => "READ WRITE",
        });
        let waiting = self.deferrable.map(|deferrable| match deferrable {
            true => "DEFERRABLE",
            false => "NOT DEFERRABLE",
        });
        let settings: Vec<_> = [level, access, waiting].into_iter().flatten().collect();
        let text = format!("START TRANSACTION {}", settings.join(", "));
        text.trim_end().to_owned()
    }
}

/// Makes the span of the rollback that the driver sends when a transaction is dropped.
struct RollbackOnDrop<'a> {
    spans: &'a Spans,
    savepoint: Option<String>,
    armed: bool,
}

impl<'a> RollbackOnDrop<'a> {
    fn new(spans: &'a Spans, savepoint: Option<String>) -> Self {
        RollbackOnDrop {
            spans,
            savepoint,
            armed: true,
        }
    }

    /// The savepoint, if it is one; nothing is rolled back.
    fn disarm(mut self) -> Option<String> {
        self.armed = false;
        self.savepoint.take()
    }
}

impl Drop for RollbackOnDrop<'_> {
    fn drop(&mut self) {
        if self.armed {
            let text = rollback(self.savepoint.as_deref());
            self.spans.text(&text).finish();
        }
    }
}

fn rollback(savepoint: Option<&str>) -> String {
    match savepoint {
        Some(savepoint) => format!("ROLLBACK TO {savepoint}"),
        None => "ROLLBACK".to_owned(),
    }
}
