//! What goes to and fro in a handshake, and what may.

use std::collections::HashMap;

use crate::{
    client::{AuthClient, information::told_attribution, session::Session},
    error::{Error, Hop, Kind, Result, printable},
    proto::v2::{self, authenticate_request::Message as Request},
    wire::scram::{ClientFirstMessages, Offer},
};

const MAX_ANSWER: usize = 16 * 1024;

/// The database connection that a handshake is for: the names under which its record is filed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) database: String,
    /// The database has just refused the answer for a connection of the same.
    pub(crate) after_refusal: bool,
}

/// What the database offered when it asked for SASL.
#[derive(Clone, Debug)]
pub(crate) struct Offered {
    /// In its order.
    pub(crate) mechanisms: Vec<String>,
    /// Over what kind of connection. A digest is there if the database's certificate has one and
    /// the application is willing to bind to it.
    pub(crate) connection: Offer,
}

impl Offered {
    pub(super) fn challenge(&self, server_first: &[u8]) -> Request {
        let Offered {
            mechanisms,
            connection,
        } = self.clone();
        Request::ScramServerFirst(v2::ScramServerFirst {
            message: server_first.to_vec(),
            offer: Some(v2::ScramOffer {
                mechanisms,
                tls: connection.tls,
                tls_server_end_point: connection.tls_server_end_point.unwrap_or_default(),
                require_channel_binding: connection.require_channel_binding,
            }),
        })
    }
}

/// The Authenticator's answer to server-first.
#[derive(Clone, Debug)]
pub(crate) struct ScramFinal {
    /// The client-final-message.
    pub(crate) message: Vec<u8>,
    /// SHA-256 of the ServerSignature that the database must send.
    pub(crate) server_signature_sha256: [u8; 32],
}

/// How the login at the database ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The database accepted it; for SCRAM with the verified ServerSignature, else empty.
    Succeeded { server_signature: Vec<u8> },
    /// The database refused it.
    Refused { sqlstate: String },
    /// The application gave up.
    Cancelled,
}

impl From<Outcome> for v2::Outcome {
    fn from(outcome: Outcome) -> Self {
        use v2::outcome::{Cancelled, Refused, Result, Succeeded};
        v2::Outcome {
            result: Some(match outcome {
                Outcome::Succeeded { server_signature } => {
                    Result::Succeeded(Succeeded { server_signature })
                }
                Outcome::Refused { sqlstate } => Result::Refused(Refused { sqlstate }),
                Outcome::Cancelled => Result::Cancelled(Cancelled {}),
            }),
        }
    }
}

pub(super) fn start(client: &AuthClient, session: &Session, target: &Target) -> v2::HandshakeStart {
    let attribution = if client.0.attribution {
        told_attribution()
    } else {
        HashMap::new()
    };
    v2::HandshakeStart {
        session_token: String::from_utf8_lossy(session.token().expose_secret()).into_owned(),
        system: v2::DatabaseSystem::Postgresql.into(),
        host: target.host.clone(),
        port: target.port.into(),
        user: target.user.clone(),
        database: target.database.clone(),
        attribution,
        after_refusal: target.after_refusal,
    }
}

pub(super) fn request(message: Request) -> v2::AuthenticateRequest {
    v2::AuthenticateRequest {
        message: Some(message),
    }
}

/// Denials name what was asked for.
pub(super) fn about(error: Error, target: &Target) -> Error {
    if !error.is_permission_denied() {
        return error;
    }
    let named = Error::new(
        error.kind().clone(),
        error.hop(),
        format!(
            "the Authenticator denies permission to log in as \"{}\" at {}:{}",
            printable(&target.user),
            printable(&target.host),
            target.port
        ),
    );
    let named = match error.help() {
        Some(help) => named.with_help(help.to_owned()),
        None => named,
    };
    match error.request_id() {
        Some(request_id) => named.with_request_id(request_id),
        None => named,
    }
}

/// What the Authenticator would begin a SCRAM exchange by.
pub(super) fn client_first_messages(
    accepted: &v2::HandshakeAccepted,
) -> Result<ClientFirstMessages> {
    let written = accepted.scram_client_first.iter();
    let messages = written.map(|first| (first.mechanism.as_str(), first.message.as_slice()));
    ClientFirstMessages::parse(messages).map_err(|error| {
        unexpected("what it would begin a SCRAM exchange by")
            .with_source(error)
            .with_request_id(accepted.request_id.clone())
    })
}

pub(super) fn is_message(message: &[u8]) -> bool {
    (1..=MAX_ANSWER).contains(&message.len())
}

pub(super) fn is_md5_response(password: &str) -> bool {
    password.strip_prefix("md5").is_some_and(|digits| {
        digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

pub(super) fn unexpected(what: &str) -> Error {
    Error::new(
        Kind::Protocol,
        Hop::Handshake,
        format!("the Authenticator broke its protocol: {what}"),
    )
}
