//! Database connections without passwords, and every query in Jaeger with who ran it.
//!
//! An application opens its database connection without ever holding a password: the database's
//! authentication challenge goes to a small service, the *Authenticator*, with a proof of the
//! application's cloud identity; the Authenticator fetches the password, computes only the answer,
//! and gives only that away. Every query on the connection then says who ran it: the identity as it
//! was verified, the pod, task or instance, and the request that let it in.
//!
//! ```no_run
//! # #[cfg(all(feature = "postgres", feature = "otlp", feature = "aws-config"))]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let spans = approzium::opentelemetry::otlp::pipeline().service_name("reporting").build().await?;
//! spans.set_global();
//! approzium::opentelemetry::instrument();
//!
//! // APPROZIUM_ADDRESS says where the Authenticator is, AWS's credential chain who this is.
//! let client = approzium::postgres::connect("host=db.internal user=shop dbname=shop").await?;
//! let rows = client.query("SELECT month, revenue FROM revenue_by_month", &[]).await?;
//! # spans.shutdown(std::time::Duration::from_secs(3)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Where things are
//! | module | what it does |
//! |---|---|
//! | [`client`] | [`AuthClient`]: the Authenticator's address, TLS, the session that proves who this is |
//! | `postgres` | connections, and a connector for pools |
//! | [`opentelemetry`] | a span for each query and connect, and where they go |
//! | [`tracing`] | who, where and what on the lines of applications that log with `tracing` |
//! | [`attribution`] | what this application runs on |
//! | `diagnosis` | which hop of a connect fails, and why |
//! | [`identity`] | proofs of identity and their verification |
//! | [`wire`] | the databases' authentication, computed: no IO |
//! | `authenticator` | the Authenticator as a library |
//!
//! # Features
//! | feature | what |
//! |---|---|
//! | `postgres` (default) | PostgreSQL through tokio-postgres |
//! | `aws-config` | the AWS SDK's credential chain, profiles, roles assumed through STS |
//! | `resource` | attribution as an `opentelemetry_sdk` `Resource`, and on the database spans of others |
//! | `otlp` | a pipeline to Jaeger or any collector, by OTLP over gRPC |
//! | `tracing` | attribution and ids of traces on log lines, for subscribers of `tracing-subscriber` |
//! | `tracing-opentelemetry` | parents of query spans, and ids on lines, from `tracing` where its contexts are not active |
//! | `authenticator` | the Authenticator as a library |
//! | `vault`, `asm`, `kubernetes` | its records from Vault or OpenBao, from AWS Secrets Manager, from mounted files |
//! | `redis` | holders of the v1 API's proofs, shared by replicas |
//! | `dev` | `approzium serve --dev`; leave it out of production builds |
//! | `cli` | the binary `approzium` |

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
mod certificate;
pub mod client;
#[cfg(feature = "postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
pub mod diagnosis;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod identity;
pub mod opentelemetry;
#[cfg(feature = "postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
pub mod postgres;
mod proto;
mod secret;
#[cfg(any(feature = "authenticator", feature = "postgres"))]
mod stamp;
pub mod tracing;
pub mod wire;

#[cfg(all(
    doctest,
    feature = "aws-config",
    feature = "otlp",
    feature = "postgres",
    feature = "tracing"
))]
#[doc = include_str!("../README.md")]
struct Readme;

pub use client::{AuthClient, TlsConfig, default_auth_client, set_default_auth_client};
pub use error::{Error, Hop, Result};
