//! The client: the driver's own, and a span for each query.

use std::{fmt, ops::Deref, sync::Arc};

use super::cancel::{CancelToken, Canceller};
use crate::opentelemetry::ConnectionInfo;

/// A client of PostgreSQL: tokio-postgres' own, and a span for each query while
/// [instrumented](crate::opentelemetry::instrument).
///
/// It dereferences to [`tokio_postgres::Client`], so it goes wherever that one does. Its own methods
/// have the driver's names and do what the driver's do; a query that is made through the driver's
/// client itself (`&*client`) makes no span.
pub struct Client {
    pub(super) driver: tokio_postgres::Client,
    pub(super) connection: Arc<ConnectionInfo>,
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
            connection,
            canceller,
        }
    }

    /// The capability to cancel the query that runs on this connection, which knows by itself how
    /// to reach the database.
    pub fn cancel_token(&self) -> CancelToken {
        self.canceller.token(self.driver.cancel_token())
    }
}

impl Deref for Client {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.driver
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
