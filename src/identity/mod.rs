//! Who someone is: the proof on the application's side, its verification on the Authenticator's.
//!
//! An application proves its cloud identity by signing a question that only its cloud can answer
//! (see [`aws`]). What the cloud states becomes a [`VerifiedIdentity`]; what a secrets record names
//! is a [`Principal`]; the two meet in [`Principal::matches`].

mod arn;
pub mod aws;
mod principal;
#[cfg(feature = "authenticator")]
mod rejection;

pub(crate) use arn::role_name;
pub use arn::{Arn, InvalidArn};
pub use principal::{Principal, VerifiedIdentity};
#[cfg(feature = "authenticator")]
#[cfg_attr(docsrs, doc(cfg(feature = "authenticator")))]
pub use rejection::Rejection;
