//! The other half of a client: what moves its bytes.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::net::UnixStream;
use tokio_postgres::{AsyncMessage, Socket};

use super::stream::Stream;

/// A connection to the database, which moves the bytes of its [`Client`](super::Client).
///
/// [`Config::connect`](super::Config::connect) spawns it. Who asked for it by
/// [`Config::connect_parts`](super::Config::connect_parts) polls it, as a future, or message by
/// message to be told of notices and notifications. It ends when the client is dropped.
///
/// ```no_run
/// # async fn example(config: approzium::postgres::Config) -> Result<(), Box<dyn std::error::Error>> {
/// use approzium::{default_auth_client, postgres::tokio_postgres::AsyncMessage};
///
/// let (client, mut connection) = config.connect_parts(&default_auth_client()?).await?;
/// tokio::spawn(async move {
///     while let Some(message) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
///         match message {
///             Ok(AsyncMessage::Notification(news)) => println!("{}", news.payload()),
///             Ok(_) => {}
///             Err(error) => eprintln!("the connection ended: {error}"),
///         }
///     }
/// });
/// client.batch_execute("LISTEN news").await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a client does nothing while its connection is not polled"]
#[derive(Debug)]
pub struct Connection(Driver);

pub(super) enum Driver {
    Tcp(tokio_postgres::Connection<Socket, Stream<Socket>>),
    Unix(tokio_postgres::Connection<UnixStream, Stream<UnixStream>>),
}

impl Connection {
    pub(super) fn new(driver: Driver) -> Self {
        Connection(driver)
    }

    /// The value of a runtime parameter that the server reports, as `server_version`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        match &self.0 {
            Driver::Tcp(connection) => connection.parameter(name),
            Driver::Unix(connection) => connection.parameter(name),
        }
    }

    /// Moves the connection's bytes, and gives the notices and notifications among them.
    ///
    /// None: the connection has ended.
    pub fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<AsyncMessage, tokio_postgres::Error>>> {
        match &mut self.0 {
            Driver::Tcp(connection) => connection.poll_message(cx),
            Driver::Unix(connection) => connection.poll_message(cx),
        }
    }
}

impl Future for Connection {
    type Output = Result<(), tokio_postgres::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            Driver::Tcp(connection) => Pin::new(connection).poll(cx),
            Driver::Unix(connection) => Pin::new(connection).poll(cx),
        }
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Driver::Tcp(_) => "Tcp",
            Driver::Unix(_) => "Unix",
        })
    }
}
