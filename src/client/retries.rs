//! Beginning anew where no Authenticator answered.

use tokio::time::Instant;

use super::lane::Lanes;
use crate::error::{Error, Result};

/// Nobody answered, and why.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) error: Error,
    /// The connection is good, and ends at a proxy.
    pub(super) at_a_proxy: bool,
}

/// How often something is begun anew, on other connections.
pub(super) struct Retries<'a> {
    lanes: &'a Lanes,
    left: usize,
    give_up: Instant,
}

impl<'a> Retries<'a> {
    pub(super) fn new(lanes: &'a Lanes, retries: usize) -> Self {
        Retries {
            lanes,
            left: retries,
            give_up: Instant::now() + lanes.dialer().timeout(),
        }
    }

    /// Counts one; the error if it was one too many.
    ///
    /// Behind a proxy, too, an Authenticator that has answered before is given as long as one dial
    /// may take to come back.
    pub(super) fn another(&mut self, lost: Lost) -> Result<()> {
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None if lost.at_a_proxy && self.lanes.was_reached() && !self.is_over() => {}
            None => return Err(lost.error),
        }
        ::tracing::debug!(error = %lost.error, "no Authenticator answered; trying again");
        Ok(())
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.give_up
    }
}
