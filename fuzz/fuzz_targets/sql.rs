//! Query texts: what is shown of them is bounded and holds no literal, and a comment behind them
//! changes nothing else.

#![no_main]

use approzium::fuzzing::opentelemetry::{commented, shown, tokens};
use libfuzzer_sys::fuzz_target;
use opentelemetry::{
    KeyValue,
    trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState},
};

const SECRET: &str = "c4n4ry";

fuzz_target!(|text: &str| {
    assert_eq!(tokens(text).collect::<String>(), text);
    for simple in [true, false] {
        let [operation, table, shown] = shown(text, simple);
        assert!(shown.is_some_and(|text| text.len() <= 4096 + '…'.len_utf8()));
        for name in [operation, table].into_iter().flatten() {
            assert!(name.len() <= "BATCH ".len() + text.len(), "{name}");
        }
    }
    twice_is_once(text);
    planted(text);
    comment(text);
});

/// No literal is left to be replaced.
fn twice_is_once(text: &str) {
    let [_, _, Some(once)] = shown(text, true) else {
        return;
    };
    // What was cut may end within a token.
    if !once.ends_with('…') {
        assert_eq!(shown(&once, true)[2].as_ref(), Some(&once));
    }
}

/// Literals and comments that hold the text, wherever it is certain that it ends nowhere else.
fn planted(text: &str) {
    let quoted = text.replace('\'', "''");
    let escaped = text.replace('\\', "\\\\").replace('\'', "\\'");
    let mut literals = vec![
        format!("E'{escaped}{SECRET}'"),
        format!("'{SECRET}{quoted}"),
    ];
    if !text.contains('\\') {
        literals.push(format!("'{quoted}{SECRET}'"));
        literals.push(format!("U&'{quoted}{SECRET}'"));
    }
    // A tag that the text begins could else end in ours.
    if !text.contains('$') {
        literals.push(format!("$q${text}{SECRET}$q$"));
    }
    if !text.contains("*/") && !text.contains("/*") && !text.ends_with(['/', '*']) {
        literals.push(format!("/*{text} {SECRET}*/ 1"));
    }
    if !text.contains(['\n', '\r']) {
        literals.push(format!("1 --{text}{SECRET}\n"));
    }
    for literal in literals {
        let statement = format!("SELECT a FROM t WHERE b = {literal} AND c = 2");
        for simple in [true, false] {
            for shown in shown(&statement, simple).into_iter().flatten() {
                assert!(
                    !shown.contains(SECRET),
                    "{statement:?} is shown as {shown:?}"
                );
            }
        }
    }
}

fn comment(text: &str) {
    let span = SpanContext::new(
        TraceId::from(7),
        SpanId::from(7),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    // The text is what the attribution says, too: it ends neither its value nor the comment.
    let attribution = [KeyValue::new("approzium.iam_role", text.to_owned())];
    let after = commented(text, &span, &attribution);
    if after != text {
        let same = text
            .bytes()
            .zip(after.bytes())
            .take_while(|(one, other)| one == other);
        let (same, added) = (same.count(), after.len() - text.len());
        assert_eq!(after.as_bytes()[same + added..], text.as_bytes()[same..]);
        // A literal that does not end takes the comment in: such a text is an error, whatever follows.
        let ends = tokens(&format!("{text};")).last() == Some(";");
        let ours = |token: &&str| token.starts_with("/*") && token.contains("traceparent='00-");
        assert_eq!(
            tokens(&after).filter(ours).count(),
            usize::from(ends),
            "{after:?}"
        );
    }
    let whole = commented("SELECT a", &span, &attribution);
    let inside = whole
        .strip_prefix("SELECT a /*")
        .and_then(|rest| rest.strip_suffix("*/"));
    assert!(inside.is_some_and(|inside| !inside.contains("*/") && !inside.contains("/*")));
}
