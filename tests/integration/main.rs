//! Tests against real servers, in one binary so that it links once.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test that fails should fail loudly"
)]

mod attribution;
mod authenticator;
mod canary;
mod client;
mod collectors;
mod dashboards;
mod deployment;
mod dev_mode;
mod diagnosis;
mod identity;
mod incident;
mod load;
mod matrix;
mod opentelemetry;
mod postgres;
mod rejections;
mod replicas;
mod secrets;
mod thread;
mod tracing;
mod v1;
mod v1_sdk;

/// A name that nobody has, and no name server is asked for: a label has at most 63 bytes (RFC 1035,
/// 2.3.4), and this one's first has 64.
pub(crate) const NO_SUCH_HOST: &str =
    "no-such-host-no-such-host-no-such-host-no-such-host-no-such-host.invalid";
