//! The client's proof, and the server's signature that answers it.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::Keys;

/// The end of the exchange for who holds the keys: the proof to send, and the signature by which
/// the server will show that it knows the keys too.
pub struct ClientFinal {
    message: String,
    server_signature: ServerSignature,
}

impl ClientFinal {
    pub(super) fn new(keys: &Keys, without_proof: String, auth_message: &str) -> Self {
        let proof = keys.client_proof(auth_message.as_bytes());
        ClientFinal {
            message: format!("{without_proof},p={}", STANDARD.encode(proof)),
            server_signature: ServerSignature(keys.server_signature(auth_message.as_bytes())),
        }
    }

    /// The `client-final-message`, the data of a SASLResponse.
    pub fn message(&self) -> &[u8] {
        self.message.as_bytes()
    }

    /// The ClientProof alone, in base64, as it stands at the message's end.
    pub fn proof(&self) -> &str {
        self.message
            .rsplit_once(",p=")
            .map_or("", |(_, proof)| proof)
    }

    /// What the server's last message has to carry.
    pub fn server_signature(&self) -> &ServerSignature {
        &self.server_signature
    }

    /// SHA-256 of the ServerSignature: lets its holder recognise the server, not play it.
    pub fn server_signature_digest(&self) -> [u8; 32] {
        Sha256::digest(self.server_signature.0.as_slice()).into()
    }
}

impl fmt::Debug for ClientFinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientFinal").finish_non_exhaustive()
    }
}

/// The server's proof of one exchange. Until the server has sent it, whoever knows it can play the
/// server, so it is wiped when dropped and redacted when printed.
pub struct ServerSignature(Zeroizing<[u8; 32]>);

impl ServerSignature {
    /// Whether this is what the server sent; compared in constant time.
    #[must_use]
    pub fn matches(&self, received: &[u8]) -> bool {
        self.0.as_slice().ct_eq(received).into()
    }

    /// The bytes themselves. The name is long so that each use is found by a search.
    pub fn expose_secret(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ServerSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerSignature(redacted)")
    }
}
