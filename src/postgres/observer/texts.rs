//! Which text a statement or a portal has.

use std::sync::{Arc, OnceLock};

use super::ledger::{Key, Ledger};
use crate::{
    opentelemetry::sql::{Description, describe, describe_simple},
    postgres::{numbers::Numbers, recent::Recent},
};

/// A text that was sent to be run, now or later.
pub(super) struct Text {
    /// By which it is announced.
    pub(super) hash: u64,
    /// It came by the simple protocol.
    is_simple: bool,
    /// The driver asks for its own purposes.
    pub(super) is_look_up: bool,
    /// As the driver writes it for a transaction that was dropped.
    pub(super) is_rollback: bool,
    /// It begins with the end of a transaction, which may turn out to be a rollback.
    pub(super) commits: bool,
    beginning: Box<[u8]>,
    description: OnceLock<Arc<Description>>,
}

impl Text {
    /// Of a `Query`.
    pub(super) fn simple(text: &[u8], ledger: &Ledger) -> Self {
        Text {
            is_simple: true,
            ..Text::new(text, ledger)
        }
    }

    /// Of a `Parse`.
    pub(super) fn new(text: &[u8], ledger: &Ledger) -> Self {
        Text {
            hash: ledger.hash(text),
            is_simple: false,
            is_rollback: text == b"ROLLBACK" || text.starts_with(b"ROLLBACK TO "),
            commits: commits(text),
            is_look_up: LOOK_UPS.iter().any(|known| known.as_bytes() == text),
            beginning: text.get(..STORED).unwrap_or(text).into(),
            description: OnceLock::new(),
        }
    }

    /// By which it is announced that is to be run, or only prepared.
    pub(super) fn keys(&self) -> [Key; 2] {
        [Key::Text(self.hash), Key::Preparation(self.hash)]
    }

    pub(super) fn description(&self) -> Arc<Description> {
        Arc::clone(self.description.get_or_init(|| {
            let text = String::from_utf8_lossy(&self.beginning);
            Arc::new(match self.is_simple {
                true => describe_simple(&text),
                false => describe(&text),
            })
        }))
    }
}

/// The texts of a session's statements and portals, by the names that the client gave them.
///
/// Of what the client writes alone: answers come later, when it may have written more. Portals that
/// ended with their transaction are closed by the driver, or forgotten for others.
#[derive(Default)]
pub(super) struct Texts {
    statements: Names<Arc<Text>>,
    portals: Names<Bound>,
}

/// What a portal runs.
#[derive(Clone)]
pub(super) struct Bound {
    /// The number of the statement, if the driver named it.
    pub(super) statement: Option<u64>,
    /// None: it was prepared too long ago.
    pub(super) text: Option<Arc<Text>>,
}

impl Texts {
    pub(super) fn parse(&mut self, statement: &[u8], text: Arc<Text>) {
        self.statements.insert(statement, text);
    }

    pub(super) fn bind(&mut self, portal: &[u8], statement: &[u8]) {
        let bound = Bound {
            statement: number(statement),
            text: self.statements.find(statement),
        };
        self.portals.insert(portal, bound);
    }

    /// What is run; nothing is known of it if it was not bound here.
    pub(super) fn execute(&mut self, portal: &[u8]) -> Bound {
        self.portals.find(portal).unwrap_or(Bound {
            statement: None,
            text: None,
        })
    }

    pub(super) fn close(&mut self, kind: u8, name: &[u8]) {
        match kind {
            b'S' => self.statements.remove(name),
            _ => self.portals.remove(name),
        }
    }

    /// The text of the statement that the driver gave this number.
    pub(super) fn of_statement(&mut self, number: u64) -> Option<Arc<Text>> {
        self.statements.find(format!("s{number}").as_bytes())
    }
}

/// Names, among them the empty one, which is used most, and the driver's, which are short.
struct Names<V> {
    unnamed: Option<V>,
    short: Recent<u64, V, Numbers>,
    long: Recent<Box<[u8]>, V>,
}

impl<V: Clone> Names<V> {
    fn insert(&mut self, name: &[u8], value: V) {
        match (name, short(name)) {
            ([], _) => self.unnamed = Some(value),
            (_, Some(short)) => self.short.insert(short, value),
            _ => self.long.insert(name.into(), value),
        }
    }

    fn find(&mut self, name: &[u8]) -> Option<V> {
        match (name, short(name)) {
            ([], _) => self.unnamed.clone(),
            (_, Some(short)) => self.short.find(&short),
            _ => self.long.find(name),
        }
    }

    fn remove(&mut self, name: &[u8]) {
        match (name, short(name)) {
            ([], _) => self.unnamed = None,
            (_, Some(short)) => self.short.remove(&short),
            _ => self.long.remove(name),
        }
    }
}

impl<V> Default for Names<V> {
    fn default() -> Self {
        Names {
            unnamed: None,
            short: Recent::default(),
            long: Recent::default(),
        }
    }
}

/// A name that fits into a number. No byte of a name is 0.
fn short(name: &[u8]) -> Option<u64> {
    let append = |number: u64, byte: &u8| (number << 8) | u64::from(*byte);
    (name.len() <= size_of::<u64>()).then(|| name.iter().fold(0, append))
}

/// 7 of `s7`: so the driver names its statements.
fn number(name: &[u8]) -> Option<u64> {
    let digits = name.strip_prefix(b"s")?;
    let is_number = digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| str::from_utf8(digits).ok()?.parse().ok())?
}

/// Whether the first word is `COMMIT` or its synonym `END`.
pub(super) fn commits(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    let is_word = |word: &[u8]| {
        text.split_at_checked(word.len())
            .is_some_and(|(first, rest)| {
                first.eq_ignore_ascii_case(word)
                    && !rest
                        .first()
                        .is_some_and(|next| next.is_ascii_alphanumeric() || b"_$".contains(next))
            })
    };
    is_word(b"COMMIT") || is_word(b"END")
}

/// What is kept of a text, in bytes: [`describe`] looks at 16 KiB, and has to see that there is
/// more.
const STORED: usize = 17 * 1_024;

/// By these the driver finds out what a type is that it does not know. A test with such types tells
/// should a later version of it ask otherwise.
const LOOK_UPS: [&str; 5] = [
    "SELECT t.typname, t.typtype, t.typelem, r.rngsubtype, t.typbasetype, n.nspname, t.typrelid
FROM pg_catalog.pg_type t
LEFT OUTER JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid
INNER JOIN pg_catalog.pg_namespace n ON t.typnamespace = n.oid
WHERE t.oid = $1
",
    "SELECT t.typname, t.typtype, t.typelem, NULL::OID, t.typbasetype, n.nspname, t.typrelid
FROM pg_catalog.pg_type t
INNER JOIN pg_catalog.pg_namespace n ON t.typnamespace = n.oid
WHERE t.oid = $1
",
    "SELECT enumlabel
FROM pg_catalog.pg_enum
WHERE enumtypid = $1
ORDER BY enumsortorder
",
    "SELECT enumlabel
FROM pg_catalog.pg_enum
WHERE enumtypid = $1
ORDER BY oid
",
    "SELECT attname, atttypid
FROM pg_catalog.pg_attribute
WHERE attrelid = $1
AND NOT attisdropped
AND attnum > 0
ORDER BY attnum
",
];
