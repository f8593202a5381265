mod batches;

use super::*;

/// Operation, first table, whether it is the only one, and the statements of a text.
fn found(text: &str) -> (String, String, bool, usize) {
    let description = describe(text);
    (
        description.operation.as_deref().unwrap_or("-").to_owned(),
        description.table.as_deref().unwrap_or("-").to_owned(),
        description.single_table,
        description.batch.unwrap_or(1),
    )
}

fn shown(text: &str) -> String {
    describe(text).text.unwrap().to_string()
}

#[test]
fn one_table_is_named() {
    for (text, operation, table) in [
        ("SELECT * FROM orders", "SELECT", "orders"),
        ("select id from orders o where id = 1", "select", "orders"),
        ("SELECT * FROM shop.orders", "SELECT", "shop.orders"),
        ("SELECT * FROM \"Order Lines\"", "SELECT", "\"Order Lines\""),
        ("SELECT * FROM shop.\"a.b\" AS x", "SELECT", "shop.\"a.b\""),
        ("SELECT * FROM ONLY orders", "SELECT", "orders"),
        ("SELECT * FROM ONLY (orders)", "SELECT", "orders"),
        (
            "/* 'from x' */ SELECT 1 -- from y\n FROM orders",
            "SELECT",
            "orders",
        ),
        ("SELECT ' FROM x' FROM orders", "SELECT", "orders"),
        ("SELECT $$ FROM x $$ FROM orders", "SELECT", "orders"),
        (
            "SELECT extract(year FROM placed) FROM orders",
            "SELECT",
            "orders",
        ),
        (
            "SELECT a IS DISTINCT FROM b FROM orders",
            "SELECT",
            "orders",
        ),
        (
            "SELECT trim(both from name) FROM orders",
            "SELECT",
            "orders",
        ),
        (
            "SELECT a.x FROM orders a JOIN orders b USING (id)",
            "SELECT",
            "orders",
        ),
        (
            "SELECT * FROM orders, generate_series(1, 3) g",
            "SELECT",
            "orders",
        ),
        (
            "SELECT * FROM (SELECT * FROM orders) AS t",
            "SELECT",
            "orders",
        ),
        (
            "SELECT * FROM orders ORDER BY a, b LIMIT 3",
            "SELECT",
            "orders",
        ),
        (
            "SELECT * FROM orders FOR UPDATE OF orders",
            "SELECT",
            "orders",
        ),
        ("SELECT * FROM bestellungen_ä", "SELECT", "bestellungen_ä"),
        (
            "(SELECT 1 FROM orders) UNION ALL (SELECT 2 FROM orders)",
            "SELECT",
            "orders",
        ),
        (
            "WITH t AS (SELECT * FROM orders) SELECT * FROM t",
            "SELECT",
            "orders",
        ),
        (
            "WITH RECURSIVE t(n) AS (SELECT 1 UNION SELECT n + 1 FROM t), u AS MATERIALIZED \
          (TABLE orders) SELECT * FROM t, U",
            "SELECT",
            "orders",
        ),
        (
            "WITH d AS (SELECT 1) INSERT INTO orders SELECT * FROM d",
            "INSERT",
            "orders",
        ),
        (
            "INSERT INTO orders (a, b) VALUES ($1, $2) RETURNING id",
            "INSERT",
            "orders",
        ),
        (
            "INSERT INTO orders VALUES (1) ON CONFLICT (id) DO UPDATE SET a = 1, b = 2",
            "INSERT",
            "orders",
        ),
        (
            "UPDATE ONLY orders SET a = 1, b = 2 WHERE id = 3",
            "UPDATE",
            "orders",
        ),
        ("DELETE FROM orders WHERE id = $1", "DELETE", "orders"),
        ("TRUNCATE TABLE orders", "TRUNCATE", "orders"),
        (
            "COPY orders (a, b) FROM STDIN WITH (FORMAT csv)",
            "COPY",
            "orders",
        ),
        ("COPY (SELECT * FROM orders) TO STDOUT", "COPY", "orders"),
        (
            "LOCK TABLE orders IN ACCESS EXCLUSIVE MODE",
            "LOCK",
            "orders",
        ),
        (
            "CREATE TEMP TABLE IF NOT EXISTS orders (id int REFERENCES x (y))",
            "CREATE TABLE",
            "orders",
        ),
        (
            "ALTER TABLE IF EXISTS ONLY orders ADD COLUMN a int",
            "ALTER TABLE",
            "orders",
        ),
        ("DROP TABLE IF EXISTS orders", "DROP TABLE", "orders"),
        ("TABLE orders", "TABLE", "orders"),
    ] {
        assert_eq!(
            found(text),
            (operation.into(), table.into(), true, 1),
            "{text}"
        );
    }
}

