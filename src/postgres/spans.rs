//! The spans of one connection's queries.

mod failure;

use std::{
    borrow::Cow,
    cell::LazyCell,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
};

use ::opentelemetry::Context;
use tokio_postgres::{Error, Statement};

pub(super) use failure::{Refusal, failure, refused};

use super::{
    observer::{Announcement, Key, Observed, Sent, callers::Announced},
    statement::{Source, Statements, ToStatement, number},
};
use crate::opentelemetry::{
    ConnectionInfo, Failure, QuerySpan, parent,
    sql::{Description, Subject, describe},
};

/// Makes the spans of one connection.
#[derive(Debug)]
pub(super) struct Spans {
    connection: Arc<ConnectionInfo>,
    statements: Statements,
    /// Is told of everything that is sent: what it is not told of, it shows itself.
    observed: Arc<Observed>,
}

impl Spans {
    pub(super) fn new(connection: Arc<ConnectionInfo>, observed: Arc<Observed>) -> Self {
        Spans {
            connection,
            statements: Statements::default(),
            observed,
        }
    }

    pub(super) fn extend(&self, attribution: Vec<::opentelemetry::KeyValue>) {
        self.connection.extend(attribution);
    }

    /// While this is not dropped, the connection is in use.
    pub(super) fn in_use(&self) -> InUse {
        InUse(Some(Arc::clone(&self.connection)))
    }

    /// Begins to run a text or a prepared statement.
    pub(super) fn statement<T: ?Sized + ToStatement>(&self, statement: &T) -> Operation {
        match statement.source() {
            Source::Text(text) => self.text(text),
            Source::Prepared(prepared) => {
                // The driver tells it only by its `Debug`: it is read once, if at all.
                let number = LazyCell::new(|| number(prepared));
                self.begin(
                    || number.map(Sent::Statement),
                    || self.of_statement(*number),
                )
            }
        }
    }

    /// Begins to run a text.
    pub(super) fn text(&self, text: &str) -> Operation {
        self.begin(|| Some(Sent::Text(text)), || Subject::text(text))
    }

    /// Begins to run a text by the simple protocol, which knows no parameters.
    pub(super) fn simple(&self, text: &str) -> Operation {
        self.begin(|| Some(Sent::Text(text)), || Subject::simple(text))
    }

    /// As [`simple`](Self::simple), for a text that is put together only for the span.
    pub(super) fn composed<T: AsRef<str>>(&self, text: impl FnOnce() -> T) -> Operation {
        match self.connection.wants_descriptions() {
            true => self.simple(text().as_ref()),
            false => self.begin(|| None, Arc::<Description>::default),
        }
    }

    /// Begins to bind a statement, which may have to be prepared before.
    pub(super) fn bind<T: ?Sized + ToStatement>(&self, statement: &T) -> (Operation, Runs) {
        let runs = Runs {
            description: self.description(statement),
            key: self.key(statement),
        };
        let preparation = || runs.key.and_then(Key::of_preparation).map(Sent::Known);
        let bind = self.begin(preparation, || runs.description.only("BIND"));
        (bind, runs)
    }

    /// Begins to run what was bound before.
    pub(super) fn run(&self, runs: &Runs) -> Operation {
        self.begin(
            || runs.key.map(Sent::Known),
            || Arc::clone(&runs.description),
        )
    }

    /// Prepares a text, and keeps it for the spans of its runs.
    pub(super) async fn prepared(
        &self,
        text: &str,
        prepare: impl Future<Output = Result<Statement, Error>>,
    ) -> Result<Statement, Error> {
        let description = describe(text);
        let prepared = || description.only("PREPARE");
        let operation = self.begin(|| Some(Sent::Preparation(text)), prepared);
        let statement = operation.traced(prepare).await?;
        self.statements.insert(&statement, Arc::new(description));
        Ok(statement)
    }

    /// Announces a text that the driver may send by itself.
    pub(super) fn expect(&self, text: &str) -> Option<Announcement> {
        let wanted = self.connection.wants_descriptions();
        wanted.then(|| self.observed.announce(Sent::Text(text)))
    }

    fn description<T: ?Sized + ToStatement>(&self, statement: &T) -> Arc<Description> {
        match statement.source() {
            Source::Text(text) => Arc::new(describe(text)),
            Source::Prepared(prepared) => self.of_statement(number(prepared)),
        }
    }

    fn key<T: ?Sized + ToStatement>(&self, statement: &T) -> Option<Key> {
        let sent = match statement.source() {
            Source::Text(text) => Sent::Text(text),
            Source::Prepared(prepared) => Sent::Statement(number(prepared)?),
        };
        Some(self.observed.key(sent))
    }

