//! How a query that failed stands on its span.

use std::borrow::Cow;

use tokio_postgres::{Error, error::SqlState};

use crate::{error::printable, opentelemetry::Failure};

/// How the driver's error stands on a span.
pub(in crate::postgres) fn failure(error: &Error) -> Failure {
    match error.as_db_error() {
        Some(database) => refused(
            database.severity(),
            database.code().code(),
            database.message(),
        ),
        // The driver's own errors speak of columns and parameters by number; their sources, which
        // may hold values, are left out.
        None => Failure {
            error_type: Cow::Borrowed(driver_error_type(error)),
            status_code: None,
            description: Cow::Owned(printable(&error.to_string())),
        },
    }
}

/// How the database's error stands on a span.
pub(in crate::postgres) fn refused(severity: &str, sqlstate: &str, message: &str) -> Failure {
    let [severity, code] = [severity, sqlstate].map(printable);
    Failure {
        error_type: Cow::Owned(code.clone()),
        status_code: Some(code.clone()),
        description: Cow::Owned(match may_hold_values(sqlstate) {
            true => format!("{severity} {code}"),
            false => format!("{severity} {code}: {}", printable(message)),
        }),
    }
}

/// Whether the message of such an error may quote a value: data exceptions, syntax errors, and what
/// functions raise themselves. `DETAIL`, which quotes rows, is never shown.
fn may_hold_values(code: &str) -> bool {
    const MESSAGES_OF_NAMES: &[&str] = &[
        "08", "0A", "21", "23", "24", "25", "26", "28", "2B", "34", "3D", "3F", "40", "42", "53",
        "54", "55", "57", "58",
    ];
    code == SqlState::SYNTAX_ERROR.code()
        || !MESSAGES_OF_NAMES
            .iter()
            .any(|class| code.starts_with(class))
}

/// The driver has predicates for few of its errors; a test holds the words of the others.
fn driver_error_type(error: &Error) -> &'static str {
    const BY_WORDS: &[(&str, &str)] = &[
        ("connection closed", "closed"),
        ("error communicating", "io"),
        ("error serializing", "to_sql"),
        ("error deserializing", "from_sql"),
        ("expected ", "parameters"),
        ("query returned an unexpected number of rows", "row_count"),
        (
            "query returned an unexpected number of columns",
            "column_count",
        ),
        ("error encoding", "encode"),
        ("error parsing", "parse"),
        ("unexpected message", "unexpected_message"),
    ];
    let words = error.to_string();
    BY_WORDS
        .iter()
        .find(|(beginning, _)| words.starts_with(beginning))
        .map_or("_OTHER", |&(_, error_type)| error_type)
}
