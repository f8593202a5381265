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
    assert!(client_final.server_signature().matches(&server_signature));
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

/// `rolpassword` as PostgreSQL 15 stored it after `ALTER ROLE … PASSWORD`: each password once, with
/// what its normalisation is about.
#[test]
fn verifiers_made_by_postgresql() {
    for (password, verifier) in [
        // ASCII is left alone.
        (
            "pencil",
            "SCRAM-SHA-256$4096:hi1OK3pCuWrz+gPyXXntPQ==$cQnfJe0KO0/UQ4vDVs4gOyFu6X2yi7MGsJBMxcxgFaQ=:xiThlcERSOKKVnEIfKH1rDlSZ6NsOcdb97X58EpDRPQ=",
        ),
        // NFKC: composed, decomposed, compatible.
        (
            "p\u{e4}ss",
            "SCRAM-SHA-256$4096:yR1t+fgBCq3OKRsVQ4wF+g==$GU2/nX7iK8uleqnAlOIQ5uXz+HHTxqLh8yVsm79sndQ=:VOCfmKEGneqM+y+ktr3viUQROvoDliCWCM4Df3g26fI=",
        ),
        (
            "a\u{308}",
            "SCRAM-SHA-256$4096:+5bJA2WyD3uYRkxj+cX45A==$eqsjX/uIhxZXK4lb1ECJ5nrWrGdkiTcw77XCdy0iLpk=:LxTg7jhmDXCi0VPXaE+Q4xdRJ3iPmwbpMjfTRrwnM+E=",
        ),
        (
            "\u{2168}",
            "SCRAM-SHA-256$4096:ioEXKbGhRAcGfLfGUkjP3w==$J4IZ/1Z56XQpGBdn1YzZCFhvDsGKMt4zHuDVn8pA5wU=:DL9gyurPKC/BGaBh1QJgjbslNqrxVIO2TSQSk/3LD0Y=",
        ),
        (
            "\u{aa}",
            "SCRAM-SHA-256$4096:hENOoaUkNjEugpLX+6qR2g==$/O5Ps8sinHE5wNR5wn+ph0SHJKhawT1qUzk+kFwki7Y=:38DB/vC08QQW0GFMfzcOQcq2ac0APkDAh0pEOtREv50=",
        ),
        (
            "\u{fdfa}\u{fdfa}",
            "SCRAM-SHA-256$4096:nzacHhW76EWj/Y0ble/J9A==$vD73UO7ITHbIAjBZDOcwuN0M/41ITBYk0Abml5gEsiI=:YnRww87AAWWPIj/bsSgTusxJLuMI2kdQE9cVia3Oh64=",
        ),
        // Mapped to nothing; nothing left, so taken as it is.
        (
            "x\u{ad}x",
            "SCRAM-SHA-256$4096:HqTl5mnRmIezQpSThx5J3A==$lfuGgPLsO9aZxBt4aOY77MoGBbZIrlUCm9hzN4VIE4Q=:75pt0yBY3ntRV8oVTXtGce9+wLJYo7Ug8kWfd1QPPkY=",
        ),
        (
            "\u{ad}",
            "SCRAM-SHA-256$4096:ZeWdODG//GZqfSMIUZj97Q==$ALyN/8PjL7dbkHwvkQfsxqXB7dDacqSnpLXRkZiBo+I=:R3UzuzbrTpm5/CVUpoZC3EqpvNDAsKNgQ6uRpwdJBFY=",
        ),
        // Mapped to a space.
        (
            "\u{a0}x",
            "SCRAM-SHA-256$4096:a+duCRr/SbSuWN7x7w+uig==$1Oc0C7bPPP85CkTGjNdGLBbJCqxhqO5MUzFe1Ji1dSY=:lGRccsDKnhtrla/eYspj6JIWxczFXPpARSPVeO7mSko=",
        ),
        (
            "\u{200b}x",
            "SCRAM-SHA-256$4096:8+ecGL1YxADL4qEm6+q0DQ==$npgiOvBbfTUo9d67yyq/BSK4ArdmHen3Mctmq3pjl3s=:8yD2f4+e7moFGb/DG167QJzFh6pY5PkKgrcF75KX58I=",
        ),
        // Unassigned in Unicode 3.2 though NFKC would make assigned characters of it.
        (
            "\u{1f100}",
            "SCRAM-SHA-256$4096:hWEGveeWuTYCMg9bdPW6ww==$hgWrxjW5yi8eHGdCKzKhfMxA3Un06GdKtOnhG4qmePo=:pZIU1fJQIpoE9rt/aLYai0+HT2dmAE89vzQm7F8/FMM=",
        ),
        (
            "x\u{32ff}",
            "SCRAM-SHA-256$4096:Jgwt4cIp4Di4LncxavtE2A==$t1d8r0wEcdO/p7Rz7bqx734WFtNNUacJvSuCKMPlssU=:du3/3os2VIuPXpwqcxtw+bUP2/PQUGieuDMS6NAjtfo=",
        ),
        (
            "\u{1f511}",
            "SCRAM-SHA-256$4096:xvYZkHLEhdIwAQjAfuZ8cw==$cxrreDodTUP4s6BDjU2F7VrCdYzBLKb5Jvf8ASEwrNI=:nVWcNhn3FRHjWnMjBXVJLAjd4iVU/KwniA1Ml6bYIdQ=",
        ),
        (
            "\u{221}",
            "SCRAM-SHA-256$4096:rpZqv8HoUG/U6qlc9OzkUw==$ZPBdgGbRaRQvaRT9cws2vroP2JLVDzsu6XNXo7SYhgk=:zVj6NDkf+/Lf6rAN2sTGH8YRESSR9nnQQ6J+M+qeisk=",
        ),
        // Prohibited, though NFKC would make something harmless of the first.
        (
            "\u{340}x",
            "SCRAM-SHA-256$4096:KA+O39oofkIX0BE03Nwxdg==$/SKpKXXODTm+XDOaU2g2+5UIFeS5dfPgke9lQmt2hAg=:igYQpaXur/fOPOoYf+0BJu3X1sHGVcKYBRICgjZuFSE=",
        ),
        (
            "\u{7}\u{e4}",
            "SCRAM-SHA-256$4096:lUj4q+x0Rw0O7rIswGvwFw==$NRE7qwuHXO57P+onaMcufQE2L1adf6DorNMJIGl1+RE=:W7EDdWcuVoaTPkePx+OM+gP16WRulxo0WK5EX+h66Os=",
        ),
        (
            "\u{e000}",
            "SCRAM-SHA-256$4096:dd0XCTcpKvcMIge8w9RAqg==$Uy77J44ZOzHxof7U62MeY3vg91HEsrV8oZO6tijt8lQ=:lCFhPMhAfT2pcJgjfUN5pYv3z8tTnFm75VoiWVl77SA=",
        ),
        // Right to left: alone, around a digit, beside Latin, not at the end; and a symbol that only
        // NFKC makes right to left.
        (
            "\u{5d0}",
            "SCRAM-SHA-256$4096:kp6vBUBSql6OOkrZajemwA==$0pzW5ZJGsINH4fDgVY52+lyGXMIYM8L4jd71KK8Fz64=:DjXPyFuS+BbjFDkbScOx1iO0Rs3eIUXmcBYebV2JGEY=",
        ),
        (
            "\u{5d0}1\u{5d0}",
            "SCRAM-SHA-256$4096:3ndPCIlTOtXYw2YWC3P+Vg==$olLiECipnxB3RoZU5tGOVXdeZHUrPsrL9PTh/maSmb4=:xGUafglftHKwQ2a8eBvGln62jbb7ny55FwU4bgjenlc=",
        ),
        (
            "\u{5d0}a",
            "SCRAM-SHA-256$4096:eoCI3yN6BXX44bSw+SLNtg==$xj2IbNjQWvbJ/g15/PpzFaTQJKDywT9n6I+Qtn6LEtY=:7Y1g8QvDdRL61Jeh7UrMUZFECUuB4JyoTDgn2Ls25nI=",
        ),
        (
            "\u{5d0}1",
            "SCRAM-SHA-256$4096:zp7dKk0s7gmywaQege2ozg==$7w2Ju49sXUZF2TEU9ufbc9WWZY7PfYCLniYD6vjuV9U=:MkItrCGrh8j/YiXqe5oBC6MCtf7mPk6myUsLtiHq8+c=",
        ),
        (
            "\u{2135}",
            "SCRAM-SHA-256$4096:m84I0LuEMYNXq/zwJNSC3w==$VsYquG5KHgTDdLtA5zxeJiwHNWL4Qywx27MNFMK2jwM=:yeUfwBEKqvYngzI+d1VJ0ANwzc6TjbeAnTWMY5lVPUY=",
        ),
        (
            "a\u{2135}",
            "SCRAM-SHA-256$4096:QljeF60xTkz+hy6j7tJQUA==$T5z3b/EOa9ozA74RlsMwsbMcGvFjWY6ICqKiuYJQvcY=:HQqd9itsK9M44lUmOhOTta/jT2GDJBkZwGoRFGtyqAQ=",
        ),
    ] {
        check_verifier(password.as_bytes(), verifier);
    }
    // Not UTF-8: a database of encoding SQL_ASCII.
    check_verifier(
        b"p\xe4ss",
        "SCRAM-SHA-256$4096:+wo9uDA2zeYHiA/UF6LcrQ==$AIMGhixf+5sLSJg2TdfiRLHB6YJfe6RYR6pnXYvas88=:xMF7Yb9LBCrwBWiwX8AZ9pREl2K8XSuOFwSPXCgvAYg=",
    );
}

fn check_verifier(password: &[u8], verifier: &str) {
    let parts: Vec<&str> = verifier.split(['$', ':']).collect();
    let [_, iterations, salt, stored_key, server_key] = parts[..] else {
        panic!("{verifier} is no verifier");
    };
    let keys = Keys::derive(
        password,
        &STANDARD.decode(salt).unwrap(),
        iterations.parse().unwrap(),
    );
    let shown = String::from_utf8_lossy(password)
        .escape_unicode()
        .to_string();
    assert_eq!(STANDARD.encode(keys.stored_key()), stored_key, "{shown}");
    assert_eq!(STANDARD.encode(keys.server_key()), server_key, "{shown}");
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
