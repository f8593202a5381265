//! The protocol of `proto/`, as compiled.

/// `approzium.v2`: see `proto/approzium/v2/authenticator.proto`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated code is documented where it is written: in the .proto file"
)]
pub(crate) mod v2 {
    tonic::include_proto!("approzium.v2");
}
