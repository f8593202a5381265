//! What is wrong with a server's certificate, where rustls has no words for it.

use rustls::CertificateError;

/// What it is, as a clause after "it", and what to do.
pub(crate) fn fault(error: &CertificateError) -> Option<(&'static str, &'static str)> {
    match error {
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            Some((
                "is not for servers: serverAuth is missing in its extended key usage",
                "make it anew with extendedKeyUsage=serverAuth",
            ))
        }
        // What rustls hands on has a name, and no type that could be asked here.
        CertificateError::Other(other) => match other.0.to_string().as_str() {
            "CaUsedAsEndEntity" => Some((
                "is a CA's own certificate (CA:TRUE), which no server may show",
                "have that CA sign one for the server; one that signs itself is made with \
                 basicConstraints=CA:FALSE",
            )),
            "UnsupportedCertVersion" => Some((
                "is of version 1 of X.509, which holds no names",
                "make it anew, with its names as subjectAltName: that makes it version 3",
            )),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(all(test, feature = "authenticator"))]
pub(crate) mod tests {
    use rustls::{pki_types::CertificateDer, server::ParsedCertificate};
    use x509_cert::{
        Certificate,
        der::{Any, Decode, Encode, Tag},
    };

    use super::*;

    /// A certificate as `openssl x509 -req` makes it where it is told of no extensions, and its key
    /// in PEM. What stands as its signature is another's.
    pub(crate) fn version_1() -> (CertificateDer<'static>, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        let newer = params.self_signed(&key).unwrap();
        let newer = Certificate::from_der(newer.der()).unwrap();
        let tbs = newer.tbs_certificate();
        let algorithm = newer.signature_algorithm().to_der().unwrap();
        let told = [
            tbs.serial_number().to_der().unwrap(),
            algorithm.clone(),
            tbs.issuer().to_der().unwrap(),
            tbs.validity().to_der().unwrap(),
            tbs.subject().to_der().unwrap(),
            tbs.subject_public_key_info().to_der().unwrap(),
        ];
        let signature = newer.signature().to_der().unwrap();
        let old = sequence(&[sequence(&told), algorithm, signature]);
        (old.into(), key.serialize_pem())
    }

    fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
        let sequence = Any::new(Tag::Sequence, parts.concat()).unwrap();
        sequence.to_der().unwrap()
    }

    /// Its name, by which it is known, may change with a version.
    #[test]
    fn one_of_the_first_version_is_told_by_what_rustls_says_of_it() {
        let (old, _) = version_1();
        let Err(rustls::Error::InvalidCertificate(error)) = ParsedCertificate::try_from(&old)
        else {
            panic!("it is none");
        };
        let (what, help) = fault(&error).unwrap();
        assert!(what.contains("version 1") && help.contains("subjectAltName"));
    }
}
