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
pub(super) struct Statements(Mutex<Known>);

/// What is known of a statement.
#[derive(Clone, Debug, Default)]
pub(super) struct Prepared {
    /// 7 of what the driver named `s7`.
    pub(super) number: Option<u64>,
    /// What it was prepared from.
    pub(super) description: Arc<Description>,
}

#[derive(Debug, Default)]
struct Known {
    texts: Recent<u64, Arc<Description>, Numbers>,
    /// To ask the driver for a statement's number costs more than a query's announcement.
    places: Recent<Place, Placed, Numbers>,
    last: Option<(Place, Placed)>,
}

/// A statement that was at a place, when so many statements were not prepared by the wrapper.
#[derive(Clone, Debug)]
struct Placed {
    prepared: Prepared,
    strangers: u64,
}

impl Statements {
    /// The wrapper has prepared a statement. `strangers` counts those of the connection that it has
    /// not, if that is known.
    pub(super) fn insert(
        &self,
        statement: &Statement,
        description: Arc<Description>,
        strangers: Option<u64>,
    ) {
        let Some(number) = number(statement) else {
            return;
        };
        let prepared = Prepared {
            number: Some(number),
            description: Arc::clone(&description),
        };
        let mut known = self.lock();
        known.texts.insert(number, description);
        known.put(statement, prepared, strangers);
    }

    /// What is known of a statement; of one that the wrapper has not prepared, `elsewhere` may know.
    pub(super) fn find(
        &self,
        statement: &Statement,
        strangers: Option<u64>,
        elsewhere: impl FnOnce(u64) -> Option<Arc<Description>>,
    ) -> Prepared {
        if let Some(prepared) = self.lock().at(statement, strangers) {
            return prepared;
        }
        let Some(number) = number(statement) else {
            return Prepared::default();
        };
        let here = self.lock().texts.find(&number);
        let description = here.or_else(|| elsewhere(number)).unwrap_or_default();
        let prepared = Prepared {
            number: Some(number),
            description,
        };
        self.lock().put(statement, prepared.clone(), strangers);
        prepared
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn at(&mut self, statement: &Statement, strangers: Option<u64>) -> Option<Prepared> {
        let (strangers, place) = (strangers?, Place::of(statement)?);
        let placed = match &self.last {
            Some((last, placed)) if *last == place => placed,
            _ => &self.last.insert((place, self.places.find(&place)?)).1,
        };
        (placed.strangers == strangers).then(|| placed.prepared.clone())
    }

    fn put(&mut self, statement: &Statement, prepared: Prepared, strangers: Option<u64>) {
        if let (Some(place), Some(strangers)) = (Place::of(statement), strangers) {
            let placed = Placed {
                prepared,
                strangers,
            };
            self.last = Some((place, placed.clone()));
            self.places.insert(place, placed);
        }
    }
}

/// Where the types of a statement's parameters and columns lie in memory, which its clones share.
///
/// No two statements are at one place at once. One may come to where another was: if the wrapper
/// prepared it, it takes that one's entry, and if somebody else did, there is another stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place {
    parameters: usize,
    columns: usize,
}

impl Place {
    /// None: it has neither, and so no memory for them.
    fn of(statement: &Statement) -> Option<Self> {
        let (parameters, columns) = (statement.params(), statement.columns());
        (!parameters.is_empty() || !columns.is_empty()).then(|| Place {
            parameters: parameters.as_ptr().addr(),
            columns: columns.as_ptr().addr(),
        })
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
