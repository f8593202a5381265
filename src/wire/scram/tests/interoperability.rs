//! Our states, postgres-protocol's client, and a server that shares no code with either but
//! SHA-256.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use postgres_protocol::authentication::sasl;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::{
    super::{ChannelBinding, ClientFirst, Error, Keys, Limits, verify_server_final},
    few_iterations,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Given the same nonce and challenge, our messages are postgres-protocol's byte for byte, and
    /// both accept the server.
    #[test]
    fn the_same_messages_as_postgres_protocol(
        password in password(),
        salt in proptest::collection::vec(any::<u8>(), 1..40),
        iterations in 1_u32..20,
        server_nonce in "[!-+\\--~]{1,30}",
        channel_binding in channel_binding(),
    ) {
        let mut theirs = sasl::ScramSha256::new(&password, translate(&channel_binding));
        let client_first = String::from_utf8(theirs.message().to_vec()).unwrap();
        let (_, nonce) = client_first.split_once("n=,r=").unwrap();
        let ours = ClientFirst::with_names(channel_binding, "", nonce.to_owned());
        prop_assert_eq!(ours.message(), theirs.message());

        let mut server = Server::new(&password, salt, iterations);
        let challenge = server.challenge(&client_first, &server_nonce, "");
        theirs.update(challenge.as_bytes()).unwrap();
        let ours = ours.server_first(challenge.as_bytes(), &few_iterations()).unwrap();
        let keys = Keys::derive(&password, ours.salt(), ours.iterations());
        let ours = ours.client_final(&keys).unwrap();
        prop_assert_eq!(
            str::from_utf8(ours.message()).unwrap(),
            str::from_utf8(theirs.message()).unwrap()
        );

        let server_final = server.verify(str::from_utf8(ours.message()).unwrap()).unwrap();
        let signature =
            verify_server_final(server_final.as_bytes(), &ours.server_signature_digest()).unwrap();
        prop_assert!(ours.server_signature().matches(&signature));
        theirs.finish(server_final.as_bytes()).unwrap();
    }

    /// Optional extensions are ignored, and signed: the server signs what it sent.
    #[test]
    fn extensions_are_part_of_what_is_signed(
        nonce: [u8; 18],
        extensions in "(,[bdf-hj-loqt-uw-zA-Z]=[!-+\\--~ä]{1,9}){0,4}",
    ) {
        let client_first = ClientFirst::new(ChannelBinding::NotSupported, nonce);
        let mut server = Server::new(b"pencil", b"salt".to_vec(), 3);
        let text = String::from_utf8(client_first.message().to_vec()).unwrap();
        let challenge = server.challenge(&text, "server", &extensions);
        let server_first =
            client_first.server_first(challenge.as_bytes(), &few_iterations()).unwrap();
        let client_final = server_first.client_final(&Keys::derive(b"pencil", b"salt", 3)).unwrap();
        prop_assert!(server.verify(str::from_utf8(client_final.message()).unwrap()).is_some());
    }

    /// A challenge that was changed on its way is refused, or the server refuses its proof.
    #[test]
    fn a_changed_challenge_makes_no_login(position: proptest::sample::Index, byte in " |[!-~]|\\PC") {
        let client_first = ClientFirst::new(ChannelBinding::NotOffered, [9; 18]);
        let mut server = Server::new(b"pencil", vec![7; 16], 9);
        let text = String::from_utf8(client_first.message().to_vec()).unwrap();
        let challenge = server.challenge(&text, "server", ",x=y");
        let position = position.index(challenge.len());
        let mut changed = challenge.clone();
        changed.replace_range(position..=position, &byte);
        prop_assume!(changed != challenge);
        if let Ok(server_first) =
            client_first.server_first(changed.as_bytes(), &few_iterations())
        {
            let keys = Keys::derive(b"pencil", server_first.salt(), server_first.iterations());
            let client_final = server_first.client_final(&keys).unwrap();
            let message = str::from_utf8(client_final.message()).unwrap();
            prop_assert_eq!(server.verify(message), None);
        }
    }

    /// A different password, and nothing else, makes the proof and the signature wrong.
    #[test]
    fn another_password_is_refused_on_both_sides(password in "[a-z]{1,9}", other in "[A-Z]{1,9}") {
        let client_first = ClientFirst::new(ChannelBinding::NotOffered, [9; 18]);
        let mut server = Server::new(password.as_bytes(), b"salt".to_vec(), 2);
        let text = String::from_utf8(client_first.message().to_vec()).unwrap();
        let challenge = server.challenge(&text, "server", "");
        let server_first =
            client_first.server_first(challenge.as_bytes(), &few_iterations()).unwrap();
        let keys = Keys::derive(other.as_bytes(), b"salt", 2);
        let client_final = server_first.client_final(&keys).unwrap();
        let message = String::from_utf8(client_final.message().to_vec()).unwrap();
        prop_assert_eq!(server.verify(&message), None);
        let claimed = format!("v={}", STANDARD.encode(server.server_signature(&message)));
        prop_assert_eq!(
            verify_server_final(claimed.as_bytes(), &client_final.server_signature_digest()),
            Err(Error::ServerSignatureMismatch)
        );
    }
}

