//! How often logins may be begun. Who may not is told what to do.

use std::time::Instant;

use super::{Shared, refusal::Refusal};
use crate::{
    authenticator::{audit::Reason, limits::neighbourhood, listener::Peer},
    identity::Principal,
};

impl Shared {
    /// To be asked before anything is read: what is refused here costs as little as can be.
    pub(super) fn is_seldom_from(&self, peer: &Peer) -> Result<(), Refusal> {
        let from = neighbourhood(peer.address.ip());
        if self.handshakes_by_address.allow(from, Instant::now()) {
            return Ok(());
        }
        Err(Refusal::exhausted(
            "there are too many logins from this address: keep connections in a pool, or have the \
             Authenticator's handshakes_per_second_per_address raised",
            Reason::TooManyHandshakesThere,
        ))
    }

    pub(super) fn is_seldom_for(&self, principal: &Principal) -> Result<(), Refusal> {
        let handshakes = &self.handshakes;
        if handshakes.allow(principal.clone(), Instant::now()) {
            return Ok(());
        }
        Err(Refusal::exhausted(
            "this identity logs in too often: keep connections in a pool, or have the \
             Authenticator's handshakes_per_second_per_principal raised",
            Reason::TooManyHandshakes,
        ))
    }
}
