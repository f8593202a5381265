//! What is decided, and why: closed lists, for the audit log and for labels of metrics.

use crate::{authenticator::secrets::Trouble, identity::Rejection};

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Decision {
    Allowed,
    Denied,
    /// Nobody said no: something did not work, or the client went away.
    Failed,
    /// How a login ended for which a proof was given.
    Outcome,
}

impl Decision {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Decision::Allowed => "allowed",
            Decision::Denied => "denied",
            Decision::Failed => "failed",
            Decision::Outcome => "outcome",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// Why it was decided so.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Reason {
            $($(#[$doc])* $name,)+
            /// A proof of identity was rejected; one of [`Rejection::REASONS`].
            Rejected(&'static str),
        }

        impl Reason {
            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $(Reason::$name => $text,)+
                    Reason::Rejected(reason) => reason,
                }
            }

            /// All but those of rejections.
            #[cfg(test)]
            const OWN: &[Reason] = &[$(Reason::$name,)+];
        }
    };
}

reasons! {
    SessionGranted = "session_granted",
    ScramAnswered = "scram_answered",
    Md5Answered = "md5_answered",
    MysqlNativeAnswered = "mysql_native_answered",

    /// The client brought the database's own signature.
    LoginVerified = "login_verified",
    /// The client says so, and MD5 has nothing that would show it.
    LoginReported = "login_reported",
    /// The client says so, and the signature it brought is not the database's.
    LoginUnproved = "login_unproved",
    LoginRefused = "login_refused",
    LoginCancelled = "login_cancelled",
    /// The stream ended without a word, or none came in time.
    LoginUnknown = "login_unknown",

    /// By the v1 API: the proof is not of who its client says it is.
    ClaimedArnMismatch = "claimed_arn_mismatch",
    /// By the v1 API: somebody else used the proof first.
    ProofReplayed = "proof_replayed",
    /// Who used a proof first cannot be told.
    ReplayStoreUnavailable = "replay_store_unavailable",

    /// By whoever, before they said who they are.
    TooManyCalls = "too_many_calls",
    TooManySessions = "too_many_sessions",
    ProofTimeout = "proof_timeout",
    ClientGone = "client_gone",
    Internal = "internal",

    TokenForged = "token_forged",
    TokenExpired = "token_expired",
    /// A stolen token; or the token of who has a new certificate since, as its first one shows.
    TokenOtherCertificate = "token_other_certificate",

    /// A login was begun, and then nothing was said.
    StartTimeout = "start_timeout",
    MalformedMessage = "malformed_message",
    MalformedTarget = "malformed_target",
    UnsupportedSystem = "unsupported_system",
    UnexpectedMessage = "unexpected_message",

    NoRecord = "no_record",
    NotOnRecord = "not_on_record",
    OtherUserId = "other_user_id",
    /// The secrets manager does not answer, or something is wrong with it; the file is unreadable.
    SecretsUnavailable = "secrets_unavailable",
    SecretsSealed = "secrets_sealed",
    SecretsSlow = "secrets_slow",
    SecretsThrottled = "secrets_throttled",
    /// The secrets manager refuses the Authenticator: a policy, a token or a mount is not right.
    SecretsRefused = "secrets_refused",
    /// What the secrets manager keeps there is no record.
    SecretsMalformed = "secrets_malformed",
    /// Its policy was edited while the login was under way.
    RecordChanged = "record_changed",

    /// Accepted, and then no challenge came.
    ChallengeTimeout = "challenge_timeout",
    ClientCancelled = "client_cancelled",
    MalformedChallenge = "malformed_challenge",
    IterationsOutOfBounds = "iterations_out_of_bounds",
    MethodNotOnRecord = "method_not_on_record",
    NoCommonMechanism = "no_common_mechanism",
    ChannelBindingImpossible = "channel_binding_impossible",
    CertificateNotPinned = "certificate_not_pinned",
    SaltNotPinned = "salt_not_pinned",
    IterationsNotPinned = "iterations_not_pinned",
    /// The record holds digests of another salt or iteration count, and no password.
    KeysOfAnotherChallenge = "keys_of_another_challenge",
    TooManyDerivations = "too_many_derivations",
    TooManyMd5Answers = "too_many_md5_answers",
    TooManyMysqlNativeAnswers = "too_many_mysql_native_answers",
    /// Of one identity.
    TooManyHandshakes = "too_many_handshakes",
    /// From one address.
    TooManyHandshakesThere = "too_many_handshakes_from_address",
    /// Of databases that one account had not named lately.
    TooManyLookups = "too_many_lookups",
}

