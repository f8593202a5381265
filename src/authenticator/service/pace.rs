//! How often logins may be begun, and how many sessions at a time. Who may not is told what to do.

use std::{net::IpAddr, time::Instant};

use super::{Shared, refusal::Refusal};
use crate::{
    authenticator::{
        audit::Reason,
        limits::{Pass, neighbourhood},
        listener::Peer,
    },
    identity::Principal,
};

impl Shared {
    /// To be taken when the proof is there: whoever says nothing takes nobody's place.
    pub(super) fn place_of_session(&self, peer: &Peer) -> Result<Pass<IpAddr>, Refusal> {
        let places = match peer.known().is_cancelled() {
            true => &self.renewals,
            false => &self.sessions,
        };
        places
            .enter(neighbourhood(peer.address.ip()))
            .ok_or_else(|| Refusal::exhausted("too many sessions at once", Reason::TooManySessions))
    }

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
