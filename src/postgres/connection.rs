//! The other half of a client: what moves its bytes.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::net::UnixStream;
use tokio_postgres::{AsyncMessage, Socket};

use super::{observer::callers::Callers, stream::Stream};

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
/// It also finds out who sends what: the queries of the driver's own client become children of the
/// caller's span where that is certain. So it can take the place of the driver's own connection
/// wherever a [`Connector`](super::Connector) made that, as in a pool.
#[must_use = "a client does nothing while its connection is not polled"]
#[derive(Debug)]
pub struct Connection {
    driver: Driver,
    callers: Callers,
    /// What came before anybody polled.
    early: VecDeque<Result<AsyncMessage, tokio_postgres::Error>>,
    ended: bool,
}

pub(super) enum Driver {
    Tcp(tokio_postgres::Connection<Socket, Stream<Socket>>),
    Unix(tokio_postgres::Connection<UnixStream, Stream<UnixStream>>),
}

impl Connection {
    pub(super) fn new(driver: Driver) -> Self {
        let mut connection = Connection {
            driver,
            callers: Callers::default(),
            early: VecDeque::new(),
            ended: false,
        };
        connection.look();
        connection
    }

    /// The value of a runtime parameter that the server reports, as `server_version`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        match &self.driver {
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
        if let Some(early) = self.early.pop_front() {
            return Poll::Ready(Some(early));
        }
        self.poll_driver(cx)
    }

    fn poll_driver(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<AsyncMessage, tokio_postgres::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let message = self.callers.poll(cx, |cx| match &mut self.driver {
            Driver::Tcp(connection) => connection.poll_message(cx),
            Driver::Unix(connection) => connection.poll_message(cx),
        });
        self.ended = matches!(message, Poll::Ready(None | Some(Err(_))));
        message
    }

    /// So that already the first query is noticed where it is sent.
    fn look(&mut self) {
        let cx = &mut Context::from_waker(Waker::noop());
        // It meets its stream first.
        for _ in 0..2 {
            while let Poll::Ready(Some(message)) = self.poll_driver(cx) {
                self.early.push_back(message);
                if self.early.len() == MAX_EARLY {
                    return;
                }
            }
        }
    }
}

impl Future for Connection {
    type Output = Result<(), tokio_postgres::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        while let Some(early) = self.early.pop_front() {
            early?;
        }
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        let Connection {
            driver, callers, ..
        } = &mut *self;
        callers.poll(cx, |cx| match driver {
            Driver::Tcp(connection) => Pin::new(connection).poll(cx),
            Driver::Unix(connection) => Pin::new(connection).poll(cx),
        })
    }
}

/// For what makes connections by a [`Connector`](super::Connector).
impl From<tokio_postgres::Connection<Socket, Stream<Socket>>> for Connection {
    fn from(connection: tokio_postgres::Connection<Socket, Stream<Socket>>) -> Self {
        Connection::new(Driver::Tcp(connection))
    }
}

/// Messages that wait for somebody to poll; the server's buffers hold the others.
const MAX_EARLY: usize = 16;

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Driver::Tcp(_) => "Tcp",
            Driver::Unix(_) => "Unix",
        })
    }
}
