//! The client of those who name none.

use std::sync::{Mutex, PoisonError};

use super::AuthClient;
use crate::error::Result;

static DEFAULT: Slot = Slot(Mutex::new(None));

/// Sets the client of those who name none. Connections that exist keep theirs.
pub fn set_default_auth_client(client: AuthClient) {
    DEFAULT.set(client);
}

/// The client of those who name none: the one last [set](set_default_auth_client); if there is
/// none, one made [from the environment](AuthClient::from_env), which then stays.
///
/// # Errors
/// As [`AuthClient::from_env`].
pub fn default_auth_client() -> Result<AuthClient> {
    DEFAULT.get_or_make(AuthClient::from_env)
}

struct Slot(Mutex<Option<AuthClient>>);

impl Slot {
    fn set(&self, client: AuthClient) {
        fill(
            &mut self.0.lock().unwrap_or_else(PoisonError::into_inner),
            client,
        );
    }

    fn get_or_make(&self, make: impl FnOnce() -> Result<AuthClient>) -> Result<AuthClient> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*slot {
            return Ok(client.clone());
        }
        let client = make()?;
        fill(&mut slot, client.clone());
        Ok(client)
    }
}

fn fill(slot: &mut Option<AuthClient>, client: AuthClient) {
    client.0.sessions.is_default();
    *slot = Some(client);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn the_one_set_last_else_one_made_once() {
        let slot = Slot(Mutex::new(None));
        let nothing = || Err(Error::configuration("no Authenticator is named"));
        let client = |port: u16| AuthClient::new(format!("http://127.0.0.1:{port}"));
        let address = |client: AuthClient| client.authenticator_address().to_owned();

        assert!(slot.get_or_make(nothing).unwrap_err().is_configuration());
        assert_eq!(
            address(slot.get_or_make(|| client(1)).unwrap()),
            "127.0.0.1:1"
        );
        assert_eq!(
            address(slot.get_or_make(|| client(2)).unwrap()),
            "127.0.0.1:1"
        );
        slot.set(client(3).unwrap());
        assert_eq!(address(slot.get_or_make(nothing).unwrap()), "127.0.0.1:3");
    }
}
