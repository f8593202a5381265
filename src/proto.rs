//! The protocol of `proto/`, as compiled.
//!
//! Messages with a secret in them print without it: whoever logs a message, or a state that holds
//! one, gives nothing away.

use std::fmt;

/// `approzium.v2`: see `proto/approzium/v2/authenticator.proto`.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    reason = "generated code is documented where it is written: in the .proto file"
)]
pub(crate) mod v2 {
    tonic::include_proto!("approzium.v2");
}

/// Without AWS's session token and without the signature.
impl fmt::Debug for v2::AwsProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsProof")
            .field("access_key_id", &self.access_key_id)
            .field("amz_date", &self.amz_date)
            .field("region", &self.region)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// Without the session token: who has it is who it was given to.
impl fmt::Debug for v2::SessionGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionGrant")
            .field("lifetime", &self.lifetime)
            .field("iam_arn", &self.iam_arn)
            .field("user_id", &self.user_id)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

/// Without the session token.
impl fmt::Debug for v2::HandshakeStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandshakeStart")
            .field("system", &self.system())
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("attribution", &self.attribution)
            .finish_non_exhaustive()
    }
}

/// Nothing of it: with the challenge, the proof gives guesses at the password something to be
/// compared with.
impl fmt::Debug for v2::ScramClientFinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramClientFinal").finish_non_exhaustive()
    }
}

/// Nothing of it: it logs in wherever its salt comes again.
impl fmt::Debug for v2::Md5Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Md5Response").finish_non_exhaustive()
    }
}

/// Nothing of it: by the ServerSignature a client takes a server for its database.
impl fmt::Debug for v2::outcome::Succeeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Succeeded").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::v2::{
        AuthenticateRequest, AuthenticateResponse, AwsProof, CreateSessionRequest,
        CreateSessionResponse, HandshakeStart, Md5Response, Outcome, ScramClientFinal,
        SessionGrant, SessionProof, authenticate_request, authenticate_response,
        create_session_request, create_session_response, outcome, session_proof,
    };

    const CANARY: &str = "canary-7f3a";

    #[test]
    fn no_secret_is_printed() {
        let proof = AwsProof {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
            security_token: CANARY.into(),
            signature: CANARY.into(),
            ..AwsProof::default()
        };
        let proof = create_session_request::Message::Proof(SessionProof {
            proof: Some(session_proof::Proof::Aws(proof)),
            client_version: "test/1".into(),
        });
        let grant = create_session_response::Message::Grant(SessionGrant {
            session_token: CANARY.into(),
            iam_arn: "arn:aws:iam::123456789012:user/ann".into(),
            ..SessionGrant::default()
        });
        let start = authenticate_request::Message::Start(HandshakeStart {
            session_token: CANARY.into(),
            host: "db.example".into(),
            ..HandshakeStart::default()
        });
        let succeeded = outcome::Succeeded {
            server_signature: CANARY.into(),
        };
        let outcome = authenticate_request::Message::Outcome(Outcome {
            result: Some(outcome::Result::Succeeded(succeeded)),
        });
        let last = authenticate_response::Message::ScramClientFinal(ScramClientFinal {
            message: CANARY.into(),
            server_signature_sha256: CANARY.into(),
        });
        let md5 = authenticate_response::Message::Md5Response(Md5Response {
            password: CANARY.into(),
        });

        let asked = |message| AuthenticateRequest {
            message: Some(message),
        };
        let answered = |message| AuthenticateResponse {
            message: Some(message),
        };
        let bytes = format!("{:?}", CANARY.as_bytes());
        let bytes = bytes.trim_matches(['[', ']']);
        for (shown, says) in [
            (
                format!(
                    "{:?}",
                    CreateSessionRequest {
                        message: Some(proof)
                    }
                ),
                "AKIAIOSFODNN7EXAMPLE",
            ),
            (
                format!(
                    "{:?}",
                    CreateSessionResponse {
                        message: Some(grant)
                    }
                ),
                "user/ann",
            ),
            (format!("{:?}", asked(start)), "db.example"),
            (format!("{:?}", asked(outcome)), "Succeeded"),
            (format!("{:?}", answered(last)), "ScramClientFinal"),
            (format!("{:?}", answered(md5)), "Md5Response"),
        ] {
            assert!(shown.contains(says), "{shown}");
            assert!(!shown.contains(CANARY) && !shown.contains(bytes), "{shown}");
        }
    }
}
