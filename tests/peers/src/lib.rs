//! Real servers on loopback for the tests, the benches and the quickstart.
//!
//! ```no_run
//! use approzium_peers::{Method, Postgres, Rule, peer};
//!
//! # async fn test() {
//! let postgres = peer!(
//!     Postgres::builder()
//!         .version(15)
//!         .rule(Rule::host_ssl("app", Method::ScramSha256))
//!         .start()
//! );
//! postgres.sql("CREATE ROLE app LOGIN PASSWORD 'secret'").await;
//! # }
//! ```
//!
//! Every server listens on 127.0.0.1 alone, on a port of its own, and lives as long as its value.
//! It also goes when the process goes in any other way: see [`Process`].
//!
//! Where a server cannot be had, [`peer!`] skips the test aloud, and fails it where `CI=true`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "only tests, benches and the quickstart use this crate, and a test that fails should fail loudly"
)]

pub mod authenticator;
pub mod cache;
pub mod certificates;
pub mod chromium;
mod debian;
pub mod deployment;
pub mod docker;
pub mod envoy;
mod error;
mod files;
mod http;
pub mod jaeger;
pub mod mariadb;
pub mod metadata;
pub mod moto;
pub mod openbao;
pub mod ports;
pub mod postgres;
mod process;
pub mod prometheus;
mod python;
pub mod python_sdk;
pub mod redis;

pub use authenticator::{Authenticator, Record};
pub use certificates::{Authority, Certificate, Signature};
pub use chromium::Chromium;
pub use envoy::Envoy;
pub use error::{Error, Result, skip};
pub use jaeger::Jaeger;
pub use mariadb::MariaDb;
pub use metadata::MiniStack;
pub use moto::Moto;
pub use openbao::OpenBao;
pub use ports::free_port;
pub use postgres::{Binaries, Method, Postgres, Rule};
pub use process::{Process, Stop, capture, eventually};
pub use prometheus::Prometheus;
pub use python_sdk::PythonSdk;
pub use redis::Redis;
