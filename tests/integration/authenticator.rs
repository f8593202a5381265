//! The Authenticator as its peers meet it: the real binary, spoken to message by message.

mod check;
pub(crate) mod client;
mod configuration;
mod handshakes;
mod lifecycle;
mod limits;
mod policies;
pub(crate) mod process;
mod reloads;
pub(crate) mod secret;
mod seeing;
mod sessions;
mod traces;
