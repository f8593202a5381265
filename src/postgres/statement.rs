//! Statements: what may be run, and which text a prepared one has.

use std::{
    collections::HashMap,
    fmt::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use tokio_postgres::Statement;

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

/// At most this many statements of a connection are remembered; the least recently used one goes.
const REMEMBERED: usize = 512;

/// The texts of a connection's prepared statements.
///
/// The driver keeps no text, and does not tell when a statement is gone.
#[derive(Debug, Default)]
pub(super) struct Statements(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    by_number: HashMap<u64, Entry>,
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    description: Arc<Description>,
    last_use: u64,
}

impl Statements {
    pub(super) fn insert(&self, statement: &Statement, description: Arc<Description>) {
        if let Some(number) = number(statement) {
            self.lock().insert(number, description);
        }
    }

    /// What the statement was prepared from; nothing is known of one that the driver's own client
    /// prepared.
    pub(super) fn find(&self, statement: &Statement) -> Arc<Description> {
        number(statement)
            .and_then(|number| self.lock().find(number))
            .unwrap_or_default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remembered {
    fn insert(&mut self, number: u64, description: Arc<Description>) {
        if self.by_number.len() >= REMEMBERED {
            let oldest = self
                .by_number
                .iter()
                .min_by_key(|(_, entry)| entry.last_use);
            if let Some((&oldest, _)) = oldest {
                self.by_number.remove(&oldest);
            }
        }
        self.uses += 1;
        let entry = Entry {
            description,
            last_use: self.uses,
        };
        self.by_number.insert(number, entry);
    }

    fn find(&mut self, number: u64) -> Option<Arc<Description>> {
        self.uses += 1;
        let entry = self.by_number.get_mut(&number)?;
        entry.last_use = self.uses;
        Some(Arc::clone(&entry.description))
    }
}

/// 7 of the statement that the driver named `s7`, a name that no other statement of this process
/// has. Only its `Debug` output shows it: `Statement { name: "s7", …`.
fn number(statement: &Statement) -> Option<u64> {
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
        for character in piece.chars() {
            match (character, self.inside) {
                ('"', false) => self.inside = true,
                ('"', true) => return Err(fmt::Error),
                (_, false) => {}
                (_, true) if self.read.len() >= LONGEST => return Err(fmt::Error),
                (character, true) => self.read.push(character),
            }
        }
        Ok(())
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

    #[test]
    fn the_least_recently_used_statement_is_forgotten() {
        let mut remembered = Remembered::default();
        for number in 0..REMEMBERED as u64 {
            remembered.insert(number, Arc::default());
        }
        assert!(remembered.find(0).is_some());
        remembered.insert(1_000_000, Arc::default());
        assert_eq!(remembered.by_number.len(), REMEMBERED);
        assert!(remembered.find(0).is_some() && remembered.find(1).is_none());
    }
}
