//! The authentication computations and messages of the database protocols.
//!
//! Everything here is a function of its arguments: no IO, no clock, no randomness of its own. The
//! Authenticator, the drivers' side, tests and fuzzers all use the same code, and a recorded
//! exchange replays byte for byte. Whatever a peer wrote is bounded before it is worked on, and no
//! input makes a parser panic.

pub mod caching_sha2;
pub mod channel_binding;
pub mod md5;
pub mod mysql_native;
pub mod postgres;
pub mod scram;
mod stage1;