#[test]
fn with_several_tables_the_first_names_the_span_alone() {
    for (text, operation, table) in [
        ("SELECT * FROM orders, lines", "SELECT", "orders"),
        (
            "SELECT * FROM orders o JOIN lines l ON o.id = l.id",
            "SELECT",
            "orders",
        ),
        (
            "SELECT * FROM (orders o LEFT JOIN lines l ON true), x",
            "SELECT",
            "orders",
        ),
        (
            "SELECT (SELECT 1 FROM lines) FROM orders",
            "SELECT",
            "lines",
        ),
        (
            "SELECT * FROM orders WHERE id IN (SELECT id FROM lines)",
            "SELECT",
            "orders",
        ),
        (
            "SELECT 1 FROM orders UNION SELECT 2 FROM lines",
            "SELECT",
            "orders",
        ),
        ("INSERT INTO orders SELECT * FROM lines", "INSERT", "orders"),
        ("UPDATE orders SET a = l.a FROM lines l", "UPDATE", "orders"),
        (
            "DELETE FROM orders USING lines WHERE true",
            "DELETE",
            "orders",
        ),
        (
            "MERGE INTO orders o USING lines l ON true WHEN MATCHED THEN DELETE",
            "MERGE",
            "orders",
        ),
        (
            "CREATE TABLE orders AS SELECT * FROM lines",
            "CREATE TABLE",
            "orders",
        ),
        ("DROP TABLE orders, lines", "DROP TABLE", "orders"),
        ("TRUNCATE orders, lines", "TRUNCATE", "orders"),
    ] {
        assert_eq!(
            found(text),
            (operation.into(), table.into(), false, 1),
            "{text}"
        );
    }
}

#[test]
fn where_no_table_is_certain_none_is_named() {
    for (text, operation) in [
        ("SELECT 1", "SELECT"),
        ("SELECT * FROM generate_series(1, 3)", "SELECT"),
        ("SELECT * FROM (VALUES (1), (2)) AS t (n)", "SELECT"),
        ("SELECT * FROM ROWS FROM (f(1), g(2))", "SELECT"),
        ("SELECT * FROM orders)", "SELECT"),
        ("SELECT * FROM (orders", "SELECT"),
        ("SELECT * FROM orders.", "SELECT"),
        ("VALUES (1)", "VALUES"),
        (
            "START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY",
            "START TRANSACTION",
        ),
        ("BEGIN", "BEGIN"),
        ("ROLLBACK TO sp_1", "ROLLBACK"),
        ("SET search_path = a, b", "SET"),
        ("EXPLAIN ANALYZE SELECT * FROM orders", "EXPLAIN"),
        ("CREATE UNIQUE INDEX i ON orders (id)", "CREATE INDEX"),
        (
            "CREATE OR REPLACE VIEW v AS SELECT * FROM orders",
            "CREATE VIEW",
        ),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END",
            "CREATE",
        ),
        ("ALTER ROLE app PASSWORD 'x'", "ALTER ROLE"),
        ("GRANT SELECT ON orders TO app", "GRANT"),
        ("REVOKE ALL ON orders FROM app", "REVOKE"),
        ("DO $$ BEGIN DELETE FROM orders; END $$", "DO"),
        ("CALL f(1)", "CALL"),
    ] {
        assert_eq!(
            found(text),
            (operation.into(), "-".into(), false, 1),
            "{text}"
        );
    }
    assert_eq!(found(""), ("-".into(), "-".into(), false, 1));
    assert_eq!(found(" ; -- nothing"), ("-".into(), "-".into(), false, 1));
}

