//! One opaque error for the whole library.
//!
//! An [`Error`] says which [`Hop`] of a connect failed, what failed there, and what to do about it.
//! It is cheap to clone, so that everything waiting for one session hears of the same failure, and
//! it never holds a secret: constructors take text that this library wrote, or that a peer wrote
//! and [`printable`] made harmless.

use std::{borrow::Cow, error::Error as StdError, fmt, sync::Arc};

/// The result of this library's fallible operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong between an application and its database.
///
/// ```
/// fn report(error: &approzium::Error) {
///     if error.is_permission_denied() {
///         eprintln!("ask for access, naming request {:?}: {error}", error.request_id());
///     } else if error.is_retryable() {
///         eprintln!("try again: {error}");
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

/// A stage of a connect: where an [`Error`] happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hop {
    /// The application's own settings: a connection string, an address, a certificate file.
    Configuration,
    /// The cloud credentials by which the application proves its identity.
    Credentials,
    /// The connection to the Authenticator.
    Authenticator,
    /// The session with the Authenticator: the proof of identity.
    Session,
    /// The delegated answer to the database's challenge.
    Handshake,
    /// The network connection to the database, TLS included.
    DatabaseConnection,
    /// The login at the database.
    DatabaseLogin,
    /// A statement on an open connection.
    Query,
}

impl Hop {
    /// The hop in words, as it stands in error messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Hop::Configuration => "configuration",
            Hop::Credentials => "cloud credentials",
            Hop::Authenticator => "connection to the Authenticator",
            Hop::Session => "session with the Authenticator",
            Hop::Handshake => "handshake through the Authenticator",
            Hop::DatabaseConnection => "connection to the database",
            Hop::DatabaseLogin => "login at the database",
            Hop::Query => "query",
        }
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

struct Inner {
    kind: Kind,
    hop: Hop,
    message: Cow<'static, str>,
    help: Option<Cow<'static, str>>,
    request_id: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What an error is, apart from where it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A setting is wrong; trying again will not help.
    Configuration,
    /// A setting is right, and what it names is not, as yet: a file, a port, a name.
    #[cfg(feature = "otlp")]
    Unready,
    /// No usable cloud credentials.
    Credentials,
    /// The Authenticator did not accept the proof of identity.
    Unauthenticated,
    /// The Authenticator knows who asks and says no.
    PermissionDenied,
    /// The record's policy refuses this way of logging in.
    Policy,
    /// A limit of the Authenticator was reached.
    ResourceExhausted,
    /// A peer could not be reached, or said that it cannot serve now.
    Unavailable,
    /// A peer was lost in the middle of an exchange: begun anew, it may well succeed at once.
    Interrupted,
    /// The budget of the operation ran out.
    Timeout,
    /// The application gave the operation up.
    Cancelled,
    /// A peer broke its protocol, or asked for something that is not safe to do.
    Protocol,
    /// The database answered with an error; its SQLSTATE.
    #[cfg_attr(
        not(feature = "postgres"),
        allow(dead_code, reason = "a driver says it")
    )]
    Database(String),
}

impl Error {
    /// The stage at which it happened.
    pub fn hop(&self) -> Hop {
        self.0.hop
    }

    /// The Authenticator's id of the request, as it stands in the Authenticator's audit log.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// The SQLSTATE, if the database itself answered with an error.
    pub fn sqlstate(&self) -> Option<&str> {
        match &self.0.kind {
            Kind::Database(code) => Some(code),
            _ => None,
        }
    }

    /// What happened there, alone.
    #[cfg(feature = "postgres")]
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do about it, where that is known.
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// A setting of the application is wrong.
    pub fn is_configuration(&self) -> bool {
        match self.0.kind {
            Kind::Configuration => true,
            #[cfg(feature = "otlp")]
            Kind::Unready => true,
            _ => false,
        }
    }

    /// There are no usable cloud credentials.
    pub fn is_credentials(&self) -> bool {
        self.0.kind == Kind::Credentials
    }

    /// The Authenticator did not accept the proof of identity.
    pub fn is_unauthenticated(&self) -> bool {
        self.0.kind == Kind::Unauthenticated
    }

    /// The Authenticator accepted the identity, and that identity may not use this database user.
    ///
    /// It is the same whether no record exists or the record does not name the identity.
    pub fn is_permission_denied(&self) -> bool {
        self.0.kind == Kind::PermissionDenied
    }

    /// The record, or this client's own settings, refuse the way in which the database wants to
    /// authenticate.
    pub fn is_policy(&self) -> bool {
        self.0.kind == Kind::Policy
    }

    /// A peer broke its protocol, or asked for something that is not safe to do.
    pub fn is_protocol(&self) -> bool {
        self.0.kind == Kind::Protocol
    }

    /// The budget of the operation ran out.
    pub fn is_timeout(&self) -> bool {
        self.0.kind == Kind::Timeout
    }

