//! Where in a statement the scanner is.

/// One level of parentheses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) level: Level,
    pub(super) verb: Verb,
    pub(super) expect: Expect,
    /// A comma leads to another table.
    pub(super) list: bool,
    /// Within the names of a WITH.
    pub(super) with: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// A statement or a subquery.
    Query,
    /// Tables in parentheses.
    Tables,
    /// An expression, a list of columns.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// Nothing was seen yet.
    None,
    Select,
    Insert,
    Update,
    Delete,
    Merge,
    /// Tables stand directly behind it: COPY, LOCK, TRUNCATE, and DDL of tables.
    Direct,
    /// CREATE, ALTER or DROP, of what is still to come.
    Definition,
    /// A statement whose tables are not looked for.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    Nothing,
    /// A table that is read.
    Source,
    /// A table that is written: a parenthesis behind it holds its columns.
    Target,
    /// The name of a common table expression.
    Common,
}

impl Frame {
    pub(super) fn new(level: Level) -> Self {
        Frame {
            level,
            verb: Verb::None,
            expect: Expect::Nothing,
            list: false,
            with: false,
        }
    }
}

impl Verb {
    /// A FROM of this statement leads to tables.
    pub(super) fn reads(self) -> bool {
        matches!(
            self,
            Verb::Select | Verb::Insert | Verb::Update | Verb::Delete
        )
    }
}