    /// What a statement was prepared from, by whoever did it.
    fn of_statement(&self, number: Option<u64>) -> Arc<Description> {
        let known = number.and_then(|number| {
            let prepared_here = self.statements.find(number);
            prepared_here.or_else(|| self.observed.description(number))
        });
        known.unwrap_or_default()
    }

    /// Where an operation that begins now belongs; nowhere while nobody wants to know.
    pub(super) fn caller(&self) -> Option<Context> {
        self.connection.wants_descriptions().then(parent)
    }

    /// Every operation of the connection begins here.
    fn begin<'a, S: Into<Subject>>(
        &self,
        sent: impl FnOnce() -> Option<Sent<'a>>,
        subject: impl FnOnce() -> S,
    ) -> Operation {
        let span = QuerySpan::start(&self.connection, subject);
        let sent = span.is_recording().then(sent).flatten();
        Operation {
            span,
            announcement: sent.map(|sent| self.observed.announce(sent)),
        }
    }
}

/// The connection of a client.
#[derive(Debug)]
pub(super) struct InUse(Option<Arc<ConnectionInfo>>);

impl InUse {
    /// The connection stays in use until it ends by itself.
    pub(super) fn goes_on(mut self) {
        self.0 = None;
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.ended();
        }
    }
}

/// What is about to be sent: a query, or what belongs to one.
///
/// Dropped before its end, it was cancelled.
#[must_use]
#[derive(Debug)]
pub(super) struct Operation {
    span: QuerySpan,
    announcement: Option<Announcement>,
}

/// What a portal runs.
#[derive(Clone, Debug)]
pub(super) struct Runs {
    description: Arc<Description>,
    key: Option<Key>,
}

impl Operation {
    /// A text of it as it is to be sent: with a comment that names its span, where that is wanted.
    /// Not for what is prepared.
    pub(super) fn commented<'a>(&mut self, text: &'a str) -> Cow<'a, str> {
        self.span.commented(text)
    }

    /// Runs it to its end, and its span with it.
    pub(super) async fn traced<T>(
        mut self,
        query: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let result = self.awaited(query).await;
        self.end(&result);
        result
    }

    /// As [`traced`](Self::traced), for what returns as many rows as `rows` counts.
    pub(super) async fn returning<T>(
        mut self,
        query: impl Future<Output = Result<T, Error>>,
        rows: impl FnOnce(&T) -> usize,
    ) -> Result<T, Error> {
        let result = self.awaited(query).await;
        if let Ok(returned) = &result {
            self.span.rows(rows(returned) as u64);
        }
        self.end(&result);
        result
    }

    /// Opens a stream, which goes on with the span.
    pub(super) async fn opened<D, S>(
        mut self,
        stream: impl Future<Output = Result<D, Error>>,
        stream_of: impl FnOnce(D, QuerySpan) -> S,
    ) -> Result<S, Error> {
        match self.awaited(stream).await {
            // What is not written yet stays announced.
            Ok(driver) => Ok(stream_of(driver, self.span)),
            Err(error) => {
                let failed = Err(error);
                self.end(&failed);
                failed
            }
        }
    }

    /// The driver's future, which sends the query when it is first polled. The span is made while
    /// the answer is waited for, by the connection once it has written the query.
    async fn awaited<F: Future>(&mut self, driver: F) -> F::Output {
        let mut driver = pin!(driver);
        let answer = poll_fn(|cx| {
            let announced = self.announcement.as_ref().map(|_| Announced::begin());
            let polled = driver.as_mut().poll(cx);
            drop(announced);
            if polled.is_pending()
                && let Some(announcement) = &self.announcement
                && let Some(due) = self.span.lend()
            {
                announcement.begin_later(due);
            }
            polled
        })
        .await;
        self.span.reclaim();
        answer
    }

    /// It has ended so.
    pub(super) fn end<T>(self, result: &Result<T, Error>) {
        let rolled_back = self.announcement.is_some_and(Announcement::withdraw);
        match result {
            Ok(_) if rolled_back => self.span.fail(Failure::rolled_back),
            result => self.span.end_with(result, failure),
        }
    }

    /// The driver sends it, if it still can, and nobody waits for the answer.
    pub(super) fn sent(self) {
        match &self.announcement {
            Some(announcement) if announcement.is_in_vain() => self.span.fail(Failure::closed),
            _ => self.span.finish(),
        }
    }
}
