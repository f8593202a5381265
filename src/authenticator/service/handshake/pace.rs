//! How often logins may be begun. Who may not is told what to do.

use std::time::Instant;

use super::HandshakeCall;
use crate::{
    authenticator::{audit::Reason, limits::neighbourhood, service::refusal::Refusal},
    identity::Principal,
};

impl HandshakeCall {
    /// To be asked before anything is read: what is refused here costs as little as can be.
    pub(super) fn is_seldom_from_its_address(&self) -> Result<(), Refusal> {
        let from = neighbourhood(self.peer.address.ip());
        if self
            .shared
            .handshakes_by_address
            .allow(from, Instant::now())
        {
            return Ok(());
        }
        Err(Refusal::exhausted(
            "there are too many logins from this address: keep connections in a pool, or have the \
             Authenticator's handshakes_per_second_per_address raised",
            Reason::TooManyHandshakesThere,
        ))
    }

    pub(super) fn is_seldom_for(&self, principal: &Principal) -> Result<(), Refusal> {
        let handshakes = &self.shared.handshakes;
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
