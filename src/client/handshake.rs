use tokio::time::Instant;

use super::AuthClient;
use crate::error::{Error, Hop, Kind, Result};

/// The database connection that a handshake is for: the names under which its record is filed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) database: String,
}

/// One delegated login, accepted by the Authenticator.
///
/// Dropping it tells the Authenticator that the login was given up.
#[derive(Debug)]
pub(crate) struct Handshake {
    request_id: String,
    iam_arn: String,
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

impl Handshake {
    pub(super) async fn open(
        _client: &AuthClient,
        _target: Target,
        _deadline: Instant,
    ) -> Result<Self> {
        Err(unavailable())
    }

    /// The Authenticator's id of this handshake.
    pub(crate) fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The identity that the Authenticator verified.
    pub(crate) fn iam_arn(&self) -> &str {
        &self.iam_arn
    }

    /// The database offers SASL: the chosen mechanism and the client-first-message.
    pub(crate) async fn scram_start(
        &mut self,
        _mechanisms: &[String],
        _tls: bool,
        _tls_server_end_point: Option<Vec<u8>>,
        _require_channel_binding: bool,
    ) -> Result<(String, Vec<u8>)> {
        Err(unavailable())
    }

    /// The database sent server-first.
    pub(crate) async fn scram_server_first(&mut self, _message: &[u8]) -> Result<ScramFinal> {
        Err(unavailable())
    }

    /// The database asks for MD5: "md5" and 32 hexadecimal digits.
    pub(crate) async fn md5(&mut self, _salt: [u8; 4]) -> Result<String> {
        Err(unavailable())
    }

    /// Tells the Authenticator how the login ended. Never waits.
    pub(crate) fn outcome(self, _outcome: Outcome) {}
}

fn unavailable() -> Error {
    Error::new(Kind::Unavailable, Hop::Handshake, "not connected")
}
