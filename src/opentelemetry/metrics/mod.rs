//! What is measured of operations, whether their spans are sampled or not.
//!
//! | metric | kind, unit | labels |
//! |---|---|---|
//! | `db.client.operation.duration` | histogram, s | server, operation, table, error |
//! | `db.client.response.returned_rows` | histogram, rows | the same |
//! | `db.client.connection.count` | up-down counter | pool, state |
//! | `db.client.connection.create_time` | histogram, s | pool |
//! | `db.client.connection.wait_time` | histogram, s | pool |
//! | `db.client.connection.use_time` | histogram, s | pool |
//! | `approzium.connect.phase.duration` | histogram, s | `approzium.phase`, `approzium.outcome` |
//! | `approzium.session.renewals` | counter | `approzium.outcome` |
//! | `approzium.denials` | counter | `approzium.reason` |
//! | `approzium.spans.without_parent` | counter | |
//! | `approzium.client.info` | gauge, 1 | `approzium.version` |
//!
//! Those of OpenTelemetry's
//! [conventions](https://opentelemetry.io/docs/specs/semconv/db/database-metrics/) have their names,
//! units, buckets and labels: `db.system.name`, `db.namespace`, `server.address`, `server.port`,
//! `db.operation.name`, `db.collection.name`, `error.type` and `db.response.status_code` of an
//! operation, `db.client.connection.pool.name` (`host:port/database`) and
//! `db.client.connection.state` of a connection.
//!
//! They go to the [meter provider](super::Instrumentation::meter_provider) that was named, else to
//! the global one of the moment: one that is installed later just works. What reads them there, OTLP
//! or Prometheus, is the application's choice.
//!
//! ```
//! use approzium::opentelemetry::{Instrumentation, instrument_with};
//! use opentelemetry_sdk::metrics::SdkMeterProvider;
//!
//! let meters = SdkMeterProvider::builder().build();
//! instrument_with(Instrumentation::new().meter_provider(meters.clone()));
//! ```
//!
//! # Connections
//! One of [`connect`](crate::postgres::connect) is counted until its client is dropped, one that a
//! pool makes with a [`Connector`](crate::postgres::Connector) until the pool drops it. All that time
//! they are `used`: this library keeps no idle ones, and which of its connections a pool has lent is
//! for the pool to tell. What was opened before [`instrument`](super::instrument) is not counted.
//!
//! `create_time` is that of the host that answered; of a pool's connection it is TLS and login, since
//! the driver dials by itself. `wait_time` is the whole connect, with the hosts before; how long
//! somebody waited for a pool is for the pool to tell, too. `use_time` is the connection's life.
//!
//! # Denials
//! `approzium.reason` is what the Authenticator said: `unauthenticated`, `permission_denied`,
//! `policy` or `resource_exhausted`. Only `client_policy` is no word of its: the database asked for
//! what the application (`require_auth`, `channel_binding`) or this library refuses.
//!
//! These, the renewals and the spans without parent are there from the start, as zeros: of a counter
//! that appears with its first event, Prometheus's `rate` and `increase` do not see that event.
//!
//! # Labels are closed sets
//! There is never an identity, a request, a pod or another's value among them. Operations and
//! tables come from the application's own texts, and SQLSTATEs from the database: of each only the
//! first are told apart (64 operations, 256 tables, 64 SQLSTATEs). Those that come later have no
//! label, and such an error is `_OTHER`.

mod closed_set;
mod connections;
mod instruments;
mod names;
mod unrecorded;

pub(crate) use connections::OpenConnection;
pub(super) use instruments::{Instruments, Outcome};
pub use names::METRICS;

use std::sync::Arc;

use super::instrumentation::{Instrumentation, effective};
use crate::error::Result;

/// The identity of a client was proved, or not; `own` is the client's own instrumentation.
pub(crate) fn session_renewal<T>(own: Option<&Arc<Instrumentation>>, result: &Result<T>) {
    if let Some(instrumentation) = effective(own) {
        let outcome = match result {
            Ok(_) => Outcome::Ok,
            Err(_) => Outcome::Error,
        };
        instrumentation.instruments().session_renewal(outcome);
    }
}

#[cfg(test)]
mod tests;
