//! Telling that a clock is wrong.

use std::time::{Duration, SystemTime};

use crate::{error::Error, proto::v2};

/// A clock that is further off is worth a word.
const TOLERANCE: Duration = Duration::from_secs(2 * 60);

/// How far this machine's clock is from the Authenticator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skew {
    None,
    Behind(Duration),
    Ahead(Duration),
}

impl Skew {
    pub(super) fn of(challenge: &v2::SessionChallenge, now: SystemTime) -> Self {
        let theirs = challenge
            .server_time
            .and_then(|time| SystemTime::try_from(time).ok());
        let skew = match theirs.map(|theirs| theirs.duration_since(now)) {
            None => Skew::None,
            Some(Ok(behind)) => Skew::Behind(behind),
            Some(Err(ahead)) => Skew::Ahead(ahead.duration()),
        };
        match skew {
            Skew::Behind(by) | Skew::Ahead(by) if by > TOLERANCE => {
                ::tracing::warn!(?skew, "the Authenticator's clock and this machine's differ");
                skew
            }
            _ => Skew::None,
        }
    }

    /// A wrong clock is the likely reason why a proof was refused.
    pub(super) fn add_to(self, error: Error) -> Error {
        let (by, direction) = match self {
            Skew::Behind(by) => (by, "behind"),
            Skew::Ahead(by) => (by, "ahead of"),
            Skew::None => return error,
        };
        if !error.is_unauthenticated() {
            return error;
        }
        let by = Duration::from_secs(by.as_secs());
        let shown = Error::new(
            error.kind().clone(),
            error.hop(),
            format!(
                "the Authenticator did not accept the proof of identity: this machine's clock is \
                 {by:?} {direction} the Authenticator's"
            ),
        )
        .with_help("set the clock: proofs are good for minutes");
        match error.request_id() {
            Some(request_id) => shown.with_request_id(request_id),
            None => shown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Hop, Kind};

    fn skew(theirs: i64, ours: u64) -> Skew {
        let challenge = v2::SessionChallenge {
            server_time: Some(prost_types::Timestamp {
                seconds: theirs,
                nanos: 0,
            }),
            ..Default::default()
        };
        Skew::of(
            &challenge,
            SystemTime::UNIX_EPOCH + Duration::from_secs(ours),
        )
    }

    #[test]
    fn says_by_how_much_and_in_which_direction() {
        let refused =
            || Error::new(Kind::Unauthenticated, Hop::Session, "refused").with_request_id("r-1");
        let behind = skew(10_000, 9_400).add_to(refused());
        assert!(
            behind.to_string().contains("clock is 600s behind"),
            "{behind}"
        );
        assert!(behind.is_unauthenticated());
        assert_eq!(behind.request_id(), Some("r-1"));
        let ahead = skew(10_000, 10_600).add_to(refused());
        assert!(
            ahead.to_string().contains("clock is 600s ahead of"),
            "{ahead}"
        );
    }

    #[test]
    fn a_good_clock_is_not_blamed() {
        assert_eq!(skew(10_000, 10_030), Skew::None);
        assert_eq!(skew(i64::MIN, 0), Skew::None);
        let other = Error::new(Kind::Unavailable, Hop::Session, "STS is away");
        let shown = skew(10_000, 0).add_to(other);
        assert!(!shown.to_string().contains("clock"), "{shown}");
    }
}
