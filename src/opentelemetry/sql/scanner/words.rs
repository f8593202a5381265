//! The keywords that the scanner knows.

/// What a statement of PostgreSQL begins with ([SQL commands]), and one of those that speak its
/// protocol: Redshift, CockroachDB, PgBouncer's console.
///
/// [SQL commands]: https://www.postgresql.org/docs/current/sql-commands.html
pub(super) const COMMANDS: &[&str] = &[
    "ABORT",
    "ALTER",
    "ANALYSE",
    "ANALYZE",
    "BACKUP",
    "BEGIN",
    "CALL",
    "CHECKPOINT",
    "CLOSE",
    "CLUSTER",
    "COMMENT",
    "COMMIT",
    "COPY",
    "CREATE",
    "DEALLOCATE",
    "DECLARE",
    "DELETE",
    "DISCARD",
    "DO",
    "DROP",
    "END",
    "EXECUTE",
    "EXPLAIN",
    "EXPORT",
    "FETCH",
    "GRANT",
    "IMPORT",
    "INSERT",
    "KILL",
    "LISTEN",
    "LOAD",
    "LOCK",
    "MERGE",
    "MOVE",
    "NOTIFY",
    "PAUSE",
    "PREPARE",
    "REASSIGN",
    "REFRESH",
    "REINDEX",
    "RELEASE",
    "RELOAD",
    "REPACK",
    "RESET",
    "RESTORE",
    "RESUME",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SECURITY",
    "SELECT",
    "SET",
    "SHOW",
    "START",
    "TABLE",
    "TRUNCATE",
    "UNLISTEN",
    "UNLOAD",
    "UPDATE",
    "UPSERT",
    "VACUUM",
    "VALUES",
    "WITH",
];

pub(super) fn is_any(word: &str, keywords: &[&str]) -> bool {
    keywords
        .iter()
        .any(|keyword| word.eq_ignore_ascii_case(keyword))
}

/// With these a subquery begins.
pub(super) const QUERIES: &[&str] = &[
    "SELECT", "WITH", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE", "MERGE",
];

/// These may stand before a table's name.
pub(super) const BEFORE_A_TABLE: &[&str] = &["ONLY", "LATERAL", "TABLE", "IF", "NOT", "EXISTS"];

/// Behind these a comma no longer leads to a table.
pub(super) const AFTER_TABLES: &[&str] = &[
    "WHERE",
    "GROUP",
    "ORDER",
    "HAVING",
    "LIMIT",
    "OFFSET",
    "FETCH",
    "FOR",
    "WINDOW",
    "RETURNING",
    "SET",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "VALUES",
    "WHEN",
    "IN",
];

/// These may stand between CREATE and what is created.
pub(super) const BEFORE_AN_OBJECT: &[&str] = &[
    "OR",
    "REPLACE",
    "GLOBAL",
    "LOCAL",
    "TEMP",
    "TEMPORARY",
    "UNLOGGED",
    "FOREIGN",
    "UNIQUE",
    "MATERIALIZED",
    "RECURSIVE",
];

/// What is created, as part of the operation's name.
pub(super) const OBJECTS: &[&str] = &[
    "TABLE",
    "INDEX",
    "VIEW",
    "SCHEMA",
    "DATABASE",
    "ROLE",
    "USER",
    "EXTENSION",
    "SEQUENCE",
    "TYPE",
    "TRIGGER",
];
