use super::*;

#[test]
fn several_statements_are_a_batch() {
    for (text, operation, table, single, statements) in [
        ("SELECT 1;", "SELECT", "-", false, 1),
        (
            "INSERT INTO a VALUES (1); insert into a values (2);",
            "BATCH INSERT",
            "a",
            true,
            2,
        ),
        (
            "CREATE TABLE a (x int); CREATE TABLE b (x int)",
            "BATCH CREATE TABLE",
            "a",
            false,
            2,
        ),
        ("BEGIN; DELETE FROM a; COMMIT", "BATCH", "a", true, 3),
    ] {
        assert_eq!(
            found(text),
            (operation.into(), table.into(), single, statements),
            "{text}"
        );
    }
}

#[test]
fn statements_that_show_the_same_text_show_it_once() {
    for (text, expected) in [
        (
            "INSERT INTO a VALUES (1); INSERT INTO a VALUES (2) ;\n",
            "INSERT INTO a VALUES (?)",
        ),
        ("SELECT 1; -- first\nSELECT 2;;", "SELECT ?"),
        (
            "DELETE FROM \"a;b\";DELETE FROM \"a;b\"",
            "DELETE FROM \"a;b\"",
        ),
        ("SELECT 1; SELECT a", "SELECT ?; SELECT a"),
        ("SELECT 1;", "SELECT ?;"),
    ] {
        assert_eq!(describe_simple(text).text(), Some(expected), "{text}");
    }
    let same = "SELECT 'a', b; ".repeat(500);
    let text = format!("{same}SELECT c");
    let description = describe_simple(&text);
    assert_eq!(description.batch_size(), Some(501));
    assert!(
        description
            .text()
            .unwrap()
            .starts_with("SELECT ?, b; SELECT")
    );
}

#[test]
fn a_batch_of_nothing_is_one() {
    for text in ["", " ; -- nothing"] {
        let description = describe_simple(text);
        assert_eq!(description.batch_size(), Some(0));
        assert_eq!(description.span_name(), "BATCH");
    }
    // No statement either, but the database has something to say of it.
    assert_eq!(describe_simple("5").batch_size(), None);
}

#[test]
fn a_batch_too_long_to_be_looked_at_whole_has_no_size() {
    let text = "INSERT INTO a VALUES (1);".repeat(1000);
    assert_eq!(found(&text), ("BATCH".into(), "a".into(), false, 1));
}
