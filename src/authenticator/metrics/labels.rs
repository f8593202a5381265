//! Labels, and every value that they can have.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

use crate::authenticator::{
    audit::{Decision, Reason},
    secrets::Method,
};

/// A part of the work on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// A whole session call, the client's part included.
    Session,
    /// The question to STS.
    Sts,
    /// The look-up of a record and the decision on it.
    Authorization,
    /// PBKDF2, the wait for a thread included.
    Derivation,
    /// A whole handshake call up to the proof, the client's part included.
    Handshake,
    /// A whole call of the v1 API, which proves an identity and answers a challenge at once.
    HandshakeV1,
}

impl Phase {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Phase::Session => "session",
            Phase::Sts => "sts",
            Phase::Authorization => "authorization",
            Phase::Derivation => "derivation",
            Phase::Handshake => "handshake",
            Phase::HandshakeV1 => "handshake_v1",
        }
    }
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ending {
    Ok,
    Denied,
    Failed,
}

impl Ending {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Ending::Ok => "ok",
            Ending::Denied => "denied",
            Ending::Failed => "failed",
        }
    }
}

/// Whether keys were on hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CacheAnswer {
    Hit,
    Miss,
}

macro_rules! label_values {
    ($($type:ty { $($variant:pat => $text:expr),+ $(,)? })+) => {$(
        impl EncodeLabelValue for $type {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
                let text: &'static str = match self { $($variant => $text),+ };
                EncodeLabelValue::encode(&text, encoder)
            }
        }
    )+};
}

label_values! {
    Phase { phase => phase.as_str() }
    Ending { ending => ending.as_str() }
    CacheAnswer { CacheAnswer::Hit => "hit", CacheAnswer::Miss => "miss" }
    Decision { decision => decision.as_str() }
    Method { method => method.as_str() }
    Reason { reason => reason.as_str() }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PhaseLabels {
    pub(super) phase: Phase,
    pub(super) outcome: Ending,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct MethodLabels {
    pub(super) method: Method,
    pub(super) outcome: Ending,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DecisionLabels {
    pub(super) decision: Decision,
    pub(super) reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CacheLabels {
    pub(super) result: CacheAnswer,
}
