//! What a login is bound to: a digest of exactly these bytes, or nothing.

#![no_main]

use approzium::wire::channel_binding::tls_server_end_point;
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512, Sha512_256};

fuzz_target!(|bytes: &[u8]| {
    let Some(digest) = tls_server_end_point(bytes) else {
        return;
    };
    let digests = [
        Sha224::digest(bytes).to_vec(),
        Sha256::digest(bytes).to_vec(),
        Sha384::digest(bytes).to_vec(),
        Sha512::digest(bytes).to_vec(),
        Sha512_256::digest(bytes).to_vec(),
    ];
    assert!(digests.contains(&digest));
    let longer = [bytes, b"\0"].concat();
    assert_eq!(tls_server_end_point(&longer), None);
    assert_eq!(tls_server_end_point(&bytes[..bytes.len() - 1]), None);
});
