//! The original's API, asked by its own messages: what it answers, and whom it refuses.

mod answers;
mod client;
mod databases;
mod holders;
mod presigned;
mod process;
mod proofs;
mod replays;
