use std::sync::RwLock;

use super::AuthClient;
use crate::error::Result;

static DEFAULT: RwLock<Option<AuthClient>> = RwLock::new(None);

/// Sets the client of those who name none.
pub fn set_default_auth_client(client: AuthClient) {
    let mut default = DEFAULT
        .write()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    *default = Some(client);
}

/// The client of those who name none: the one set, else one made from the environment.
///
/// # Errors
/// As [`AuthClient::from_env`].
pub fn default_auth_client() -> Result<AuthClient> {
    let default = DEFAULT
        .read()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    match &*default {
        Some(client) => Ok(client.clone()),
        None => AuthClient::from_env(),
    }
}
