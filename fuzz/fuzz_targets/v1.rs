//! What the original's clients send: a presigned URL, a NUL, and a SCRAM exchange as a whole. A URL
//! that is accepted has one meaning, and an exchange is answered for its own bytes alone.

#![no_main]

use approzium::{
    fuzzing::identity::{presigned_digest, presigned_query},
    identity::aws::{PresignedLimits, PresignedMethod, PresignedOrigin, PresignedProof},
    wire::scram::{Keys, Limits, read_auth_message},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

/// 2026-01-02T03:04:05Z.
const NOW: i64 = 1_767_323_045;

fuzz_target!(|text: &str| {
    let (url, exchange) = text.split_once('\0').unwrap_or((text, text));
    presigned(url);
    whole_exchange(exchange);
});

fn presigned(url: &str) {
    let Some(proof) = parse(url) else {
        return;
    };
    let query = presigned_query(&proof);
    let host = proof.region().sts_host();
    let written = format!("https://{host}/?{query}");
    let again = parse(&written).expect("what is written is as good");
    assert_eq!(presigned_digest(&again), presigned_digest(&proof));
    assert!(written.bytes().all(|byte| byte.is_ascii_graphic()));
    assert_eq!(query.matches("Signature=").count(), 1);
    for more in [
        "&x-amz-signature=0",
        "&X-AMZ-DATE=20260102T030405Z",
        "&Action=GetCallerIdentity",
        "&action=AssumeRole",
        "&X-Amz-Unknown=1",
        "#",
    ] {
        assert!(parse(&format!("{url}{more}")).is_none(), "{url}{more}");
    }
}

fn parse(url: &str) -> Option<PresignedProof> {
    let now = OffsetDateTime::from_unix_timestamp(NOW).unwrap();
    let origin = PresignedOrigin::Sts { fips: false };
    let limits = PresignedLimits::default();
    PresignedProof::parse(url, PresignedMethod::Get, origin, &limits, now).ok()
}

fn whole_exchange(text: &str) {
    let limits = Limits::default();
    let Ok(exchange) = read_auth_message(text, &limits) else {
        return;
    };
    assert!(limits.iterations.contains(&exchange.iterations()));
    let keys = Keys::from_parts(exchange.salt(), exchange.iterations(), &[1; 32], &[2; 32]);
    let client_final = exchange.client_final(&keys).unwrap();
    // The proof is one over exactly this text.
    let mut client_key: [u8; 32] = Hmac::<Sha256>::new_from_slice(keys.stored_key())
        .unwrap()
        .chain_update(text)
        .finalize()
        .into_bytes()
        .into();
    let proof = BASE64_STANDARD.decode(client_final.proof()).unwrap();
    for (byte, proof) in client_key.iter_mut().zip(&proof) {
        *byte ^= proof;
    }
    assert_eq!(
        Sha256::digest(client_key).as_slice(),
        keys.stored_key(),
        "{text:?}"
    );
}
