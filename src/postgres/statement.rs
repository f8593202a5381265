//! Statements: what may be run, and which text a prepared one has.

use std::{
    fmt::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_postgres::Statement;

use super::recent::Recent;
use crate::opentelemetry::sql::Description;

/// What can be run: a text, or a prepared [`Statement`].
///
/// It is the driver's [`tokio_postgres::ToStatement`], for the same types.
pub trait ToStatement: tokio_postgres::ToStatement + private::Sealed {}

impl ToStatement for str {}
impl ToStatement for String {}
impl ToStatement for Statement {}

pub(super) use private::Source;

mod private {
    use tokio_postgres::Statement;

    /// The driver's trait does not tell which of the two it is.
    #[derive(Debug)]
    pub enum Source<'a> {
        Text(&'a str),
        Prepared(&'a Statement),
    }

    pub trait Sealed {
        fn source(&self) -> Source<'_>;
    }

    impl Sealed for str {
        fn source(&self) -> Source<'_> {
            Source::Text(self)
        }
    }

    impl Sealed for String {
        fn source(&self) -> Source<'_> {
            Source::Text(self)
        }
    }

    impl Sealed for Statement {
        fn source(&self) -> Source<'_> {
            Source::Prepared(self)
        }
    }
}

/// The texts of a connection's prepared statements, as far as it has used them last.
///
/// The driver keeps no text, and does not tell when a statement is gone.
#[derive(Debug, Default)]
pub(super) struct Statements(Mutex<Recent<u64, Arc<Description>>>);

impl Statements {
    pub(super) fn insert(&self, statement: &Statement, description: Arc<Description>) {
        if let Some(number) = number(statement) {
            self.lock().insert(number, description);
        }
    }

    /// What the statement of this number was prepared from, if the wrapper did it.
    pub(super) fn find(&self, number: u64) -> Option<Arc<Description>> {
        self.lock().find(&number)
    }

    fn lock(&self) -> MutexGuard<'_, Recent<u64, Arc<Description>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 7 of the statement that the driver named `s7`, a name that no other statement of this process
/// has. Only its `Debug` output shows it: `Statement { name: "s7", …`.
pub(super) fn number(statement: &Statement) -> Option<u64> {
    let mut reader = FirstString::default();
    // The reader stops the writer as soon as it has read enough.
    let _ = write!(reader, "{statement:?}");
    reader.read.strip_prefix('s')?.parse().ok()
}

/// Reads the first `"…"` that is written, of at most 24 bytes.
#[derive(Debug, Default)]
struct FirstString {
    inside: bool,
    read: String,
}

impl Write for FirstString {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        const LONGEST: usize = 24;
        let quote = |text: &str| text.bytes().position(|byte| byte == b'"');
        let inside = match quote(piece) {
            _ if self.inside => piece,
            Some(quote) => piece.get(quote + 1..).unwrap_or_default(),
            None => return Ok(()),
        };
        self.inside = true;
        let end = quote(inside);
        let read = end.and_then(|end| inside.get(..end)).unwrap_or(inside);
        let room = LONGEST - self.read.len();
        let fits = read.get(..read.floor_char_boundary(room)).unwrap_or(read);
        self.read.push_str(fits);
        match end.is_some() || fits.len() < read.len() {
            true => Err(fmt::Error),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_read_and_no_more() {
        let mut reader = FirstString::default();
        assert!(write!(reader, "Statement {{ name: {:?}, params: [", "s12").is_err());
        assert_eq!(reader.read, "s12");
        let mut reader = FirstString::default();
        assert!(write!(reader, "{:?}", "x".repeat(1000)).is_err());
        assert!(reader.read.len() <= 24);
    }
}
