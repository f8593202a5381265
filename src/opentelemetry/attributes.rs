//! Names of attributes.
//!
//! Those of the conventions are from the semantic conventions 1.44 (`db`, `server`, `network`,
//! `error`, `rpc`); those under `approzium.` are this library's own, where the conventions have
//! nothing: an IAM principal is neither an end user nor a resource.

/// The version of the conventions that the names follow.
pub(super) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

pub(super) const DB_SYSTEM_NAME: &str = "db.system.name";
/// Of the older conventions.
#[cfg(feature = "resource")]
pub(super) const DB_SYSTEM: &str = "db.system";
pub(super) const DB_NAMESPACE: &str = "db.namespace";
pub(super) const DB_OPERATION_NAME: &str = "db.operation.name";
pub(super) const DB_OPERATION_BATCH_SIZE: &str = "db.operation.batch.size";
pub(super) const DB_COLLECTION_NAME: &str = "db.collection.name";
pub(super) const DB_QUERY_TEXT: &str = "db.query.text";
pub(super) const DB_RESPONSE_STATUS_CODE: &str = "db.response.status_code";
/// Opt-in.
pub(super) const DB_RESPONSE_RETURNED_ROWS: &str = "db.response.returned_rows";
pub(super) const ERROR_TYPE: &str = "error.type";
pub(super) const SERVER_ADDRESS: &str = "server.address";
pub(super) const SERVER_PORT: &str = "server.port";
pub(super) const NETWORK_PEER_ADDRESS: &str = "network.peer.address";
pub(super) const NETWORK_PEER_PORT: &str = "network.peer.port";

pub(super) const IAM_ARN: &str = "approzium.iam_arn";
pub(super) const IAM_ROLE: &str = "approzium.iam_role";
pub(super) const AUTHENTICATED: &str = "approzium.authenticated";
pub(super) const AUTHENTICATOR_ADDRESS: &str = "approzium.authenticator_address";
pub(super) const NUM_CONNECTIONS: &str = "approzium.num_connections";
pub(super) const REQUEST_ID: &str = "approzium.request_id";
/// On the span of a query whose caller is not known.
pub(super) const PARENT: &str = "approzium.parent";
pub(super) const UNKNOWN: &str = "unknown";
/// The hop at which a connect failed, in words.
pub(super) const HOP: &str = "approzium.hop";

/// `error.type` of what its caller gave up.
pub(super) const CANCELLED: &str = "cancelled";

/// `error.type` of what no closed list has.
pub(super) const OTHER: &str = "_OTHER";

/// Of the Authenticator's own spans.
#[cfg(feature = "authenticator")]
pub(super) const RPC_SYSTEM_NAME: &str = "rpc.system.name";
#[cfg(feature = "authenticator")]
pub(super) const RPC_METHOD: &str = "rpc.method";
