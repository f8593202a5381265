//! Who says whose a proof is.

use super::{CheckedProof, PresignedOrigin, PresignedProof};
use crate::identity::{Rejection, VerifiedIdentity};

/// Verifies the signature of a [`CheckedProof`].
///
/// The stand-in of development mode is another type than the real one, so that no setting can turn
/// one into the other.
#[tonic::async_trait]
pub trait Verifier: Send + Sync + 'static {
    /// Whose proof this is.
    ///
    /// # Errors
    /// [`Rejection`]; [`Rejection::is_retryable`] tells a bad proof from a verification that could
    /// not be made.
    async fn verify(&self, proof: &CheckedProof) -> Result<VerifiedIdentity, Rejection>;

    /// Where the URLs of the v1 API's proofs may point to.
    fn presigned_origin(&self) -> PresignedOrigin {
        PresignedOrigin::Sts { fips: false }
    }

    /// Whose proof of the v1 API this is. By itself a verifier takes none.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    async fn verify_presigned(&self, _: &PresignedProof) -> Result<VerifiedIdentity, Rejection> {
        Err(Rejection::Malformed("no presigned proofs are taken here"))
    }
}
