//! The throw-away keys, and the one check of a signature made with them.

use std::{
    collections::HashMap,
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_credential_types::Credentials;
use base64::{Engine, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::{
    identity::{
        Principal, VerifiedIdentity,
        aws::{
            STAND_IN_ACCOUNT,
            sigv4::{Scope, SignedRequest, signature},
        },
    },
    secret::Secret,
};

/// One identity of a [`DevSts`](super::DevSts), with its keys.
#[derive(Clone)]
pub struct DevIdentity {
    name: String,
    access_key_id: String,
    key: Arc<Key>,
}

impl DevIdentity {
    /// The role's or user's name, and that of the profile.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The ARN that GetCallerIdentity states.
    pub fn arn(&self) -> &str {
        &self.key.identity.arn
    }

    /// The UserId that GetCallerIdentity states.
    pub fn user_id(&self) -> &str {
        &self.key.identity.user_id
    }

    /// What a secrets record names to give this identity access.
    pub fn principal(&self) -> &Principal {
        &self.key.identity.principal
    }

    /// The keys, for a client in the same process.
    pub fn credentials(&self) -> Credentials {
        let text = |secret: &Secret| String::from_utf8_lossy(secret.expose_secret()).into_owned();
        Credentials::new(
            self.access_key_id.clone(),
            text(&self.key.secret_access_key),
            self.key.session_token.as_ref().map(text),
            None,
            "approzium-dev",
        )
    }

    /// The section of an AWS shared-credentials file.
    pub(super) fn profile(&self) -> Zeroizing<String> {
        let shown = |secret: &Secret| {
            Zeroizing::new(String::from_utf8_lossy(secret.expose_secret()).into_owned())
        };
        let mut text = Zeroizing::new(format!(
            "[{}]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            self.name,
            self.access_key_id,
            *shown(&self.key.secret_access_key)
        ));
        if let Some(token) = &self.key.session_token {
            text.push_str("aws_session_token = ");
            text.push_str(&shown(token));
            text.push('\n');
        }
        text
    }
}

/// Names no keys.
impl fmt::Debug for DevIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevIdentity")
            .field("arn", &self.key.identity.arn)
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

struct Key {
    identity: VerifiedIdentity,
    secret_access_key: Secret,
    session_token: Option<Secret>,
    expires_at: Option<OffsetDateTime>,
}

/// Every key that was given out, by its id.
pub(super) struct Keys(Mutex<HashMap<String, Arc<Key>>>);

/// Sessions of assumed roles that may be alive at once.
const MAX_SESSIONS: usize = 10_000;

/// A signature, and what it was made over.
pub(super) struct Signed<'a> {
    pub(super) access_key_id: &'a str,
    pub(super) security_token: Option<&'a str>,
    pub(super) scope: Scope<'a>,
    pub(super) request: SignedRequest<'a>,
    pub(super) signature: &'a str,
}

/// Why a signature is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No such key, or another session token than the key's.
    UnknownKey,
    /// The session is over.
    Expired,
    /// Another secret, or another request.
    Signature,
}

impl Keys {
    pub(super) fn new() -> Self {
        Keys(Mutex::new(HashMap::new()))
    }

    /// Makes the keys of an IAM user: they have no session token and do not expire.
    pub(super) fn add_user(&self, name: &str) -> io::Result<DevIdentity> {
        let arn = format!("arn:aws:iam::{STAND_IN_ACCOUNT}:user/{name}");
        let key = Key {
            identity: identity(&arn, &random_id("AIDA", 17)?)?,
            secret_access_key: random_secret(30)?,
            session_token: None,
            expires_at: None,
        };
        self.add(name, random_id("AKIA", 16)?, key)
    }

    /// Makes the keys of one session of a role.
    pub(super) fn add_session(
        &self,
        role: &str,
        role_id: &str,
        session: &str,
        expires_at: Option<OffsetDateTime>,
    ) -> io::Result<DevIdentity> {
        let arn = format!("arn:aws:sts::{STAND_IN_ACCOUNT}:assumed-role/{role}/{session}");
        let key = Key {
            identity: identity(&arn, &format!("{role_id}:{session}"))?,
            secret_access_key: random_secret(30)?,
            session_token: Some(random_secret(120)?),
            expires_at,
        };
        self.add(role, random_id("ASIA", 16)?, key)
    }

    fn add(&self, name: &str, access_key_id: String, key: Key) -> io::Result<DevIdentity> {
        let key = Arc::new(key);
        let mut keys = self.lock();
        if keys.len() >= MAX_SESSIONS {
            let now = OffsetDateTime::now_utc();
            keys.retain(|_, key| key.expires_at.is_none_or(|expiry| expiry > now));
        }
        if keys.len() >= MAX_SESSIONS {
            return Err(io::Error::other("too many sessions"));
        }
        keys.insert(access_key_id.clone(), Arc::clone(&key));
        Ok(DevIdentity {
            name: name.to_owned(),
            access_key_id,
            key,
        })
    }

    /// Whose signature this is.
    pub(super) fn authenticate(
        &self,
        signed: &Signed<'_>,
        now: OffsetDateTime,
    ) -> Result<VerifiedIdentity, Refusal> {
        let key = self.lock().get(signed.access_key_id).cloned();
        let key = key.ok_or(Refusal::UnknownKey)?;
        let token_matches = match (&key.session_token, signed.security_token) {
            (Some(known), Some(sent)) => known.expose_secret().ct_eq(sent.as_bytes()).into(),
            (None, None) => true,
            _ => false,
        };
        if !token_matches {
            return Err(Refusal::UnknownKey);
        }
        if key.expires_at.is_some_and(|expiry| expiry <= now) {
            return Err(Refusal::Expired);
        }
        let secret = key.secret_access_key.expose_secret();
        let expected = Zeroizing::new(signature(secret, &signed.scope, &signed.request));
        if !bool::from(expected.as_bytes().ct_eq(signed.signature.as_bytes())) {
            return Err(Refusal::Signature);
        }
        Ok(key.identity.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Key>>> {
        // No code panics while it holds the lock, so the map is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn identity(arn: &str, user_id: &str) -> io::Result<VerifiedIdentity> {
    VerifiedIdentity::new(arn, user_id)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// An id as IAM makes them: a prefix for the kind, then characters of base 32.
pub(super) fn random_id(prefix: &str, length: usize) -> io::Result<String> {
    const ALPHABET: [char; 32] = [
        'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', 'P', 'Q', 'R',
        'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', '2', '3', '4', '5', '6', '7',
    ];
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let digits = bytes
        .iter()
        .filter_map(|byte| ALPHABET.get(usize::from(byte % 32)));
    Ok(prefix.chars().chain(digits.copied()).collect())
}

/// A key or token of that many random bytes, in base 64.
fn random_secret(length: usize) -> io::Result<Secret> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(Secret::from(STANDARD.encode(&*bytes)))
}
