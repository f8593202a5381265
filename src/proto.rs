//! The protocol of `proto/`, as compiled.
//!
//! Messages with a secret in them print without it: whoever logs a message, or a state that holds
//! one, gives nothing away.

mod codec;

use std::fmt;

/// `approzium.authenticator.protos`, the original's: see `proto/approzium/v1/authenticator.proto`.
#[cfg(feature = "authenticator")]
#[allow(
    missing_docs,
    dead_code,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    reason = "generated code is documented where it is written: in the .proto file; nobody here \
              calls it"
)]
pub(crate) mod v1 {
    include!(concat!(
        env!("OUT_DIR"),
        "/own/approzium.authenticator.protos.rs"
    ));
}

/// `approzium.v2`: see `proto/approzium/v2/authenticator.proto`.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    reason = "generated code is documented where it is written: in the .proto file"
)]
pub(crate) mod v2 {
    include!(concat!(env!("OUT_DIR"), "/own/approzium.v2.rs"));
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
            .field("after_refusal", &self.after_refusal)
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

/// Without the URL: whoever has it is whom it names, for a while.
#[cfg(feature = "authenticator")]
impl fmt::Debug for v1::AwsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsIdentity")
            .field("claimed_iam_arn", &self.claimed_iam_arn)
            .finish_non_exhaustive()
    }
}

/// Without the exchange: with a proof, it gives guesses at the password something to be compared
/// with.
#[cfg(feature = "authenticator")]
impl fmt::Debug for v1::Pgsha256HashRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pgsha256HashRequest")
            .field("pwd_request", &self.pwd_request)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// Answers of v1 log in, and one of them plays the database: nothing of them.
#[cfg(feature = "authenticator")]
macro_rules! without_the_answer {
    ($($name:ident)+) => {$(
        impl fmt::Debug for v1::$name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("requestid", &self.requestid)
                    .finish_non_exhaustive()
            }
        }
    )+};
}

#[cfg(feature = "authenticator")]
without_the_answer! { Pgmd5Response Pgsha256Response Mysqlsha1Response }

#[cfg(test)]
mod tests {
    use super::v2::{
        AuthenticateRequest, AuthenticateResponse, AwsProof, CreateSessionRequest,
        CreateSessionResponse, HandshakeStart, Md5Response, Outcome, ScramClientFinal,
        SessionGrant, SessionProof, authenticate_request, authenticate_response,
        create_session_request, create_session_response, outcome, session_proof,
    };

    const CANARY: &str = "canary-7f3a";

    #[cfg(feature = "authenticator")]
    #[test]
    fn no_secret_of_the_originals_is_printed() {
        use super::v1::{
            AwsIdentity, Mysqlsha1Response, PasswordRequest, Pgmd5HashRequest, Pgmd5Response,
            Pgsha256HashRequest, Pgsha256Response,
        };

        let who = PasswordRequest {
            dbhost: "db.example".into(),
            aws: Some(AwsIdentity {
                signed_get_caller_identity: CANARY.into(),
                claimed_iam_arn: "arn:aws:iam::123456789012:user/ann".into(),
            }),
            ..PasswordRequest::default()
        };
        let md5 = Pgmd5HashRequest {
            pwd_request: Some(who.clone()),
            salt: Vec::new(),
        };
        let scram = Pgsha256HashRequest {
            pwd_request: Some(who),
            authentication_msg: CANARY.into(),
            ..Pgsha256HashRequest::default()
        };
        let md5_answer = Pgmd5Response {
            hash: CANARY.into(),
            requestid: "7f".into(),
        };
        let scram_answer = Pgsha256Response {
            cproof: CANARY.into(),
            sproof: CANARY.into(),
            requestid: "7f".into(),
        };
        let mysql_answer = Mysqlsha1Response {
            hash: CANARY.into(),
            requestid: "7f".into(),
        };
        let bytes = format!("{:?}", CANARY.as_bytes());
        for (shown, says) in [
            (format!("{md5:?}"), "db.example"),
            (format!("{scram:?}"), "user/ann"),
            (format!("{md5_answer:?}"), "7f"),
            (format!("{scram_answer:?}"), "7f"),
            (format!("{mysql_answer:?}"), "7f"),
        ] {
            assert!(shown.contains(says), "{shown}");
            let bytes = bytes.trim_matches(['[', ']']);
            assert!(!shown.contains(CANARY) && !shown.contains(bytes), "{shown}");
        }
    }

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
