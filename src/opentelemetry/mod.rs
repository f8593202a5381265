//! Query spans that say who ran the query.
//!
//! ```
//! approzium::opentelemetry::instrument();
//! ```
//!
//! From then on each query through [`approzium::postgres::Client`](crate::postgres::Client) is one
//! span of kind CLIENT with the attributes of OpenTelemetry's
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
//! globally as well (`opentelemetry::global::set_tracer_provider`). With the feature `otlp`, the
//! module `otlp` builds a pipeline ready for Jaeger or any collector.
//!
//! # Parents
//! The parent is taken when a query's future is first polled: the current OpenTelemetry context if
//! it has an active span, else (feature `tracing-opentelemetry`) the current `tracing` span's. This
//! library makes no `tracing` spans of its own, so nothing is exported twice. A *global* filter such
//! as `RUST_LOG=warn` removes the callers' spans, and queries become roots: filter per layer.
//!
//! # Connecting
//! The span `connect <server>` has the children `dial`, `tls`, `session`, `challenge` and
//! `database`, and its trace goes on inside the Authenticator.

#![cfg_attr(
    not(feature = "postgres"),
    allow(dead_code, unused_imports, reason = "spans are made for drivers")
)]

mod attributes;
mod connect;
mod connection;
pub(crate) mod identity;
pub(crate) mod instrumentation;
pub mod metrics;
mod orphans;
#[cfg(feature = "otlp")]
#[cfg_attr(docsrs, doc(cfg(feature = "otlp")))]
pub mod otlp;
pub(crate) mod propagation;
mod query;
#[cfg(feature = "authenticator")]
pub(crate) mod server;
pub(crate) mod sql;
#[cfg(test)]
mod testing;

use ::opentelemetry::Context;

pub(crate) use connect::{ConnectSpan, Phase, PhaseSpan};
pub(crate) use connection::{ConnectionInfo, Identity, Server};
pub use instrumentation::{Instrumentation, QueryText, instrument, instrument_with, uninstrument};
pub(crate) use query::{Failure, QuerySpan};

/// The context whose span becomes the parent of an operation that begins now.
pub(crate) fn parent() -> Context {
    let context = Context::current();
    #[cfg(feature = "tracing-opentelemetry")]
    {
        use ::opentelemetry::trace::TraceContextExt;
        use ::tracing_opentelemetry::OpenTelemetrySpanExt;
        if context.has_active_span() {
            return context;
        }
        let outer = ::tracing::Span::current().context();
        if outer.has_active_span() {
            return outer;
        }
    }
    context
}
