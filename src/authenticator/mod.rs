//! The Authenticator: verifies identities, keeps passwords, answers challenges.
//!
//! `approzium serve` runs it; [`Authenticator::builder`] runs it inside a test or another program.
//!
//! ```text
//! CreateSession   nonce ─▶   ◀─ signed GetCallerIdentity   STS?   ─▶ session token, ARN
//! Authenticate    token, host, port, user ─▶   record?     ─▶ accepted
//!                 the database's challenge ─▶               ─▶ the proof
//!                 how the login ended ─▶                    keys kept, audit line
//! ```
//!
//! - Identity before secrets: no record is looked up for anybody whose identity is not verified.
//! - A caller that is refused is told one constant text; the reason, of a closed list, is on the
//!   audit line (target `approzium::audit`) under the request id that the caller was given.
//! - The password never leaves this process. What leaves it is good for one login at one database,
//!   and cannot be computed back.
//! - Everything that a peer controls is bounded: see [`Limits`].
//!
//! What is left: whoever is on a record can always obtain a database session, and a session that is
//! open stays open. GetCallerIdentity succeeds even under an explicit deny, so an IAM policy
//! revokes nothing here; striking the principal off the record does, at once.

mod audit;
mod authorization;
pub mod config;
#[cfg(feature = "dev")]
#[cfg_attr(docsrs, doc(cfg(feature = "dev")))]
pub mod dev;
mod endpoints;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod hardening;
mod http;
mod keys;
mod limits;
mod listener;
mod logging;
mod lookups;
mod metrics;
mod open_files;
mod readiness;
mod reload;
mod replay;
mod secrets;
pub mod serve;
mod server;
mod service;
mod sts;
mod target;
mod timely;
mod tls;
mod token;

pub use audit::stream::AuditLog;
pub use hardening::harden;
pub use limits::Limits;
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use replay::{RedisReplays, RedisReplaysBuilder};
#[cfg(feature = "kubernetes")]
#[cfg_attr(docsrs, doc(cfg(feature = "kubernetes")))]
pub use secrets::MountedSecrets;
#[cfg(feature = "asm")]
#[cfg_attr(docsrs, doc(cfg(feature = "asm")))]
pub use secrets::{AwsSecrets, AwsSecretsBuilder};
#[cfg(feature = "vault")]
#[cfg_attr(docsrs, doc(cfg(feature = "vault")))]
pub use secrets::{KvVersion, VaultLogin, VaultSecrets, VaultSecretsBuilder};
pub use secrets::{LocalSecrets, SecretsManager};
pub use server::{Authenticator, AuthenticatorBuilder, Running};
pub use tls::ServerTls;
pub use token::{MAX_SESSION_LIFETIME, SessionKeys};
