//! Why a call ends early: what the caller is told, and what the operator.
//!
//! A caller whose identity is not accepted, or who is not on a record, gets a text that is the same
//! in every such case.

use std::borrow::Cow;

use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};

use super::REQUEST_ID;
use crate::{
    authenticator::{
        audit::{Decision, Reason},
        authorization::Refused,
        keys::NoKeys,
        metrics::Ending,
        replay::ReplayStoreUnavailable,
        secrets::Trouble,
        target::InvalidTarget,
        token::InvalidToken,
    },
    error::printable,
    identity::Rejection,
    wire::scram,
};

const UNAUTHENTICATED: &str = "the identity was not accepted";
const PERMISSION_DENIED: &str = "this identity may not use this database user";

/// The end of a call that was refused or did not work.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    code: Code,
    text: Cow<'static, str>,
    decision: Decision,
    reason: Reason,
    /// For the audit log alone.
    detail: Option<String>,
}

impl Refusal {
    fn new(code: Code, text: impl Into<Cow<'static, str>>, reason: Reason) -> Self {
        let decision = match code {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Internal => {
                Decision::Failed
            }
            _ => Decision::Denied,
        };
        Refusal {
            code,
            text: text.into(),
            decision,
            reason,
            detail: None,
        }
    }

    fn with_detail(self, detail: impl Into<String>) -> Self {
        Refusal {
            detail: Some(detail.into()),
            ..self
        }
    }

    /// The message, or the order of messages, is not of the protocol. Says how.
    pub(super) fn invalid(text: impl Into<Cow<'static, str>>, reason: Reason) -> Self {
        Refusal::new(Code::InvalidArgument, text, reason)
    }

    /// The record does not allow this way of logging in. Only for who is authorised.
    pub(super) fn policy(text: &'static str, reason: Reason) -> Self {
        Refusal::new(Code::FailedPrecondition, text, reason)
    }

    /// The identity is not who it should be: the one text.
    pub(super) fn identity(reason: Reason) -> Self {
        Refusal::new(Code::Unauthenticated, UNAUTHENTICATED, reason)
    }

    pub(super) fn exhausted(text: &'static str, reason: Reason) -> Self {
        Refusal::new(Code::ResourceExhausted, text, reason)
    }

    /// The record is another one than at the beginning of the call.
    pub(super) fn changed() -> Self {
        Refusal::new(
            Code::Unavailable,
            "the record has just been changed",
            Reason::RecordChanged,
        )
    }

    pub(super) fn late(reason: Reason) -> Self {
        Refusal::new(Code::DeadlineExceeded, "no message came in time", reason)
    }

    pub(super) fn client_gone() -> Self {
        Refusal::new(Code::Cancelled, "the client went away", Reason::ClientGone)
    }

    pub(super) fn cancelled() -> Self {
        Refusal::new(
            Code::Cancelled,
            "given up by the client",
            Reason::ClientCancelled,
        )
    }

    pub(super) fn internal(detail: &str) -> Self {
        Refusal::new(Code::Internal, "internal error", Reason::Internal).with_detail(detail)
    }

    pub(super) fn unreadable(status: &Status) -> Self {
        match status.code() {
            Code::Cancelled | Code::Unknown | Code::Unavailable => Refusal::client_gone(),
            _ => Refusal::invalid("unreadable message", Reason::MalformedMessage)
                .with_detail(printable(status.message())),
        }
    }

    pub(super) fn status(&self, request_id: &str) -> Status {
        let mut trailers = MetadataMap::new();
        if let Ok(id) = MetadataValue::try_from(request_id) {
            trailers.insert(REQUEST_ID, id);
        }
        Status::with_metadata(self.code, self.text.clone(), trailers)
    }

    pub(super) fn decision(&self) -> Decision {
        self.decision
    }

    pub(super) fn reason(&self) -> Reason {
        self.reason
    }

    pub(super) fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    pub(super) fn ending(&self) -> Ending {
        match self.decision {
            Decision::Denied => Ending::Denied,
            _ => Ending::Failed,
        }
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        let reason = Reason::from(&rejection);
        let refusal = match &rejection {
            Rejection::Throttled => {
                Refusal::exhausted("identities cannot be verified this fast", reason)
            }
            _ if rejection.is_retryable() => Refusal::new(
                Code::Unavailable,
                "identities cannot be verified now",
                reason,
            ),
            _ => Refusal::new(Code::Unauthenticated, UNAUTHENTICATED, reason),
        };
        refusal.with_detail(rejection.to_string())
    }
}

impl From<InvalidToken> for Refusal {
    fn from(invalid: InvalidToken) -> Self {
        let reason = match invalid {
            InvalidToken::Forged => Reason::TokenForged,
            InvalidToken::Expired => Reason::TokenExpired,
            InvalidToken::OtherCertificate => Reason::TokenOtherCertificate,
        };
        Refusal::identity(reason)
    }
}

impl From<ReplayStoreUnavailable> for Refusal {
    fn from(unavailable: ReplayStoreUnavailable) -> Self {
        Refusal::new(
            Code::Unavailable,
            "identities cannot be verified now",
            Reason::ReplayStoreUnavailable,
        )
        .with_detail(unavailable.to_string())
    }
}

