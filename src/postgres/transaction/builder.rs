//! How a transaction begins.

use std::pin::pin;

use tokio_postgres::{Error, IsolationLevel};

use super::{
    Transaction,
    rollback::{ROLLBACK, RollbackOnDrop},
};
use crate::postgres::{cancel::Canceller, spans::Spans};

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
    pub(in crate::postgres) fn new(
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
        let start = self.spans.composed(|| self.text());
        let spans = self.spans;
        let begin = async {
            let mut driver = pin!(self.driver.start());
            // The driver rolls back unless it hears that the transaction began: dropped before it.
            let rollback = RollbackOnDrop::new(spans, None);
            // It sends that before the error is seen here.
            let expected = spans.expect(ROLLBACK);
            let began = driver.as_mut().await;
            if let (Ok(_), Some(expected)) = (&began, expected) {
                expected.withdraw();
            }
            match began {
                Err(error) if error.is_closed() => {
                    rollback.disarm();
                    Err(error)
                }
                began => began.map(|driver| (driver, rollback)),
            }
        };
        let (driver, rollback) = start.traced(pin!(begin)).await?;
        Ok(Transaction {
            driver,
            rollback,
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
