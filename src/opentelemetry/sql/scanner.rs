//! Finds operation and tables in a stream of tokens, without parsing SQL.
//!
//! It follows parentheses, knows in which clauses a table can stand, and is silent where it does
//! not know.

mod frame;
mod words;

use self::{
    frame::{Expect, Frame, Level, Verb},
    words::{AFTER_TABLES, BEFORE_A_TABLE, BEFORE_AN_OBJECT, COMMANDS, OBJECTS, QUERIES, is_any},
};
use super::lexer::{Kind, Token};

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) operation: Option<String>,
    pub(super) table: Option<String>,
    pub(super) single_table: bool,
    pub(super) statements: usize,
}

/// Deeper nesting is not followed: the tables are then not certain.
const DEPTH: usize = 64;

/// PostgreSQL's own names end at 63 bytes; this holds catalog, schema and table, quoted.
const NAME: usize = 255;

#[derive(Debug)]
pub(super) struct Scanner<'a> {
    frames: Vec<Frame>,
    operations: Vec<String>,
    operation: Option<String>,
    tables: Tables<'a>,
    statements: usize,
    /// The significant token before this one, if it was a word.
    previous: &'a str,
    /// A name that may go on with a dot.
    name: Option<Name>,
    /// An opened parenthesis whose first token is still to come.
    opened: bool,
}

#[derive(Debug, Default)]
struct Tables<'a> {
    first: Option<String>,
    several: bool,
    uncertain: bool,
    common: Vec<&'a str>,
}

/// A name that is being read.
#[derive(Debug)]
struct Name {
    text: String,
    /// In FROM, `name(` is a function.
    may_be_function: bool,
    after_dot: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn new() -> Self {
        Scanner {
            frames: vec![Frame::new(Level::Query)],
            operations: Vec::new(),
            operation: None,
            tables: Tables::default(),
            statements: 0,
            previous: "",
            name: None,
            opened: false,
        }
    }

    /// Whether a statement ended with it.
    pub(super) fn token(&mut self, token: Token<'a>) -> bool {
        let statements = self.statements;
        match token.kind {
            Kind::Space | Kind::Comment => return false,
            Kind::Symbol('.') if self.name.is_some() => {
                if let Some(name) = &mut self.name {
                    name.text.push('.');
                    name.after_dot = true;
                }
                return false;
            }
            Kind::Word | Kind::QuotedName if self.name.as_ref().is_some_and(|n| n.after_dot) => {
                if let Some(name) = &mut self.name {
                    name.text.push_str(token.text);
                    name.after_dot = false;
                }
                return false;
            }
            _ => {}
        }
        self.end_name(token.kind == Kind::Symbol('('));
        if self.opened {
            self.opened = false;
            self.open(token);
        }
        match token.kind {
            Kind::Symbol('(') => self.opened = true,
            Kind::Symbol(')') => self.close(),
            Kind::Symbol(',') => self.comma(),
            Kind::Symbol(';') => self.end_statement(),
            Kind::Word => self.word(token.text),
            Kind::QuotedName => self.name(token.text),
            _ => self.expect_nothing(),
        }
        self.previous = match token.kind {
            Kind::Word => token.text,
            _ => "",
        };
        self.statements > statements
    }

