//! A certificate authority for one test.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SignatureAlgorithm,
};

use crate::Result;

/// With which key and digest an authority signs. The digest decides `tls-server-end-point`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signature {
    /// ECDSA on P-256 with SHA-256.
    #[default]
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384Sha384,
    /// Ed25519, whose certificates name no digest: RFC 5929 leaves channel binding undefined.
    Ed25519,
}

impl Signature {
    fn algorithm(self) -> &'static SignatureAlgorithm {
        match self {
            Signature::EcdsaP256Sha256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Signature::EcdsaP384Sha384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Signature::Ed25519 => &rcgen::PKCS_ED25519,
        }
    }
}

/// A certificate authority, made anew for each value.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    signature: Signature,
}

/// A certificate with its key, as an [`Authority`] issued it.
#[derive(Clone)]
pub struct Certificate {
    /// The certificate alone, PEM.
    pub certificate_pem: String,
    /// Its private key, PKCS #8 in PEM.
    pub key_pem: String,
    /// The certificate in DER.
    pub certificate_der: Vec<u8>,
}

impl Default for Authority {
    fn default() -> Self {
        Authority::new(Signature::default())
    }
}

impl Authority {
    /// An authority that signs in the given way, itself too.
    pub fn new(signature: Signature) -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "Approzium test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(signature.algorithm()).expect("a key can be generated");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority signs itself");
        Authority { issuer, signature }
    }

    /// The authority's own certificate, PEM: what a client trusts.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The authority's own certificate, DER.
    pub fn der(&self) -> Vec<u8> {
        self.issuer.der().to_vec()
    }

    /// A server's certificate for names and addresses; the first is its common name too.
    pub fn server(&self, names: &[&str]) -> Certificate {
        self.issue(
            names.first().copied().unwrap_or("server"),
            names,
            ExtendedKeyUsagePurpose::ServerAuth,
            None,
        )
    }

    /// The same, valid until then alone.
    pub fn server_until(&self, names: &[&str], end: SystemTime) -> Certificate {
        let name = names.first().copied().unwrap_or("server");
        self.issue(name, names, ExtendedKeyUsagePurpose::ServerAuth, Some(end))
    }

    /// A server's certificate for `localhost`, 127.0.0.1 and ::1.
    pub fn localhost(&self) -> Certificate {
        self.server(&["localhost", "127.0.0.1", "::1"])
    }

    /// A client's certificate. PostgreSQL compares the common name with the database user.
    pub fn client(&self, common_name: &str) -> Certificate {
        self.issue(common_name, &[], ExtendedKeyUsagePurpose::ClientAuth, None)
    }

    /// The same, valid until then alone.
    pub fn client_until(&self, common_name: &str, end: SystemTime) -> Certificate {
        self.issue(
            common_name,
            &[],
            ExtendedKeyUsagePurpose::ClientAuth,
            Some(end),
        )
    }

    /// Writes the authority's certificate where a connection string or a flag can name it.
    pub fn write(&self, path: impl Into<PathBuf>) -> Result<PathBuf> {
        let path = path.into();
        crate::files::write(&path, self.pem())?;
        Ok(path)
    }

    fn issue(
        &self,
        common_name: &str,
        names: &[&str],
        usage: ExtendedKeyUsagePurpose,
        end: Option<SystemTime>,
    ) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("the names are DNS names");
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![usage];
        if let Some(end) = end {
            params.not_after = end.into();
        }
        params.use_authority_key_identifier_extension = true;
        let key =
            KeyPair::generate_for(self.signature.algorithm()).expect("a key can be generated");
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("an authority signs");
        Certificate {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            certificate_der: certificate.der().to_vec(),
        }
    }
}

impl Certificate {
    /// Writes `<name>.crt` and `<name>.key` (mode 0600) into a folder, and returns both paths.
    pub fn write(&self, folder: &Path, name: &str) -> Result<(PathBuf, PathBuf)> {
        let certificate = folder.join(format!("{name}.crt"));
        let key = folder.join(format!("{name}.key"));
        crate::files::write(&certificate, &self.certificate_pem)?;
        crate::files::write_private(&key, &self.key_pem)?;
        Ok((certificate, key))
    }
}

/// A rustls client that trusts these authorities (DER) and no other.
pub fn client_configuration(authorities: &[Vec<u8>]) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    for authority in authorities {
        roots
            .add(authority.clone().into())
            .expect("an authority's certificate");
    }
    let provider = rustls::crypto::ring::default_provider();
    rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
