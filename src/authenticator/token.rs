//! Session tokens: what a verified identity is remembered by, on the client's side alone.
//!
//! `a2.<key id>.<claims>.<MAC>`: nothing is stored, so replicas that share a key accept each
//! other's tokens. The MAC covers everything before it, under a key derived for this purpose only.

mod keys;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::Mac;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

pub use self::keys::SessionKeys;
use crate::identity::VerifiedIdentity;

/// The longest that a session may last.
pub const MAX_SESSION_LIFETIME: Duration = Duration::from_secs(15 * 60);

const VERSION: &str = "a2";
const MAX_TOKEN_LENGTH: usize = 4096;

/// SHA-256 of the certificate that a client showed, if it showed one.
pub(crate) type ClientCertificate = [u8; 32];

/// A session: an identity, and where it was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) identity: VerifiedIdentity,
    /// The request that verified it.
    pub(crate) request_id: String,
}

/// Why a token is not good. For the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidToken {
    /// Not one of ours, or made with a key that is not known here.
    Forged,
    Expired,
    /// Given to the holder of another client certificate, or to none.
    OtherCertificate,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    arn: String,
    user_id: String,
    request_id: String,
    /// Seconds since 1970.
    expires: u64,
    /// Hexadecimal; absent without mutual TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
}

/// Makes and verifies tokens.
#[derive(Debug)]
pub(crate) struct Tokens {
    keys: SessionKeys,
    lifetime: Duration,
}

impl Tokens {
    pub(crate) fn new(keys: SessionKeys, lifetime: Duration) -> Self {
        Tokens {
            keys,
            lifetime: lifetime.min(MAX_SESSION_LIFETIME),
        }
    }

    pub(crate) fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// A token for the holder of `certificate`.
    pub(crate) fn grant(
        &self,
        session: &Session,
        certificate: Option<&ClientCertificate>,
        now: SystemTime,
    ) -> Option<String> {
        let claims = Claims {
            arn: session.identity.arn.clone(),
            user_id: session.identity.user_id.clone(),
            request_id: session.request_id.clone(),
            expires: seconds(now + self.lifetime),
            certificate: certificate.map(|hash| hexadecimal(hash)),
        };
        self.sign(&serde_json::to_vec(&claims).ok()?)
    }

    /// A token of these claims; none if there is no key, which does not happen.
    pub(super) fn sign(&self, claims: &[u8]) -> Option<String> {
        let keys = self.keys.keys.load();
        let key = keys.first()?;
        let claims = BASE64_URL_SAFE_NO_PAD.encode(claims);
        let signed = format!("{VERSION}.{}.{claims}", key.id);
        let mac = key.mac.clone().chain_update(&signed).finalize();
        Some(format!(
            "{signed}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(mac.into_bytes())
        ))
    }

    /// The session behind a token.
    pub(crate) fn verify(
        &self,
        token: &str,
        certificate: Option<&ClientCertificate>,
        now: SystemTime,
    ) -> Result<Session, InvalidToken> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(InvalidToken::Forged);
        }
        let (signed, mac) = token.rsplit_once('.').ok_or(InvalidToken::Forged)?;
        let mut parts = signed.split('.');
        let (Some(VERSION), Some(id), Some(claims), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidToken::Forged);
        };
        let keys = self.keys.keys.load();
        let key = keys.iter().find(|key| key.id == id);
        let mac = BASE64_URL_SAFE_NO_PAD.decode(mac).ok();
        let (Some(key), Some(mac)) = (key, mac) else {
            return Err(InvalidToken::Forged);
        };
        key.mac
            .clone()
            .chain_update(signed)
            .verify_slice(&mac)
            .map_err(|_| InvalidToken::Forged)?;

        let claims: Claims = BASE64_URL_SAFE_NO_PAD
            .decode(claims)
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok())
            .ok_or(InvalidToken::Forged)?;
        if seconds(now) >= claims.expires {
            return Err(InvalidToken::Expired);
        }
        let bound_to = claims.certificate.unwrap_or_default();
        let shown = certificate
            .map(|hash| hexadecimal(hash))
            .unwrap_or_default();
        if !bool::from(bound_to.as_bytes().ct_eq(shown.as_bytes())) {
            return Err(InvalidToken::OtherCertificate);
        }
        Ok(Session {
            identity: VerifiedIdentity::new(&claims.arn, &claims.user_id)
                .map_err(|_| InvalidToken::Forged)?,
            request_id: claims.request_id,
        })
    }
}

