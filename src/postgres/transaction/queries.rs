//! The queries of a transaction.

use bytes::Buf;
use tokio_postgres::{
    Error, Row, SimpleQueryMessage, Statement,
    types::{BorrowToSql, ToSql, Type},
};

use super::Transaction;
use crate::{
    opentelemetry::sql::describe,
    postgres::{
        spans::{opened, traced},
        statement::ToStatement,
        streams::{CopyInSink, CopyOutStream, RowStream},
    },
};

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
        opened(
            span,
            self.driver.query_raw(statement, params),
            RowStream::new,
        )
        .await
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
        opened(
            span,
            self.driver.query_typed_raw(query, params),
            RowStream::new,
        )
        .await
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
        opened(span, self.driver.copy_in(statement), CopyInSink::new).await
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
        opened(span, self.driver.copy_out(statement), CopyOutStream::new).await
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
