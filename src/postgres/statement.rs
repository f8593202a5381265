//! Statements: what may be run, and which text a prepared one has.

use std::{
    fmt::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_postgres::Statement;

use super::{numbers::Numbers, recent::Recent};
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
pub(super) struct Statements(Mutex<Recent<u64, Arc<Description>, Numbers>>);

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

    fn lock(&self) -> MutexGuard<'_, Recent<u64, Arc<Description>, Numbers>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 7 of the statement that the driver named `s7`, a name that no other statement of this process
/// has. Only its `Debug` output shows it: `Statement { name: "s7", …`.
pub(super) fn number(statement: &Statement) -> Option<u64> {
    let mut reader = Number::default();
    // The reader stops the writer as soon as it has read enough.
    let _ = write!(reader, "{statement:?}");
    reader.read()
}

/// Reads the first `"s…"` that is written, if that is a number.
#[derive(Debug, Default)]
struct Number {
    state: Reading,
    read: u64,
}

#[derive(Debug, Default)]
enum Reading {
    #[default]
    Before,
    Letter,
    First,
    Digits,
    Done,
    Failed,
}

impl Number {
    fn read(&self) -> Option<u64> {
        matches!(self.state, Reading::Done).then_some(self.read)
    }

    fn next(&mut self, byte: u8) -> Reading {
        let digit = || {
            let digit = u64::from(byte.checked_sub(b'0').filter(|digit| *digit < 10)?);
            self.read.checked_mul(10)?.checked_add(digit)
        };
        match (&self.state, byte) {
            (Reading::Before, b'"') => Reading::Letter,
            (Reading::Before, _) => Reading::Before,
            (Reading::Letter, b's') => Reading::First,
            (Reading::Digits | Reading::Done, b'"') => Reading::Done,
            (Reading::First | Reading::Digits, _) => match digit() {
                Some(read) => {
                    self.read = read;
                    Reading::Digits
                }
                None => Reading::Failed,
            },
            _ => Reading::Failed,
        }
    }
}

impl Write for Number {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        for byte in piece.bytes() {
            self.state = self.next(byte);
            if matches!(self.state, Reading::Done | Reading::Failed) {
                return Err(fmt::Error);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str) -> Option<u64> {
        let mut reader = Number::default();
        let _ = write!(reader, "Statement {{ name: {name:?}, params: [\"s1\"]");
        reader.read()
    }

    #[test]
    fn the_name_is_read_and_no_more() {
        assert_eq!(read("s12"), Some(12));
        assert_eq!(read("s0"), Some(0));
        assert_eq!(read(&format!("s{}", u64::MAX)), Some(u64::MAX));
        for none in [
            "",
            "s",
            "x12",
            "s1x",
            "12",
            "s\"1",
            &format!("s{}0", u64::MAX),
        ] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
