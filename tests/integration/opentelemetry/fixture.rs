//! A PostgreSQL that trusts, and a pipeline into memory.

use std::future::Future;

use approzium::{AuthClient, opentelemetry::uninstrument, postgres};
use approzium_peers::{Method, Postgres, Rule};
use opentelemetry::{
    Context, KeyValue, Value, global,
    trace::{FutureExt, Span, SpanId, TraceContextExt, TraceId, Tracer},
};
use opentelemetry_sdk::trace::{
    InMemorySpanExporter, Sampler, SdkTracerProvider, ShouldSample, SpanData,
};
use tokio::sync::{Mutex, MutexGuard};

/// The switch and the provider belong to the process: one test at a time.
static PROCESS: Mutex<()> = Mutex::const_new(());

/// Whoever sets the global provider or the switch holds this.
pub(crate) async fn exclusively() -> MutexGuard<'static, ()> {
    PROCESS.lock().await
}

pub(crate) struct Fixture {
    postgres: Postgres,
    exporter: InMemorySpanExporter,
    pub(crate) provider: SdkTracerProvider,
    _process: MutexGuard<'static, ()>,
}

/// The spans of one trace.
pub(crate) struct Recorded {
    /// The span in which it was recorded.
    pub(crate) root: SpanId,
    pub(crate) spans: Vec<SpanData>,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Fixture::sampled_by(Sampler::AlwaysOn).await
    }

    pub(crate) async fn sampled_by(sampler: impl ShouldSample + 'static) -> Self {
        let process = exclusively().await;
        uninstrument();
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_sampler(Box::new(sampler) as Box<dyn ShouldSample>)
            .with_simple_exporter(exporter.clone())
            .build();
        global::set_tracer_provider(provider.clone());
        let postgres = Postgres::builder()
            .rule(Rule::host("app", Method::Trust))
            .start()
            .await
            .expect("a PostgreSQL");
        postgres
            .sql("CREATE ROLE app LOGIN SUPERUSER")
            .await
            .unwrap();
        Fixture {
            postgres,
            exporter,
            provider,
            _process: process,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.postgres.port()
    }

    pub(crate) async fn sql(&self, statements: &str) -> Vec<Vec<Option<String>>> {
        self.postgres.sql(statements).await.unwrap()
    }

    pub(crate) fn config(&self) -> String {
        format!(
            "host=localhost port={} user=app dbname=postgres sslrootcert={} require_auth=none",
            self.postgres.port(),
            self.postgres.ca_path().display()
        )
    }

    /// A client; where the database trusts, the Authenticator is not asked.
    pub(crate) async fn connect(&self) -> postgres::Client {
        let nobody = AuthClient::new("localhost:1").unwrap();
        postgres::connect_with(&self.config(), &nobody)
            .await
            .unwrap()
    }

    /// Runs something in a span of its own, and returns what that span has below it.
    pub(crate) async fn record(&self, work: impl Future<Output = ()>) -> Recorded {
        let span = global::tracer("test").start("test");
        let (root, trace) = (
            span.span_context().span_id(),
            span.span_context().trace_id(),
        );
        work.with_context(Context::new().with_span(span)).await;
        Recorded {
            root,
            spans: self.below(root, trace),
        }
    }

    fn below(&self, root: SpanId, trace: TraceId) -> Vec<SpanData> {
        let mut spans = self.spans();
        spans.retain(|span| {
            span.span_context.trace_id() == trace && span.span_context.span_id() != root
        });
        spans
    }

    pub(crate) fn spans(&self) -> Vec<SpanData> {
        self.exporter.get_finished_spans().unwrap()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        uninstrument();
    }
}

impl Recorded {
    pub(crate) fn named<'a, 'b>(
        &'a self,
        name: &'b str,
    ) -> impl Iterator<Item = &'a SpanData> + use<'a, 'b> {
        Recorded::named_in(&self.spans, name)
    }

    pub(crate) fn named_in<'a, 'b>(
        spans: &'a [SpanData],
        name: &'b str,
    ) -> impl Iterator<Item = &'a SpanData> + use<'a, 'b> {
        spans.iter().filter(move |span| span.name == name)
    }

    #[track_caller]
    pub(crate) fn only(&self, name: &str) -> &SpanData {
        let found: Vec<_> = self.named(name).collect();
        match found[..] {
            [span] => span,
            _ => panic!(
                "{} spans named {name:?} among {:?}",
                found.len(),
                self.names()
            ),
        }
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.spans.iter().map(|span| span.name.as_ref()).collect()
    }
}

pub(crate) fn attribute_of<'a>(span: &'a SpanData, key: &str) -> Option<&'a Value> {
    let of_key = |one: &&KeyValue| one.key.as_str() == key;
    Some(&span.attributes.iter().find(of_key)?.value)
}

pub(crate) fn attribute(span: &SpanData, key: &str) -> Option<String> {
    attribute_of(span, key).map(ToString::to_string)
}
