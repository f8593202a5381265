//! Names of metrics and of their labels.
//!
//! Those under `db.` are from the semantic conventions 1.44
//! (<https://opentelemetry.io/docs/specs/semconv/db/database-metrics/>):
//! the duration is stable, the others are in development. Those under `approzium.` are this
//! library's own.

pub(super) const OPERATION_DURATION: &str = "db.client.operation.duration";
pub(super) const RETURNED_ROWS: &str = "db.client.response.returned_rows";
pub(super) const CONNECTION_COUNT: &str = "db.client.connection.count";
pub(super) const CONNECTION_CREATE_TIME: &str = "db.client.connection.create_time";
pub(super) const CONNECTION_WAIT_TIME: &str = "db.client.connection.wait_time";
pub(super) const CONNECTION_USE_TIME: &str = "db.client.connection.use_time";
pub(super) const PHASE_DURATION: &str = "approzium.connect.phase.duration";
pub(super) const SESSION_RENEWALS: &str = "approzium.session.renewals";
pub(super) const DENIALS: &str = "approzium.denials";
pub(super) const SPANS_WITHOUT_PARENT: &str = "approzium.spans.without_parent";
pub(super) const CLIENT_INFO: &str = "approzium.client.info";

/// Every metric of this library's client side.
pub const METRICS: &[&str] = &[
    OPERATION_DURATION,
    RETURNED_ROWS,
    CONNECTION_COUNT,
    CONNECTION_CREATE_TIME,
    CONNECTION_WAIT_TIME,
    CONNECTION_USE_TIME,
    PHASE_DURATION,
    SESSION_RENEWALS,
    DENIALS,
    SPANS_WITHOUT_PARENT,
    CLIENT_INFO,
];

pub(super) const POOL_NAME: &str = "db.client.connection.pool.name";
pub(super) const STATE: &str = "db.client.connection.state";
pub(super) const USED: &str = "used";
pub(super) const PHASE: &str = "approzium.phase";
pub(super) const OUTCOME: &str = "approzium.outcome";
pub(super) const REASON: &str = "approzium.reason";
pub(super) const VERSION: &str = "approzium.version";
