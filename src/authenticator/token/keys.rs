//! The keys of session tokens: of this process alone, or of a file that replicas share.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::hexadecimal;
use crate::{
    Error, Result,
    authenticator::{
        metrics::{File, Metrics},
        reload::{self, Watched},
        secrets::private,
    },
};

const MAC_DOMAIN: &[u8] = b"approzium session token mac v2";
const KEY_ID_DOMAIN: &[u8] = b"approzium session token key id v2";
const MIN_KEY_LENGTH: usize = 32;
const MAX_KEY_FILE: u64 = 64 << 10;

/// The keys that make and verify session tokens. The first makes them; all verify, so that a key
/// shared by replicas can be exchanged without ending sessions.
///
/// Those of a file are read again, within seconds, when it changes. A key that is no longer in it
/// is no longer accepted; a file that is not good changes nothing, and is said in the log. To
/// exchange a key without ending a session: put the new one second, and once every replica has it,
/// first; take the old one off 15 minutes later.
#[derive(Clone)]
pub struct SessionKeys {
    pub(super) keys: Arc<ArcSwap<Vec<Key>>>,
    file: Option<PathBuf>,
}

#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) mac: Hmac<Sha256>,
}

impl SessionKeys {
    /// A key of this process alone.
    ///
    /// # Errors
    /// The operating system has no random numbers.
    pub fn random() -> Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes).map_err(|error| {
            Error::configuration("session_key_path: no random numbers").with_source(error)
        })?;
        Ok(SessionKeys::new(vec![Key::new(&*bytes)?], None))
    }

    /// A key that everybody knows.
    #[cfg(fuzzing)]
    pub(in crate::authenticator) fn of_zeros() -> Result<Self> {
        Ok(SessionKeys::new(vec![Key::new(&[0; 32])?], None))
    }

    /// Reads keys that replicas share: one a line, base64 of at least 32 random bytes
    /// (`openssl rand -base64 32`), the newest first. Empty lines and lines that begin with `#` are
    /// skipped.
    ///
    /// # Errors
    /// The file cannot be read, is open to others than its owner and group, or holds no such keys.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(SessionKeys::new(Key::read(path)?, Some(path.to_owned())))
    }

    fn new(keys: Vec<Key>, file: Option<PathBuf>) -> Self {
        SessionKeys {
            keys: Arc::new(ArcSwap::from_pointee(keys)),
            file,
        }
    }

    /// Reads them again when their file changes, until `end`.
    pub(crate) fn keep_current(&self, metrics: Arc<Metrics>, end: CancellationToken) {
        let Some(path) = self.file.clone() else {
            return;
        };
        let (keys, watched) = (self.keys.clone(), Watched::new(vec![path.clone()]));
        let look = move || {
            watched.look(File::SessionKeys, &metrics, || {
                let read = Key::read(&path)?;
                let ids = |keys: &[Key]| keys.iter().map(|key| key.id.clone()).collect::<Vec<_>>();
                let changed = ids(&read) != ids(&keys.load());
                if changed {
                    keys.store(Arc::new(read));
                }
                Ok(changed)
            });
        };
        reload::watch(look, end);
    }
}

impl Key {
    fn read(path: &Path) -> Result<Vec<Self>> {
        let refuse = |problem: String| {
            Error::configuration(format!("session_key_path: {}: {problem}", path.display()))
        };
        let bytes = private(path, MAX_KEY_FILE).map_err(refuse)?;
        let text = str::from_utf8(&bytes).map_err(|_| refuse("it is not text".into()))?;
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bytes = Zeroizing::new(
                BASE64_STANDARD
                    .decode(line)
                    .map_err(|_| refuse(format!("line {} is not base64", index + 1)))?,
            );
            if bytes.len() < MIN_KEY_LENGTH {
                return Err(refuse(format!(
                    "line {} holds fewer than {MIN_KEY_LENGTH} bytes",
                    index + 1
                )));
            }
            keys.push(Key::new(&bytes)?);
        }
        if keys.is_empty() {
            return Err(refuse("it holds no key".into()));
        }
        Ok(keys)
    }

    fn new(secret: &[u8]) -> Result<Self> {
        let of = |domain: &[u8]| -> Result<Hmac<Sha256>> {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret)
                .map_err(|_| Error::configuration("session_key_path: unusable key"))?;
            mac.update(domain);
            Ok(mac)
        };
        let id = of(KEY_ID_DOMAIN)?.finalize().into_bytes();
        let derived = Zeroizing::new(<[u8; 32]>::from(of(MAC_DOMAIN)?.finalize().into_bytes()));
        Ok(Key {
            id: hexadecimal(id.get(..8).unwrap_or_default()),
            mac: Hmac::new_from_slice(&*derived)
                .map_err(|_| Error::configuration("session_key_path: unusable key"))?,
        })
    }
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keys.load().iter().map(|key| &key.id))
            .finish()
    }
}
