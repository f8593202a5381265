//! The server's challenge: its nonce, salt and iteration count.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{ChannelBinding, ClientFinal, Error, Keys, Limits, attributes::Attributes};

/// The exchange after the server's first message: it waits for the keys.
pub struct ServerFirst {
    channel_binding: ChannelBinding,
    client_first_bare: String,
    message: String,
    nonce: String,
    salt: Vec<u8>,
    iterations: u32,
}

impl ServerFirst {
    pub(super) fn parse(
        channel_binding: ChannelBinding,
        client_first_bare: String,
        client_nonce: &str,
        message: &[u8],
        limits: &Limits,
    ) -> Result<Self, Error> {
        let mut attributes = Attributes::new(message, limits.message_length)?;
        let message = attributes.text();
        let nonce = attributes.expect('r')?;
        let salt = attributes.expect('s')?;
        let iterations = attributes.expect('i')?;
        attributes.extensions()?;

        // `printable` of RFC 5802 is visible ASCII without the comma, at which the attribute ended.
        if !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::NonceNotPrintable);
        }
        match nonce.strip_prefix(client_nonce) {
            Some(added) if !added.is_empty() => {}
            _ => return Err(Error::NonceNotExtended),
        }
        let salt = STANDARD.decode(salt).map_err(|_| Error::SaltNotBase64)?;
        if !limits.salt_length.contains(&salt.len()) {
            return Err(Error::SaltLength {
                length: salt.len(),
                allowed: limits.salt_length.clone(),
            });
        }
        let iterations = positive_number(iterations).ok_or(Error::IterationsNotNumber)?;
        if !limits.iterations.contains(&iterations) {
            return Err(Error::Iterations {
                requested: iterations,
                allowed: limits.iterations.clone(),
            });
        }
        Ok(ServerFirst {
            channel_binding,
            client_first_bare,
            message: message.to_owned(),
            nonce: nonce.to_owned(),
            salt,
            iterations,
        })
    }

    /// The salt, decoded: within [`Limits::salt_length`].
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The iteration count: within [`Limits::iterations`].
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// Whether the message says just this salt, in base64, and these iterations.
    #[must_use]
    pub fn is_of(&self, salt: &str, iterations: u32) -> bool {
        STANDARD.encode(&self.salt) == salt && self.iterations == iterations
    }

    /// The server's nonce.
    pub(super) fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Answers the challenge.
    ///
    /// The proof covers the server's message byte for byte as it was received.
    ///
    /// # Errors
    ///
    /// [`Error::KeysOfAnotherChallenge`] if the keys were derived with another salt or iteration
    /// count: ask [`Keys::fit`] first, where they come from a cache.
    pub fn client_final(self, keys: &Keys) -> Result<ClientFinal, Error> {
        if !keys.fit(&self.salt, self.iterations) {
            return Err(Error::KeysOfAnotherChallenge);
        }
        let without_proof = format!(
            "c={},r={}",
            STANDARD.encode(self.channel_binding.cbind_input()),
            self.nonce
        );
        let auth_message = format!(
            "{},{},{without_proof}",
            self.client_first_bare, self.message
        );
        Ok(ClientFinal::new(keys, without_proof, &auth_message))
    }
}

impl fmt::Debug for ServerFirst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerFirst")
            .field("channel_binding", &self.channel_binding)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// `posit-number` of RFC 5802: no sign, no leading zero.
fn positive_number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    (digits && !text.starts_with('0'))
        .then(|| text.parse().ok())
        .flatten()
}
