//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), the client's side of the exchange,
//! as PostgreSQL's servers understand it.
//!
//! The side that holds the keys writes every byte that the keys vouch for: nonce, gs2 header and
//! `c=`. Each state is consumed by the step that follows it, so a step that failed cannot be tried
//! again with another message.
//!
//! ```text
//!   ClientFirst   n,,n=,r=<nonce>                         →
//!                                                         ←  r=<nonce>…,s=<salt>,i=<iterations>
//!   ServerFirst   + Keys
//!   ClientFinal   c=…,r=<nonce>…,p=<ClientProof>          →
//!                                                         ←  v=<ServerSignature>
//!   verify_server_final, with only SHA-256(ServerSignature) in hand
//! ```
//!
//! ```
//! use approzium::wire::scram::{ChannelBinding, ClientFirst, Keys, Limits};
//!
//! # fn database(client_first: &[u8]) -> Vec<u8> {
//! #     let nonce = String::from_utf8_lossy(client_first).split_once("r=").unwrap().1.to_owned();
//! #     format!("r={nonce}+theirs,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096").into_bytes()
//! # }
//! // 18 bytes from the operating system's random source.
//! let nonce = [7; 18];
//! let client_first = ClientFirst::new(ChannelBinding::NotSupported, nonce);
//! let answer: Vec<u8> = database(client_first.message());
//! let server_first = client_first.server_first(&answer, &Limits::default())?;
//! let keys = Keys::derive(b"pencil", server_first.salt(), server_first.iterations());
//! let client_final = server_first.client_final(&keys)?;
//! assert!(client_final.message().starts_with(b"c=biws,r="));
//! # Ok::<_, approzium::wire::scram::Error>(())
//! ```
//!
//! A state that has been used is gone, whether the step succeeded or not:
//!
//! ```compile_fail,E0382
//! use approzium::wire::scram::{ChannelBinding, ClientFirst, Limits};
//!
//! let client_first = ClientFirst::new(ChannelBinding::NotSupported, [7; 18]);
//! let refused = client_first.server_first(b"r=another,s=c2FsdA==,i=4096", &Limits::default());
//! let again = client_first.server_first(b"r=yet another,s=c2FsdA==,i=4096", &Limits::default());
//! ```

mod attributes;
mod auth_message;
mod client_final;
mod client_first;
mod client_first_messages;
mod error;
mod keys;
mod limits;
mod mechanism;
mod saslprep;
mod server_final;
mod server_first;
#[cfg(test)]
mod tests;

pub use auth_message::read_auth_message;
pub use client_final::{ClientFinal, ServerSignature};
pub use client_first::{ClientFirst, NONCE_LENGTH};
pub use client_first_messages::ClientFirstMessages;
pub use error::Error;
pub use keys::Keys;
pub use limits::Limits;
pub use mechanism::{ChannelBinding, Mechanism, Offer};
pub use server_final::verify_server_final;
pub use server_first::ServerFirst;
