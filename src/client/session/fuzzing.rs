//! For `crate::fuzzing`: what an Authenticator, or who plays it, says.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{clock::Skew, exchange::session};
use crate::{
    Error,
    error::{Hop, Kind},
    proto::v2::{SessionChallenge, SessionGrant},
};

/// The ARN of a session, and how long until it ends.
pub fn granted(grant: SessionGrant) -> Result<(String, Duration), Error> {
    let before = Instant::now();
    let session = session(grant, None)?;
    let lifetime = session.expires_at.duration_since(before);
    Ok((session.iam_arn, lifetime))
}

/// What a refusal says of this machine's clock.
pub fn refused(challenge: &SessionChallenge, now: SystemTime) -> Error {
    let refusal = Error::new(Kind::Unauthenticated, Hop::Session, "refused");
    Skew::of(challenge, now).add_to(refusal)
}
