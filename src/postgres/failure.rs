//! The driver's errors as this library's.

use std::{error::Error as StdError, io};

use crate::{
    Error, Hop,
    error::{Kind, printable},
};

/// This library's error inside an error of the driver's, if that is where it came from.
///
/// What fails in a [`Connector`](super::Connector) travels through the driver inside the driver's
/// own error type.
///
/// ```no_run
/// # async fn example(connector: approzium::postgres::Connector) {
/// if let Err(error) = connector.driver_config().connect(connector).await
///     && let Some(cause) = approzium::postgres::cause(&error)
///     && cause.is_permission_denied()
/// {
///     eprintln!("ask for access: request {:?}", cause.request_id());
/// }
/// # }
/// ```
pub fn cause(error: &tokio_postgres::Error) -> Option<&Error> {
    let source = error.source()?;
    source.downcast_ref().or_else(|| {
        source
            .downcast_ref::<io::Error>()?
            .get_ref()?
            .downcast_ref()
    })
}

/// What the driver's `connect` to `server` came to.
pub(super) fn of_driver(error: tokio_postgres::Error, server: &str) -> Error {
    if let Some(ours) = cause(&error) {
        return ours.clone();
    }
    if let Some(database) = error.as_db_error() {
        let message = format!("{}: {}", database.severity(), printable(database.message()));
        let kind = Kind::Database(database.code().code().to_owned());
        return Error::new(kind, Hop::DatabaseLogin, message).with_source(error);
    }
    let io = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>());
    match io.map(io::Error::kind) {
        Some(io::ErrorKind::TimedOut) => {
            timeout(Hop::DatabaseConnection, "dialling the database").with_source(error)
        }
        // What the driver says of a server that has not the wanted target_session_attrs.
        Some(io::ErrorKind::PermissionDenied) => wrong_session(server).with_source(error),
        Some(_) => unreachable(server, error),
        None if error.is_closed() => closed(server).with_source(error),
        None => Error::new(
            Kind::Protocol,
            Hop::DatabaseLogin,
            format!("{} broke the protocol: {error}", printable(server)),
        )
        .with_source(error),
    }
}

/// The server could not be dialled, or hung up.
pub(super) fn unreachable(
    server: &str,
    error: impl Into<Box<dyn StdError + Send + Sync>>,
) -> Error {
    let error = error.into();
    let reason = error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string);
    Error::new(
        Kind::Unavailable,
        Hop::DatabaseConnection,
        format!("{}: {}", printable(server), printable(&reason)),
    )
    .with_source(error)
}

pub(super) fn closed(server: &str) -> Error {
    Error::new(
        Kind::Unavailable,
        Hop::DatabaseConnection,
        format!("{} closed the connection", printable(server)),
    )
}

pub(super) fn wrong_session(server: &str) -> Error {
    Error::new(
        Kind::Unavailable,
        Hop::DatabaseLogin,
        format!(
            "{} does not give the session that target_session_attrs asks for",
            printable(server)
        ),
    )
}

/// The connect's budget ran out while this was waited for.
pub(super) fn timeout(hop: Hop, what: &'static str) -> Error {
    Error::new(
        Kind::Timeout,
        hop,
        format!("the time ran out during {what}"),
    )
    .with_help("connect_timeout is the time for a whole connect")
}

/// Whether another host or address would change nothing: the Authenticator said no, or it cannot
/// be asked.
pub(super) fn is_final(error: &Error) -> bool {
    matches!(
        error.kind(),
        Kind::Unauthenticated
            | Kind::PermissionDenied
            | Kind::Policy
            | Kind::Credentials
            | Kind::Configuration
            | Kind::Cancelled
    )
}
