//! Verifiers that PostgreSQL made.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::super::Keys;

#[test]
fn a_password_is_normalised_as_postgresql_does_it() {
    for (password, verifier) in VERIFIERS {
        check(password.as_bytes(), verifier);
    }
}

#[test]
fn a_password_that_is_not_utf_8_is_taken_as_it_is() {
    check(b"p\xe4ss", SQL_ASCII);
}

fn check(password: &[u8], verifier: &str) {
    let parts: Vec<&str> = verifier.split(['$', ':']).collect();
    let [_, iterations, salt, _, _] = parts[..] else {
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
    assert_eq!(keys.verifier(), verifier, "{shown}");
}

/// `rolpassword` of `ALTER ROLE … PASSWORD 'p\xe4ss'` in a database of encoding SQL_ASCII.
const SQL_ASCII: &str = "SCRAM-SHA-256$4096:+wo9uDA2zeYHiA/UF6LcrQ==$AIMGhixf+5sLSJg2TdfiRLHB6YJfe6RYR6pnXYvas88=:xMF7Yb9LBCrwBWiwX8AZ9pREl2K8XSuOFwSPXCgvAYg=";

/// Passwords, and `rolpassword` as PostgreSQL 15 stored it after `ALTER ROLE … PASSWORD`.
const VERIFIERS: [(&str, &str); 30] = [
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
    // Unassigned in Unicode 3.2, though NFKC would make assigned characters of the first two.
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
    // Prohibited, though NFKC would make something harmless of it.
    (
        "\u{340}x",
        "SCRAM-SHA-256$4096:KA+O39oofkIX0BE03Nwxdg==$/SKpKXXODTm+XDOaU2g2+5UIFeS5dfPgke9lQmt2hAg=:igYQpaXur/fOPOoYf+0BJu3X1sHGVcKYBRICgjZuFSE=",
    ),
    // Prohibited, table by table (C.2.1 to C.9), so that NFKC leaves the ellipsis alone.
    (
        "\u{7}\u{2026}",
        "SCRAM-SHA-256$4096:RFU8j5MWO1tYstNMgJdSUw==$kdVSvha2mBtJdklYdbqSqvRYEFO7Id+XpirwtZCsbdo=:XnEHjlcpII7tp9OPrN56pIlGbLCBtLRLiMj2RjjnM5A=",
    ),
    (
        "\u{80}\u{2026}",
        "SCRAM-SHA-256$4096:TsJH7gESmTPekIMU2FbaTA==$wnuk4ZnfV5spa4FPJUvslFL8vXGp4G6fuMXBHWNZsRs=:8MKjwaxQGVq93ySUwZZUNhcO7NTb2ivlvvtWmO6yDwo=",
    ),
    (
        "\u{e000}\u{2026}",
        "SCRAM-SHA-256$4096:A8kHTGXE2i/yRtxVNOYiEg==$CK4RqYpki/8FX3U1+T9EMTYFwwbLl330SPa42In0vPE=:7CiBJ2tdp+NEA7+O2QRkhMBP2cvkOGrqKhl6lcBIc54=",
    ),
    (
        "\u{fdd0}\u{2026}",
        "SCRAM-SHA-256$4096:BxgqR6ef201esCbjtk50gQ==$AxjMvi8XtfYfeUGX+8A9Fky/EHAQeENK48f8i5ufYfE=:vJEft0jULC9ebISEHGIbweosS6ST4EzP2/Tuh+nO3iM=",
    ),
    (
        "\u{fffd}\u{2026}",
        "SCRAM-SHA-256$4096:v0+WHZfwWKTq5XH0WGxiCA==$sJ1BAmksyDWdzI/DqifEBk3LEXYN7SfRQjeVLLCnx9I=:TqSdPL080PE1S8XwEzAXzvsKnwynSXJf978pEVjjKVE=",
    ),
    (
        "\u{2ff0}\u{2026}",
        "SCRAM-SHA-256$4096:3ATPK7QYG5M7I4O6yuVSKw==$sNeW1XgdRaU+tPrvzNohycXiOhfgEYbBieddfOiCw3k=:smXxsOm3zCFPrT/3E5d9KM+NibmZ7Ihb0zA3LtWALM0=",
    ),
    (
        "\u{200e}\u{2026}",
        "SCRAM-SHA-256$4096:V0eEvuQtxEmAaeAolvYs6g==$MAr5IrzFfKBpslcXO/tlN7byPTGsIiX7N7JDPiockGI=:swBi6guCQC0plEOlD29IkCxF8o27CLnw5kjorT2j1Ag=",
    ),
    (
        "\u{e0001}\u{2026}",
        "SCRAM-SHA-256$4096:XB8b7LEc0l2MiieOWB6izA==$IS6UZ1LCsP5zpjF1hsNuPxcCpSYQWMC0BoHUDOimMzo=:hHHb+Rzf0rdlJdZ7YVrpFZQr+stFLt2CzkZ9P3lEh54=",
    ),
    // Right to left: alone, all around, and not at the end, the beginning or in between.
    (
        "\u{5d0}",
        "SCRAM-SHA-256$4096:kp6vBUBSql6OOkrZajemwA==$0pzW5ZJGsINH4fDgVY52+lyGXMIYM8L4jd71KK8Fz64=:DjXPyFuS+BbjFDkbScOx1iO0Rs3eIUXmcBYebV2JGEY=",
    ),
    (
        "\u{5d0}\u{2026}\u{5d0}",
        "SCRAM-SHA-256$4096:IOG+w0KYYnqDksFlFJWkAg==$4XEC7J2tlEaChb9EWKJ9ZV1apYDZAt86p7dRYzSyJPk=:se9mDXHRI1Adf0sWRMeVfKbaY2DbUQdCNEwjtPpgTSQ=",
    ),
    (
        "\u{5d0}\u{2026}",
        "SCRAM-SHA-256$4096:eGQrpO58gAxXPrnCWlq+sA==$9wuLSmf5iEpBWAOpgtMt6veorzeCOK2WkJ2veogDg2g=:68sF/nncXip+U6pHLfZc0+bLVk8Df4z7x+NVJLnVuos=",
    ),
    (
        "\u{2026}\u{5d0}",
        "SCRAM-SHA-256$4096:EczFHGl45tTx/KrL47bDTA==$2+V1IVzh3z84LB0MCvyfHBNjZS+zMz7JFD9gM8EE5QE=:OVAaKWNayKDWW6K7Dytd69Jq+USCXiaQzq7G9srGEDU=",
    ),
    (
        "\u{5d0}a\u{2026}\u{5d0}",
        "SCRAM-SHA-256$4096:Lvu6FewV3VJsWVpXSU2Frw==$vDhHBT7653CYyPe7lbWvuVO7hOu6xK9lovhnmz6ff/s=:G+lCQdkgQdfW9TXaUkEQkFQ33TbChtYMacyeK7PqSqg=",
    ),
    // A symbol that only NFKC makes right to left.
    (
        "\u{2135}",
        "SCRAM-SHA-256$4096:m84I0LuEMYNXq/zwJNSC3w==$VsYquG5KHgTDdLtA5zxeJiwHNWL4Qywx27MNFMK2jwM=:yeUfwBEKqvYngzI+d1VJ0ANwzc6TjbeAnTWMY5lVPUY=",
    ),
    (
        "a\u{2135}",
        "SCRAM-SHA-256$4096:QljeF60xTkz+hy6j7tJQUA==$T5z3b/EOa9ozA74RlsMwsbMcGvFjWY6ICqKiuYJQvcY=:HQqd9itsK9M44lUmOhOTta/jT2GDJBkZwGoRFGtyqAQ=",
    ),
];
