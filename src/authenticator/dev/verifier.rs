//! The verification of proofs that throw-away keys signed.

use std::{fmt, net::SocketAddr, sync::Arc};

use time::OffsetDateTime;

use super::keys::{Keys, Refusal, Signed};
use crate::identity::{
    Rejection, VerifiedIdentity,
    aws::{
        CheckedProof, PresignedOrigin, PresignedProof, Verifier,
        sigv4::{Scope, SignedRequest},
    },
};

/// Verifies proofs signed with the keys of one [`DevSts`](super::DevSts), and no others.
///
/// It computes the signature as AWS would; nothing is sent anywhere.
#[derive(Clone)]
pub struct DevVerifier {
    pub(super) keys: Arc<Keys>,
    /// Where its stand-in answers: presigned proofs have it in their URL.
    pub(super) sts: SocketAddr,
}

impl DevVerifier {
    fn authenticate(&self, signed: &Signed<'_>) -> Result<VerifiedIdentity, Rejection> {
        self.keys
            .authenticate(signed, OffsetDateTime::now_utc())
            .map_err(|refusal| match refusal {
                Refusal::UnknownKey | Refusal::Expired => Rejection::Credentials,
                Refusal::Signature => Rejection::Signature,
            })
    }
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
        self.authenticate(&signed)
    }

    fn presigned_origin(&self) -> PresignedOrigin {
        PresignedOrigin::StandIn(self.sts)
    }

    async fn verify_presigned(
        &self,
        proof: &PresignedProof,
    ) -> Result<VerifiedIdentity, Rejection> {
        let host = self.sts.to_string();
        if proof.host() != host {
            return Err(Rejection::Malformed("the URL is not the stand-in's"));
        }
        self.authenticate(&Signed {
            access_key_id: proof.access_key_id(),
            security_token: proof.security_token(),
            scope: Scope {
                amz_date: proof.amz_date(),
                region: proof.region().name(),
                service: "sts",
            },
            request: SignedRequest {
                method: proof.method().as_str(),
                path: "/",
                canonical_query: &proof.canonical_query(),
                headers: &[("host", &host)],
                body: b"",
            },
            signature: proof.signature(),
        })
    }
}

impl fmt::Debug for DevVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevVerifier").finish_non_exhaustive()
    }
}
