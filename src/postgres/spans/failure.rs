//! How a query that failed stands on its span.

use std::borrow::Cow;

use tokio_postgres::Error;

use crate::{error::printable, opentelemetry::Failure};

/// How the driver's error stands on a span.
pub(in crate::postgres) fn failure(error: &Error) -> Failure {
    match error.as_db_error() {
        Some(database) => refused(&Refusal {
            severity: database.severity(),
            sqlstate: database.code().code(),
            message: database.message(),
            has_context: database.where_().is_some(),
            routine: database.routine().unwrap_or_default(),
        }),
        // The driver's own errors speak of columns and parameters by number; their sources, which
        // may hold values, are left out.
        None => Failure {
            error_type: Cow::Borrowed(driver_error_type(error)),
            status_code: None,
            description: Cow::Owned(printable(&error.to_string())),
        },
    }
}

/// What of the database's error decides how it stands on a span.
pub(in crate::postgres) struct Refusal<'a> {
    pub(in crate::postgres) severity: &'a str,
    pub(in crate::postgres) sqlstate: &'a str,
    pub(in crate::postgres) message: &'a str,
    /// It came up in a function, or in another statement than the client's.
    pub(in crate::postgres) has_context: bool,
    /// The database's own function that said it.
    pub(in crate::postgres) routine: &'a str,
}

/// How the database's error stands on a span.
pub(in crate::postgres) fn refused(refusal: &Refusal<'_>) -> Failure {
    let [severity, code] = [refusal.severity, refusal.sqlstate].map(printable);
    Failure {
        error_type: Cow::Owned(code.clone()),
        status_code: Some(code.clone()),
        description: Cow::Owned(match refusal.may_hold_values() {
            true => format!("{severity} {code}"),
            false => format!("{severity} {code}: {}", printable(refusal.message)),
        }),
    }
}

impl Refusal<'_> {
    /// Whether the message may quote a value. `DETAIL`, which quotes rows, is never shown.
    ///
    /// A function raises what it likes, under whatever SQLSTATE: what has a context is held back.
    /// Where names are looked up, a value may have been the name, as in `$1::regclass`: of those
    /// errors only the ones are shown that speak of the statement's own names.
    fn may_hold_values(&self) -> bool {
        let mut classes = MESSAGES_OF_NAMES.iter();
        let is_of_names = classes.any(|class| self.sqlstate.starts_with(class))
            || self.sqlstate.starts_with(SYNTAX_AND_ACCESS)
                && ROUTINES_OF_THE_STATEMENT.contains(&self.routine);
        self.has_context || !is_of_names
    }
}

/// Beginnings of SQLSTATEs whose messages are of names, numbers and states.
const MESSAGES_OF_NAMES: &[&str] = &[
    "08P01", "0A", "21", "23", "24", "25", "26", "2B", "34", "40", "53", "54", "55", "57",
];

/// The class of SQLSTATEs of names that are not there, or not for this user.
const SYNTAX_AND_ACCESS: &str = "42";

/// What says so while it reads the statement, or checks rights on what it names. Other servers than
/// PostgreSQL, and versions to come, may have others: of their errors the SQLSTATE tells.
const ROUTINES_OF_THE_STATEMENT: &[&str] = &[
    "aclcheck_error",
    "check_agg_arguments",
    "check_agglevels_and_constraints",
    "check_for_column_name_collision",
    "check_ungrouped_columns_walker",
    "checkInsertTargets",
    "checkNameSpaceConflicts",
    "coerce_to_boolean",
    "colNameToVar",
    "CopyGetAttnums",
    "CreateRole",
    "CreateSchemaCommand",
    "DefineCompositeType",
    "DefineDomain",
    "DropErrorMsgNonExistent",
    "DropErrorMsgWrongType",
    "DropRole",
    "errorMissingColumn",
    "errorMissingRTE",
    "ExecWithCheckOptions",
    "findTargetlistEntrySQL92",
    "heap_create_with_catalog",
    "index_create",
    "infer_arbiter_indexes",
    "LookupFuncWithArgs",
    "MergeAttributes",
    "NamespaceCreate",
    "op_error",
    "ParseFuncOrColumn",
    "parserOpenTable",
    "ProcedureCreate",
    "renameatt_internal",
    "select_common_type",
    "transformAssignedExpr",
    "transformLockingClause",
    "transformParamRef",
    "transformUpdateTargetList",
    "transformWithClause",
    "typenameType",
    "unknown_attribute",
];

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