/// With as many iterations as PostgreSQL uses, under the default limits.
#[test]
fn default_limits_and_iterations() {
    let client_first = ClientFirst::new(ChannelBinding::TlsServerEndPoint(vec![5; 32]), [1; 18]);
    let mut server = Server::new(b"pencil", vec![3; 16], 4_096);
    let text = String::from_utf8(client_first.message().to_vec()).unwrap();
    assert!(text.starts_with("p=tls-server-end-point,,n=,r="));
    let challenge = server.challenge(&text, "server", "");
    let server_first = client_first
        .server_first(challenge.as_bytes(), &Limits::default())
        .unwrap();
    let keys = Keys::derive(b"pencil", &[3; 16], 4_096);
    let client_final = server_first.client_final(&keys).unwrap();
    let message = str::from_utf8(client_final.message()).unwrap();
    let cbind_input = STANDARD.encode([&b"p=tls-server-end-point,,"[..], &[5; 32]].concat());
    assert!(message.starts_with(&format!("c={cbind_input},r=")));
    assert!(server.verify(message).is_some());
}

/// Passwords that postgres-protocol normalises as PostgreSQL does: bytes, ASCII, and text that is
/// mapped, composed or right to left. (It reads SASLprep differently for characters that only
/// normalisation makes allowed or right to left, and where nothing remains.)
fn password() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        "[ -~]{0,100}".prop_map(String::into_bytes),
        "[a-cäöß€Ⅸªﬁ\u{a0}\u{ad}\u{3000}\u{e000}]{0,12}x".prop_map(String::into_bytes),
        "[א-ת]([א-ת1-3\u{ad}]{0,8}[א-תa])?".prop_map(String::into_bytes),
    ]
}

fn channel_binding() -> impl Strategy<Value = ChannelBinding> {
    prop_oneof![
        Just(ChannelBinding::NotSupported),
        Just(ChannelBinding::NotOffered),
        proptest::collection::vec(any::<u8>(), 28..=64).prop_map(ChannelBinding::TlsServerEndPoint),
    ]
}

fn translate(channel_binding: &ChannelBinding) -> sasl::ChannelBinding {
    match channel_binding {
        ChannelBinding::NotSupported => sasl::ChannelBinding::unsupported(),
        ChannelBinding::NotOffered => sasl::ChannelBinding::unrequested(),
        ChannelBinding::TlsServerEndPoint(data) => {
            sasl::ChannelBinding::tls_server_end_point(data.clone())
        }
    }
}

/// The server's side of RFC 5802, from the RFC's formulas.
struct Server {
    salt: Vec<u8>,
    iterations: u32,
    stored_key: [u8; 32],
    server_key: [u8; 32],
    gs2_header: String,
    client_first_bare: String,
    server_first: String,
}

impl Server {
    fn new(password: &[u8], salt: Vec<u8>, iterations: u32) -> Self {
        let password = match str::from_utf8(password).map(stringprep::saslprep) {
            Ok(Ok(prepared)) => prepared.into_owned().into_bytes(),
            _ => password.to_vec(),
        };
        let mut u = hmac(&password, &[&salt[..], &[0, 0, 0, 1]].concat());
        let mut salted_password = u;
        for _ in 1..iterations {
            u = hmac(&password, &u);
            salted_password = xor(salted_password, u);
        }
        Server {
            stored_key: Sha256::digest(hmac(&salted_password, b"Client Key")).into(),
            server_key: hmac(&salted_password, b"Server Key"),
            salt,
            iterations,
            gs2_header: String::new(),
            client_first_bare: String::new(),
            server_first: String::new(),
        }
    }

    fn challenge(&mut self, client_first: &str, nonce: &str, extensions: &str) -> String {
        let bare = client_first.find("n=").unwrap();
        self.gs2_header = client_first[..bare].to_owned();
        self.client_first_bare = client_first[bare..].to_owned();
        let client_nonce = self.client_first_bare.strip_prefix("n=,r=").unwrap();
        self.server_first = format!(
            "r={client_nonce}{nonce},s={},i={}{extensions}",
            STANDARD.encode(&self.salt),
            self.iterations
        );
        self.server_first.clone()
    }

    /// The server-final-message, if the proof is right.
    fn verify(&self, client_final: &str) -> Option<String> {
        let (without_proof, proof) = client_final.split_once(",p=")?;
        let (cbind_input, nonce) = without_proof.strip_prefix("c=")?.split_once(',')?;
        let cbind_input = STANDARD.decode(cbind_input).ok()?;
        cbind_input.strip_prefix(self.gs2_header.as_bytes())?;
        self.server_first.strip_prefix(nonce)?.strip_prefix(",s=")?;
        let client_signature = hmac(
            &self.stored_key,
            self.auth_message(without_proof).as_bytes(),
        );
        let proof: [u8; 32] = STANDARD.decode(proof).ok()?.try_into().ok()?;
        let client_key = xor(proof, client_signature);
        (Sha256::digest(client_key).as_slice() == self.stored_key)
            .then(|| format!("v={}", STANDARD.encode(self.server_signature(client_final))))
    }

    fn server_signature(&self, client_final: &str) -> [u8; 32] {
        let (without_proof, _) = client_final.split_once(",p=").unwrap();
        hmac(
            &self.server_key,
            self.auth_message(without_proof).as_bytes(),
        )
    }

    fn auth_message(&self, without_proof: &str) -> String {
        format!(
            "{},{},{without_proof}",
            self.client_first_bare, self.server_first
        )
    }
}

/// HMAC by its definition (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    match key.len() {
        0..=64 => block[..key.len()].copy_from_slice(key),
        _ => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    let inner = Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x36))
        .chain_update(message)
        .finalize();
    Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x5c))
        .chain_update(inner)
        .finalize()
        .into()
}

fn xor(left: [u8; 32], right: [u8; 32]) -> [u8; 32] {
    std::array::from_fn(|index| left[index] ^ right[index])
}
