//! The spans of one connection's queries.

mod failure;

use std::{borrow::Cow, future::Future, sync::Arc};

use ::opentelemetry::Context;
use tokio_postgres::{Error, Statement};

pub(super) use failure::failure;

use super::statement::{Source, Statements, ToStatement};
use crate::opentelemetry::{
    ConnectionInfo, QuerySpan, parent,
    sql::{Description, describe, describe_simple},
};

/// Makes the spans of one connection.
#[derive(Debug)]
pub(super) struct Spans {
    connection: Arc<ConnectionInfo>,
    statements: Statements,
}

impl Spans {
    pub(super) fn new(connection: Arc<ConnectionInfo>) -> Self {
        Spans {
            connection,
            statements: Statements::default(),
        }
    }

    pub(super) fn extend(&mut self, attribution: Vec<::opentelemetry::KeyValue>) {
        self.connection = self.connection.extended(attribution);
    }

    /// Begins to run a text or a prepared statement.
    pub(super) fn statement<T: ?Sized + ToStatement>(&self, statement: &T) -> Operation {
        match statement.source() {
            Source::Text(text) => self.text(text),
            Source::Prepared(prepared) => self.begin(|| self.statements.find(prepared)),
        }
    }

    /// Begins to run a text.
    pub(super) fn text(&self, text: &str) -> Operation {
        self.begin(|| describe(text))
    }

    /// Begins to run a text by the simple protocol, which knows no parameters.
    pub(super) fn simple(&self, text: &str) -> Operation {
        self.begin(|| describe_simple(text))
    }

    /// As [`simple`](Self::simple), for a text that is put together only for the span.
    pub(super) fn composed<T: AsRef<str>>(&self, text: impl FnOnce() -> T) -> Operation {
        self.begin(|| describe_simple(text().as_ref()))
    }

    /// Begins something that is done with a statement instead of running it.
    pub(super) fn only(&self, operation: &'static str, description: &Description) -> Operation {
        self.begin(|| description.only(operation))
    }

    /// Begins to run a statement that was described before.
    pub(super) fn described(&self, description: &Arc<Description>) -> Operation {
        self.begin(|| Arc::clone(description))
    }

    /// Prepares a text, and keeps it for the spans of its runs.
    pub(super) async fn prepared(
        &self,
        text: &str,
        prepare: impl Future<Output = Result<Statement, Error>>,
    ) -> Result<Statement, Error> {
        let description = describe(text);
        let statement = self.only("PREPARE", &description).traced(prepare).await?;
        self.statements.insert(&statement, Arc::new(description));
        Ok(statement)
    }

    /// What is known of a statement or a text.
    pub(super) fn description<T: ?Sized + ToStatement>(&self, statement: &T) -> Arc<Description> {
        match statement.source() {
            Source::Text(text) => Arc::new(describe(text)),
            Source::Prepared(prepared) => self.statements.find(prepared),
        }
    }

    /// Where an operation that begins now belongs; nowhere while nobody wants to know.
    pub(super) fn caller(&self) -> Option<Context> {
        self.connection.wants_descriptions().then(parent)
    }

    /// Every operation of the connection begins here.
    fn begin<D: Into<Arc<Description>>>(&self, describe: impl FnOnce() -> D) -> Operation {
        Operation {
            span: QuerySpan::start(&self.connection, describe),
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
}

impl Operation {
    /// A text of it as it is to be sent: with a comment that names its span, where that is wanted.
    /// Not for what is prepared.
    pub(super) fn commented<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.span.commented(text)
    }

    /// Runs it to its end, and its span with it.
    pub(super) async fn traced<T>(
        self,
        query: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let result = query.await;
        self.span.end_with(&result, failure);
        result
    }

    /// As [`traced`](Self::traced), for what returns as many rows as `rows` counts.
    pub(super) async fn returning<T>(
        mut self,
        query: impl Future<Output = Result<T, Error>>,
        rows: impl FnOnce(&T) -> usize,
    ) -> Result<T, Error> {
        let result = query.await;
        if let Ok(returned) = &result {
            self.span.rows(rows(returned) as u64);
        }
        self.span.end_with(&result, failure);
        result
    }

    /// Opens a stream, which goes on with the span.
    pub(super) async fn opened<D, S>(
        self,
        stream: impl Future<Output = Result<D, Error>>,
        stream_of: impl FnOnce(D, QuerySpan) -> S,
    ) -> Result<S, Error> {
        match stream.await {
            Ok(driver) => Ok(stream_of(driver, self.span)),
            Err(error) => {
                self.span.fail(|| failure(&error));
                Err(error)
            }
        }
    }

    /// The driver sends it, and nobody waits for the answer.
    pub(super) fn sent(self) {
        self.span.finish();
    }
}
