mod client_first_messages;
mod interoperability;
mod mechanisms;
mod server_final;
mod server_first;
mod vectors;
mod verifiers;

use super::{ChannelBinding, ClientFirst, Limits};

/// The client's nonce of RFC 7677's example.
const RFC_7677_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";

/// The exchange of RFC 7677's example, which names a user as PostgreSQL's clients do not.
fn rfc_7677_client_first() -> ClientFirst {
    ClientFirst::with_names(
        ChannelBinding::NotSupported,
        "user",
        RFC_7677_NONCE.to_owned(),
    )
}

/// Limits under which a test need not spend 4,096 iterations.
fn few_iterations() -> Limits {
    Limits {
        iterations: 1..=100,
        ..Limits::default()
    }
}
