//! Portals: statements with their parameters bound.

use std::ops::Deref;

use super::spans::Runs;

/// A statement with its parameters, of which rows can be taken in portions.
///
/// The driver's own, which it dereferences to, and what its spans say.
#[derive(Clone)]
pub struct Portal {
    pub(super) driver: tokio_postgres::Portal,
    pub(super) runs: Runs,
}

impl Deref for Portal {
    type Target = tokio_postgres::Portal;

    fn deref(&self) -> &Self::Target {
        &self.driver
    }
}
