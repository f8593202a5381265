//! Why a proof of identity was not accepted.

use std::{error::Error as StdError, fmt};

/// Why a proof of identity was not accepted: for the audit log and the metrics, never for the
/// caller, who gets one constant text.
///
/// `Display` gives the detail; what a peer wrote into it is escaped and bounded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// A part of the proof is not of its form; which one, and how.
    Malformed(&'static str),
    /// The proof was signed too long ago.
    Expired,
    /// The proof is dated later than clocks may differ.
    NotYetValid,
    /// The region is in no partition that this version knows, or none whose STS is asked.
    UnknownRegion,
    /// The proof is meant for another Authenticator.
    Audience,
    /// The signature is not that of the key: a wrong secret, or parts that are not those signed.
    Signature,
    /// STS does not know, or no longer accepts, the access key or the session token.
    Credentials,
    /// STS refused for another reason; its error code.
    Refused(String),
    /// A verified identity that this Authenticator never accepts: of the account 000000000000,
    /// which only stand-ins have, or of a partition other than the region's.
    Account,
    /// STS, or this Authenticator's own bound on calls to it, asks for fewer calls.
    Throttled,
    /// STS could not be reached, timed out, or said that it cannot serve now.
    Unavailable(String),
    /// STS has not answered for a while, and was not asked.
    CircuitOpen,
    /// STS answered with something that is not an answer to the question; what was wrong with it.
    UnexpectedAnswer(&'static str),
}

impl Rejection {
    /// The reason as it stands in audit lines and metric labels: one of [`Rejection::REASONS`].
    pub fn reason(&self) -> &'static str {
        match self {
            Rejection::Malformed(_) => "proof_malformed",
            Rejection::Expired => "proof_expired",
            Rejection::NotYetValid => "proof_not_yet_valid",
            Rejection::UnknownRegion => "region_unknown",
            Rejection::Audience => "audience_mismatch",
            Rejection::Signature => "signature_mismatch",
            Rejection::Credentials => "credentials_refused",
            Rejection::Refused(_) => "sts_refused",
            Rejection::Account => "account_refused",
            Rejection::Throttled => "sts_throttled",
            Rejection::Unavailable(_) => "sts_unavailable",
            Rejection::CircuitOpen => "sts_circuit_open",
            Rejection::UnexpectedAnswer(_) => "sts_unexpected_answer",
        }
    }

    /// Every reason there is.
    pub const REASONS: [&'static str; 13] = [
        "proof_malformed",
        "proof_expired",
        "proof_not_yet_valid",
        "region_unknown",
        "audience_mismatch",
        "signature_mismatch",
        "credentials_refused",
        "sts_refused",
        "account_refused",
        "sts_throttled",
        "sts_unavailable",
        "sts_circuit_open",
        "sts_unexpected_answer",
    ];

    /// The same identity may be accepted later: it is the verification that failed, not the proof.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Rejection::Throttled | Rejection::Unavailable(_) | Rejection::CircuitOpen
        )
    }

    /// STS asks for fewer calls. Its quota is shared by a whole account, so this has a metric of
    /// its own.
    pub fn is_throttled(&self) -> bool {
        matches!(self, Rejection::Throttled)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejection::Malformed(what) => write!(f, "malformed proof: {what}"),
            Rejection::Expired => f.write_str("the proof was signed too long ago"),
            Rejection::NotYetValid => f.write_str("the proof is dated in the future"),
            Rejection::UnknownRegion => {
                f.write_str("the proof names a region whose STS is not asked")
            }
            Rejection::Audience => f.write_str("the proof is meant for another Authenticator"),
            Rejection::Signature => f.write_str("the signature does not match"),
            Rejection::Credentials => f.write_str("STS does not accept the credentials"),
            Rejection::Refused(code) => write!(f, "STS refused: {code}"),
            Rejection::Account => f.write_str("an identity of this account is never accepted"),
            Rejection::Throttled => f.write_str("too many calls to STS"),
            Rejection::Unavailable(why) => write!(f, "STS is not available: {why}"),
            Rejection::CircuitOpen => {
                f.write_str("STS has not answered for a while, and was not asked")
            }
            Rejection::UnexpectedAnswer(what) => write!(f, "unexpected answer of STS: {what}"),
        }
    }
}

impl StdError for Rejection {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_a_closed_list() {
        let all = [
            Rejection::Malformed("x"),
            Rejection::Expired,
            Rejection::NotYetValid,
            Rejection::UnknownRegion,
            Rejection::Audience,
            Rejection::Signature,
            Rejection::Credentials,
            Rejection::Refused("x".into()),
            Rejection::Account,
            Rejection::Throttled,
            Rejection::Unavailable("x".into()),
            Rejection::CircuitOpen,
            Rejection::UnexpectedAnswer("x"),
        ];
        assert_eq!(all.each_ref().map(Rejection::reason), Rejection::REASONS);
        let retryable: Vec<_> = all.iter().filter(|r| r.is_retryable()).collect();
        assert_eq!(
            retryable,
            [
                &Rejection::Throttled,
                &Rejection::Unavailable("x".into()),
                &Rejection::CircuitOpen
            ]
        );
    }
}
