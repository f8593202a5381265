//! How a query failed, in the conventions' words.

use std::borrow::Cow;

use super::attributes as key;

/// How a query failed, as a driver tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// `error.type`: the SQLSTATE, or one word of a closed list.
    pub(crate) error_type: Cow<'static, str>,
    /// The SQLSTATE, if the database itself said no.
    pub(crate) status_code: Option<String>,
    /// For people; holds no value of the query.
    pub(crate) description: Cow<'static, str>,
}

impl Failure {
    /// The connection is gone.
    pub(crate) fn closed() -> Self {
        Failure {
            error_type: Cow::Borrowed("closed"),
            status_code: None,
            description: Cow::Borrowed("connection closed"),
        }
    }

    /// A commit of a transaction that had failed.
    pub(crate) fn rolled_back() -> Self {
        Failure {
            error_type: Cow::Borrowed("rolled_back"),
            status_code: None,
            description: Cow::Borrowed(
                "rolled back: a statement of the transaction had failed before",
            ),
        }
    }

    /// The caller gave the query up.
    pub(crate) fn cancelled() -> Self {
        Failure {
            error_type: Cow::Borrowed(key::CANCELLED),
            status_code: None,
            description: Cow::Borrowed(key::CANCELLED),
        }
    }
}
