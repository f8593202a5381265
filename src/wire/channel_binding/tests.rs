//! Certificates made by OpenSSL, with digests that OpenSSL computed.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair};

use super::*;

const RSA_SHA_1: &str = "MIIB9DCCAV2gAwIBAgIUBdPJAX502mSCT5CNN9xdkEesxAowDQYJKoZIhvcNAQEFBQAwDDEKMAgGA1UEAwwBeDAeFw0yNjExMjMxNTA5NTNaFw0zNjExMjAxNTA5NTNaMAwxCjAIBgNVBAMMAXgwgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJAoGBAMoUdYL9VXkYtxDEz2AiAWKcGq8asuZZTYIQtKB84m3XrzeR/dpL+/v5Ja6SoJH2A/LBuKHwsOO03pO/yMSPbRru8xHOhVd6rGIhaHEUnamdFdMvNBqUpLsq0CrZ+xK9x2MAXhf7H4Ial90UxDc6cGB6wrRnJoUwtVvVXh3O29PJAgMBAAGjUzBRMB0GA1UdDgQWBBRiZRu50i2dbu9FAH4S8Nvuu7yEJjAfBgNVHSMEGDAWgBRiZRu50i2dbu9FAH4S8Nvuu7yEJjAPBgNVHRMBAf8EBTADAQH/MA0GCSqGSIb3DQEBBQUAA4GBAFWZ2f+3bKZBTvITjtNiqlhNNQ7Kkp6BslhCsDsj6Na6taHBLd+01vb1JghYTOEGZ8O1XU3bcLyPmoU2lft9XW7uRsVk92E60l7DbcZP64ExiJSNNjdJHEhppaI1KEmL01wljZocD3/uocQ3q6MGFLbQA8zuiwW9MKOlwOiYhyze";
const RSA_SHA_256: &str = "MIIB9DCCAV2gAwIBAgIUWSBeH0bVK+YwcVXIm+V7SNPSs1gwDQYJKoZIhvcNAQELBQAwDDEKMAgGA1UEAwwBeDAeFw0yNjExMjMxNTA5NTNaFw0zNjExMjAxNTA5NTNaMAwxCjAIBgNVBAMMAXgwgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJAoGBAM6h7kk7nj9EdoyQdAF5ZKF9jJG3iyE7CzGv4zUaZXiodB10XQ5yMS50sGgx1H6t+db8jFWZuFgeygtIA5Cb1TNmrbqRIue2ES04P8ANptsrxoCaq68QpCgyNHe9f4qptwfo2bE0AvbMASsrwEbqjuz9SxzL/MUCV9G5/06yhl8rAgMBAAGjUzBRMB0GA1UdDgQWBBShi1iPsi/z8N2daIVhgchgAc5i4DAfBgNVHSMEGDAWgBShi1iPsi/z8N2daIVhgchgAc5i4DAPBgNVHRMBAf8EBTADAQH/MA0GCSqGSIb3DQEBCwUAA4GBAKxlQ5CC3pXDugmjqZLIJzh8m4iyzlJqs8pDzzs6CeLyGBrVvUw6pfEm5pqLNaGET315VJRwW0Nrb1EF2ufemOchzhrIHnxknWY690I7Y1FHjIPOWyEQhA4JS+7+ynLjSylKrzN+VSR5SlK3ouLPcJgI/B21Yj48inImh3iLCq98";
const RSA_SHA_512: &str = "MIIB9DCCAV2gAwIBAgIUIAxIoHhkqLdc/ptcBjQhX0yxIxswDQYJKoZIhvcNAQENBQAwDDEKMAgGA1UEAwwBeDAeFw0yNjExMjMxNTA5NTNaFw0zNjExMjAxNTA5NTNaMAwxCjAIBgNVBAMMAXgwgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJAoGBAPKB8JgbOdHDWjkGkxEIcfFYpsEf/Dyt6Rh4KAN0CgQuXWerLxfUHTSX+NdkC2McK1lyanXsxV0CCxvfMGq97ETSnjb/6da9/u3NZE/aIP6RY/EegpA4cl1rvLqzDc1QB7HLwsBEYAXfDIy97gy6tqd6J03YcNPyRLAD07XLp4aDAgMBAAGjUzBRMB0GA1UdDgQWBBRTTnRs0ZKE7LNHSqTfObP3PM50+zAfBgNVHSMEGDAWgBRTTnRs0ZKE7LNHSqTfObP3PM50+zAPBgNVHRMBAf8EBTADAQH/MA0GCSqGSIb3DQEBDQUAA4GBAKl8+9bMuhhdtpwYxm5xY97DWIT5p/Zx0cIZwEjcFqJudtUc1+K6Ydwucp03Lghg9ANzNof9rxYL12OQ1yswTEFJE0YBU9H5tB2cH4tAAfUJ8VpgrS6WrKs1EDKp7HFY9C6D3ypg5P6VFDfNyu7ePiW7bLADef1Q/wOOGLQJoezt";
const RSA_PSS_SHA_384: &str = "MIICXDCCAZGgAwIBAgIUBRzrbD2maPmhZcGS3xTLGba9S3MwQQYJKoZIhvcNAQEKMDSgDzANBglghkgBZQMEAgIFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgIFAKIDAgFOMAwxCjAIBgNVBAMMAXgwHhcNMjYxMTIzMTUwOTUzWhcNMzYxMTIwMTUwOTUzWjAMMQowCAYDVQQDDAF4MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDOuiKECE7j/H/PHv/Mp8VeNtzImWB0IlSkdQ4LkDXv7oNeMvyzMYFaTXj+IoklJphAVbbV5dMHh3dcIMFiiwCjmbOPKAjnBIfd1iFkkJ1W6oITFPea1XyzbG8Vbh85nYhHE0dRiBde2WmaXmXi22Exv5BRLbGs+HGD8jcHNZ9JcwIDAQABo1MwUTAdBgNVHQ4EFgQUV8lkAn6xxidDisjtF6Bxs0yvhnYwHwYDVR0jBBgwFoAUV8lkAn6xxidDisjtF6Bxs0yvhnYwDwYDVR0TAQH/BAUwAwEB/zBBBgkqhkiG9w0BAQowNKAPMA0GCWCGSAFlAwQCAgUAoRwwGgYJKoZIhvcNAQEIMA0GCWCGSAFlAwQCAgUAogMCAU4DgYEAfGk/7QMoRETjBcWYnLfja7XWQtGspKg/31rnNjhFvkdnY28gmCyqxiUTsjn1ZdTKmtwzQi1oIjrKLza3khqpJouA/P8X2I/4T50+08s76B3AJx3TSZyCEOBVcalMnHvXqNtf4iZJSTXgxRUE/8ITrPYmjwk3UXguhybUA1rHiT0=";
const RSA_PSS_DEFAULTS: &str = "MIIB/jCCAWKgAwIBAgIUTRKvQMgbD1iVyVPnqQTrmQ3pF9swEgYJKoZIhvcNAQEKMAWiAwIBajAMMQowCAYDVQQDDAF4MB4XDTI2MTEyMzE1MDk1M1oXDTM2MTEyMDE1MDk1M1owDDEKMAgGA1UEAwwBeDCBnzANBgkqhkiG9w0BAQEFAAOBjQAwgYkCgYEA4TxpIiRcduU2DDYNZpVvFF3hxwKsM/EfoT8s7OlCz1Mu2fOjZ+4cY2YmLVLhqUqnt4Nbk6kZ9LGvEFJgpRgQfkpDIyphkHeXXl+Rq80Ld9lMQYl5sR2GsoG5i5PczaFrwcw0CNfte/BLySrEg1J63LMcIL/P3Fn0SB5twKZ0+tUCAwEAAaNTMFEwHQYDVR0OBBYEFMmCHZ3OUVbh3RDqE7xRJEAgye60MB8GA1UdIwQYMBaAFMmCHZ3OUVbh3RDqE7xRJEAgye60MA8GA1UdEwEB/wQFMAMBAf8wEgYJKoZIhvcNAQEKMAWiAwIBagOBgQAtwT3l3Lm4OL+8/yz2MJGuDSFVE2/DoVN7NBE+8IeddZK23YBLjT+gNNxuOApQ3kfpD+7rwBKkm7TeRFebylax8Goq1agFtx2iMahgrgDiRFpkT0QRH2j0I/fvnODYIgEhuKq54zJV9MvaU7bdjMkpteowA9XIWlyetRFxOoPSVw==";
const ED448: &str = "MIIBdzCB+KADAgECAhQ5I9Cbj21CwH9aaAzkl2dvAabbfTAFBgMrZXEwDDEKMAgGA1UEAwwBeDAeFw0yNjExMjMxNTA5NTNaFw0zNjExMjAxNTA5NTNaMAwxCjAIBgNVBAMMAXgwQzAFBgMrZXEDOgDORWBfcDpGhPcUO40Cht0RtWLKg0CWMLZiSP4ombKb0Hrpm+CoHYKlZuE3BuEnpt10i+BWhnhxvQCjUzBRMB0GA1UdDgQWBBQuEw/h9C5jfYB2jDP1CvcNeTMSlzAfBgNVHSMEGDAWgBQuEw/h9C5jfYB2jDP1CvcNeTMSlzAPBgNVHRMBAf8EBTADAQH/MAUGAytlcQNzANbcwZRTbmYu2a8uQNs377JyXqhByEc8fx+0g4oDnlma5+5fGirHbRZqsWmSUM/iIPyrxESOglv4gJ2zOConnmbyY8imS8KCg9ZUlMP9KadD3elCxrwCNF2tPdXtu6uXpsS6CeRjLQh4OHelNTAXyMU1AA==";