    /// The database itself answered with an error: see [`sqlstate`](Self::sqlstate).
    pub fn is_database(&self) -> bool {
        matches!(self.0.kind, Kind::Database(_))
    }

    /// The same operation may succeed later, with nothing changed.
    pub fn is_retryable(&self) -> bool {
        match &self.0.kind {
            Kind::Unavailable | Kind::Interrupted | Kind::ResourceExhausted | Kind::Timeout => true,
            #[cfg(feature = "otlp")]
            Kind::Unready => true,
            // Class 08, 53 and 57P: connection trouble, no resources, the server is going or coming.
            Kind::Database(code) => ["08", "53", "57P"]
                .iter()
                .any(|class| code.starts_with(class)),
            _ => false,
        }
    }
}

/// How the library makes its errors.
impl Error {
    pub(crate) fn new(kind: Kind, hop: Hop, message: impl Into<Cow<'static, str>>) -> Self {
        Error(Arc::new(Inner {
            kind,
            hop,
            message: message.into(),
            help: None,
            request_id: None,
            source: None,
        }))
    }

    pub(crate) fn configuration(message: impl Into<Cow<'static, str>>) -> Self {
        Error::new(Kind::Configuration, Hop::Configuration, message)
    }

    /// The settings may stay as they are: what is wrong is what they name, and that may be mended.
    #[cfg(feature = "otlp")]
    pub(crate) fn unready(self) -> Self {
        self.map(|inner| inner.kind = Kind::Unready)
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.0.kind
    }

    /// The same in other words, if there are any.
    #[cfg(feature = "authenticator")]
    pub(crate) fn reworded(self, words: impl FnOnce(&str) -> Option<String>) -> Self {
        self.map(|inner| {
            if let Some(words) = words(&inner.message) {
                inner.message = words.into();
            }
        })
    }

    pub(crate) fn with_help(self, help: impl Into<Cow<'static, str>>) -> Self {
        self.map(|inner| inner.help = Some(help.into()))
    }

    pub(crate) fn with_request_id(self, request_id: impl Into<String>) -> Self {
        self.map(|inner| inner.request_id = Some(request_id.into()))
    }

    pub(crate) fn with_source(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.map(|inner| inner.source = Some(source.into()))
    }

    /// Only for errors under construction: one that is shared already stays as it is.
    fn map(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            change(inner);
        }
        self
    }
}

/// What a peer wrote, made fit for a message: control characters escaped, at most 200 characters.
pub(crate) fn printable(text: &str) -> String {
    const LIMIT: usize = 200;
    let mut shown = String::new();
    for character in text.chars().take(LIMIT) {
        match character {
            // Quotes harm nobody, and databases' messages are full of them.
            '"' | '\'' => shown.push(character),
            _ => shown.extend(character.escape_debug()),
        }
    }
    if text.chars().nth(LIMIT).is_some() {
        shown.push('…');
    }
    shown
}

/// The innermost cause of an error of a library below, for it says most: its first line, made fit
/// for a message.
pub(crate) fn root_cause(error: &(dyn StdError + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    printable(cause.to_string().lines().next().unwrap_or_default())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.hop, self.0.message)?;
        if let Some(help) = &self.0.help {
            write!(f, "; {help}")?;
        }
        if let Some(request_id) = &self.0.request_id {
            write!(f, " (request {request_id})")?;
        }
        Ok(())
    }
}

/// In words, with its causes: this is what a `main` that returns it prints.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, "\n  caused by: {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_the_hop_the_cause_the_remedy_and_the_request() {
        let error = Error::new(Kind::PermissionDenied, Hop::Handshake, "permission denied")
            .with_help("ask for a record")
            .with_request_id("7f");
        assert_eq!(
            error.to_string(),
            "handshake through the Authenticator: permission denied; ask for a record (request 7f)"
        );
        assert!(error.is_permission_denied() && !error.is_retryable());
    }

    #[test]
    fn a_main_that_returns_it_prints_words_and_causes() {
        let error = Error::configuration("no Authenticator is named")
            .with_help("set APPROZIUM_ADDRESS")
            .with_source(std::io::Error::other("nothing there"));
        assert_eq!(
            format!("{error:?}"),
            "configuration: no Authenticator is named; set APPROZIUM_ADDRESS\n  \
             caused by: nothing there"
        );
    }

    #[test]
    fn sqlstates_of_a_server_that_is_going_away_are_retryable() {
        let database =
            |code: &str| Error::new(Kind::Database(code.into()), Hop::DatabaseLogin, "x");
        assert!(database("57P03").is_retryable());
        assert!(!database("28P01").is_retryable());
        assert_eq!(database("28P01").sqlstate(), Some("28P01"));
    }

    #[test]
    fn what_a_peer_wrote_is_one_bounded_line() {
        assert_eq!(printable("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(printable("role \"x\" isn't"), "role \"x\" isn't");
        assert!(printable(&"x".repeat(10_000)).chars().count() <= 201);
    }
}
