//! PostgreSQL connections without passwords.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use approzium::AuthClient;
//!
//! approzium::set_default_auth_client(AuthClient::new("authenticator.internal:6001")?);
//! let client = approzium::postgres::connect("host=db.internal user=app dbname=shop").await?;
//! let row = client.query_one("SELECT current_user", &[]).await?;
//! assert_eq!(row.get::<_, &str>(0), "app");
//! # Ok(())
//! # }
//! ```
//! [`connect`] gives a [`Client`], which is tokio-postgres' own and more. What makes connections
//! by itself, as a pool does, takes a [`Connector`]. Rows, types and errors are the driver's: here
//! it is [`tokio_postgres`], of the version that this library works with.
//!
//! The driver's connection is genuine from its first query on. Before that, TLS and the login are
//! this library's: where the database asks for SCRAM or MD5, the Authenticator answers, and this
//! library verifies that the database knew the password as well.
//!
//! # Spans
//! While [instrumented](crate::opentelemetry::instrument), each operation of a [`Client`] is one
//! span, with the text and the operation of its statement:
//!
//! | what is run | operation | until |
//! |---|---|---|
//! | a text, a prepared statement, a [`Portal`] | the statement's | its last answer |
//! | `prepare`, `bind` | `PREPARE`, `BIND` | its last answer |
//! | [`RowStream`], [`SimpleQueryStream`], [`CopyOutStream`] | the statement's | it is exhausted or dropped |
//! | [`CopyInSink`] | `COPY` | it is finished |
//! | several statements by `batch_execute` or `simple_query` | `BATCH`, and what they have in common | their last answer |
//! | [`Transaction`] | `START TRANSACTION`, `COMMIT`, … | its last answer |
//! | a transaction that is dropped | `ROLLBACK` | it is sent |
//!
//! A run of a prepared statement is known by what was prepared: of each connection the 512 statements
//! that were used last are remembered. A run of an older one is the span `postgresql`, without text
//! and operation.
//!
//! `db.response.returned_rows`, [if it is wanted](crate::opentelemetry::Instrumentation::returned_rows),
//! counts the rows that were received: of `execute`, which only says how many are affected, of
//! `batch_execute` and of a copy there are none.
//!
//! The `error.type` of an operation that failed is the SQLSTATE if the database said no, and else
//! one of these:
//!
//! | `error.type` | why |
//! |---|---|
//! | `cancelled` | its future was dropped before the end, or a copy was not finished |
//! | `rolled_back` | a `COMMIT` of a transaction in which something had failed before: the database answers it with `ROLLBACK`, and the driver with `Ok` |
//! | `closed`, `io` | the connection is gone |
//! | `parameters`, `to_sql` | the parameters are not those of the statement, or one is of another type |
//! | `row_count`, `column_count`, `from_sql` | more or fewer came back than was asked for, or a value of another type |
//! | `encode`, `parse`, `unexpected_message` | what was to be sent or was received is not of the protocol |
//! | `_OTHER` | the driver says something new |

mod application_name;
pub mod binary_copy;
mod cancel;
mod client;
mod config;
mod connect;
mod connection;
mod connector;
mod failure;
mod login;
mod numbers;
pub(crate) mod observer;
mod portal;
pub(crate) mod probe;
mod queries;
mod recent;
mod spans;
mod statement;
mod stream;
mod streams;
mod tls;
mod transaction;

pub use cancel::CancelToken;
pub use client::Client;
pub use config::{Config, RequireAuth, SslMode};
pub use connection::Connection;
pub use connector::{Connect, Connector};
pub use failure::cause;
pub use portal::Portal;
pub use statement::ToStatement;
pub use stream::Stream;
pub use streams::{CopyInSink, CopyOutStream, RowStream, SimpleQueryStream};
pub use tokio_postgres;
pub use tokio_postgres::config::{
    ChannelBinding, LoadBalanceHosts, SslNegotiation, TargetSessionAttrs,
};
pub use transaction::{Transaction, TransactionBuilder};

use futures_util::future::BoxFuture;

use crate::{AuthClient, Result, default_auth_client};

/// Connects by the [default client](crate::default_auth_client) of the Authenticator.
///
/// `config` is a connection string: see [`Config`].
///
/// # Errors
/// As [`Config::connect_parts`]; and if there is no default client and none can be made.
pub async fn connect(config: &str) -> Result<Client> {
    config.parse::<Config>()?.connect().await
}

/// Connects by this client of the Authenticator.
///
/// # Errors
/// As [`Config::connect_parts`].
pub async fn connect_with(config: &str, auth: &AuthClient) -> Result<Client> {
    config.parse::<Config>()?.connect_with(auth).await
}

impl Config {
    /// As [`connect`].
    ///
    /// # Errors
    /// As [`connect`].
    pub async fn connect(&self) -> Result<Client> {
        self.connect_with(&default_auth_client()?).await
    }

    /// As [`connect_with`].
    ///
    /// # Errors
    /// As [`connect_with`].
    pub async fn connect_with(&self, auth: &AuthClient) -> Result<Client> {
        let (client, connection) = self.connect_parts(auth).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                let error = spans::failure(&error).description;
                ::tracing::warn!(%error, "the connection to the database ended");
            }
        });
        Ok(client)
    }

    /// Connects, and leaves it to the caller to poll the connection: for those who want its
    /// notices and notifications.
    ///
    /// Hosts are tried in their order, each with the record of the Authenticator for that host and
    /// port. After a wrong password (28P01), which may be one that has just been changed, it
    /// connects once more. A denial by the Authenticator ends the list. Cancelling it leaves
    /// nothing behind.
    ///
    /// # Errors
    /// The first denial; else what the last database to answer said; else why the last host could
    /// not be reached. [`Error::hop`](crate::Error::hop) says where it failed.
    pub async fn connect_parts(&self, auth: &AuthClient) -> Result<(Client, Connection)> {
        // An application's own futures would else hold all that is below, and the compiler would
        // look through it for each of them.
        let connecting: BoxFuture<'_, _> = Box::pin(connect::connect(self, auth));
        connecting.await
    }
}
