//! What a probe has found so far: it survives the probe, so that running out of time costs only
//! what was not yet answered.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ::opentelemetry::{Array, StringValue, Value};

/// Attributes by key.
pub(super) type Found = BTreeMap<&'static str, Value>;

/// The longest value that is taken, in bytes: what fits a span's tag and the Authenticator's limit.
pub(super) const LONGEST_VALUE: usize = 256;

#[derive(Default)]
pub(super) struct Findings(Mutex<Found>);

impl Findings {
    /// Takes a value under a key, if it is fit to be shown.
    pub(super) fn put(&self, key: &'static str, value: impl AsRef<str>) {
        if let Some(value) = fit(value.as_ref()) {
            self.lock().insert(key, Value::from(value.to_owned()));
        }
    }

    /// Like [`put`](Self::put), for what may be absent.
    pub(super) fn put_some(&self, key: &'static str, value: Option<impl AsRef<str>>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    /// Takes a value only if there is none yet.
    pub(super) fn put_if_absent(&self, key: &'static str, value: impl AsRef<str>) {
        if !self.lock().contains_key(key) {
            self.put(key, value);
        }
    }

    /// Takes a value for a key that the conventions make an array.
    pub(super) fn put_array(&self, key: &'static str, value: impl AsRef<str>) {
        if let Some(value) = fit(value.as_ref()) {
            let array = Array::String(vec![StringValue::from(value.to_owned())]);
            self.lock().insert(key, Value::Array(array));
        }
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.lock().contains_key(key)
    }

    pub(super) fn keys(&self) -> Vec<&'static str> {
        self.lock().keys().copied().collect()
    }

    pub(super) fn take(&self) -> Found {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The value without surrounding space, or nothing if it is empty, too long, or holds what could
/// break a line or a terminal.
pub(super) fn fit(value: &str) -> Option<&str> {
    let value = value.trim();
    let harmless = |c: char| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}');
    (!value.is_empty() && value.len() <= LONGEST_VALUE && value.chars().all(harmless))
        .then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_shown_is_taken() {
        assert_eq!(fit(" checkout-7\n"), Some("checkout-7"));
        assert_eq!(fit(&"x".repeat(256)).map(str::len), Some(256));
        let refused = [
            "",
            "  ",
            "a\nb",
            "a\u{1b}[31m",
            "a\0",
            "a\u{2028}b",
            "a\u{85}b",
        ];
        for value in refused {
            assert_eq!(fit(value), None, "{value:?}");
        }
        assert_eq!(fit(&"x".repeat(257)), None);
    }

    #[test]
    fn the_first_of_those_put_if_absent_stays() {
        let findings = Findings::default();
        findings.put_if_absent("k", "a\nb");
        findings.put_if_absent("k", "first");
        findings.put_if_absent("k", "second");
        assert_eq!(findings.take().get("k"), Some(&Value::from("first")));
    }
}
