//! PostgreSQL connections without passwords.

mod client;

pub use client::Client;
