//! Channel binding: what ties a login to the TLS connection that it runs over.

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512, Sha512_256};
use x509_cert::{
    der::{
        Decode, Reader, SliceReader, TagMode, TagNumber,
        asn1::{AnyRef, BitStringRef},
        oid::{ObjectIdentifier, db::rfc5912},
    },
    spki::AlgorithmIdentifierRef,
};

/// `tls-server-end-point` of a server's certificate (RFC 5929, section 4.1), given as DER: its
/// digest under the hash function of its own signature, or under SHA-256 where that is MD5 or
/// SHA-1.
///
/// `None` where the certificate's signature names no single hash function that is known here
/// (Ed25519, Ed448, and whatever is to come), or where the bytes are no certificate. PostgreSQL
/// cannot bind to such certificates either.
///
/// Only the outermost structure is read. Whether the certificate is to be trusted is for the TLS
/// library to say; it must have said so before.
///
/// ```
/// use approzium::wire::channel_binding::tls_server_end_point;
///
/// assert_eq!(tls_server_end_point(b"not a certificate"), None);
/// ```
pub fn tls_server_end_point(certificate_der: &[u8]) -> Option<Vec<u8>> {
    let digest = match signature_hash(certificate_der)? {
        Hash::Sha224 => Sha224::digest(certificate_der).to_vec(),
        Hash::Sha256 => Sha256::digest(certificate_der).to_vec(),
        Hash::Sha384 => Sha384::digest(certificate_der).to_vec(),
        Hash::Sha512 => Sha512::digest(certificate_der).to_vec(),
        Hash::Sha512_256 => Sha512_256::digest(certificate_der).to_vec(),
    };
    Some(digest)
}

/// The functions under which a certificate may be hashed: MD5 and SHA-1 are not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha512_256,
}

/// The hash function of the certificate's `signatureAlgorithm`, with RFC 5929's substitution.
fn signature_hash(certificate_der: &[u8]) -> Option<Hash> {
    let mut certificate = SliceReader::new(certificate_der).ok()?;
    let algorithm = certificate
        .sequence(|fields| {
            AnyRef::decode(fields)?;
            let algorithm = AlgorithmIdentifierRef::decode(fields)?;
            BitStringRef::decode(fields)?;
            Ok::<_, x509_cert::der::Error>(algorithm)
        })
        .ok()?;
    certificate.finish().ok()?;
    if algorithm.oid == rfc5912::ID_RSASSA_PSS {
        return pss_hash(algorithm.parameters?);
    }
    SIGNATURE_HASHES
        .iter()
        .find_map(|(oid, hash)| (*oid == algorithm.oid).then_some(*hash))
}

/// `hashAlgorithm` of RSASSA-PSS-params (RFC 4055, section 3.1), which is SHA-1 unless it says
/// otherwise.
fn pss_hash(parameters: AnyRef<'_>) -> Option<Hash> {
    let hash_algorithm = parameters
        .sequence(|fields| {
            let hash_algorithm = fields
                .context_specific::<AlgorithmIdentifierRef<'_>>(TagNumber(0), TagMode::Explicit)?;
            while !fields.is_finished() {
                AnyRef::decode(fields)?;
            }
            Ok::<_, x509_cert::der::Error>(hash_algorithm)
        })
        .ok()?;
    let Some(hash_algorithm) = hash_algorithm else {
        return Some(Hash::Sha256);
    };
    HASHES
        .iter()
        .find_map(|(oid, hash)| (*oid == hash_algorithm.oid).then_some(*hash))
}

const SIGNATURE_HASHES: [(ObjectIdentifier, Hash); 13] = [
    (rfc5912::MD_5_WITH_RSA_ENCRYPTION, Hash::Sha256),
    (rfc5912::SHA_1_WITH_RSA_ENCRYPTION, Hash::Sha256),
    (rfc5912::SHA_224_WITH_RSA_ENCRYPTION, Hash::Sha224),
    (rfc5912::SHA_256_WITH_RSA_ENCRYPTION, Hash::Sha256),
    (rfc5912::SHA_384_WITH_RSA_ENCRYPTION, Hash::Sha384),
    (rfc5912::SHA_512_WITH_RSA_ENCRYPTION, Hash::Sha512),
    (SHA_512_256_WITH_RSA_ENCRYPTION, Hash::Sha512_256),
    (ECDSA_WITH_SHA_1, Hash::Sha256),
    (rfc5912::ECDSA_WITH_SHA_224, Hash::Sha224),
    (rfc5912::ECDSA_WITH_SHA_256, Hash::Sha256),
    (rfc5912::ECDSA_WITH_SHA_384, Hash::Sha384),
    (rfc5912::ECDSA_WITH_SHA_512, Hash::Sha512),
    (rfc5912::DSA_WITH_SHA_256, Hash::Sha256),
];

const HASHES: [(ObjectIdentifier, Hash); 7] = [
    (rfc5912::ID_MD_5, Hash::Sha256),
    (rfc5912::ID_SHA_1, Hash::Sha256),
    (rfc5912::ID_SHA_224, Hash::Sha224),
    (rfc5912::ID_SHA_256, Hash::Sha256),
    (rfc5912::ID_SHA_384, Hash::Sha384),
    (rfc5912::ID_SHA_512, Hash::Sha512),
    (ID_SHA_512_256, Hash::Sha512_256),
];

/// ecdsa-with-SHA1, RFC 3279 section 2.2.3.
const ECDSA_WITH_SHA_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.1");
/// sha512-256WithRSAEncryption, RFC 8017 appendix A.2.4.
const SHA_512_256_WITH_RSA_ENCRYPTION: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.16");
/// id-sha512-256, RFC 8017 appendix B.1.
const ID_SHA_512_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.6");

#[cfg(test)]
mod tests;
