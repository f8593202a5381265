//! What a query's span says of its text: the operation, the table, and the text itself.
//!
//! A text with parameters (`$1`) is shown as it is: who uses parameters has put the values there.
//! In any other text literals are replaced by `?`, and comments go, since they may hold anything.
//! A table is named only where that is certain.

mod end;
mod lexer;
mod scanner;
mod subject;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, sync::Arc};

use ::opentelemetry::{KeyValue, Value};

use super::attributes as key;
pub(super) use end::end;
use lexer::{Kind, Lexer};
use scanner::Scanner;
pub(crate) use subject::Subject;

/// At most this many bytes of a text are shown.
const SHOWN: usize = 4096;

/// At most this many bytes of a text are looked at.
const LOOKED_AT: usize = 16 * 1024;

/// The operation, the table and the text of a query, fit for a span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Description {
    /// As the text has it; `None` for a statement whose text is not known.
    operation: Option<Arc<str>>,
    /// The first table, if it is certain.
    table: Option<Arc<str>>,
    /// No other table is named.
    single_table: bool,
    /// How many statements are sent at once, if it is not one and all were looked at.
    batch: Option<usize>,
    text: Option<Arc<str>>,
}

/// Describes a text of any length in bounded time.
pub(crate) fn describe(text: &str) -> Description {
    read(text, Protocol::Extended)
}

/// Describes a text that the simple protocol carries: it has no parameters, and `$1` in it is part
/// of a statement that is prepared or a function that is made, beside literals that are values.
pub(crate) fn describe_simple(text: &str) -> Description {
    read(text, Protocol::Simple)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// One statement, which may have parameters.
    Extended,
    /// Any number of statements, none included.
    Simple,
}

fn read(text: &str, protocol: Protocol) -> Description {
    let looked_at = prefix(text, LOOKED_AT);
    let mut whole = looked_at.len() == text.len();
    let mut scanner = Scanner::new();
    let mut sanitised = Sanitised::new(looked_at);
    let mut parameters = false;
    let mut empty = true;
    for token in Lexer::new(looked_at) {
        match token.kind {
            Kind::Comment => sanitised.replace(" "),
            Kind::Literal => sanitised.replace("?"),
            // Behind it, what is a literal and what is not cannot be told.
            Kind::AmbiguousLiteral => {
                sanitised.replace("?");
                whole = false;
                break;
            }
            _ => sanitised.keep(token.text),
        }
        parameters |= protocol == Protocol::Extended && token.kind == Kind::Parameter;
        empty &= matches!(token.kind, Kind::Space | Kind::Comment | Kind::Symbol(';'));
        if scanner.token(token) {
            sanitised.end_statement();
        }
    }
    let found = scanner.finish(whole);
    let batch = match found.statements {
        _ if !whole => None,
        0 if empty && protocol == Protocol::Simple => Some(0),
        0 | 1 => None,
        several => Some(several),
    };
    let operation = match batch {
        Some(0) => Some("BATCH".to_owned()),
        _ => found.operation,
    };
    let shown = match batch {
        _ if parameters && whole => text,
        Some(_) => sanitised.common().unwrap_or(sanitised.text()),
        None => sanitised.text(),
    };
    Description {
        operation: operation.map(Arc::from),
        table: found.table.map(Arc::from),
        single_table: found.single_table,
        batch,
        text: Some(cut(shown, whole)),
    }
}

/// The tokens of a text.
#[cfg(fuzzing)]
pub(crate) fn tokens(text: &str) -> impl Iterator<Item = &str> {
    Lexer::new(text).map(|token| token.text)
}

impl Description {
    /// The same statement, but only sent to be `PREPARE`d or `BIND`ed.
    pub(crate) fn only(&self, operation: &'static str) -> Self {
        Description {
            operation: Some(Arc::from(operation)),
            ..self.clone()
        }
    }

