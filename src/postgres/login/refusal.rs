//! Why a login ends: what this library does not do for a database, and what a database said.

use std::borrow::Cow;

use crate::{
    Error, Hop, Result,
    error::{Kind, printable},
    wire::{self, postgres::Authentication},
};

pub(super) fn require(accepted: bool, method: &str) -> Result<()> {
    if accepted {
        return Ok(());
    }
    Err(policy(format!(
        "the database asks for {method}, which require_auth does not list"
    )))
}

pub(super) fn not_answered(request: &Authentication) -> Error {
    match request {
        Authentication::CleartextPassword => policy("the database asks for the password itself")
            .with_help(
                "the Authenticator never gives it away: use scram-sha-256 in its pg_hba.conf \
                 (this is what password, ldap, pam and radius ask for)",
            ),
        Authentication::Gss => policy("the database asks for GSSAPI, which is not supported")
            .with_help("use scram-sha-256 for this user in its pg_hba.conf"),
        Authentication::Sspi => policy("the database asks for SSPI, which is not supported")
            .with_help("use scram-sha-256 for this user in its pg_hba.conf"),
        Authentication::Other(code) => policy(format!(
            "the database asks for authentication {code}, which is not supported"
        ))
        .with_help("use scram-sha-256 for this user in its pg_hba.conf"),
        _ => broken("an answer to a question that was not asked"),
    }
}

/// SASL, but another mechanism of it.
pub(super) fn not_scram(offered: &[String]) -> Error {
    policy(format!(
        "the database asks for {}, which is not supported",
        printable(&offered.join(", "))
    ))
    .with_help("use scram-sha-256 for this user in its pg_hba.conf")
}

/// The application's settings, or this library, refuse what the database wants.
pub(super) fn policy(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(Kind::Policy, Hop::DatabaseLogin, message)
}

/// The database, or who answers in its place, broke the protocol.
pub(super) fn broken(message: &'static str) -> Error {
    Error::new(Kind::Protocol, Hop::DatabaseLogin, message)
}

pub(super) fn unsendable(error: wire::postgres::Error) -> Error {
    Error::new(
        Kind::Protocol,
        Hop::Handshake,
        "an answer that cannot be sent",
    )
    .with_source(error)
}

/// For the spans; the application is given what the driver reads.
pub(super) fn refused(sqlstate: &str) -> Error {
    Error::new(
        Kind::Database(sqlstate.to_owned()),
        Hop::DatabaseLogin,
        "the database refused the login",
    )
}
