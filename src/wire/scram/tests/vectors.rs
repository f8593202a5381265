use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    super::{Keys, Limits, verify_server_final},
    rfc_7677_client_first,
};

#[test]
fn rfc_7677() {
    let client_first = rfc_7677_client_first();
    assert_eq!(client_first.message(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let server_first = client_first
        .server_first(
            b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            &Limits::default(),
        )
        .unwrap();
    assert_eq!(server_first.iterations(), 4096);
    let keys = Keys::derive(b"pencil", server_first.salt(), server_first.iterations());
    let client_final = server_first.client_final(&keys).unwrap();
    assert_eq!(
        str::from_utf8(client_final.message()).unwrap(),
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    );
    let server_signature = verify_server_final(
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        &client_final.server_signature_digest(),
    )
    .unwrap();
    let expected = client_final.server_signature();
    assert!(expected.matches(&server_signature));
    assert_eq!(expected.expose_secret(), server_signature.as_slice());
    for other in [&[][..], &server_signature[1..], &[0; 32], &[0; 33]] {
        assert!(!expected.matches(other));
    }
}

#[test]
fn functions_of_the_first_approzium() {
    let salt = STANDARD.decode("1234").unwrap();
    for iterations in [0, 1] {
        let keys = Keys::derive(b"password", &salt, iterations);
        let proof = keys.client_proof(b"hello, world!");
        let signature = keys.server_signature(b"hello, world!");
        assert_eq!(
            STANDARD.encode(proof),
            "WCRy25VQ5iCiPGQoLt4srzNvMhDDhVo19p72M8KB+cU="
        );
        assert_eq!(
            STANDARD.encode(signature),
            "/N4NMwnT+TeFI4Ymbaj0nk5sjJQTCrwnvaXhApkjRYo="
        );
    }
}

#[test]
fn kept_keys_are_derived_keys() {
    let derived = Keys::derive(b"pencil", b"salt", 7);
    let kept = Keys::from_parts(b"salt", 7, derived.client_key(), derived.server_key());
    assert_eq!(kept.stored_key(), derived.stored_key());
    assert!(kept.fit(b"salt", 7) && !kept.fit(b"salt", 8) && !kept.fit(b"sal", 7));
    assert_eq!((kept.salt(), kept.iterations()), (&b"salt"[..], 7));
}

#[test]
fn nothing_secret_is_printed() {
    let keys = Keys::derive(b"pencil", b"salt", 1);
    let server_first = rfc_7677_client_first()
        .server_first(
            b"r=rOprNGfwEbeRWgbNEkqO!,s=c2FsdA==,i=1",
            &super::few_iterations(),
        )
        .unwrap();
    assert_eq!(
        format!("{:?} {server_first:?} {keys:?}", rfc_7677_client_first()),
        "ClientFirst { channel_binding: NotSupported, .. } \
         ServerFirst { channel_binding: NotSupported, iterations: 1, .. } \
         Keys { iterations: 1, .. }"
    );
    let client_final = server_first.client_final(&keys).unwrap();
    assert_eq!(
        format!("{client_final:?} {:?}", client_final.server_signature()),
        "ClientFinal { .. } ServerSignature(redacted)"
    );
}