#[test]
fn prepared_statements_of_sql_are_named_by_what_is_done_with_them() {
    for (text, operation, shows) in [
        (
            "PREPARE p AS SELECT * FROM a WHERE b = $1",
            "PREPARE",
            "PREPARE p AS SELECT * FROM a WHERE b = $1",
        ),
        ("EXECUTE p('secret', 5)", "EXECUTE", "EXECUTE p(?, ?)"),
        ("DEALLOCATE p", "DEALLOCATE", "DEALLOCATE p"),
        ("DEALLOCATE ALL", "DEALLOCATE", "DEALLOCATE ALL"),
    ] {
        let description = describe_simple(text);
        assert_eq!(description.operation(), Some(operation));
        assert_eq!(description.text(), Some(shows));
    }
}

/// One text holds the parameter, and the value of another call of it.
#[test]
fn without_parameters_a_dollar_is_no_sign_of_them() {
    let text = "PREPARE p AS SELECT $1::text; EXECUTE p('secret')";
    let description = describe_simple(text);
    let expected = "PREPARE p AS SELECT $1::text; EXECUTE p(?)";
    assert_eq!(description.text(), Some(expected));
    assert_eq!(description.span_name(), "BATCH");
}

#[test]
fn literals_are_replaced_and_comments_go() {
    for (text, expected) in [
        ("SELECT 1", "SELECT ?"),
        (
            "SELECT -1.5e-10, 0xFF, .5, 1_000, t1.c2",
            "SELECT -?, ?, ?, ?, t1.c2",
        ),
        ("SELECT 'it''s', 'a' 'b'", "SELECT ?, ? ?"),
        (
            r"SELECT E'a\'b', U&'d\0061t', b'01', X'1F', N'x'",
            "SELECT ?, ?, ?, ?, ?",
        ),
        ("SELECT $$a'b$$, $tag$ $$ $tag$, 'x'", "SELECT ?, ?, ?"),
        (
            "SELECT \"it's 5\", U&\"d\\0061\"",
            "SELECT \"it's 5\", U&\"d\\0061\"",
        ),
        ("SELECT a/* 'x' /* 5 */ 6 */+b -- 7", "SELECT a +b  "),
        // Either byte of a line's end ends it, as it does for PostgreSQL.
        (
            "SELECT 1 -- x\rWHERE a = 'one\ntwo secret'",
            "SELECT ?  \rWHERE a = ?",
        ),
        (
            "SELECT DATE '2026-01-01', '1'::int",
            "SELECT DATE ?, ?::int",
        ),
        ("SELECT a->>'k', b[1]", "SELECT a->>?, b[?]"),
        ("SELECT 'unfinished", "SELECT ?"),
        ("SELECT $tag$unfinished", "SELECT ?"),
        ("SELECT 'ß', größe", "SELECT ?, größe"),
        (
            "ALTER ROLE app PASSWORD 'secret'",
            "ALTER ROLE app PASSWORD ?",
        ),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}

/// Whatever an application sends, the name of its span is short.
#[test]
fn a_first_word_that_begins_no_statement_is_no_operation() {
    for text in [
        "hunter2 FROM orders",
        "hunter2",
        "(hunter2)",
        "SELECT 1; hunter2",
    ] {
        let description = describe_simple(text);
        let said = format!("{:?} {}", description.operation, description.span_name());
        assert!(!said.contains("hunter2"), "{said}");
    }
    assert_eq!(
        describe("Refresh materialized view v").span_name(),
        "Refresh"
    );
}

#[test]
fn a_first_word_without_end_is_no_operation() {
    let word = "a".repeat(300);
    let (operation, ..) = found(&format!("{word} orders"));
    assert_eq!(operation, "-");
    let (operation, ..) = found(&format!("SELECT 1; {word}"));
    assert!(operation.len() < 300, "{operation}");
}

/// With `standard_conforming_strings` off, what looks like code here is still the string.
#[test]
fn behind_a_string_that_may_go_on_nothing_is_shown() {
    assert_eq!(shown(r"SELECT 'a\' , secret, 'b'"), "SELECT ?…");
    let (_, table, single, _) = found(r"SELECT 1 FROM a WHERE b = 'c\' AND 1 = (SELECT 1 FROM d)'");
    assert_eq!((table.as_str(), single), ("a", false));
}

#[test]
fn a_text_with_parameters_is_shown_as_it_is() {
    let text = "SELECT 'constant', 5 /* why */ FROM orders WHERE id = $1";
    assert_eq!(shown(text), text);
    let quoted = "SELECT '$1', \"$1\" -- $1";
    assert_eq!(shown(quoted), "SELECT ?, \"$1\"  ");
}

#[test]
fn a_long_text_is_cut_between_characters_and_described_in_bounded_time() {
    let text = format!("SELECT {} $1", "ä".repeat(SHOWN));
    let cut = shown(&text);
    assert!(cut.len() <= SHOWN + "…".len() && cut.ends_with("ä…"));

    let rows = "(1, 'a secret'), ".repeat(100_000);
    let text = format!("INSERT INTO orders VALUES {rows}(2, 'b')");
    assert_eq!(found(&text), ("INSERT".into(), "orders".into(), false, 1));
    let shown = shown(&text);
    assert!(shown.ends_with('…') && !shown.contains("secret"));
    assert!(shown.len() <= SHOWN + "…".len());

    let deep = format!("SELECT {}1", "(".repeat(100_000));
    assert_eq!(found(&deep).1, "-");
}

#[test]
fn tokens_put_together_are_the_text_again() {
    for text in [
        "SELECT 'a' FROM \"b\" WHERE c = $1 -- d",
        "'\\",
        "E'\\",
        "$",
        "$a",
        "/*",
        "U&",
        "1e+",
        "ä'ö\"ü$ß$",
        "E'ä\\ö'",
    ] {
        let together: String = Lexer::new(text).map(|token| token.text).collect();
        assert_eq!(together, text);
    }
}

#[test]
fn a_name_of_a_span_is_operation_and_table() {
    assert_eq!(
        describe("SELECT * FROM orders WHERE id = 5").span_name(),
        "SELECT orders"
    );
    assert_eq!(describe("SELECT 5").span_name(), "SELECT");
    assert_eq!(Description::default().span_name(), "postgresql");
    let prepared = describe("SELECT * FROM orders").only("PREPARE");
    assert_eq!(prepared.span_name(), "PREPARE orders");
}

proptest::proptest! {
    #[test]
    fn any_text_is_described(text in r#"[ a-zA-Z0-9'"$\\/*;(),.ä-]{0,200}"#) {
        let together: String = Lexer::new(&text).map(|token| token.text).collect();
        proptest::prop_assert_eq!(&together, &text);
        describe(&text);
    }

    #[test]
    fn no_literal_is_shown_or_names_a_span(
        secret in "[a-z0-9 ;()\"-]{1,40}",
        quotes in proptest::sample::select(vec![
            ("'", "'"), ("E'", "'"), ("N'", "'"), ("U&'", "'"), ("B'", "'"),
            ("$$", "$$"), ("$a$", "$a$"),
        ]),
        around in proptest::sample::select(vec![
            ("SELECT * FROM t WHERE a = ", " AND b = 2"),
            ("SELECT ", ""),
            ("SELECT * FROM ", " JOIN t ON true"),
            ("INSERT INTO t VALUES (", ")"),
            ("UPDATE t SET a = ", ""),
            ("DELETE FROM t WHERE a IN (1, ", ")"),
            ("COPY t FROM ", ""),
            ("CALL f(", ")"),
            ("DO ", ""),
            ("SET a = ", ""),
            ("NOTIFY c, ", ""),
            ("COMMENT ON TABLE t IS ", ""),
            ("ALTER ROLE r PASSWORD ", ""),
            ("SELECT 1; SELECT ", "; SELECT 2"),
            ("", ""),
        ]),
    ) {
        let ((open, close), (before, after)) = (quotes, around);
        let text = format!("{before}{open}canary{secret}{close}{after}");
        for description in [describe(&text), describe_simple(&text)] {
            let said = format!("{description:?} {}", description.span_name());
            proptest::prop_assert!(!said.contains("canary"), "{}: {}", text, said);
        }
    }
}