#[test]
fn openssl_certificates() {
    for (certificate, digest) in [
        (
            RSA_SHA_1,
            "6060f8d80aac2135a19726cb72704f74773cddf39a6ab766a854d7989101833c",
        ),
        (
            RSA_SHA_256,
            "fd8e06e0bd26dcea6baa898f9cff64dc9d4563043d9773ee563b441840c19da1",
        ),
        (
            RSA_SHA_512,
            "a318476fc457ecebff11b4c02c479cc66e908e2cfb39c35cdafe79c36289085728726a9cba90a2f52d8d51c90f0cea500f73d29216938d1b99a4368373bff5ce",
        ),
        (
            RSA_PSS_SHA_384,
            "72194cb3866f981e245474bbd5674db19688b9f10cae719320cc25461c00ef01d76298f5ba6804fed9210e5ba0882c5e",
        ),
        (
            RSA_PSS_DEFAULTS,
            "ad8d93ab45a0cba6b6306b2b619723da7a7e3c82a8984e8214f79474ba4f75e4",
        ),
    ] {
        let computed = tls_server_end_point(&STANDARD.decode(certificate).unwrap()).unwrap();
        let computed: String = computed.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(computed, digest);
    }
}

#[test]
fn signatures_without_one_hash_function_cannot_be_bound_to() {
    assert_eq!(tls_server_end_point(&STANDARD.decode(ED448).unwrap()), None);
    assert_eq!(tls_server_end_point(&generated(&rcgen::PKCS_ED25519)), None);
}

