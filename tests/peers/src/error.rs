//! A server that is missing is not a server that failed.

use std::fmt;

/// The result of starting a server, or of asking it something.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no server.
#[derive(Debug)]
pub enum Error {
    /// The program is not on this machine and could not be installed; says what to install.
    Missing(String),
    /// The program is there and did not do what it was asked.
    Failed(String),
}

impl Error {
    pub(crate) fn failed(what: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Error::Failed(format!("{what}: {cause}"))
    }

    /// Whether the program is not there at all.
    pub fn is_missing(&self) -> bool {
        matches!(self, Error::Missing(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Missing(what) => write!(f, "{what}"),
            Error::Failed(what) => write!(f, "{what}"),
        }
    }
}

impl std::error::Error for Error {}

/// Starts a server, or leaves the test: `let postgres = peer!(Postgres::builder().start());`.
///
/// A missing server prints `SKIPPED: …` and returns from the enclosing function; where `CI=true`,
/// and for a server that is there and fails, it panics.
#[macro_export]
macro_rules! peer {
    ($start:expr) => {
        match $start.await {
            Ok(peer) => peer,
            Err(error) => {
                $crate::skip(&error);
                return;
            }
        }
    };
}

/// Says aloud that a test is skipped, in a line that `scripts/test` counts.
///
/// # Panics
/// Where `CI=true`, and for any error but a missing program.
pub fn skip(error: &Error) {
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!in_ci && error.is_missing(), "{error}");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    eprintln!("SKIPPED: {test}: {error}");
    if let Some(list) = std::env::var_os("APPROZIUM_SKIPPED") {
        // Captured output of a test that passes is not shown: the list is.
        let line = format!("SKIPPED: {test}: {error}\n");
        let written = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(list)
            .and_then(|mut file| std::io::Write::write_all(&mut file, line.as_bytes()));
        written.expect("the list of skipped tests can be written");
    }
}
