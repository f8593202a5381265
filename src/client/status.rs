//! What a gRPC status means to an application.

use std::error::Error as _;

use tonic::{Code, Status};

use super::{
    dial::Dialer,
    lane::{Connection, Lanes},
    retries::Lost,
};
use crate::error::{Error, Hop, Kind, printable};

const REQUEST_ID: &str = "x-approzium-request-id";

/// No Authenticator answered. The status was made on this side, because the connection broke, or by
/// a proxy that reached none.
pub(super) fn is_lost(status: &Status) -> bool {
    status.source().is_some() || is_of_a_proxy(status)
}

/// An Authenticator that cannot serve says so under a request's id.
fn is_of_a_proxy(status: &Status) -> bool {
    status.source().is_none()
        && status.code() == Code::Unavailable
        && !status.metadata().contains_key(REQUEST_ID)
}

/// The Authenticator's answer, in words; `hop` is what it was asked for.
pub(super) fn answered(status: &Status, hop: Hop) -> Error {
    let said = || match status.message() {
        "" => String::new(),
        message => format!(": {}", printable(message)),
    };
    let error = |kind, what: &str| Error::new(kind, hop, format!("{what}{}", said()));
    let error = match status.code() {
        Code::Unauthenticated => Error::new(
            Kind::Unauthenticated,
            hop,
            "the Authenticator did not accept the proof of identity",
        )
        .with_help(
            "its audit log has the reason; credentials, region, audience and clock are what to \
             check here",
        ),
        Code::PermissionDenied => Error::new(
            Kind::PermissionDenied,
            hop,
            "the Authenticator denies permission",
        )
        .with_help(
            "either it has no record of this host, port and user, or the record does not name \
             this identity; its audit log says which",
        ),
        Code::FailedPrecondition => error(Kind::Policy, "the record's policy refuses this login"),
        Code::InvalidArgument => error(Kind::Protocol, "the Authenticator refuses the request"),
        Code::ResourceExhausted => error(
            Kind::ResourceExhausted,
            "a limit of the Authenticator was reached",
        ),
        Code::Unavailable | Code::Cancelled | Code::Aborted => {
            error(Kind::Unavailable, "the Authenticator cannot serve now")
        }
        Code::DeadlineExceeded => error(Kind::Timeout, "the Authenticator ran out of time"),
        Code::Unimplemented => Error::new(
            Kind::Protocol,
            hop,
            "what answers does not speak approzium.v2",
        )
        .with_help(
            "is this its gRPC port (6001 by default), not its HTTP port? An Authenticator of \
             version 0.2 has none that does: it needs to be replaced",
        ),
        code => error(
            Kind::Protocol,
            &format!("the Authenticator answered with {code:?}"),
        ),
    };
    match request_id(status) {
        Some(request_id) => error.with_request_id(request_id),
        None => error,
    }
}

/// Gives up the connection on which nobody answered, for [`is_lost`], and says why. An Authenticator
/// that has never answered on it is perhaps none.
pub(super) fn lost(lanes: &Lanes, connection: &Connection, status: &Status) -> Lost {
    connection.discard();
    if is_of_a_proxy(status) {
        // It is reached at once, each time, and what is behind it perhaps not.
        lanes.dial_later();
        let said = printable(status.message());
        let what = format!("it is a proxy that reached no Authenticator: {said}");
        return Lost {
            error: lanes.dialer().unavailable(&what),
            at_a_proxy: true,
        };
    }
    Lost {
        error: broken(lanes.dialer(), connection),
        at_a_proxy: false,
    }
}

fn broken(dialer: &Dialer, connection: &Connection) -> Error {
    if let Some(failure) = connection.tls_failure() {
        // Under TLS 1.3 the Authenticator judges the client's certificate after the handshake.
        return dialer.explain(failure);
    }
    if connection.has_answered() {
        return dialer.unavailable("the connection was lost");
    }
    silent(dialer, connection.was_asked_for_certificate())
}

/// The Authenticator was lost, for [`is_lost`], after it had accepted a login and before it had
/// answered the database's challenge.
pub(super) fn interrupted(dialer: &Dialer) -> Error {
    let what = format!("the connection to {} was lost", dialer.address());
    Error::new(Kind::Interrupted, Hop::Handshake, what)
}

/// It hung up on who had said what HTTP/2 begins with.
pub(super) fn silent(dialer: &Dialer, asked_for_certificate: bool) -> Error {
    dialer
        .unavailable("it closed the connection before it answered anything")
        .with_help(if dialer.is_plaintext() {
            "does it expect TLS, or is this not its gRPC port?"
        } else if asked_for_certificate {
            "it asks for a client certificate: give one that it trusts, by \
             TlsConfig::client_certificate_files"
        } else {
            "is this its gRPC port?"
        })
}

fn request_id(status: &Status) -> Option<String> {
    let value = status.metadata().get(REQUEST_ID)?.to_str().ok()?;
    is_request_id(value).then(|| value.to_owned())
}

/// At most 64 characters that are safe in every log.
pub(super) fn is_request_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_kind() {
        for (code, kind) in [
            (Code::Unauthenticated, Kind::Unauthenticated),
            (Code::PermissionDenied, Kind::PermissionDenied),
            (Code::FailedPrecondition, Kind::Policy),
            (Code::InvalidArgument, Kind::Protocol),
            (Code::ResourceExhausted, Kind::ResourceExhausted),
            (Code::Unavailable, Kind::Unavailable),
            (Code::DeadlineExceeded, Kind::Timeout),
            (Code::Unimplemented, Kind::Protocol),
            (Code::DataLoss, Kind::Protocol),
        ] {
            let error = answered(&Status::new(code, "why"), Hop::Handshake);
            assert_eq!(*error.kind(), kind);
            assert_eq!(error.hop(), Hop::Handshake);
        }
    }

    /// The HTTP port speaks TLS and HTTP/2 as well, and knows none of the paths.
    #[test]
    fn whoever_does_not_know_the_protocol_may_be_the_port_beside() {
        let error = answered(&Status::new(Code::Unimplemented, ""), Hop::Session);
        let help = error.help().unwrap();
        assert!(
            help.contains("6001") && help.contains("HTTP port"),
            "{help}"
        );
    }

    #[test]
    fn names_the_request_if_its_id_is_one() {
        let with = |id: &str| {
            let mut status = Status::permission_denied("x");
            status
                .metadata_mut()
                .insert(REQUEST_ID, id.parse().unwrap());
            answered(&status, Hop::Handshake)
        };
        assert_eq!(with("6f0c-1").request_id(), Some("6f0c-1"));
        assert_eq!(with("a b").request_id(), None);
        assert_eq!(with(&"a".repeat(65)).request_id(), None);
    }

    #[test]
    fn what_a_peer_wrote_stays_on_one_line() {
        let status = Status::failed_precondition("md5\n\u{1b}[2Jis off");
        let shown = answered(&status, Hop::Handshake).to_string();
        assert!(!shown.contains(['\n', '\u{1b}']), "{shown}");
        // Constant texts are ours, whatever the peer writes.
        let denied = answered(
            &Status::permission_denied("the password is x"),
            Hop::Handshake,
        );
        assert!(!denied.to_string().contains("password"));
    }
}