#[test]
fn generated_certificates() {
    let certificate = generated(&rcgen::PKCS_ECDSA_P256_SHA256);
    let digest = Sha256::digest(&certificate).to_vec();
    assert_eq!(tls_server_end_point(&certificate), Some(digest));
    let certificate = generated(&rcgen::PKCS_ECDSA_P384_SHA384);
    let digest = Sha384::digest(&certificate).to_vec();
    assert_eq!(tls_server_end_point(&certificate), Some(digest));
}

#[test]
fn every_signature_algorithm() {
    for (algorithm, hash) in [
        ("1.2.840.113549.1.1.2", None),               // MD2
        ("1.2.840.113549.1.1.4", Some(Hash::Sha256)), // MD5
        ("1.2.840.113549.1.1.5", Some(Hash::Sha256)),
        ("1.2.840.113549.1.1.11", Some(Hash::Sha256)),
        ("1.2.840.113549.1.1.12", Some(Hash::Sha384)),
        ("1.2.840.113549.1.1.13", Some(Hash::Sha512)),
        ("1.2.840.113549.1.1.14", Some(Hash::Sha224)),
        ("1.2.840.113549.1.1.16", Some(Hash::Sha512_256)),
        ("1.2.840.10045.4.1", Some(Hash::Sha256)),
        ("1.2.840.10045.4.3.1", Some(Hash::Sha224)),
        ("1.2.840.10045.4.3.2", Some(Hash::Sha256)),
        ("1.2.840.10045.4.3.3", Some(Hash::Sha384)),
        ("1.2.840.10045.4.3.4", Some(Hash::Sha512)),
        ("2.16.840.1.101.3.4.3.10", None), // ECDSA with SHA3-256
        ("2.16.840.1.101.3.4.3.18", None), // ML-DSA-65
        ("1.3.101.112", None),             // Ed25519
        ("1.3.101.113", None),             // Ed448
    ] {
        let oid = ObjectIdentifier::new(algorithm).unwrap();
        let oid = element(0x06, &[oid.as_bytes()]);
        assert_eq!(signature_hash(&certificate(&[&oid])), hash, "{algorithm}");
    }
}

