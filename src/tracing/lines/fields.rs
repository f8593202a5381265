//! What an event says itself under names that are ours.

use std::fmt;

use ::opentelemetry::KeyValue;
use ::tracing::{
    Event,
    field::{Field, Visit},
};

pub(super) fn own(event: &Event<'_>) -> Vec<KeyValue> {
    let mut own = Own::default();
    // Most events say nothing of it, and need not be looked through.
    if event.metadata().fields().iter().any(|one| is_ours(&one)) {
        event.record(&mut own);
    }
    own.0
}

fn is_ours(field: &Field) -> bool {
    let name = field.name();
    name.starts_with("approzium.") || matches!(name, "trace_id" | "span_id")
}

#[derive(Default)]
struct Own(Vec<KeyValue>);

impl Own {
    fn put(&mut self, field: &Field, value: impl Into<::opentelemetry::Value>) {
        if is_ours(field) {
            self.0.push(KeyValue::new(field.name(), value));
        }
    }
}

impl Visit for Own {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if is_ours(field) {
            self.put(field, format!("{value:?}"));
        }
    }
}