impl From<InvalidTarget> for Refusal {
    fn from(invalid: InvalidTarget) -> Self {
        match invalid {
            InvalidTarget::System => {
                Refusal::invalid("unknown database system", Reason::UnsupportedSystem)
            }
            InvalidTarget::Text(text) => Refusal::invalid(text, Reason::MalformedTarget),
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let denied = |reason| Refusal::new(Code::PermissionDenied, PERMISSION_DENIED, reason);
        match refused {
            Refused::NoRecord => denied(Reason::NoRecord),
            Refused::NotOnRecord => denied(Reason::NotOnRecord),
            Refused::OtherUserId => denied(Reason::OtherUserId),
            // Whoever is on it cannot be read, and who is not must not learn that it exists.
            Refused::Unavailable(unavailable) if unavailable.trouble == Trouble::Malformed => {
                Refusal {
                    decision: Decision::Failed,
                    ..denied(unavailable.trouble.into())
                }
                .with_detail(unavailable.to_string())
            }
            Refused::TooManyLookups => Refusal::exhausted(
                "this AWS account names too many databases: name fewer, or have the \
                 Authenticator's lookups_per_second_per_account raised",
                Reason::TooManyLookups,
            ),
            Refused::Unavailable(unavailable) => {
                let (code, text) = if unavailable.trouble.is_retryable() {
                    (Code::Unavailable, "records cannot be read now")
                } else {
                    (Code::Internal, "records cannot be read")
                };
                Refusal::new(code, text, unavailable.trouble.into())
                    .with_detail(unavailable.to_string())
            }
        }
    }
}

impl From<NoKeys> for Refusal {
    fn from(none: NoKeys) -> Self {
        match none {
            NoKeys::Overload => {
                Refusal::exhausted("too many logins at once", Reason::TooManyDerivations)
            }
            NoKeys::AnotherChallenge => Refusal::policy(
                "the record's digests are not of the database's salt and iteration count",
                Reason::KeysOfAnotherChallenge,
            ),
        }
    }
}

impl From<scram::Error> for Refusal {
    fn from(error: scram::Error) -> Self {
        let text = error.to_string();
        match error {
            scram::Error::Iterations { .. } => {
                Refusal::invalid(text, Reason::IterationsOutOfBounds)
            }
            scram::Error::NoMechanism => Refusal::invalid(text, Reason::NoCommonMechanism),
            scram::Error::ChannelBindingUnavailable => Refusal::new(
                Code::FailedPrecondition,
                text,
                Reason::ChannelBindingImpossible,
            ),
            _ => Refusal::invalid(text, Reason::MalformedChallenge),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authenticator::secrets::Unavailable;

    fn told(refusal: &Refusal) -> (Code, String, String) {
        let status = refusal.status("7f");
        let id = status.metadata().get(REQUEST_ID).unwrap().to_str().unwrap();
        (status.code(), status.message().to_owned(), id.to_owned())
    }

    #[test]
    fn absent_forbidden_and_malformed_records_look_alike() {
        let malformed = Unavailable::new(Trouble::Malformed, "/etc/secrets");
        let all = [
            Refused::NoRecord,
            Refused::NotOnRecord,
            Refused::OtherUserId,
            Refused::Unavailable(malformed),
        ]
        .map(|refused| told(&refused.into()));
        assert_eq!(all[0].0, Code::PermissionDenied);
        assert!(all.iter().all(|one| *one == all[0]));
    }

    #[test]
    fn every_proof_and_token_that_is_not_good_looks_alike() {
        let proofs = [
            Rejection::Malformed("x"),
            Rejection::Expired,
            Rejection::NotYetValid,
            Rejection::UnknownRegion,
            Rejection::Audience,
            Rejection::Signature,
            Rejection::Credentials,
            Rejection::Refused("x".into()),
            Rejection::Account,
            Rejection::UnexpectedAnswer("x"),
        ]
        .map(|rejection| told(&rejection.into()));
        let tokens = [
            InvalidToken::Forged,
            InvalidToken::Expired,
            InvalidToken::OtherCertificate,
        ]
        .map(|invalid| told(&invalid.into()));
        assert_eq!(proofs[0].0, Code::Unauthenticated);
        assert!(proofs.iter().chain(&tokens).all(|one| *one == proofs[0]));
    }

    #[test]
    fn trouble_of_ours_may_be_retried_and_says_nothing_more() {
        for (trouble, code, reason) in [
            (
                Trouble::Unreachable,
                Code::Unavailable,
                "secrets_unavailable",
            ),
            (Trouble::Sealed, Code::Unavailable, "secrets_sealed"),
            (Trouble::Slow, Code::Unavailable, "secrets_slow"),
            (Trouble::Throttled, Code::Unavailable, "secrets_throttled"),
            (Trouble::Refused, Code::Internal, "secrets_refused"),
            (
                Trouble::Malformed,
                Code::PermissionDenied,
                "secrets_malformed",
            ),
        ] {
            let unavailable = Unavailable::new(trouble, "/etc/secrets");
            let secrets = Refusal::from(Refused::Unavailable(unavailable));
            assert_eq!((secrets.code, secrets.reason().as_str()), (code, reason));
            assert_eq!(secrets.decision(), Decision::Failed);
            assert!(!secrets.text.contains("/etc"));
            assert_eq!(secrets.detail(), Some("/etc/secrets"));
        }
        let sts = Refusal::from(Rejection::Unavailable("x".into()));
        let left_alone = Refusal::from(Rejection::CircuitOpen);
        assert_eq!(
            (sts.code, left_alone.code),
            (Code::Unavailable, Code::Unavailable)
        );
        assert_eq!(sts.text, left_alone.text);
        let throttled = Refusal::from(Rejection::Throttled);
        assert_eq!(throttled.code, Code::ResourceExhausted);
    }
}
