//! The verification of proofs that throw-away keys signed.

use std::{fmt, sync::Arc};

use time::OffsetDateTime;

use super::keys::{Keys, Refusal, Signed};
use crate::identity::{
    Rejection, VerifiedIdentity,
    aws::{
        CheckedProof, Verifier,
        sigv4::{Scope, SignedRequest},
    },
};

/// Verifies proofs signed with the keys of one [`DevSts`](super::DevSts), and no others.
///
/// It computes the signature as AWS would; nothing is sent anywhere.
#[derive(Clone)]
pub struct DevVerifier {
    pub(super) keys: Arc<Keys>,
}

#[tonic::async_trait]
impl Verifier for DevVerifier {
    async fn verify(&self, proof: &CheckedProof) -> Result<VerifiedIdentity, Rejection> {
        let headers = proof.headers(proof.region().sts_host());
        let signed = Signed {
            access_key_id: proof.access_key_id(),
            security_token: proof.security_token(),
            scope: Scope {
                amz_date: proof.amz_date(),
                region: proof.region().name(),
                service: "sts",
            },
            request: SignedRequest {
                method: "POST",
                path: "/",
                canonical_query: "",
                headers: &headers,
                body: CheckedProof::BODY.as_bytes(),
            },
            signature: proof.signature(),
        };
        self.keys
            .authenticate(&signed, OffsetDateTime::now_utc())
            .map_err(|refusal| match refusal {
                Refusal::UnknownKey | Refusal::Expired => Rejection::Credentials,
                Refusal::Signature => Rejection::Signature,
            })
    }
}

impl fmt::Debug for DevVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevVerifier").finish_non_exhaustive()
    }
}
