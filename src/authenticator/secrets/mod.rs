//! Where records come from. Asked only after an identity is proved.

mod credential;
mod file;
mod parse;
mod record;

use std::{fmt, sync::Arc};

pub(crate) use credential::Credential;
pub use file::LocalSecrets;
pub(crate) use file::private;
#[cfg(test)]
pub(crate) use parse::records;
pub(crate) use record::{Admission, ChannelBindingPolicy, Method, Policy, Record, RecordKey};

/// How new an answer has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// As new as the source's own lifetime of records makes it.
    Usual,
    /// Read again now: something looks like a rotation.
    Reread,
}

/// A source of records.
#[tonic::async_trait]
pub(crate) trait Secrets: Send + Sync + 'static {
    /// Every record filed under this name; none is not an error.
    async fn records(
        &self,
        key: &RecordKey,
        freshness: Freshness,
    ) -> Result<Vec<Arc<Record>>, Unavailable>;
}

/// The source could not be read. Says why to the operator; callers learn only that it is so.
#[derive(Clone, Debug)]
pub(crate) struct Unavailable(pub(crate) String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
