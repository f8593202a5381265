//! The protocol of `proto/`, as compiled.

/// `approzium.v2`: see `proto/approzium/v2/authenticator.proto`.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    reason = "generated code is documented where it is written: in the .proto file"
)]
pub(crate) mod v2 {
    tonic::include_proto!("approzium.v2");
}

/// Without the session token: it is a secret.
impl std::fmt::Debug for v2::AwsProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AwsProof")
            .field("access_key_id", &self.access_key_id)
            .field("amz_date", &self.amz_date)
            .field("region", &self.region)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}
