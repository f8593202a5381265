//! Queries for applications that log with `tracing`.
//!
//! # The event `approzium::query`
//! Each query through [`approzium::postgres::Client`](crate::postgres::Client) is one event with the
//! target `approzium::query` when it has ended, whether
//! [`instrument()`](crate::opentelemetry::instrument) was called or not: at the level DEBUG, or WARN
//! if it failed or was slow.

#![cfg_attr(
    not(feature = "postgres"),
    allow(dead_code, unused_imports, reason = "events are made for drivers")
)]

pub(crate) mod query;
