//! Database connections without passwords, and every query in Jaeger with who ran it.

#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    test,
    allow(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used,
        reason = "a test that fails should fail loudly"
    )
)]

pub mod attribution;
#[cfg(feature = "authenticator")]
#[cfg_attr(docsrs, doc(cfg(feature = "authenticator")))]
pub mod authenticator;
pub mod client;
mod error;
pub mod identity;
pub mod opentelemetry;
#[cfg(feature = "postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
pub mod postgres;
mod proto;
mod secret;
pub mod wire;

#[cfg(all(
    doctest,
    feature = "aws-config",
    feature = "otlp",
    feature = "postgres"
))]
#[doc = include_str!("../README.md")]
struct Readme;

pub use client::{AuthClient, TlsConfig, default_auth_client, set_default_auth_client};
pub use error::{Error, Hop, Result};
