//! What formats write, completed.

use std::{io, sync::Mutex};

use proptest::prelude::*;
use tracing_subscriber::{layer::SubscriberExt, registry};

use super::{text::Style, *};

fn additions(own: &[(&'static str, &'static str)], ids: bool) -> Additions {
    let field = |(key, value): &(&'static str, &'static str)| KeyValue::new(*key, *value);
    let process = [
        ("approzium.iam_role", "checkout"),
        ("approzium.x", "a \"b\""),
    ];
    Additions {
        own: own.iter().map(field).collect(),
        ids: ids.then(|| {
            [
                KeyValue::new("trace_id", "4b"),
                KeyValue::new("span_id", "7"),
            ]
        }),
        process: Arc::new(process.iter().map(field).collect()),
    }
}

fn completed(line: &str, own: &[(&'static str, &'static str)]) -> String {
    let mut line = line.to_owned();
    json::complete(&mut line, &additions(own, true));
    line
}

#[test]
fn an_object_gets_keys_at_its_top_level() {
    let more =
        r#""approzium.iam_role":"checkout","approzium.x":"a \"b\"","trace_id":"4b","span_id":"7"}"#;
    assert_eq!(
        completed("{\"fields\":{\"a\":{}},\"target\":\"}\"}\n", &[]),
        format!("{{\"fields\":{{\"a\":{{}}}},\"target\":\"}}\",{more}\n")
    );
    assert_eq!(completed("{}\n", &[]), format!("{{{more}\n"));
    assert_eq!(completed("no object", &[]), "no object");
}

#[test]
fn what_an_event_says_itself_holds() {
    let own = [("approzium.iam_role", "reporting"), ("trace_id", "its")];
    let more = r#""approzium.x":"a \"b\"","span_id":"7"}"#;
    let flat = r#"{"message":"m","approzium.iam_role":"reporting","trace_id":"its""#;
    assert_eq!(
        completed(&format!("{flat}}}\n"), &own),
        format!("{flat},{more}\n")
    );
    let nested = r#"{"fields":{"approzium.iam_role":"reporting","trace_id":"its"}"#;
    assert_eq!(
        completed(&format!("{nested}}}\n"), &own),
        format!(r#"{nested},"approzium.iam_role":"reporting","trace_id":"its",{more}"#) + "\n"
    );

    let mut line = "INFO m trace_id=\"its\"\n".to_owned();
    text::complete(&mut line, &additions(&own[1..], true), false);
    let expected = "INFO m trace_id=\"its\" approzium.iam_role=\"checkout\" \
                    approzium.x=\"a \\\"b\\\"\" span_id=\"7\"\n";
    assert_eq!(line, expected);
}

#[test]
fn a_paragraph_gets_a_line() {
    let mut lines = "  INFO m\n    at f.rs\n\n".to_owned();
    let plain = additions(&[("approzium.x", "own")], false);
    text::complete_paragraph(&mut lines, &plain, false);
    assert_eq!(
        lines,
        "  INFO m\n    at f.rs\n    by approzium.iam_role: \"checkout\"\n\n"
    );

    let nothing = Additions {
        own: Vec::new(),
        ids: None,
        process: Arc::default(),
    };
    let before = lines.clone();
    text::complete_paragraph(&mut lines, &nothing, true);
    assert_eq!(lines, before);
}

#[test]
fn colours_are_those_of_the_stock_formatters() {
    let field = KeyValue::new("key", "a\u{1b}[31m\n");
    for (style, expected) in [
        (Style::Default { ansi: false }, r#"key="a\u{1b}[31m\n""#),
        (Style::Pretty { ansi: false }, r#"key: "a\u{1b}[31m\n""#),
        (
            Style::Default { ansi: true },
            "\u{1b}[3mkey\u{1b}[0m\u{1b}[2m=\u{1b}[0m\"a\\u{1b}[31m\\n\"",
        ),
        (
            Style::Pretty { ansi: true },
            "\u{1b}[1mkey\u{1b}[0m: \"a\\u{1b}[31m\\n\"",
        ),
    ] {
        let mut written = String::new();
        style.append(&[&field], &mut written);
        assert_eq!(written, expected);
    }
}

/// What OpenTelemetry says while it changes the thread's contexts can be written all the same.
#[test]
fn a_line_of_opentelemetry_asks_for_no_context() {
    let written = Arc::new(Mutex::new(Vec::new()));
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .map_event_format(attributed)
        .with_writer({
            let written = Arc::clone(&written);
            move || Written(Arc::clone(&written))
        });
    ::tracing::subscriber::with_default(registry().with(lines), || {
        let mut contexts = Vec::new();
        contexts.resize_with(usize::from(u16::MAX), || Context::new().attach());
    });
    let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    assert!(written.contains("Too many contexts"), "{written}");
}

struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

proptest! {
    #[test]
    fn an_object_stays_one_object(fields in prop::collection::btree_map(".*", ".*", 0..4)) {
        let before = serde_json::to_value(&fields).unwrap();
        let mut line = format!("{before}\n");
        json::complete(&mut line, &additions(&[], true));
        prop_assert_eq!(line.trim_end().lines().count(), 1);
        let after: serde_json::Value = serde_json::from_str(&line).unwrap();
        for (key, value) in before.as_object().unwrap() {
            prop_assert_eq!(&after[key], value);
        }
        prop_assert_eq!(after.as_object().unwrap().len(), fields.len() + 4);
    }
}
