//! The event of a query that has ended.

use std::time::Duration;

use ::opentelemetry::{KeyValue, Value, trace::SpanContext};
use ::tracing::{
    Level, event,
    field::{DisplayValue, display},
    level_filters::{LevelFilter, STATIC_MAX_LEVEL},
};

use crate::opentelemetry::{ConnectionInfo, Failure, sql::Description};

/// A query that has ended, and how.
#[derive(Clone, Debug)]
pub(crate) struct Finished<'a> {
    pub(crate) connection: &'a ConnectionInfo,
    pub(crate) description: &'a Description,
    /// Whether the application wants the text to be shown.
    pub(crate) shows_text: bool,
    pub(crate) took: Duration,
    pub(crate) returned_rows: Option<u64>,
    /// `None`: it succeeded.
    pub(crate) failure: Option<&'a Failure>,
    /// It took longer than the application wants its queries to take.
    pub(crate) slow: bool,
    /// Of the query's own span, if it has one.
    pub(crate) context: Option<SpanContext>,
}

/// Whether anybody might want the event of a query: two loads, no subscriber is asked.
///
/// Who wants failures wants them to be timed and described from the beginning.
#[inline]
pub(crate) fn wants_events() -> bool {
    Level::WARN <= STATIC_MAX_LEVEL && Level::WARN <= LevelFilter::current()
}

/// Tells whoever listens to `approzium::query`: WARN if the query failed or was slow, else DEBUG.
pub(crate) fn emit(finished: &Finished<'_>) {
    // The names are literals, so that filters and formatters know them beforehand. Values are looked
    // up only for an event that is wanted.
    macro_rules! emit {
        ($level:expr, $message:literal) => {
            event!(
                target: "approzium::query",
                $level,
                "db.system.name" = finished.text("db.system.name"),
                "db.namespace" = finished.text("db.namespace"),
                "db.operation.name" = finished.description.operation(),
                "db.collection.name" = finished.description.collection(),
                "db.operation.batch.size" = finished.description.batch_size(),
                "db.query.text" = finished.query_text(),
                "db.response.status_code" = finished.status_code(),
                "db.response.returned_rows" = finished.returned_rows,
                "error.type" = finished.failure.map(|failure| failure.error_type.as_ref()),
                error = finished.failure.map(|failure| failure.description.as_ref()),
                duration_ms = finished.took.as_secs_f64() * 1e3,
                slow = finished.slow.then_some(true),
                "server.address" = finished.text("server.address"),
                "server.port" = finished.number("server.port"),
                "approzium.iam_arn" = finished.text("approzium.iam_arn"),
                "approzium.iam_role" = finished.text("approzium.iam_role"),
                "approzium.authenticated" = finished.truth("approzium.authenticated"),
                "approzium.authenticator_address" = finished.text("approzium.authenticator_address"),
                "approzium.num_connections" = finished.number("approzium.num_connections"),
                "approzium.request_id" = finished.text("approzium.request_id"),
                "approzium.k8s.namespace.name" = finished.text("approzium.k8s.namespace.name"),
                "approzium.k8s.pod.name" = finished.text("approzium.k8s.pod.name"),
                "approzium.ecs.task.id" = finished.text("approzium.ecs.task.id"),
                "approzium.ec2.instance_id" = finished.text("approzium.ec2.instance_id"),
                trace_id = finished.id(SpanContext::trace_id),
                span_id = finished.id(SpanContext::span_id),
                $message
            )
        };
    }
    match (finished.failure, finished.slow) {
        (Some(_), _) => emit!(Level::WARN, "query failed"),
        (None, true) => emit!(Level::WARN, "slow query"),
        (None, false) => emit!(Level::DEBUG, "query"),
    }
}

impl Finished<'_> {
    fn of_connection(&self, key: &str) -> Option<&Value> {
        let of_key = |one: &&KeyValue| one.key.as_str() == key;
        let found = self.connection.attributes().iter().find(of_key)?;
        Some(&found.value)
    }

    fn text(&self, key: &str) -> Option<&str> {
        match self.of_connection(key)? {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        }
    }

    fn number(&self, key: &str) -> Option<i64> {
        match self.of_connection(key)? {
            Value::I64(number) => Some(*number),
            _ => None,
        }
    }

    fn truth(&self, key: &str) -> Option<bool> {
        match self.of_connection(key)? {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    fn query_text(&self) -> Option<&str> {
        self.description.text().filter(|_| self.shows_text)
    }

    fn status_code(&self) -> Option<&str> {
        self.failure?.status_code.as_deref()
    }

    fn id<T: std::fmt::Display>(&self, of: impl Fn(&SpanContext) -> T) -> Option<DisplayValue<T>> {
        let context = self.context.as_ref().filter(|context| context.is_valid())?;
        Some(display(of(context)))
    }
}

#[cfg(test)]
mod tests;