#[test]
fn the_hash_of_rsassa_pss_is_in_its_parameters() {
    for (algorithm, hash) in [
        ("1.2.840.113549.2.5", Some(Hash::Sha256)),
        ("1.3.14.3.2.26", Some(Hash::Sha256)),
        ("2.16.840.1.101.3.4.2.4", Some(Hash::Sha224)),
        ("2.16.840.1.101.3.4.2.1", Some(Hash::Sha256)),
        ("2.16.840.1.101.3.4.2.2", Some(Hash::Sha384)),
        ("2.16.840.1.101.3.4.2.3", Some(Hash::Sha512)),
        ("2.16.840.1.101.3.4.2.6", Some(Hash::Sha512_256)),
        ("2.16.840.1.101.3.4.2.8", None), // SHA3-256
    ] {
        let oid = ObjectIdentifier::new(algorithm).unwrap();
        let oid = element(0x06, &[oid.as_bytes()]);
        let parameters = element(0x30, &[&element(0xa0, &[&element(0x30, &[&oid])])]);
        assert_eq!(
            signature_hash(&pss_certificate(&parameters)),
            hash,
            "{algorithm}"
        );
    }
    let none: &[u8] = &[];
    assert_eq!(
        signature_hash(&pss_certificate(none)),
        None,
        "parameters are not optional"
    );
    let empty = element(0x30, &[]);
    assert_eq!(signature_hash(&pss_certificate(&empty)), Some(Hash::Sha256));
}

#[test]
fn what_is_no_certificate_has_no_digest() {
    let good = generated(&rcgen::PKCS_ECDSA_P256_SHA256);
    let trailing = [good.as_slice(), &[0]].concat();
    let cut = good.split_last().unwrap().1;
    for bytes in [
        &trailing,
        cut,
        &[],
        b"\x30\x00",
        b"\x30\x84\xff\xff\xff\xff",
        &[0x30; 64],
    ] {
        assert_eq!(tls_server_end_point(bytes), None);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        tls_server_end_point(&bytes);
        tls_server_end_point(&element(0x30, &[&bytes]));
        signature_hash(&pss_certificate(&bytes));
    }

    #[test]
    fn no_damaged_certificate_panics(position in 0_usize..400, byte: u8) {
        let mut bytes = STANDARD.decode(RSA_PSS_SHA_384).unwrap();
        let position = position % bytes.len();
        bytes[position] = byte;
        tls_server_end_point(&bytes);
        tls_server_end_point(&bytes[..position]);
    }
}

fn generated(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let parameters = CertificateParams::new(["localhost".to_owned()]).unwrap();
    parameters.self_signed(&key).unwrap().der().to_vec()
}

fn pss_certificate(parameters: &[u8]) -> Vec<u8> {
    let oid = element(0x06, &[rfc5912::ID_RSASSA_PSS.as_bytes()]);
    certificate(&[&oid, parameters])
}

/// The outermost structure of a certificate, with this signature algorithm.
fn certificate(algorithm: &[&[u8]]) -> Vec<u8> {
    element(
        0x30,
        &[
            &element(0x30, &[]),
            &element(0x30, algorithm),
            &element(0x03, &[&[0, 1, 2, 3]]),
        ],
    )
}

/// A DER element of a length below 65,536.
fn element(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let [high, low] = u16::try_from(contents.len()).unwrap().to_be_bytes();
    let header = match contents.len() {
        0..=127 => vec![tag, low],
        128..=255 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [header, contents].concat()
}
