//! Events as a subscriber gets them.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use ::opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};
use ::tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::with_default,
};

use super::*;
use crate::opentelemetry::{Identity, Server, sql::describe};

#[derive(Debug, Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

/// Keeps events of one level and the worse ones.
#[derive(Clone)]
struct Listener(Level, Arc<Mutex<Vec<(Level, Fields)>>>);

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.0
    }

    fn event(&self, event: &Event<'_>) {
        assert_eq!(event.metadata().target(), "approzium::query");
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = *event.metadata().level();
        self.1.lock().unwrap().push((level, fields));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        panic!("a query makes no spans of tracing")
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// What is told of a query to who listens at that level.
fn told(
    level: Level,
    text: &str,
    failure: Option<&Failure>,
    change: impl FnOnce(&mut Finished<'_>),
) -> Vec<(Level, Fields)> {
    let server = Server {
        host: "db.example",
        port: 5433,
        peer: None,
        database: "shop",
        schema: None,
    };
    let identity = Identity {
        authenticated: true,
        iam_arn: Some("arn:aws:sts::123456789012:assumed-role/checkout/pod-7"),
        request_id: Some("7f"),
        num_connections: Some(3),
        ..Identity::default()
    };
    let mut finished = Finished {
        connection: &ConnectionInfo::postgresql(&server, &identity, None),
        description: &describe(text),
        shows_text: true,
        took: Duration::from_micros(1_500),
        returned_rows: None,
        failure,
        slow: false,
        context: None,
    };
    change(&mut finished);
    let listener = Listener(level, Arc::default());
    with_default(listener.clone(), || emit(&finished));
    let mut events = listener.1.lock().unwrap();
    events.drain(..).collect()
}

#[test]
fn a_query_is_told_with_who_ran_it() {
    let trace = TraceId::from(0x5bd6_4f2d_9a3c_1e70_u128);
    let (span, flags) = (SpanId::from(7), TraceFlags::SAMPLED);
    let context = SpanContext::new(trace, span, flags, false, TraceState::default());
    let text = "SELECT note FROM orders WHERE id = 5";
    let events = told(Level::DEBUG, text, None, |query| {
        query.returned_rows = Some(2);
        query.context = Some(context);
    });
    let [(Level::DEBUG, fields)] = &events[..] else {
        panic!("{events:?}");
    };
    let expected = [
        ("approzium.authenticated", "true"),
        (
            "approzium.iam_arn",
            "arn:aws:sts::123456789012:assumed-role/checkout/pod-7",
        ),
        ("approzium.iam_role", "checkout"),
        ("approzium.num_connections", "3"),
        ("approzium.request_id", "7f"),
        ("db.collection.name", "orders"),
        ("db.namespace", "shop"),
        ("db.operation.name", "SELECT"),
        ("db.query.text", "SELECT note FROM orders WHERE id = ?"),
        ("db.response.returned_rows", "2"),
        ("db.system.name", "postgresql"),
        ("duration_ms", "1.5"),
        ("message", "query"),
        ("server.address", "db.example"),
        ("server.port", "5433"),
        ("span_id", "0000000000000007"),
        ("trace_id", "00000000000000005bd64f2d9a3c1e70"),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(fields.0, BTreeMap::from(expected));
}

#[test]
fn what_failed_or_was_slow_is_a_warning() {
    let failure = Failure {
        error_type: "42P01".into(),
        status_code: Some("42P01".to_owned()),
        description: "ERROR 42P01: relation \"nowhere\" does not exist".into(),
    };
    let events = told(Level::WARN, "SELECT * FROM nowhere", Some(&failure), |_| ());
    let [(Level::WARN, fields)] = &events[..] else {
        panic!("{events:?}");
    };
    for (key, expected) in [
        ("message", "query failed"),
        ("error.type", "42P01"),
        ("db.response.status_code", "42P01"),
        ("error", "ERROR 42P01: relation \"nowhere\" does not exist"),
    ] {
        assert_eq!(fields.0[key], expected, "{key}");
    }

    let events = told(Level::WARN, "SELECT 1", None, |query| {
        query.slow = true;
        query.shows_text = false;
    });
    let [(Level::WARN, fields)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(fields.0["slow"], "true");
    assert_eq!(fields.0.get("db.query.text"), None);
    assert_eq!(told(Level::WARN, "SELECT 1", None, |_| ()).len(), 0);
}

#[test]
fn events_are_wanted_from_the_level_of_a_warning_on() {
    let wanted = |level| with_default(Listener(level, Arc::default()), wants_events);
    assert!(wanted(Level::DEBUG) && wanted(Level::WARN));
}