/// What a client certificate is told by.
pub(crate) fn certificate_digest(der: &[u8]) -> ClientCertificate {
    Sha256::digest(der).into()
}

/// Lower-case hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    fn session() -> Session {
        Session {
            identity: VerifiedIdentity::new(
                "arn:aws:sts::123456789012:assumed-role/checkout/pod-1",
                "AROAEXAMPLE:pod-1",
            )
            .unwrap(),
            request_id: "7f".into(),
        }
    }

    fn tokens() -> Tokens {
        Tokens::new(SessionKeys::random().unwrap(), MAX_SESSION_LIFETIME)
    }

    #[test]
    fn a_token_is_good_until_it_expires() {
        let (tokens, now) = (tokens(), SystemTime::now());
        let token = tokens.grant(&session(), None, now).unwrap();
        assert_eq!(tokens.verify(&token, None, now), Ok(session()));
        assert_eq!(
            tokens.verify(&token, None, now + MAX_SESSION_LIFETIME),
            Err(InvalidToken::Expired)
        );
    }

    #[test]
    fn no_session_outlives_a_quarter_of_an_hour() {
        let tokens = Tokens::new(SessionKeys::random().unwrap(), Duration::from_secs(86_400));
        assert_eq!(tokens.lifetime(), MAX_SESSION_LIFETIME);
    }

    #[test]
    fn any_change_of_a_token_forges_it() {
        let (tokens, now) = (tokens(), SystemTime::now());
        let token = tokens.grant(&session(), None, now).unwrap();
        for index in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            // The last digit of unpadded base64 has bits that mean nothing: such a change is
            // refused by the decoder.
            assert_eq!(
                tokens.verify(&changed, None, now),
                Err(InvalidToken::Forged),
                "{index}"
            );
        }
        for text in [
            "",
            "a2",
            "a2...",
            &format!("{token}."),
            &"a".repeat(100_000),
        ] {
            assert_eq!(tokens.verify(text, None, now), Err(InvalidToken::Forged));
        }
    }

    #[test]
    fn another_processs_key_makes_other_tokens() {
        let now = SystemTime::now();
        let token = tokens().grant(&session(), None, now).unwrap();
        assert_eq!(
            tokens().verify(&token, None, now),
            Err(InvalidToken::Forged)
        );
    }

    #[test]
    fn a_token_belongs_to_the_client_certificate_it_was_given_to() {
        let (tokens, now) = (tokens(), SystemTime::now());
        let (ours, theirs) = (certificate_digest(b"ours"), certificate_digest(b"theirs"));
        let bound = tokens.grant(&session(), Some(&ours), now).unwrap();
        let unbound = tokens.grant(&session(), None, now).unwrap();
        assert!(tokens.verify(&bound, Some(&ours), now).is_ok());
        for (token, certificate) in [
            (&bound, Some(&theirs)),
            (&bound, None),
            (&unbound, Some(&theirs)),
        ] {
            assert_eq!(
                tokens.verify(token, certificate, now),
                Err(InvalidToken::OtherCertificate)
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn replicas_share_keys_and_exchange_them() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str, keys: &[&str]| {
            let path = folder.path().join(name);
            std::fs::write(&path, keys.join("\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            SessionKeys::open(&path).map(|keys| Tokens::new(keys, MAX_SESSION_LIFETIME))
        };
        let [old, new] = [[1; 32], [2; 32]].map(|key| BASE64_STANDARD.encode(key));
        let now = SystemTime::now();
        let before = open("before", &["# of last year", &old]).unwrap();
        let during = open("during", &[&new, &old]).unwrap();
        let after = open("after", &[&new]).unwrap();
        let token = before.grant(&session(), None, now).unwrap();
        assert!(during.verify(&token, None, now).is_ok());
        assert!(after.verify(&token, None, now).is_err());
        let token = during.grant(&session(), None, now).unwrap();
        assert!(after.verify(&token, None, now).is_ok());

        let error = open("short", &["c2hvcnQ="]).unwrap_err().to_string();
        assert!(
            error.contains("session_key_path") && !error.contains("c2hvcnQ"),
            "{error}"
        );
    }
}
