//! The client of those who name none.

use std::sync::{Mutex, PoisonError};

use super::AuthClient;
use crate::error::Result;

static DEFAULT: Mutex<Option<AuthClient>> = Mutex::new(None);

/// Sets the client of those who name none. Connections that exist keep theirs.
pub fn set_default_auth_client(client: AuthClient) {
    *DEFAULT.lock().unwrap_or_else(PoisonError::into_inner) = Some(client);
}

/// The client of those who name none: the one last [set](set_default_auth_client); if there is
/// none, one made [from the environment](AuthClient::from_env), which then stays.
///
/// # Errors
/// As [`AuthClient::from_env`].
pub fn default_auth_client() -> Result<AuthClient> {
    let mut default = DEFAULT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(client) = &*default {
        return Ok(client.clone());
    }
    let client = AuthClient::from_env()?;
    *default = Some(client.clone());
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_that_was_set_last() {
        if std::env::var_os("APPROZIUM_ADDRESS").is_none() {
            let error = default_auth_client().unwrap_err();
            assert!(error.is_configuration());
            assert!(
                error.to_string().contains("set_default_auth_client"),
                "{error}"
            );
        }
        for address in ["http://127.0.0.1:1", "http://127.0.0.1:2"] {
            set_default_auth_client(AuthClient::new(address).unwrap());
            let default = default_auth_client().unwrap();
            assert!(address.ends_with(default.authenticator_address()));
        }
    }
}
