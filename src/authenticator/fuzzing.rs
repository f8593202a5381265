//! For `crate::fuzzing`: what reaches the Authenticator from clients.

use std::time::SystemTime;

use super::{
    MAX_SESSION_LIFETIME, SessionKeys,
    target::{InvalidTarget, Target, attribution},
    token::{Session, Tokens},
};
pub use super::{
    secrets::fuzzing::{
        aws_secret, json_records, login, mount, reply, vault_records, yaml_records,
    },
    service::fuzzing::V1Request,
};
use crate::{identity::VerifiedIdentity, proto::v2::HandshakeStart};

/// Host, user, database and the attribution's keys and values, if they pass the edge.
pub fn target(start: &HandshakeStart) -> Option<Vec<String>> {
    let read = || -> Result<_, InvalidTarget> {
        let target = Target::parse(start)?;
        let attribution = attribution(start)?.into_iter();
        let mut texts = vec![target.host, target.user, target.database];
        texts.extend(attribution.flat_map(|(key, value)| [key, value]));
        Ok(texts)
    };
    read().ok()
}

/// Session tokens of a key that is known.
pub struct Sessions {
    tokens: Tokens,
    now: SystemTime,
}

impl Sessions {
    /// At this time, for as long as they may last.
    pub fn new(now: SystemTime) -> crate::Result<Self> {
        let tokens = Tokens::new(SessionKeys::of_zeros()?, MAX_SESSION_LIFETIME);
        Ok(Sessions { tokens, now })
    }

    /// A token that is good.
    pub fn grant(&self, identity: VerifiedIdentity, request_id: &str) -> Option<String> {
        let request_id = request_id.to_owned();
        let session = Session {
            identity,
            request_id,
        };
        self.tokens.grant(&session, None, self.now)
    }

    /// A token with these claims, whatever they are.
    pub fn sign(&self, claims: &[u8]) -> Option<String> {
        self.tokens.sign(claims)
    }

    /// Whose token it is.
    pub fn verify(&self, token: &str) -> Option<VerifiedIdentity> {
        let session = self.tokens.verify(token, None, self.now).ok()?;
        Some(session.identity)
    }
}
