//! Digests that stand in the place of a password, as records write them.

use std::{fmt, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    authenticator::secrets::Method,
    wire::{
        caching_sha2, mysql_native,
        scram::{Keys, Limits},
    },
};

/// Digests of one record, by the keys that they stand under.
#[derive(Debug, Default)]
pub(crate) struct Digests {
    /// Each answers SCRAM challenges with its own salt and iteration count.
    pub(crate) scram_sha_256: Vec<Arc<Keys>>,
    pub(crate) mysql_native_password: Option<mysql_native::Stage1>,
    /// For the fast path, which nobody asks for yet.
    pub(crate) caching_sha2_password: Option<caching_sha2::Stage1>,
}

impl Digests {
    /// Whether there is one for this method.
    pub(super) fn answer(&self, method: Method) -> bool {
        match method {
            Method::Md5 => false,
            Method::ScramSha256 | Method::ScramSha256Plus => !self.scram_sha_256.is_empty(),
            Method::MysqlNativePassword => self.mysql_native_password.is_some(),
            Method::CachingSha2Password => self.caching_sha2_password.is_some(),
        }
    }

    /// Whether they answer every challenge as others do.
    pub(super) fn answer_like(&self, other: &Digests) -> bool {
        let (native, other_native) = (&self.mysql_native_password, &other.mysql_native_password);
        let native = native.as_ref().map(mysql_native::Stage1::as_bytes);
        let (caching, other_caching) = (&self.caching_sha2_password, &other.caching_sha2_password);
        let caching = caching.as_ref().map(caching_sha2::Stage1::as_bytes);
        let (scram, others) = (&self.scram_sha_256, &other.scram_sha_256);
        native == other_native.as_ref().map(mysql_native::Stage1::as_bytes)
            && caching == other_caching.as_ref().map(caching_sha2::Stage1::as_bytes)
            && scram.len() == others.len()
            && scram.iter().zip(others).all(|(one, other)| {
                one.fit(other.salt(), other.iterations())
                    && one.client_key() == other.client_key()
                    && one.server_key() == other.server_key()
            })
    }
}

/// What stands in a record.
pub(crate) struct Given {
    pub(crate) scram_sha_256: Option<ScramList>,
    pub(crate) mysql_native_password: Option<Encoded>,
    pub(crate) caching_sha2_password: Option<Encoded>,
}

impl Given {
    pub(super) fn is_nothing(&self) -> bool {
        self.scram_sha_256.is_none()
            && self.mysql_native_password.is_none()
            && self.caching_sha2_password.is_none()
    }

    pub(super) fn digests(&self) -> Result<Digests, String> {
        let scram = self.scram_sha_256.as_ref().map(ScramList::keys);
        let native = self.mysql_native_password.as_ref().map(|given| {
            let digest = given.bytes().ok_or(
                "mysql_native_password is not base64 of 20 bytes, which SHA1(password) has",
            )?;
            Ok::<_, &str>(mysql_native::Stage1::from_bytes(&digest))
        });
        let caching = self.caching_sha2_password.as_ref().map(|given| {
            let digest = given.bytes().ok_or(
                "caching_sha2_password is not base64 of 32 bytes, which SHA-256(password) has",
            )?;
            Ok::<_, &str>(caching_sha2::Stage1::from_bytes(&digest))
        });
        Ok(Digests {
            scram_sha_256: scram
                .transpose()
                .map_err(|problem| format!("scram_sha_256: {problem}"))?
                .unwrap_or_default(),
            mysql_native_password: native.transpose()?,
            caching_sha2_password: caching.transpose()?,
        })
    }
}

/// Bytes in base64.
#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub(crate) struct Encoded(String);

impl Encoded {
    /// As many as there must be.
    fn bytes<const LENGTH: usize>(&self) -> Option<Zeroizing<[u8; LENGTH]>> {
        let bytes = Zeroizing::new(BASE64_STANDARD.decode(&self.0).ok()?);
        let mut exactly = Zeroizing::new([0; LENGTH]);
        if bytes.len() != LENGTH {
            return None;
        }
        exactly.copy_from_slice(&bytes);
        Some(exactly)
    }
}

/// Digests of one record for SCRAM. Two are needed while a verifier is exchanged; a few more cost
/// nothing.
const MAX_SCRAM_DIGESTS: usize = 4;

/// `scram_sha_256` of a record: the digests of one password, or a list of such.
pub(crate) struct ScramList(Vec<ScramDigests>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScramDigests {
    salt: String,
    iterations: u32,
    client_key: Encoded,
    server_key: Encoded,
}

impl ScramList {
    /// For each challenge at most one.
    fn keys(&self) -> Result<Vec<Arc<Keys>>, &'static str> {
        if !(1..=MAX_SCRAM_DIGESTS).contains(&self.0.len()) {
            return Err("it is a list of none, or of more than 4");
        }
        let mut keys: Vec<Arc<Keys>> = Vec::with_capacity(self.0.len());
        for digests in &self.0 {
            let more = digests.keys()?;
            if keys
                .iter()
                .any(|one| one.fit(more.salt(), more.iterations()))
            {
                return Err("two of its list have the same salt and iterations");
            }
            keys.push(Arc::new(more));
        }
        Ok(keys)
    }
}

/// By hand, for it keeps no copy of what it reads, and says where a mistake is.
impl<'de> Deserialize<'de> for ScramList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;

        impl<'de> Visitor<'de> for OneOrMore {
            type Value = ScramList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("digests, or a list of them")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ScramList, A::Error> {
                let one = ScramDigests::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ScramList(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ScramList, A::Error> {
                let mut digests = Vec::new();
                while let Some(more) = list.next_element()? {
                    digests.push(more);
                }
                Ok(ScramList(digests))
            }
        }

        deserializer.deserialize_any(OneOrMore)
    }
}

impl ScramDigests {
    fn keys(&self) -> Result<Keys, &'static str> {
        let salt = BASE64_STANDARD
            .decode(&self.salt)
            .ok()
            .filter(|salt| Limits::default().salt_length.contains(&salt.len()))
            .ok_or("salt is not base64 of 1 to 1024 bytes")?;
        if self.iterations == 0 {
            return Err("iterations must not be 0");
        }
        let client_key = self
            .client_key
            .bytes()
            .ok_or("client_key is not base64 of 32 bytes")?;
        let server_key = self
            .server_key
            .bytes()
            .ok_or("server_key is not base64 of 32 bytes")?;
        Ok(Keys::from_parts(
            &salt,
            self.iterations,
            &client_key,
            &server_key,
        ))
    }
}
