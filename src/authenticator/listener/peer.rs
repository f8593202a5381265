//! Who is at the other end of a connection, and what it may have under way.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::MAX_STREAMS;
use crate::authenticator::{
    limits::{Pass, neighbourhood},
    token::ClientCertificate,
};

/// Calls of one connection that may be worked on. HTTP/2's own bound on streams knows only those
/// that were not reset: half as many ([`MAX_STREAMS`]), so that no honest client meets this one.
const MAX_CALLS: usize = 2 * MAX_STREAMS as usize;

/// Calls of one connection that are read before anybody is identified on it. The first that is makes
/// way for all others.
const MAX_CALLS_OF_STRANGER: usize = 4;

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) certificate: Option<ClientCertificate>,
    /// Calls on it that are worked on, those among them whose streams were reset.
    pub(crate) calls: Arc<Semaphore>,
    /// The same, while nobody knows who it is.
    pub(crate) calls_of_stranger: Arc<Semaphore>,
    stranger: Arc<Mutex<Option<Pass<IpAddr>>>>,
    known: CancellationToken,
}

impl Peer {
    pub(super) fn new(
        address: SocketAddr,
        certificate: Option<ClientCertificate>,
        pass: Pass<IpAddr>,
    ) -> Self {
        Peer {
            address,
            certificate,
            calls: Arc::new(Semaphore::new(MAX_CALLS)),
            calls_of_stranger: Arc::new(Semaphore::new(MAX_CALLS_OF_STRANGER)),
            stranger: Arc::new(Mutex::new(Some(pass))),
            known: CancellationToken::new(),
        }
    }

    /// Whom bounds count it with.
    pub(crate) fn neighbourhood(&self) -> IpAddr {
        neighbourhood(self.address.ip())
    }

    /// Cancelled once an identity was proved on this connection.
    pub(crate) fn known(&self) -> &CancellationToken {
        &self.known
    }

    /// An identity was proved on this connection: it no longer counts among strangers.
    pub(crate) fn is_known(&self) {
        self.stranger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        self.known.cancel();
    }
}
