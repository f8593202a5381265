//! What applications think of the Authenticator's certificate.

use rustls::{
    CertificateError, RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::ring,
    pki_types::{CertificateDer, UnixTime},
    server::ParsedCertificate,
};

use crate::certificate;

/// Why they refuse it, whatever authorities they trust.
pub(super) fn refusal(certificate: &CertificateDer<'_>) -> Option<String> {
    let judged = ParsedCertificate::try_from(certificate).and_then(|certificate| {
        // Whom they trust is not known here. Who trusts nobody judges all the rest of it before he
        // looks for its issuer.
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &RootCertStore::empty(),
            &[],
            UnixTime::now(),
            ring::default_provider()
                .signature_verification_algorithms
                .all,
        )
    });
    match judged {
        Ok(()) | Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => None,
        Err(error) => Some(in_words(&error)),
    }
}

/// What is wrong with it and what to do; or else what rustls says.
pub(super) fn in_words(error: &rustls::Error) -> String {
    let fault = match error {
        rustls::Error::InvalidCertificate(certificate) => certificate::fault(certificate),
        _ => None,
    };
    match fault {
        Some((what, help)) => format!("it {what}; {help}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair};

    use super::*;
    use crate::certificate::tests::version_1;

    fn refused(change: fn(&mut CertificateParams)) -> Option<String> {
        let mut params = CertificateParams::new(["a".to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        refusal(params.self_signed(&key).unwrap().der())
    }

    #[test]
    fn what_every_application_refuses_is_told_from_what_one_may_trust() {
        assert_eq!(refused(|_| ()), None);
        let authority = refused(|params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        });
        assert!(authority.unwrap().contains("CA:TRUE"));
        let of_clients = refused(|params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        });
        assert!(of_clients.unwrap().contains("serverAuth"));
        let (old, _) = version_1();
        assert!(refusal(&old).unwrap().contains("version 1 of X.509"));
    }
}
