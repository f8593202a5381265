//! Identities for those who have no AWS at hand: a stand-in STS, for development alone.
//!
//! [`DevSts`] makes keys of its own at each start, for one user and three roles of the account
//! 000000000000, which AWS never gives out and the real verifier refuses. It answers
//! GetCallerIdentity and AssumeRole on loopback, to whoever signed his request with one of those
//! keys, so that every AWS client can use them. [`DevVerifier`] checks the proofs that those keys
//! sign. It is a type of its own and shares no setting with
//! [`StsVerifier`](crate::identity::aws::StsVerifier): no configuration turns one into the other.
//!
//! ```
//! use approzium::authenticator::dev::DevSts;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let sts = DevSts::start(([127, 0, 0, 1], 0).into()).await?;
//! assert!(sts.endpoint().starts_with("http://127.0.0.1:"));
//! let checkout = sts.identity("checkout").ok_or(std::io::ErrorKind::NotFound)?;
//! assert_eq!(
//!     checkout.arn(),
//!     "arn:aws:sts::000000000000:assumed-role/checkout/dev"
//! );
//! # Ok(())
//! # }
//! ```

mod answer;
mod authorization;
mod keys;
mod sts;
mod verifier;

pub use self::{keys::DevIdentity, sts::DevSts, verifier::DevVerifier};
