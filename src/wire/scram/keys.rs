//! What a password becomes: the keys that make proofs.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use pbkdf2::pbkdf2_hmac;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::saslprep::prepare;

/// The keys of one user for one salt and iteration count (RFC 5802, section 3).
///
/// ClientKey logs in, ServerKey plays the server, so both are secrets, wiped when dropped and never
/// printed. The SaltedPassword, of which both are made, is not kept. Deriving keys costs the
/// iterations; answering a challenge with them costs four hashes.
///
/// ```
/// use approzium::wire::scram::Keys;
///
/// let keys = Keys::derive(b"pencil", b"a salt of sixteen", 4_096);
/// assert!(keys.fit(b"a salt of sixteen", 4_096));
/// assert!(!keys.fit(b"another", 4_096));
/// ```
pub struct Keys {
    salt: Vec<u8>,
    iterations: u32,
    /// On the heap, so that moving `Keys` leaves no copy of them behind.
    material: Box<Material>,
}

#[derive(Default, Zeroize, ZeroizeOnDrop)]
struct Material {
    client_key: [u8; 32],
    stored_key: [u8; 32],
    server_key: [u8; 32],
}

impl Keys {
    /// Derives the keys from a password: PBKDF2-HMAC-SHA-256 with this salt and as many iterations
    /// (0 counts as 1).
    ///
    /// The password is normalised as PostgreSQL does it: SASLprep (RFC 4013), or as it is where
    /// SASLprep does not apply to it or it is not UTF-8.
    ///
    /// The work is proportional to `iterations`, and far too much for a thread that others wait
    /// for. Numbers that come from a peer have gone through [`Limits`](super::Limits) before.
    pub fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let mut salted_password = Zeroizing::new([0; 32]);
        pbkdf2_hmac::<Sha256>(
            &prepare(password),
            salt,
            iterations,
            salted_password.as_mut_slice(),
        );
        let client_key = hmac(&salted_password, b"Client Key");
        let server_key = hmac(&salted_password, b"Server Key");
        Keys::from_parts(salt, iterations, &client_key, &server_key)
    }

    /// Keys that were derived before and kept, where there is no password to derive them from.
    pub fn from_parts(
        salt: &[u8],
        iterations: u32,
        client_key: &[u8; 32],
        server_key: &[u8; 32],
    ) -> Self {
        let mut material = Box::<Material>::default();
        material.client_key = *client_key;
        material.stored_key = Sha256::digest(client_key).into();
        material.server_key = *server_key;
        Keys {
            salt: salt.to_vec(),
            iterations,
            material,
        }
    }

    /// Whether these keys answer a challenge with this salt and iteration count.
    #[must_use]
    pub fn fit(&self, salt: &[u8], iterations: u32) -> bool {
        self.salt == salt && self.iterations == iterations
    }

    /// The salt that they were derived with.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The iterations that they were derived with.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// ClientKey, HMAC(SaltedPassword, "Client Key"): a secret as good as the password.
    pub fn client_key(&self) -> &[u8; 32] {
        &self.material.client_key
    }

    /// StoredKey, SHA-256(ClientKey): what a server keeps, to check proofs by.
    pub fn stored_key(&self) -> &[u8; 32] {
        &self.material.stored_key
    }

    /// ServerKey, HMAC(SaltedPassword, "Server Key"): a secret, as it lets its holder play the
    /// server.
    pub fn server_key(&self) -> &[u8; 32] {
        &self.material.server_key
    }

    /// `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, which PostgreSQL keeps of a
    /// password and takes as it is in `ALTER ROLE … PASSWORD '…'`.
    ///
    /// Nobody logs in by it; but ServerKey is in it, and who has seen a proof makes ClientKey of it
    /// and StoredKey.
    ///
    /// ```
    /// use approzium::wire::scram::Keys;
    ///
    /// let keys = Keys::derive(b"pencil", b"a salt of sixteen", 4_096);
    /// assert!(keys.verifier().starts_with("SCRAM-SHA-256$4096:YSBzYWx0IG9mIHNpeHRlZW4=$"));
    /// ```
    #[must_use]
    pub fn verifier(&self) -> String {
        let [salt, stored_key, server_key] = [self.salt(), self.stored_key(), self.server_key()]
            .map(|part| BASE64_STANDARD.encode(part));
        let iterations = self.iterations;
        format!("SCRAM-SHA-256${iterations}:{salt}${stored_key}:{server_key}")
    }

    /// ClientProof: ClientKey ⊕ HMAC(StoredKey, AuthMessage).
    pub(super) fn client_proof(&self, auth_message: &[u8]) -> [u8; 32] {
        let mut proof = self.material.client_key;
        let client_signature = hmac(&self.material.stored_key, auth_message);
        for (proof, signature) in proof.iter_mut().zip(client_signature.iter()) {
            *proof ^= signature;
        }
        proof
    }

    /// ServerSignature: HMAC(ServerKey, AuthMessage).
    pub(super) fn server_signature(&self, auth_message: &[u8]) -> Zeroizing<[u8; 32]> {
        hmac(&self.material.server_key, auth_message)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// HMAC-SHA-256. HMAC pads a key shorter than a block with zeros, so a block of them is the same
/// key, of the one length that cannot be wrong.
fn hmac(key: &[u8; 32], message: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut block = Zeroizing::new([0; 64]);
    for (padded, byte) in block.iter_mut().zip(key) {
        *padded = *byte;
    }
    let mac = Hmac::<Sha256>::new((&*block).into()).chain_update(message);
    Zeroizing::new(mac.finalize().into_bytes().into())
}
