//! Lines that are one JSON object each.

use std::collections::HashMap;

use ::opentelemetry::{KeyValue, Value};
use serde::de::IgnoredAny;

use super::Additions;

/// Puts everything at the top level, what the event says itself as well: it may stand below
/// `fields` there.
pub(super) fn complete(line: &mut String, additions: &Additions) {
    let all = additions.own.iter().chain(additions.others());
    if additions.own.is_empty() {
        splice(line, all);
    } else {
        let taken: HashMap<String, IgnoredAny> = serde_json::from_str(line).unwrap_or_default();
        let missing = all.filter(|one| !taken.contains_key(one.key.as_str()));
        splice(line, missing);
    }
}

/// Adds entries at the end of a JSON object, which has none under these keys.
pub(in crate::tracing) fn splice<'a>(
    object: &mut String,
    entries: impl Iterator<Item = &'a KeyValue>,
) {
    let Some(end) = object.rfind('}') else {
        return;
    };
    let behind = object.split_off(end);
    let mut first = object.trim_end().ends_with('{');
    for KeyValue { key, value, .. } in entries {
        let value = match value {
            Value::Bool(truth) => (*truth).into(),
            Value::I64(number) => (*number).into(),
            Value::F64(number) => (*number).into(),
            other => serde_json::Value::from(other.as_str()),
        };
        if !first {
            object.push(',');
        }
        first = false;
        object.push_str(&format!(
            "{}:{value}",
            serde_json::Value::from(key.as_str())
        ));
    }
    object.push_str(&behind);
}
