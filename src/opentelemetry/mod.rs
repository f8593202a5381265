//! Query spans that say who ran the query.
//!
//! ```
//! approzium::opentelemetry::instrument();
//! ```
//!
//! From then on each query on a connection of [`approzium::postgres`](crate::postgres) is one span of
//! kind CLIENT with the attributes of OpenTelemetry's
//! [semantic conventions for databases](https://opentelemetry.io/docs/specs/semconv/db/postgresql/),
//! a child of the span in which the query is first polled, and carries the attribution of its
//! connection:
//!
//! | attribute | value |
//! |---|---|
//! | `approzium.iam_arn` | the identity as the Authenticator verified it |
//! | `approzium.iam_role` | the name of its role |
//! | `approzium.authenticated` | whether the Authenticator let this connection in |
//! | `approzium.authenticator_address` | the Authenticator that did |
//! | `approzium.num_connections` | how many connections the client had made by then |
//! | `approzium.request_id` | the request that let this connection in, as in the audit log |
//! | `approzium.k8s.…`, `approzium.ecs.…`, `approzium.ec2.…` | the pod, task or instance |
//!
//! Making a connection is a span too, with a child for each [phase](self#connecting).
//!
//! # Where spans go
//! To the global `TracerProvider`, looked up for each operation: one that the application installs
//! later just works. An application that uses `tracing-opentelemetry` must install its provider
//! globally as well (`opentelemetry::global::set_tracer_provider`), or hand it over:
//!
//! ```
//! use approzium::opentelemetry::{Instrumentation, instrument_with};
//!
//! # let provider = opentelemetry_sdk::trace::SdkTracerProvider::default();
//! instrument_with(Instrumentation::new().tracer_provider(provider.clone()));
//! ```
//! One that forgot is told once, in the log: its spans are recorded, and queries make none. A
//! library, or a test that runs beside others, instruments
//! [its own client](crate::client::AuthClientBuilder::instrumentation) alone. With the feature
//! `otlp`, the module `otlp` builds a pipeline ready for Jaeger or any collector. It counts the spans
//! that it had to drop (`Pipeline::dropped_spans`, and the metrics `otel.sdk.…`); another provider's
//! are counted by its own processor, the SDK's in one line of its log.
//!
//! What is [measured](metrics) goes to the global `MeterProvider` in the same way.
//!
//! # Parents
//! The parent is taken when a query's future is first polled: the current OpenTelemetry context if
//! it has an active span, else (feature `tracing-opentelemetry`) the current `tracing` span's. This
//! library makes no `tracing` spans of its own, so nothing is exported twice. A *global* filter such
//! as `RUST_LOG=warn` removes the callers' spans, and queries become roots: filter per layer.
//!
//! # Queries past the client
//! A query through the driver's own client, as of a pool, in `&*client` or in what takes a
//! `GenericClient`, is seen on its way to the database, and is one span too: a simple query, or the
//! run of a statement. Preparing is none, unless it fails; nor are the driver's questions about
//! types. The span begins when the query is written, and ends when the database is ready for the
//! next one.
//!
//! Its parent is the caller's span only where that is certain, and else it is a root with
//! `approzium.parent=unknown`; the first such is a warning in the log. It is certain on a connection
//! that [`Connection`](crate::postgres::Connection) moves and one task at a time uses: no two queries
//! were ever under way on it at once, and this one was sent alone. (Behind a query by text the driver
//! sends a `Close` of its statement, and what goes out together with that, as a `COMMIT` may, is not
//! certain.) [`Client`](crate::postgres::Client) always knows.
//!
//! # What a query's span says
//! Its name is the operation and the first table, never a literal. Its text is as the application
//! wrote it if it has parameters; in any other text each literal is replaced by `?`, and comments are
//! left out. [`QueryText::Off`] leaves the text out, [`Instrumentation::returned_rows`] adds how many
//! rows came back. A query that failed has `error.type` (the SQLSTATE, or a word of a closed list)
//! and the database's message where that cannot quote a value: what a function of the application's
//! raises is left out under whatever SQLSTATE, and so is a name that was looked up by a value, as by
//! `$1::regclass`. One whose future was dropped has `error.type=cancelled`.
//!
//! The names are those of the stable conventions. `OTEL_SEMCONV_STABILITY_OPT_IN=database/dup`, read
//! once, adds the older ones (`db.system`, `db.name`, `db.operation`, `db.sql.table`, `db.statement`,
//! `net.peer.name`, `net.peer.port`), for dashboards that still ask for them.
//!
//! # Spans of others
//! Database spans that other instrumentation makes get this process's attribution by the span
//! processor `span_processor` (feature `resource`); the pipeline of `otlp` has it already.
//!
//! # Seen from the database
//! Sessions are [named](crate::postgres::Config::application_name) after the service, the role and
//! the place. With [`Instrumentation::sqlcommenter`] texts also name the trace.
//!
//! # Connecting
//! The span `connect <server>` has the children `dial`, `tls`, `startup` (the database, until it
//! challenges), `session` and `challenge` (the Authenticator, inside of which the trace goes on) and
//! `database` (from the answer until it is ready). Where the time went is so told apart, and of what
//! failed only the one who failed it has a phase that did.

#![cfg_attr(
    not(feature = "postgres"),
    allow(dead_code, unused_imports, reason = "spans are made for drivers")
)]

mod attributes;
pub(crate) mod comment;
mod connect;
mod connection;
mod failure;
pub(crate) mod identity;
pub(crate) mod instrumentation;
pub mod metrics;
mod orphans;
#[cfg(feature = "otlp")]
#[cfg_attr(docsrs, doc(cfg(feature = "otlp")))]
pub mod otlp;
#[cfg(feature = "resource")]
mod processor;
pub(crate) mod propagation;
mod query;
mod semconv;
#[cfg(feature = "authenticator")]
pub(crate) mod server;
mod service;
pub(crate) mod sql;
#[cfg(test)]
mod testing;

use ::opentelemetry::Context;

pub(crate) use connect::{ConnectSpan, Phase, PhaseSpan};
pub(crate) use connection::{ConnectionInfo, Identity, Server};
pub(crate) use failure::Failure;
pub use instrumentation::{Instrumentation, QueryText, instrument, instrument_with, uninstrument};
#[cfg(feature = "resource")]
#[cfg_attr(docsrs, doc(cfg(feature = "resource")))]
pub use processor::{Around, AttributionProcessor, span_processor};
pub(crate) use query::{Due, QuerySpan};
pub(crate) use service::service_name;

/// The context whose span becomes the parent of an operation that begins now.
pub(crate) fn parent() -> Context {
    let context = Context::current();
    #[cfg(feature = "tracing-opentelemetry")]
    {
        use ::opentelemetry::trace::TraceContextExt;
        use ::tracing_opentelemetry::OpenTelemetrySpanExt;
        if context.has_active_span() || context.is_telemetry_suppressed() {
            return context;
        }
        let outer = ::tracing::Span::current().context();
        if outer.has_active_span() {
            return outer;
        }
    }
    context
}
