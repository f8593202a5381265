//! Transactions and savepoints.

mod builder;
mod rollback;

use std::{borrow::Cow, ops::Deref, pin::pin};

use tokio_postgres::{
    Error, Row,
    types::{BorrowToSql, ToSql},
};

pub use builder::TransactionBuilder;

use self::rollback::{RollbackOnDrop, rollback};
use super::{
    cancel::{CancelToken, Canceller},
    portal::Portal,
    spans::Spans,
    statement::ToStatement,
    streams::RowStream,
};

/// A transaction, or a savepoint within one. It is rolled back when it is dropped.
///
/// It dereferences to [`tokio_postgres::Transaction`]. Beginning, committing and rolling back are
/// spans of their own; of a rollback by drop the span shows when it was sent, since nobody waits
/// for its answer.
pub struct Transaction<'a> {
    // Shows the rollback before the driver sends it: fields are dropped in order.
    rollback: RollbackOnDrop<'a>,
    pub(super) driver: tokio_postgres::Transaction<'a>,
    pub(super) spans: &'a Spans,
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
        let savepoint = self.rollback.disarm();
        let commit = self.spans.composed(|| match savepoint {
            Some(savepoint) => Cow::Owned(format!("RELEASE {savepoint}")),
            None => Cow::Borrowed("COMMIT"),
        });
        commit.traced(pin!(self.driver.commit())).await
    }

    /// Rolls the transaction back, or to the savepoint.
    ///
    /// # Errors
    /// The driver's own.
    pub async fn rollback(self) -> Result<(), Error> {
        let savepoint = self.rollback.disarm();
        let rollback = self.spans.composed(|| rollback(savepoint));
        rollback.traced(pin!(self.driver.rollback())).await
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
        let savepoint = self.spans.composed(|| format!("SAVEPOINT {name}"));
        let driver = savepoint
            .traced(pin!(self.driver.savepoint(name.clone())))
            .await?;
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
        let (bind, runs) = self.spans.bind(statement);
        let driver = bind
            .traced(pin!(self.driver.bind_raw(statement, params)))
            .await?;
        Ok(Portal { driver, runs })
    }

    /// Takes at most `max_rows` rows of a portal; all of them if it is 0 or negative.
    ///
    /// # Errors
    /// The driver's own.
    pub async fn query_portal(&self, portal: &Portal, max_rows: i32) -> Result<Vec<Row>, Error> {
        let query = self.spans.run(&portal.runs);
        let rows = pin!(self.driver.query_portal(&portal.driver, max_rows));
        query.returning(rows, Vec::len).await
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
        let query = self.spans.run(&portal.runs);
        let rows = pin!(self.driver.query_portal_raw(&portal.driver, max_rows));
        query.opened(rows, RowStream::new).await
    }
}

impl<'a> Deref for Transaction<'a> {
    type Target = tokio_postgres::Transaction<'a>;

    fn deref(&self) -> &Self::Target {
        self.spans.hand_out();
        &self.driver
    }
}
