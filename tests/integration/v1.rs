//! The original's API, asked by its own messages: what it answers, and whom it refuses.

mod answers;
pub(crate) mod client;
mod databases;
mod holders;
mod login;
pub(crate) mod presigned;
mod process;
mod proofs;
mod relay;
mod replays;
