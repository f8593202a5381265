//! An exchange with a server, or with who plays it: server-first-message, server-final-message, and
//! pairs of a mechanism and a client-first-message, with NULs between them.

#![no_main]

use approzium::wire::scram::{
    ChannelBinding, ClientFirst, ClientFirstMessages, Keys, Limits, Offer, verify_server_final,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

const NONCE: [u8; 18] = [7; 18];

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.split(|byte| *byte == 0);
    let (server_first, server_final) = (parts.next(), parts.next());
    exchange(
        server_first.unwrap_or_default(),
        server_final.unwrap_or_default(),
    );
    let rest: Vec<_> = parts.collect();
    client_first_messages(&rest);
});

fn exchange(server_first: &[u8], server_final: &[u8]) {
    let nonce = BASE64_STANDARD.encode(NONCE);
    let client_first = ClientFirst::new(ChannelBinding::NotSupported, NONCE);
    let limits = Limits::default();
    let bare = format!("n=,r={nonce}");
    assert!(client_first.message().ends_with(bare.as_bytes()));
    let Ok(challenge) = client_first.server_first(server_first, &limits) else {
        return;
    };
    // Whatever else it holds, it is for us, and it is not cheap.
    let text = std::str::from_utf8(server_first).unwrap();
    let theirs = text.strip_prefix("r=").unwrap().split(',').next().unwrap();
    assert!(theirs.starts_with(&nonce) && theirs.len() > nonce.len());
    assert!(limits.iterations.contains(&challenge.iterations()));
    assert!(limits.salt_length.contains(&challenge.salt().len()));
    assert!(!text.split(',').any(|attribute| attribute.starts_with("m=")));

    let keys = Keys::from_parts(challenge.salt(), challenge.iterations(), &[1; 32], &[2; 32]);
    let client_final = challenge.client_final(&keys).unwrap();
    let message = std::str::from_utf8(client_final.message()).unwrap();
    let (without_proof, proof) = message.rsplit_once(",p=").unwrap();
    assert_eq!(without_proof, format!("c=biws,r={theirs}"));

    // A server that knows no more than StoredKey takes it.
    let auth_message = format!("{bare},{text},{without_proof}");
    let mut client_key = hmac(keys.stored_key(), &auth_message);
    let proof = BASE64_STANDARD.decode(proof).unwrap();
    for (byte, proof) in client_key.iter_mut().zip(&proof) {
        *byte ^= proof;
    }
    assert_eq!(Sha256::digest(client_key).as_slice(), keys.stored_key());

    // Only the one signature is taken for the server's.
    let signature = hmac(keys.server_key(), &auth_message);
    let digest = client_final.server_signature_digest();
    let right = format!("v={}", BASE64_STANDARD.encode(signature));
    assert_eq!(
        verify_server_final(right.as_bytes(), &digest),
        Ok(signature.to_vec())
    );
    if verify_server_final(server_final, &digest).is_ok() {
        assert!(server_final.starts_with(right.as_bytes()));
    }
}

fn client_first_messages(parts: &[&[u8]]) {
    let pairs = parts.chunks_exact(2).filter_map(|pair| {
        let mechanism = std::str::from_utf8(pair[0]).ok()?;
        Some((mechanism, pair[1]))
    });
    let Ok(messages) = ClientFirstMessages::parse(pairs.clone()) else {
        return;
    };
    for (tls, offered) in [
        (true, &["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"][..]),
        (true, &["SCRAM-SHA-256"]),
        (false, &["SCRAM-SHA-256"]),
    ] {
        let offer = Offer {
            tls,
            tls_server_end_point: tls.then(|| vec![3; 32]),
            require_channel_binding: false,
        };
        if let Ok((mechanism, message)) = messages.select(offer, offered.iter().copied()) {
            assert!(offered.contains(&mechanism.as_str()));
            assert!(
                pairs
                    .clone()
                    .any(|pair| pair == (mechanism.as_str(), message))
            );
        }
    }
}

fn hmac(key: &[u8; 32], message: &str) -> [u8; 32] {
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.chain_update(message).finalize().into_bytes().into()
}