    /// `{operation} {table}`, never a literal.
    pub(super) fn span_name(&self) -> Cow<'static, str> {
        match (&self.operation, &self.table) {
            (Some(operation), Some(table)) => Cow::Owned([operation, " ", table].concat()),
            (Some(operation), None) => Cow::Owned(operation.as_ref().to_owned()),
            (None, _) => Cow::Borrowed("postgresql"),
        }
    }

    /// `db.operation.name`.
    pub(crate) fn operation(&self) -> Option<&str> {
        self.operation.as_deref()
    }

    /// `db.collection.name`: only where there is no other table.
    pub(crate) fn collection(&self) -> Option<&str> {
        self.single_table.then_some(self.table.as_deref()?)
    }

    /// `db.operation.batch.size`: not of one statement.
    pub(crate) fn batch_size(&self) -> Option<i64> {
        self.batch
            .map(|statements| i64::try_from(statements).unwrap_or(i64::MAX))
    }

    /// `db.query.text`, fit to be shown.
    pub(crate) fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    pub(super) fn write_attributes(&self, attributes: &mut Vec<KeyValue>, show_text: bool) {
        attributes.extend(self.operation_name(|_| true));
        attributes.extend(self.collection_name(|_| true));
        if let Some(statements) = self.batch_size() {
            attributes.push(KeyValue::new(key::DB_OPERATION_BATCH_SIZE, statements));
        }
        if let Some(text) = self.text.as_ref().filter(|_| show_text) {
            attributes.push(shared(key::DB_QUERY_TEXT, text));
        }
    }

    /// The operation as an attribute, if it is known and wanted.
    pub(super) fn operation_name(&self, wanted: impl FnOnce(&str) -> bool) -> Option<KeyValue> {
        let operation = self.operation.as_ref().filter(|name| wanted(name))?;
        Some(shared(key::DB_OPERATION_NAME, operation))
    }

    /// The table as an attribute, if it is the only one and wanted.
    pub(super) fn collection_name(&self, wanted: impl FnOnce(&str) -> bool) -> Option<KeyValue> {
        let table = self.table.as_ref().filter(|_| self.single_table)?;
        wanted(table).then(|| shared(key::DB_COLLECTION_NAME, table))
    }
}

/// A value that copies by counting references.
fn shared(key: &'static str, value: &Arc<str>) -> KeyValue {
    KeyValue::new(key, Value::from(Arc::clone(value)))
}

/// A text of which some is replaced, copied from the first replacement on.
#[derive(Debug)]
struct Sanitised<'a> {
    text: &'a str,
    /// How much of it is as it was, while nothing is replaced.
    kept: usize,
    replaced: Option<String>,
    /// Where statements end.
    ends: Vec<usize>,
}

impl<'a> Sanitised<'a> {
    fn new(text: &'a str) -> Self {
        Sanitised {
            text,
            kept: 0,
            replaced: None,
            ends: Vec::new(),
        }
    }

    fn keep(&mut self, piece: &str) {
        match &mut self.replaced {
            None => self.kept += piece.len(),
            // More than is shown need not be copied, but for one character that says so.
            Some(replaced) if replaced.len() > SHOWN => {}
            Some(replaced) => replaced.push_str(piece),
        }
    }

    fn replace(&mut self, by: &str) {
        let beginning = || prefix(self.text, self.kept).to_owned();
        let replaced = self.replaced.get_or_insert_with(beginning);
        if replaced.len() <= SHOWN {
            replaced.push_str(by);
        }
    }

    fn end_statement(&mut self) {
        self.ends.push(self.text().len());
    }

    /// The text of each statement, if all have the same one.
    fn common(&self) -> Option<&str> {
        let text = self.text();
        // What is longer was not copied to its end.
        if text.len() > SHOWN {
            return None;
        }
        let mut common = None;
        let mut begin = 0;
        for &end in self.ends.iter().chain([&text.len()]) {
            let around = |one: char| one == ';' || one.is_whitespace();
            let statement = text.get(begin..end)?.trim_matches(around);
            begin = end;
            if !statement.is_empty() && *common.get_or_insert(statement) != statement {
                return None;
            }
        }
        common
    }

    fn text(&self) -> &str {
        match &self.replaced {
            Some(replaced) => replaced,
            None => prefix(self.text, self.kept),
        }
    }
}

/// As much of the text as is shown, with a sign if that, or what was looked at, is not all.
fn cut(text: &str, whole: bool) -> Arc<str> {
    let shown = prefix(text, SHOWN);
    match whole && shown.len() == text.len() {
        true => Arc::from(shown),
        false => Arc::from(format!("{shown}…")),
    }
}

/// The longest beginning of at most `length` bytes that ends between characters.
fn prefix(text: &str, length: usize) -> &str {
    text.get(..text.floor_char_boundary(length)).unwrap_or(text)
}
