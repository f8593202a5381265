//! The spans of one connection's queries.

mod failure;
mod under_way;

use std::{borrow::Cow, cell::LazyCell, pin::Pin, sync::Arc};

use ::opentelemetry::Context;
use tokio_postgres::{Error, Statement};

pub(super) use failure::{Refusal, failure, refused};
use under_way::UnderWay;

use super::{
    observer::{Announcement, Key, Observed, Sent},
    statement::{Prepared, Source, Statements, ToStatement},
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

    /// The application has the driver's own client, or what sends by it.
    pub(super) fn hand_out(&self) {
        self.observed.hand_out();
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
            Source::Prepared(statement) => {
                let prepared = LazyCell::new(|| self.of_statement(statement));
                self.begin(
                    || prepared.number.map(Sent::Statement),
                    || Arc::clone(&prepared.description),
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
        let (description, sent) = match statement.source() {
            Source::Text(text) => (Arc::new(describe(text)), Some(Sent::Text(text))),
            Source::Prepared(statement) => {
                let prepared = self.of_statement(statement);
                (prepared.description, prepared.number.map(Sent::Statement))
            }
        };
        let runs = Runs {
            description,
            key: sent.map(|sent| self.observed.key(sent)),
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
        prepare: Pin<&mut impl Future<Output = Result<Statement, Error>>>,
    ) -> Result<Statement, Error> {
        let description = describe(text);
        let prepared = || description.only("PREPARE");
        let operation = self.begin(|| Some(Sent::Preparation(text)), prepared);
        let statement = operation.traced(prepare).await?;
        let strangers = self.observed.strangers();
        self.statements
            .insert(&statement, Arc::new(description), strangers);
        Ok(statement)
    }

    /// Announces a text that the driver may send by itself.
    pub(super) fn expect(&self, text: &str) -> Option<Announcement> {
        let wanted = self.connection.wants_descriptions();
        wanted.then(|| self.observed.announce(Sent::Text(text), None))
    }

    /// What is known of a statement, whoever prepared it.
    fn of_statement(&self, statement: &Statement) -> Prepared {
        let strangers = self.observed.strangers();
        let observed = |number| self.observed.description(number);
        self.statements.find(statement, strangers, observed)
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
        let announcement = sent.map(|sent| self.observed.announce(sent, span.due()));
        Operation { span, announcement }
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
    pub(super) fn commented<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.span.commented(text)
    }

    /// Runs it to its end, and its span with it.
    pub(super) fn traced<T>(
        self,
        query: Pin<&mut impl Future<Output = Result<T, Error>>>,
    ) -> impl Future<Output = Result<T, Error>> {
        UnderWay::of(self, query, |operation, result| {
            operation.end(&result, None);
            result
        })
    }

    /// As [`traced`](Self::traced), for what returns as many rows as `rows` counts.
    pub(super) fn returning<T>(
        self,
        query: Pin<&mut impl Future<Output = Result<T, Error>>>,
        rows: impl FnOnce(&T) -> usize,
    ) -> impl Future<Output = Result<T, Error>> {
        UnderWay::of(self, query, |operation, result| {
            let rows = result.as_ref().ok().map(|returned| rows(returned) as u64);
            operation.end(&result, rows);
            result
        })
    }

    /// Opens a stream, which goes on with the span.
    pub(super) fn opened<D, S>(
        self,
        stream: Pin<&mut impl Future<Output = Result<D, Error>>>,
        stream_of: impl FnOnce(D, QuerySpan) -> S,
    ) -> impl Future<Output = Result<S, Error>> {
        UnderWay::of(self, stream, |operation, result| match result {
            // What is not written yet stays announced.
            Ok(driver) => Ok(stream_of(driver, operation.span)),
            Err(error) => {
                let failed = Err(error);
                operation.end(&failed, None);
                failed
            }
        })
    }

    /// It has ended so, and returned so many rows if that is known.
    pub(super) fn end<T>(self, result: &Result<T, Error>, rows: Option<u64>) {
        let rolled_back = self.announcement.is_some_and(Announcement::withdraw);
        let failed = || match result {
            Ok(_) => rolled_back.then(Failure::rolled_back),
            Err(error) => Some(failure(error)),
        };
        self.span.end(failed, rows);
    }

    /// The driver sends it, if it still can, and nobody waits for the answer.
    pub(super) fn sent(self) {
        match &self.announcement {
            Some(announcement) if announcement.is_in_vain() => self.span.fail(Failure::closed),
            _ => self.span.finish(),
        }
    }
}
