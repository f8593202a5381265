//! Comments by which the database's own log and views lead to the trace of a query.
//!
//! ```text
//! SELECT note FROM orders /*approzium.iam_role='checkout',traceparent='00-0af7…-b7ad…-01'*/
//! ```
//! The form is that of [sqlcommenter](https://google.github.io/sqlcommenter/spec/): at the end, the
//! keys sorted, keys and values percent-encoded, and nothing at all where a comment stands already.

use std::{borrow::Cow, fmt::Write};

use ::opentelemetry::{KeyValue, trace::SpanContext};

use super::{attributes as key, sql};
use crate::attribution::keys;

/// The text with a comment behind its last statement: the span's context, and who ran it where.
pub(crate) fn commented<'a>(
    text: &'a str,
    span: &SpanContext,
    attribution: &[KeyValue],
) -> Cow<'a, str> {
    let Some((statements, rest)) = sql::end(text).and_then(|end| text.split_at_checked(end)) else {
        return Cow::Borrowed(text);
    };
    match comment(span, attribution) {
        Some(comment) => Cow::Owned(format!("{statements} {comment}{rest}")),
        None => Cow::Borrowed(text),
    }
}

/// What of the attribution is for the database's eyes, the most important first.
const SHOWN: [&str; 7] = [
    key::IAM_ROLE,
    key::IAM_ARN,
    keys::SPAN_K8S_POD_NAME,
    keys::SPAN_ECS_TASK_ID,
    keys::SPAN_EC2_INSTANCE_ID,
    keys::SPAN_K8S_NAMESPACE_NAME,
    key::REQUEST_ID,
];

/// The longest comment in bytes. `pg_stat_activity` shows 1024 of the whole text unless its server
/// was told otherwise.
const LIMIT: usize = 768;

fn comment(span: &SpanContext, attribution: &[KeyValue]) -> Option<String> {
    let mut comment = Comment::default();
    if span.is_valid() {
        let (trace, span_id, flags) = (span.trace_id(), span.span_id(), span.trace_flags());
        let traceparent = format!("00-{trace}-{span_id}-{:02x}", flags.to_u8() & 1);
        comment.add("traceparent", &traceparent);
    }
    let known = |key: &str| attribution.iter().find(|one| one.key.as_str() == key);
    for key in SHOWN {
        // The role's name says the same, and is not so long.
        if key == key::IAM_ARN && known(key::IAM_ROLE).is_some() {
            continue;
        }
        if let Some(found) = known(key) {
            comment.add(key, &found.value.as_str());
        }
    }
    let state = span.trace_state().header();
    if span.is_valid() && !state.is_empty() {
        comment.add("tracestate", &state);
    }
    comment.finish()
}

#[derive(Debug, Default)]
struct Comment {
    /// `key='value'`.
    pairs: Vec<String>,
    length: usize,
}

impl Comment {
    /// Leaves out what makes the comment too long: half a value would be another one.
    fn add(&mut self, key: &str, value: &str) {
        let mut pair = String::with_capacity(key.len() + value.len() + 3);
        encode(&mut pair, key);
        pair.push_str("='");
        encode(&mut pair, value);
        pair.push('\'');
        let length = self.length + pair.len() + 1;
        if length + "/**/".len() <= LIMIT {
            self.length = length;
            self.pairs.push(pair);
        }
    }

    fn finish(mut self) -> Option<String> {
        self.pairs.sort_unstable();
        (!self.pairs.is_empty()).then(|| format!("/*{}*/", self.pairs.join(",")))
    }
}

/// Percent-encodes everything but RFC 3986's unreserved characters. No quote, asterisk or slash is
/// left: nothing in a value ends it, or the comment, and the specification's `\'` for quotes has
/// nothing to do.
fn encode(into: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                into.push(char::from(byte));
            }
            // Writing to a string does not fail.
            _ => drop(write!(into, "%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use ::opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};

    use super::*;

    fn span(state: &str) -> SpanContext {
        SpanContext::new(
            TraceId::from_hex("0af7651916cd43dd8448eb211c80319c").unwrap(),
            SpanId::from_hex("b7ad6b7169203331").unwrap(),
            TraceFlags::SAMPLED,
            false,
            state.parse().unwrap(),
        )
    }

    const TRACEPARENT: &str =
        "traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'";

    #[test]
    fn a_comment_stands_at_the_end_and_before_the_last_semicolon() {
        let comment = format!("/*{TRACEPARENT}*/");
        for (text, expected) in [
            ("SELECT 1", "SELECT 1 #"),
            ("SELECT 1;", "SELECT 1 #;"),
            ("SELECT 1 ; ;\n", "SELECT 1 # ; ;\n"),
            ("SELECT 1; SELECT 2;", "SELECT 1; SELECT 2 #;"),
            ("SELECT ';'", "SELECT ';' #"),
            ("SELECT $$ -- /* $$ ;", "SELECT $$ -- /* $$ # ;"),
            ("SELECT \"--\"", "SELECT \"--\" #"),
            ("SELECT 'ü", "SELECT 'ü #"),
        ] {
            let sent = commented(text, &span(""), &[]);
            assert_eq!(sent, expected.replace('#', &comment));
        }
    }

    #[test]
    fn what_has_a_comment_or_may_have_one_stays_as_it_is() {
        for text in [
            "SELECT 1 /* mine */",
            "/*+ SeqScan(a) */ SELECT 1",
            "SELECT 1 -- mine",
            "SELECT 1 --",
            "SELECT 1+/**/2",
            // Where the string ends depends on a setting.
            r"SELECT '\' /* ' */",
            "",
            " ;; ",
        ] {
            let sent = commented(text, &span(""), &[]);
            assert!(matches!(sent, Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn keys_are_sorted_and_values_encoded() {
        let attribution = [
            KeyValue::new("approzium.request_id", "7f"),
            KeyValue::new("approzium.num_connections", 3),
            KeyValue::new("approzium.iam_arn", "arn:aws:iam::1:role/x"),
            KeyValue::new("approzium.iam_role", "o'neil */ 100% ü\\"),
            KeyValue::new("approzium.k8s.pod.name", "pod-7"),
        ];
        assert_eq!(
            commented("SELECT 1", &span("a=b,c=d"), &attribution),
            format!(
                "SELECT 1 /*approzium.iam_role='o%27neil%20%2A%2F%20100%25%20%C3%BC%5C',\
                 approzium.k8s.pod.name='pod-7',approzium.request_id='7f',{TRACEPARENT},\
                 tracestate='a%3Db%2Cc%3Dd'*/"
            )
        );
        let user = [KeyValue::new("approzium.iam_arn", "arn:aws:iam::1:user/a")];
        let sent = commented("SELECT 1", &SpanContext::empty_context(), &user);
        assert_eq!(
            sent,
            "SELECT 1 /*approzium.iam_arn='arn%3Aaws%3Aiam%3A%3A1%3Auser%2Fa'*/"
        );
        assert_eq!(commented("SELECT 1", &SpanContext::NONE, &[]), "SELECT 1");
    }

    #[test]
    fn a_comment_is_bounded_and_keeps_the_trace() {
        let long = "ü".repeat(128);
        let attribution = SHOWN.map(|key| KeyValue::new(key, long.clone()));
        let state = TraceState::from_key_value([("a", "b".repeat(200))]).unwrap();
        let sent = commented("SELECT 1", &span(&state.header()), &attribution);
        assert!(sent.len() <= "SELECT 1 ".len() + LIMIT, "{sent}");
        assert!(
            sent.contains(TRACEPARENT) && sent.contains("tracestate="),
            "{sent}"
        );
    }
}
