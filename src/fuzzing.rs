//! What the fuzz targets of `fuzz/` call that users cannot. Compiled with `--cfg fuzzing` alone.

pub use crate::proto::v2::{
    AuthenticateRequest, CreateSessionRequest, HandshakeStart, SessionChallenge, SessionGrant,
};

/// What the machine and its services tell.
pub mod attribution {
    pub use crate::attribution::fuzzing::{container, ec2, ecs, resource_attribute};
}

/// What clients and secrets managers tell the Authenticator.
pub mod authenticator {
    pub use crate::authenticator::fuzzing::{
        Sessions, aws_secret, json_records, login, mount, reply, target, vault_records,
        yaml_records,
    };

    /// The original's API.
    pub mod v1 {
        pub use crate::{
            authenticator::fuzzing::V1Request,
            proto::v1::{
                AwsIdentity, Mysqlsha1HashRequest, PasswordRequest, Pgmd5HashRequest,
                Pgsha256HashRequest,
            },
        };
    }
}

/// What the Authenticator tells its clients.
pub mod client {
    pub use crate::client::fuzzing::{granted, refused};
}

/// What STS answers, and what a proof becomes.
pub mod identity {
    use http::StatusCode;

    use crate::identity::{
        Arn, InvalidArn, Principal, Rejection, VerifiedIdentity,
        aws::{CheckedProof, PresignedProof, read_sts_answer},
    };

    /// Who that says that the caller is.
    pub fn sts_answer(
        status: StatusCode,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Result<VerifiedIdentity, Rejection> {
        read_sts_answer(status, content_type, body)
    }

    /// The signed headers, and `Authorization`.
    pub fn headers<'a>(proof: &'a CheckedProof, host: &'a str) -> Vec<(&'static str, String)> {
        let signed = proof.headers(host).into_iter();
        let mut headers: Vec<_> = signed.map(|(name, value)| (name, value.into())).collect();
        headers.push(("authorization", proof.authorization()));
        headers
    }

    /// The query that is written anew.
    pub fn presigned_query(proof: &PresignedProof) -> String {
        proof.query()
    }

    /// What tells it from every other.
    pub fn presigned_digest(proof: &PresignedProof) -> [u8; 32] {
        proof.digest()
    }

    /// Who that is in a record's terms.
    pub fn caller(arn: &Arn) -> Result<Principal, InvalidArn> {
        Principal::of_caller(arn)
    }
}

/// What is shown of a text, and what names the caller's span.
pub mod opentelemetry {
    use ::opentelemetry::{Context, KeyValue, trace::SpanContext};
    use tonic::metadata::MetadataMap;

    use crate::opentelemetry::{comment, propagation, sql};

    /// Whatever is shown: operation, table and text.
    pub fn shown(text: &str, simple: bool) -> [Option<String>; 3] {
        let description = if simple {
            sql::describe_simple(text)
        } else {
            sql::describe(text)
        };
        let parts = [
            description.operation(),
            description.collection(),
            description.text(),
        ];
        parts.map(|part| part.map(str::to_owned))
    }

    /// Of which the text is made.
    pub fn tokens(text: &str) -> impl Iterator<Item = &str> {
        sql::tokens(text)
    }

    /// From a call that came.
    pub fn extract(metadata: &MetadataMap) -> Option<SpanContext> {
        propagation::extract(metadata)
    }

    /// Into a call that goes.
    pub fn inject(context: &Context, metadata: &mut MetadataMap) {
        propagation::inject(context, metadata);
    }

    /// With the comment that leads to its trace.
    pub fn commented(text: &str, span: &SpanContext, attribution: &[KeyValue]) -> String {
        comment::commented(text, span, attribution).into_owned()
    }
}

/// A session's messages, and the spans of its queries.
pub mod postgres {
    pub use crate::postgres::observer::fuzzing::{observe, skim};
}
