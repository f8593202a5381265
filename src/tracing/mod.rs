//! Who, where and what, for applications that log with `tracing`.
//!
//! An application that has a subscriber keeps it, and changes one line to have attribution on every
//! line that it writes:
//!
//! ```no_run
//! # #[cfg(all(feature = "tracing", feature = "postgres"))]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt, util::SubscriberInitExt};
//!
//! let lines = fmt::layer()
//!     .json()
//!     .map_event_format(approzium::tracing::attributed) // the new one
//!     .with_filter(EnvFilter::new("info,approzium::query=debug"));
//! tracing_subscriber::registry().with(lines).init();
//!
//! let client = approzium::postgres::connect("host=db.internal user=shop dbname=shop").await?;
//! client.query("SELECT note FROM orders WHERE id = $1", &[&7]).await?;
//! # Ok(())
//! # }
//! ```
//! ```json
//! {"timestamp":"…","level":"DEBUG","target":"approzium::query","fields":{"message":"query",
//!  "db.system.name":"postgresql","db.operation.name":"SELECT","db.collection.name":"orders",
//!  "db.query.text":"SELECT note FROM orders WHERE id = $1","duration_ms":0.8,…},
//!  "approzium.iam_role":"checkout","approzium.k8s.pod.name":"checkout-7","trace_id":"…",…}
//! ```
//!
//! | what | puts it | needs |
//! |---|---|---|
//! | the event `approzium::query` | on a line of its own for each query | nothing |
//! | `attributed` | on every line of the stock `fmt` layers, with the trace's ids | feature `tracing` |
//! | `layer` | on the spans of the stock `fmt` layers, and so on the lines inside of them | feature `tracing` |
//!
//! None of them makes spans, and none depends on
//! [`instrument()`](crate::opentelemetry::instrument); `attributed` and `layer` go together with
//! everything else, but one of the two is enough.
//!
//! # The event `approzium::query`
//! Each query through [`approzium::postgres::Client`](crate::postgres::Client), or past it through
//! the driver's own client, is one event when it has ended: at the level DEBUG, or WARN if it failed, was given up, or was
//! [slow](crate::opentelemetry::Instrumentation::slow_query). Its fields are those of the query's
//! span under the same names: `db.system.name`, `db.namespace`, `db.operation.name`,
//! `db.collection.name`, `db.query.text`, `server.address`, `error.type`,
//! `db.response.status_code`, the connection's `approzium.…`, and besides `duration_ms`, `slow`,
//! `error` in words, and the span's `trace_id` and `span_id`, if it has one. What went past the
//! wrapper is told by the connection's task, outside of the caller's `tracing` spans.
//!
//! From when on a query is slow, and whether its text is shown, is said by
//! [`instrument_with`](crate::opentelemetry::instrument_with) or by
//! [one client's own](crate::client::AuthClientBuilder::instrumentation) instrumentation, also where
//! there is no OpenTelemetry: spans then go to the global provider, which is none, and cost little.
//! Without either, and from [`uninstrument`](crate::opentelemetry::uninstrument) on, the defaults
//! hold: a second, and the text is shown with its literals replaced.
//!
//! ```
//! use approzium::opentelemetry::{Instrumentation, QueryText, instrument_with};
//! use std::time::Duration;
//!
//! let events = Instrumentation::new().slow_query(Duration::from_millis(200));
//! instrument_with(events.query_text(QueryText::Off));
//! ```
//!
//! # What is in no line
//! At no level, `trace` included, does a line of this library hold a value that was bound to a
//! query, a password, or a token; a query's text is shown [as on its span](crate::opentelemetry). The
//! driver's own lines do hold values: `tokio_postgres=debug` shows each query's parameters. Where
//! `RUST_LOG=debug` is ever set in production, add `tokio_postgres=warn`: at `info` it
//! shows the server's notices, which hold what the database was told to say.
//!
//! # Filter per layer
//! `RUST_LOG=warn` as a filter of the whole subscriber takes away the spans of everybody: lines
//! lose them, and with `tracing-opentelemetry` queries lose their parents. Give the `fmt` layer a
//! filter of its own, as above, and the others see everything. `tracing-opentelemetry` makes events
//! of the caller's span of what it sees, `approzium::query` too: its own filter can leave those out.

#![cfg_attr(
    not(feature = "postgres"),
    allow(dead_code, unused_imports, reason = "events are made for drivers")
)]

#[cfg(feature = "tracing")]
mod layer;
#[cfg(feature = "tracing")]
mod lines;
pub(crate) mod query;

#[cfg(feature = "tracing")]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
pub use layer::{AttributionLayer, layer};
#[cfg(feature = "tracing")]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
pub use lines::{Attributed, StockFormat, attributed};
