//! Spans of queries and connects, on a real PostgreSQL and in a real Jaeger.

mod comment;
pub(crate) mod fixture;
mod instrumentation;
mod jaeger;
pub(crate) mod meters;
mod metrics;
mod observer;
mod parents;
mod semconv;
mod surface;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use approzium::{AuthClient, opentelemetry::instrument, postgres::Config};
pub(crate) use fixture::exclusively;
use fixture::{Fixture, Recorded, attribute, attribute_of};
use opentelemetry::{
    KeyValue, Value,
    trace::{Link, SpanKind, Status, TraceContextExt, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{SamplingDecision, SamplingResult, ShouldSample};

#[tokio::test]
async fn a_query_has_the_attributes_of_the_conventions() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    fixture.sql("CREATE TABLE orders (id int, note text)").await;
    instrument();
    let recorded = fixture
        .record(async {
            client
                .query("SELECT note FROM orders WHERE id = $1", &[&5])
                .await
                .unwrap();
        })
        .await;
    let span = recorded.only("SELECT orders");
    assert_eq!(span.span_kind, SpanKind::Client);
    assert_eq!(span.parent_span_id, recorded.root);
    assert_eq!(span.status, Status::Unset);
    for (key, expected) in [
        ("db.system.name", "postgresql"),
        ("db.namespace", "postgres"),
        ("db.operation.name", "SELECT"),
        ("db.collection.name", "orders"),
        ("db.query.text", "SELECT note FROM orders WHERE id = $1"),
        ("server.address", "localhost"),
        ("network.peer.address", "127.0.0.1"),
        ("approzium.authenticated", "false"),
    ] {
        assert_eq!(attribute(span, key).as_deref(), Some(expected), "{key}");
    }
    let port = Value::from(i64::from(fixture.port()));
    assert_eq!(attribute_of(span, "server.port"), Some(&port));
    assert_eq!(attribute_of(span, "network.peer.port"), Some(&port));
    assert_eq!(attribute(span, "error.type"), None);
    let scope = &span.instrumentation_scope;
    assert_eq!(scope.name(), "approzium");
    assert_eq!(scope.version(), Some(env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn a_configured_schema_is_part_of_the_namespace() {
    let fixture = Fixture::start().await;
    let nobody = AuthClient::new("localhost:1").unwrap();
    let config = format!("{} options='-c search_path=sales'", fixture.config());
    instrument();
    let recorded = fixture
        .record(async {
            let client = approzium::postgres::connect_with(&config, &nobody).await;
            client.unwrap().query("SELECT 1", &[]).await.unwrap();
        })
        .await;
    for name in ["connect localhost", "SELECT"] {
        let namespace = attribute(recorded.only(name), "db.namespace");
        assert_eq!(namespace.as_deref(), Some("postgres|sales"), "{name}");
    }
}

type Seen = Vec<(String, Vec<KeyValue>)>;

/// Remembers what it was asked about.
#[derive(Clone, Debug, Default)]
struct Seeing(Arc<Mutex<Seen>>);

impl ShouldSample for Seeing {
    fn should_sample(
        &self,
        parent: Option<&opentelemetry::Context>,
        _: TraceId,
        name: &str,
        _: &SpanKind,
        attributes: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let mut seen = self.0.lock().unwrap();
        seen.push((name.to_owned(), attributes.to_vec()));
        SamplingResult {
            decision: SamplingDecision::RecordAndSample,
            attributes: Vec::new(),
            trace_state: parent.map_or_else(TraceState::default, |parent| {
                parent.span().span_context().trace_state().clone()
            }),
        }
    }
}

/// What a span costs is spent while the database is at work.
#[tokio::test]
async fn a_span_is_made_while_its_query_waits() {
    let sampler = Seeing::default();
    let fixture = Fixture::sampled_by(sampler.clone()).await;
    let (holder, client) = (fixture.connect().await, fixture.connect().await);
    let lock = "SELECT pg_advisory_lock(7)";
    holder.batch_execute(lock).await.unwrap();
    instrument();
    sampler.0.lock().unwrap().clear();
    let waits = tokio::spawn(async move { client.batch_execute(lock).await });
    let made = async || {
        let seen = sampler.0.lock().unwrap();
        seen.iter().any(|(name, _)| name == "SELECT").then_some(())
    };
    approzium_peers::eventually("the span", Duration::from_secs(30), made).await;
    assert!(!waits.is_finished());
    holder
        .batch_execute("SELECT pg_advisory_unlock(7)")
        .await
        .unwrap();
    waits.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_sampler_sees_every_attribute() {
    let sampler = Seeing::default();
    let fixture = Fixture::sampled_by(sampler.clone()).await;
    let client = fixture.connect().await;
    instrument();
    let recorded = fixture
        .record(async {
            client.execute("SELECT 1", &[]).await.unwrap();
        })
        .await;
    let exported = recorded.only("SELECT");
    let seen = sampler.0.lock().unwrap();
    let at_creation = seen.iter().find(|(name, _)| name == "SELECT");
    assert_eq!(at_creation.unwrap().1, exported.attributes);
}

#[tokio::test]
async fn a_failing_query_says_why_and_shows_no_value() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    instrument();
    let recorded = fixture
        .record(async {
            client
                .query("SELECT * FROM nowhere", &[])
                .await
                .unwrap_err();
            client
                .simple_query("SELECT 'canary'::int")
                .await
                .unwrap_err();
            client.query_one("SELECT 1 LIMIT 0", &[]).await.unwrap_err();
        })
        .await;

    let missing = recorded.only("SELECT nowhere");
    assert_eq!(attribute(missing, "error.type").as_deref(), Some("42P01"));
    assert_eq!(
        attribute(missing, "db.response.status_code").as_deref(),
        Some("42P01")
    );
    let description = "ERROR 42P01: relation \"nowhere\" does not exist";
    assert_eq!(missing.status, Status::error(description));

    let failed: Vec<_> = recorded.named("SELECT").collect();
    let [cast, rows] = failed[..] else {
        panic!("{failed:?}");
    };
    assert_eq!(attribute(cast, "error.type").as_deref(), Some("22P02"));
    assert!(!format!("{cast:?}").contains("canary"));
    // The driver has no predicate for this one: the wrapper knows it by its words.
    assert_eq!(attribute(rows, "error.type").as_deref(), Some("row_count"));
    assert_eq!(attribute(rows, "db.response.status_code"), None);
}

#[tokio::test]
async fn a_query_on_a_dead_connection_is_an_error() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'";
    instrument();
    fixture.sql(kill).await;
    approzium_peers::eventually("a closed connection", Duration::from_secs(10), async || {
        client.is_closed().then_some(())
    })
    .await;
    let recorded = fixture
        .record(async {
            client.query("SELECT 1", &[]).await.unwrap_err();
        })
        .await;
    let span = recorded.only("SELECT");
    assert_eq!(attribute(span, "error.type").as_deref(), Some("closed"));
    assert!(matches!(span.status, Status::Error { .. }));
}

#[tokio::test]
async fn a_connect_is_a_span_with_its_phases() {
    let fixture = Fixture::start().await;
    instrument();
    let recorded = fixture
        .record(async {
            fixture.connect().await;
        })
        .await;
    let connect = recorded.only("connect localhost");
    assert_eq!(connect.parent_span_id, recorded.root);
    assert_eq!(connect.span_kind, SpanKind::Client);
    assert_eq!(connect.status, Status::Unset);
    assert_eq!(
        attribute(connect, "server.address").as_deref(),
        Some("localhost")
    );
    let phases: BTreeSet<_> = recorded
        .spans
        .iter()
        .filter(|span| span.parent_span_id == connect.span_context.span_id())
        .map(|span| span.name.as_ref())
        .collect();
    // Trust: nobody asks the Authenticator for a challenge's answer.
    let expected = ["database", "dial", "startup", "tls"];
    assert!(phases.is_superset(&expected.into()), "{phases:?}");
    for phase in expected.map(|phase| recorded.only(phase)) {
        assert!(phase.start_time >= connect.start_time && phase.end_time <= connect.end_time);
        assert_eq!(phase.status, Status::Unset, "{}", phase.name);
    }
}

#[tokio::test]
async fn a_connect_that_fails_says_at_which_hop() {
    let fixture = Fixture::start().await;
    instrument();
    let nobody = AuthClient::new("localhost:1").unwrap();
    let unknown = fixture.config().replace("user=app", "user=stranger");
    let refused = format!(
        "host=localhost port={} user=app",
        approzium_peers::free_port()
    );
    let recorded = fixture
        .record(async {
            for config in [unknown, refused] {
                let config: Config = config.parse().unwrap();
                config.connect_with(&nobody).await.unwrap_err();
            }
        })
        .await;
    let failed: Vec<_> = recorded.named("connect localhost").collect();
    let [login, dial] = failed[..] else {
        panic!("{failed:?}");
    };
    for (span, error_type, hop) in [
        (login, "28000", "login at the database"),
        (dial, "unavailable", "connection to the database"),
    ] {
        assert_eq!(attribute(span, "error.type").as_deref(), Some(error_type));
        assert_eq!(attribute(span, "approzium.hop").as_deref(), Some(hop));
        assert!(matches!(span.status, Status::Error { .. }));
    }
    assert_eq!(
        attribute(login, "db.response.status_code").as_deref(),
        Some("28000")
    );
}

#[tokio::test]
async fn without_a_parent_a_query_is_a_root() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    instrument();
    client.query("SELECT 'root'", &[]).await.unwrap();
    let spans = fixture.spans();
    let roots: Vec<_> = Recorded::named_in(&spans, "SELECT").collect();
    assert!(!roots.is_empty() && roots.iter().all(|span| !span.parent_span_is_remote));
}
