//! Identity by AWS: a signed GetCallerIdentity.
//!
//! ```text
//! application                         Authenticator                       regional STS
//!     │ ◀────── nonce, server time ─────── │                                   │
//!     │ signs: POST / GetCallerIdentity,   │                                   │
//!     │ x-approzium-audience, -nonce       │                                   │
//!     │ ─── access key id, date, region, ▶ │ checks form, date, audience;      │
//!     │     session token, signature       │ writes the request itself ──────▶ │
//!     │                                    │ ◀───── ARN, account, UserId ───── │
//! ```
//!
//! The application sends only the parts of its request that it alone knows. Method, path, body,
//! host and the list of signed headers are fixed here, so that whatever STS confirms was said for
//! this purpose, to this Authenticator (audience), once (nonce). The host comes from a table of
//! regions, never from a caller.
//!
//! What this does not do: GetCallerIdentity succeeds even under an explicit deny, so denying a
//! principal in IAM revokes nothing here. Taking it off the records does. A session's name, the last
//! part of an assumed role's ARN, is its caller's choice and proves nothing.
//!
//! - [`Signer`] is the application's side;
//! - `CheckedProof`, `Verifier` and `StsVerifier` are the Authenticator's (feature
//!   `authenticator`).

mod credentials;
#[cfg(feature = "authenticator")]
mod presigned;
#[cfg(feature = "authenticator")]
mod proof;
mod regions;
mod request;
mod signer;
#[cfg(any(test, feature = "dev"))]
pub(crate) mod sigv4;
#[cfg(feature = "authenticator")]
mod sts;
#[cfg(feature = "authenticator")]
mod verifier;

#[cfg(feature = "asm")]
pub(crate) use self::credentials::{NAME_A_REGION, resolve};
pub(crate) use self::request::is_audience;
#[cfg(feature = "authenticator")]
pub(crate) use self::sts::CALLS_AT_ONCE;
#[cfg(fuzzing)]
pub(crate) use self::sts::answer::read as read_sts_answer;
#[cfg(feature = "authenticator")]
#[cfg_attr(docsrs, doc(cfg(feature = "authenticator")))]
pub use self::{
    presigned::{PresignedLimits, PresignedMethod, PresignedOrigin, PresignedProof},
    proof::{Audiences, CheckedProof, Skew},
    sts::{StsVerifier, StsVerifierBuilder},
    verifier::Verifier,
};
#[cfg(feature = "dev")]
pub(crate) use self::{proof::parse_amz_date, sts::STAND_IN_ACCOUNT};
pub use self::{
    regions::Region,
    signer::{Signer, SignerBuilder},
};
pub use crate::proto::v2::AwsProof;
