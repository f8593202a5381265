//! Files that were read again because they changed.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family},
};

use super::{Metrics, catalogue::Catalogue};

/// What was read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum File {
    /// Certificate, key and authorities of clients.
    Tls,
    SessionKeys,
    /// Authorities of a secrets manager.
    #[cfg(any(feature = "vault", feature = "asm"))]
    SecretsManagerCa,
    /// Password and authority of the store of the v1 API's proofs.
    #[cfg(feature = "redis")]
    ReplayStore,
}

impl File {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            File::Tls => "tls",
            File::SessionKeys => "session_keys",
            #[cfg(any(feature = "vault", feature = "asm"))]
            File::SecretsManagerCa => "secrets_manager_ca",
            #[cfg(feature = "redis")]
            File::ReplayStore => "v1_replay_store",
        }
    }
}

/// Whether it is in use now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reading {
    Ok,
    /// What was read before stays in use.
    Failed,
}

impl EncodeLabelValue for File {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&self.as_str(), encoder)
    }
}

impl EncodeLabelValue for Reading {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        let text = match self {
            Reading::Ok => "ok",
            Reading::Failed => "failed",
        };
        EncodeLabelValue::encode(&text, encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    file: File,
    result: Reading,
}

#[derive(Default)]
pub(super) struct Reloads(Family<Labels, Counter>);

impl Reloads {
    pub(super) fn register(&self, catalogue: &mut Catalogue) {
        catalogue.register(
            "approzium_reloads",
            "Files read again because they changed",
            self.0.clone(),
        );
    }
}

impl Metrics {
    pub(crate) fn read_again(&self, file: File, result: Reading) {
        self.reloads.0.get_or_create(&Labels { file, result }).inc();
    }
}