impl Reason {
    /// No client of ours does this by mistake: somebody tries something. Such lines are warnings.
    pub(crate) fn is_suspicious(self) -> bool {
        match self {
            Reason::LoginUnproved
            | Reason::ClaimedArnMismatch
            | Reason::ProofReplayed
            | Reason::TokenForged
            | Reason::MalformedMessage
            | Reason::MalformedTarget
            | Reason::UnexpectedMessage
            | Reason::MalformedChallenge
            | Reason::IterationsOutOfBounds
            | Reason::CertificateNotPinned => true,
            Reason::Rejected(reason) => [
                Rejection::Signature.reason(),
                Rejection::Malformed("").reason(),
                Rejection::UnknownRegion.reason(),
            ]
            .contains(&reason),
            _ => false,
        }
    }
}

impl From<Trouble> for Reason {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Unreachable => Reason::SecretsUnavailable,
            Trouble::Sealed => Reason::SecretsSealed,
            Trouble::Slow => Reason::SecretsSlow,
            Trouble::Throttled => Reason::SecretsThrottled,
            Trouble::Refused => Reason::SecretsRefused,
            Trouble::Malformed => Reason::SecretsMalformed,
        }
    }
}

impl From<&Rejection> for Reason {
    fn from(rejection: &Rejection) -> Self {
        Reason::Rejected(rejection.reason())
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    fn reasons() -> impl Iterator<Item = Reason> {
        let rejections = Rejection::REASONS.map(Reason::Rejected);
        Reason::OWN.iter().copied().chain(rejections)
    }

    #[test]
    fn reasons_are_distinct() {
        let all: BTreeSet<_> = reasons().map(Reason::as_str).collect();
        assert_eq!(all.len(), Reason::OWN.len() + Rejection::REASONS.len());
    }

    #[test]
    fn alerts_and_dashboards_know_the_reasons() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/dashboards"));
        let read = |name| std::fs::read_to_string(folder.join(name)).unwrap();
        let rules = read("alerts.yml");
        let suspicious = rules
            .split_once("record: approzium:decisions_suspicious:total")
            .and_then(|(_, rule)| named(rule).next())
            .unwrap();
        let listed: BTreeSet<_> = suspicious.split('|').collect();
        let expected: BTreeSet<_> = reasons()
            .filter(|reason| reason.is_suspicious())
            .map(Reason::as_str)
            .collect();
        assert_eq!(listed, expected);

        let known: BTreeSet<_> = reasons().map(Reason::as_str).collect();
        let board = read("grafana/authenticator.json").replace('\\', "");
        for values in named(&rules).chain(named(&board)) {
            for value in values.split('|') {
                let is_known = match value.strip_suffix(".+") {
                    Some(beginning) => known.iter().any(|reason| reason.starts_with(beginning)),
                    None => known.contains(value),
                };
                assert!(is_known, "{value} of {values}");
            }
        }
    }

    /// What the label `reason` is compared with.
    fn named(text: &str) -> impl Iterator<Item = &str> {
        text.match_indices("reason").filter_map(|(at, word)| {
            let rest = text.get(at + word.len()..)?;
            let (comparison, value) = rest.split_once('"')?;
            let compares = matches!(comparison, "=" | "!=" | "=~" | "!~");
            compares.then_some(value)?.split('"').next()
        })
    }
}