    /// `whole` says whether these were all the tokens of the text.
    pub(super) fn finish(mut self, whole: bool) -> Found {
        self.end_name(false);
        self.tables.uncertain |= whole && self.frames.len() > 1;
        self.tables.several |= !whole;
        self.count_statement();
        let operation = match self.operations.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            [first, others @ ..]
                if whole && others.iter().all(|one| one.eq_ignore_ascii_case(first)) =>
            {
                Some(format!("BATCH {first}"))
            }
            _ => Some("BATCH".to_owned()),
        };
        let table = self.tables.first.filter(|_| !self.tables.uncertain);
        Found {
            operation,
            single_table: table.is_some() && !self.tables.several,
            table,
            statements: self.statements,
        }
    }

    /// A parenthesis has opened, and `first` is the first token in it.
    fn open(&mut self, first: Token<'a>) {
        if self.frames.len() >= DEPTH {
            self.tables.uncertain = true;
            return;
        }
        let is_query = first.kind == Kind::Word && is_any(first.text, QUERIES);
        let expects_tables = self.frame().expect == Expect::Source;
        self.expect_nothing();
        let mut frame = Frame::new(if is_query {
            Level::Query
        } else if expects_tables {
            Level::Tables
        } else {
            Level::Other
        });
        if frame.level == Level::Tables {
            frame.expect = Expect::Source;
            frame.list = true;
        }
        self.frames.push(frame);
    }

    fn close(&mut self) {
        if self.frames.len() > 1 {
            self.frames.pop();
        } else {
            self.tables.uncertain = true;
        }
    }

    fn comma(&mut self) {
        let frame = self.frame();
        if frame.with {
            frame.expect = Expect::Common;
        } else if frame.list {
            frame.expect = match frame.verb {
                Verb::Direct => Expect::Target,
                _ => Expect::Source,
            };
        }
    }

    fn end_statement(&mut self) {
        if self.frames.len() > 1 || self.is_function_body() {
            self.tables.uncertain = true;
            return;
        }
        self.count_statement();
        *self.frame() = Frame::new(Level::Query);
    }

    fn count_statement(&mut self) {
        if let Some(operation) = self.operation.take() {
            self.statements += 1;
            self.operations.push(operation);
        }
    }

    /// In `CREATE FUNCTION … BEGIN ATOMIC`, statements end without ending the statement.
    fn is_function_body(&self) -> bool {
        self.operation
            .as_deref()
            .is_some_and(|operation| operation.eq_ignore_ascii_case("CREATE"))
    }

    fn word(&mut self, word: &'a str) {
        let frame = *self.frame();
        match frame.expect {
            Expect::Common if word.eq_ignore_ascii_case("RECURSIVE") => {}
            Expect::Source | Expect::Target if is_any(word, BEFORE_A_TABLE) => {}
            Expect::Source if word.eq_ignore_ascii_case("ROWS") => self.expect_nothing(),
            Expect::Nothing if frame.level == Level::Other => {}
            Expect::Nothing => self.keyword(word, frame),
            _ => self.name(word),
        }
    }

    fn keyword(&mut self, word: &'a str, frame: Frame) {
        if frame.level == Level::Query && frame.verb == Verb::None {
            self.verb(word);
            return;
        }
        if frame.verb == Verb::Definition {
            self.definition(word);
            return;
        }
        let clause = self.previous;
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
        if frame.verb == Verb::Other {
            if is("TRANSACTION") && clause.eq_ignore_ascii_case("START") {
                self.extend_operation(word);
            }
        } else if frame.verb == Verb::Direct && is("SELECT") {
            // `CREATE TABLE … AS SELECT …` names the tables that it reads, too.
            self.frame().verb = Verb::Select;
        } else if frame.level == Level::Query && is_any(word, AFTER_TABLES) {
            self.frame().list = false;
        } else if is("JOIN") {
            self.frame().expect = Expect::Source;
        } else if is("FROM") && frame.verb.reads() && !clause.eq_ignore_ascii_case("DISTINCT") {
            self.frame().expect = Expect::Source;
            self.frame().list = true;
        } else if is("USING") && matches!(frame.verb, Verb::Delete | Verb::Merge) {
            // `JOIN … USING (column)` is of this verb too: there `open` must not see a table.
            self.frame().expect = Expect::Target;
            self.frame().list = frame.verb == Verb::Delete;
        } else if is("INTO") && matches!(frame.verb, Verb::Select | Verb::Insert | Verb::Merge) {
            self.frame().expect = Expect::Target;
        }
    }

    /// The first word of a statement or a subquery.
    fn verb(&mut self, word: &'a str) {
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
        let frame = self.frame();
        if is("WITH") && !frame.with {
            frame.with = true;
            frame.expect = Expect::Common;
            return;
        }
        if frame.with && !is_any(word, QUERIES) {
            return;
        }
        frame.with = false;
        frame.verb = match word {
            _ if is("SELECT") || is("VALUES") => Verb::Select,
            _ if is("INSERT") => Verb::Insert,
            _ if is("UPDATE") => Verb::Update,
            _ if is("DELETE") => Verb::Delete,
            _ if is("MERGE") => Verb::Merge,
            _ if is_any(word, &["COPY", "LOCK", "TABLE", "TRUNCATE"]) => Verb::Direct,
            _ if is_any(word, &["ALTER", "CREATE", "DROP"]) => Verb::Definition,
            _ => Verb::Other,
        };
        if matches!(frame.verb, Verb::Update | Verb::Direct) {
            frame.expect = Expect::Target;
            frame.list = is("LOCK") || is("TRUNCATE");
        }
        // In `(SELECT …) UNION …` the first verb stands in parentheses.
        let of_statement = match self.frames.as_slice() {
            [_] => true,
            [outer, ..] => outer.verb == Verb::None && !outer.with,
            [] => false,
        };
        // What begins with any other word is no statement, and may hold anything.
        if of_statement && self.operation.is_none() && is_any(word, COMMANDS) {
            self.operation = Some(word.to_owned());
        }
    }

    /// A word behind CREATE, ALTER or DROP.
    fn definition(&mut self, word: &'a str) {
        if is_any(word, BEFORE_AN_OBJECT) {
            return;
        }
        let is_table = word.eq_ignore_ascii_case("TABLE");
        let is_drop = self
            .operation
            .as_deref()
            .is_some_and(|operation| operation.eq_ignore_ascii_case("DROP"));
        if is_any(word, OBJECTS) {
            self.extend_operation(word);
        }
        let frame = self.frame();
        if is_table {
            frame.verb = Verb::Direct;
            frame.expect = Expect::Target;
            frame.list = is_drop;
        } else {
            frame.verb = Verb::Other;
        }
    }

    fn extend_operation(&mut self, word: &str) {
        if let Some(operation) = &mut self.operation {
            operation.push(' ');
            operation.push_str(word);
        }
    }

    /// A name where one is expected.
    fn name(&mut self, text: &'a str) {
        let frame = self.frame();
        let expected = frame.expect;
        frame.expect = Expect::Nothing;
        match expected {
            Expect::Nothing => {}
            Expect::Common => self.tables.common.push(text),
            Expect::Source | Expect::Target => {
                self.name = Some(Name {
                    text: text.to_owned(),
                    may_be_function: expected == Expect::Source,
                    after_dot: false,
                });
            }
        }
    }

    fn end_name(&mut self, parenthesis_follows: bool) {
        let Some(name) = self.name.take() else {
            return;
        };
        if name.may_be_function && parenthesis_follows {
            return;
        }
        self.tables.add(name);
    }

    fn expect_nothing(&mut self) {
        self.frame().expect = Expect::Nothing;
    }

    fn frame(&mut self) -> &mut Frame {
        if self.frames.is_empty() {
            self.frames.push(Frame::new(Level::Query));
        }
        let last = self.frames.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "there is a frame, see above")]
        &mut self.frames[last]
    }
}

impl Tables<'_> {
    fn add(&mut self, name: Name) {
        if name.after_dot || name.text.len() > NAME {
            self.uncertain = true;
            return;
        }
        if self
            .common
            .iter()
            .any(|one| one.eq_ignore_ascii_case(&name.text))
        {
            return;
        }
        match &self.first {
            None => self.first = Some(name.text),
            Some(first) => self.several |= *first != name.text,
        }
    }
}
