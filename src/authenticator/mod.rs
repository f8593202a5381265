//! The Authenticator: verifies identities, keeps passwords, answers challenges.

#[cfg(feature = "dev")]
#[cfg_attr(docsrs, doc(cfg(feature = "dev")))]
pub mod dev;
