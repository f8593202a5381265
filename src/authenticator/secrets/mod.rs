//! Where records come from. Asked only after an identity is proved.
//!
//! ```text
//! Secrets ─┬─ LocalSecrets      a file, looked at for every handshake
//!          ├─ MountedSecrets    files that a platform mounts, looked at for every handshake
//!          └─ Cached<Source> ─┬─ Vault, OpenBao
//!                             └─ AWS Secrets Manager
//! ```

#[cfg(feature = "asm")]
mod aws;
#[cfg(any(test, feature = "vault", feature = "asm"))]
mod cached;
mod credential;
mod file;
mod followed;
#[cfg(fuzzing)]
pub(super) mod fuzzing;
#[cfg(any(feature = "vault", feature = "asm"))]
mod https;
#[cfg(feature = "kubernetes")]
mod mounted;
mod parse;
#[cfg(any(test, feature = "vault", feature = "asm", feature = "kubernetes"))]
mod place;
mod record;
mod unavailable;
#[cfg(feature = "vault")]
mod vault;

use std::{fmt, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use crate::identity::VerifiedIdentity;

#[cfg(feature = "asm")]
pub use aws::{AwsSecrets, AwsSecretsBuilder};
pub(crate) use credential::{Credential, Digests};
pub use file::LocalSecrets;
pub(crate) use file::{exposure, private};
#[cfg(feature = "kubernetes")]
pub use mounted::MountedSecrets;
#[cfg(test)]
pub(crate) use parse::records;
pub(crate) use record::{Admission, ChannelBindingPolicy, Method, Policy, Record, RecordKey};
pub(crate) use unavailable::{Trouble, Unavailable};
#[cfg(feature = "vault")]
pub use vault::{KvVersion, VaultLogin, VaultSecrets, VaultSecretsBuilder};

/// How new an answer has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// As new as the source's own lifetime of records makes it.
    Usual,
    /// Read again now: something looks like a rotation.
    Reread,
}

/// How often one record may be read again because something looks like a rotation: the signs of it
/// are in clients' hands.
pub(crate) const REREAD_INTERVAL: Duration = Duration::from_secs(5);

/// What looks like a rotation. All of them are clients' word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// The database asks for another salt than before.
    UnseenSalt,
    /// The database refused the password.
    Refused,
    /// A login that is tried again, or looks so. What was refused another replica may have answered:
    /// this version need not be the one.
    Retried,
}

/// A source of records.
#[tonic::async_trait]
pub(crate) trait Secrets: Send + Sync + 'static {
    /// Every record filed under this name, for somebody whom they need not admit; none is not an
    /// error.
    async fn records(
        &self,
        identity: &VerifiedIdentity,
        key: &RecordKey,
        freshness: Freshness,
    ) -> Result<Vec<Arc<Record>>, Unavailable>;

    /// There is a sign against this version of a record: it is not given again unless the source,
    /// asked after this, still has it. `false` if the record need not be read again for it, since
    /// that is known of this version already.
    fn suspect(&self, _: &Arc<Record>, _: Sign) -> bool {
        true
    }

    /// Whether records can be had now.
    async fn ready(&self) -> Result<(), Unavailable>;

    /// As [`ready`](Self::ready), of as many records as can be seen, and what was found.
    async fn examine(&self) -> Result<String, Unavailable> {
        self.ready().await.map(|()| "they can be read".to_owned())
    }

    /// Follows the files that it has from now on until `end`, and shows what there is to be seen.
    fn keep_current(&self, _: &Arc<Metrics>, _end: &CancellationToken) {}
}

/// Where an Authenticator's records are: made `from` the secrets manager of one's choice.
#[derive(Clone)]
pub struct SecretsManager(pub(crate) Arc<dyn Secrets>);

impl From<LocalSecrets> for SecretsManager {
    fn from(secrets: LocalSecrets) -> Self {
        SecretsManager(Arc::new(secrets))
    }
}

impl fmt::Debug for SecretsManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretsManager").finish_non_exhaustive()
    }
}
