//! The spans of one connection's queries.

use std::{borrow::Cow, error::Error as _, future::Future, io, sync::Arc};

use tokio_postgres::{Error, Statement, error::SqlState};

use super::statement::{Source, Statements, ToStatement};
use crate::{
    error::printable,
    opentelemetry::{
        ConnectionInfo, Failure, QuerySpan,
        sql::{Description, describe},
    },
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

    /// Begins to run a text that is put together only for the span.
    pub(super) fn composed<T: AsRef<str>>(&self, text: impl FnOnce() -> T) -> Operation {
        self.begin(|| describe(text().as_ref()))
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

    /// What is known of a statement or a text; nothing while nobody wants to know.
    pub(super) fn description<T: ?Sized + ToStatement>(&self, statement: &T) -> Arc<Description> {
        if !self.connection.wants_descriptions() {
            return Arc::default();
        }
        match statement.source() {
            Source::Text(text) => Arc::new(describe(text)),
            Source::Prepared(prepared) => self.statements.find(prepared),
        }
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
    /// Runs it to its end, and its span with it.
    pub(super) async fn traced<T>(
        self,
        query: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let result = query.await;
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

/// How the driver's error stands on a span.
pub(super) fn failure(error: &Error) -> Failure {
    match error.as_db_error() {
        Some(database) => {
            let code = database.code().code();
            Failure {
                error_type: Cow::Owned(code.to_owned()),
                status_code: Some(code.to_owned()),
                description: if may_hold_values(database.code()) {
                    Cow::Owned(format!("{} {code}", database.severity()))
                } else {
                    let message = printable(database.message());
                    Cow::Owned(format!("{} {code}: {message}", database.severity()))
                },
            }
        }
        // The driver's own errors speak of columns and parameters by number; their sources, which
        // may hold values, are left out.
        None => Failure {
            error_type: Cow::Borrowed(driver_error_type(error)),
            status_code: None,
            description: Cow::Owned(printable(&error.to_string())),
        },
    }
}

/// Whether the message of such an error may quote a value: data exceptions, syntax errors, and what
/// functions raise themselves. `DETAIL`, which quotes rows, is never shown.
fn may_hold_values(code: &SqlState) -> bool {
    let code = code.code();
    const MESSAGES_OF_NAMES: &[&str] = &[
        "08", "0A", "21", "23", "24", "25", "26", "28", "2B", "34", "3D", "3F", "40", "42", "53",
        "54", "55", "57", "58",
    ];
    code == SqlState::SYNTAX_ERROR.code()
        || !MESSAGES_OF_NAMES
            .iter()
            .any(|class| code.starts_with(class))
}

fn driver_error_type(error: &Error) -> &'static str {
    if error.is_closed() {
        return "closed";
    }
    if error
        .source()
        .is_some_and(|source| source.is::<io::Error>())
    {
        return "io";
    }
    // The driver has no predicate for this one; a test holds the words.
    if error.to_string() == "query returned an unexpected number of rows" {
        return "row_count";
    }
    "_OTHER"
}
