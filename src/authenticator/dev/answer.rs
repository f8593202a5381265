//! STS's answers, as XML.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::identity::{VerifiedIdentity, aws::STAND_IN_ACCOUNT};

/// An error document of STS. Its texts are this module's own: nothing of a request is repeated.
#[derive(Debug)]
pub(super) struct StsError {
    status: StatusCode,
    code: &'static str,
    message: &'static str,
}

impl StsError {
    pub(super) const fn forbidden(code: &'static str, message: &'static str) -> Self {
        StsError {
            status: StatusCode::FORBIDDEN,
            code,
            message,
        }
    }

    pub(super) const fn bad_request(code: &'static str, message: &'static str) -> Self {
        StsError {
            status: StatusCode::BAD_REQUEST,
            code,
            message,
        }
    }
}

impl IntoResponse for StsError {
    fn into_response(self) -> Response {
        let StsError {
            status,
            code,
            message,
        } = self;
        let request_id = uuid::Uuid::new_v4();
        let body = format!(
            "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code>\
             <Message>{message}</Message></Error><RequestId>{request_id}</RequestId>\
             </ErrorResponse>"
        );
        xml(status, body)
    }
}

pub(super) fn caller_identity(identity: &VerifiedIdentity) -> Response {
    let VerifiedIdentity { arn, user_id, .. } = identity;
    result(
        "GetCallerIdentity",
        &format!("<Arn>{arn}</Arn><UserId>{user_id}</UserId><Account>{STAND_IN_ACCOUNT}</Account>"),
    )
}

/// The answer to AssumeRole.
pub(super) struct AssumedRole<'a> {
    pub(super) arn: &'a str,
    /// `AROA…:session`
    pub(super) user_id: &'a str,
    pub(super) access_key_id: &'a str,
    pub(super) secret_access_key: &'a str,
    pub(super) session_token: &'a str,
    pub(super) expires_at: OffsetDateTime,
}

pub(super) fn assumed_role(role: &AssumedRole<'_>) -> Response {
    // A date that cannot be written is none that AssumeRole's bounds allow.
    let expiration = role.expires_at.format(&Rfc3339).unwrap_or_default();
    result(
        "AssumeRole",
        &format!(
            "<AssumedRoleUser><AssumedRoleId>{}</AssumedRoleId><Arn>{}</Arn></AssumedRoleUser>\
             <Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
             <SessionToken>{}</SessionToken><Expiration>{expiration}</Expiration></Credentials>",
            role.user_id, role.arn, role.access_key_id, role.secret_access_key, role.session_token,
        ),
    )
}

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

fn result(action: &str, content: &str) -> Response {
    let request_id = uuid::Uuid::new_v4();
    let body = format!(
        "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{content}</{action}Result>\
         <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>\
         </{action}Response>"
    );
    xml(StatusCode::OK, body)
}

fn xml(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/xml")], body).into_response()
}
