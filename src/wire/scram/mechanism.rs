//! Which mechanism to take, and what to say of channel binding in it.

use std::fmt;

use super::Error;

/// A SASL mechanism of the SCRAM family that PostgreSQL offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// SCRAM-SHA-256 (RFC 7677).
    ScramSha256,
    /// SCRAM-SHA-256-PLUS: the same, bound to the TLS connection.
    ScramSha256Plus,
}

impl Mechanism {
    /// The registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
        }
    }

    /// The mechanism of this registered name, if it is one of these.
    pub fn from_name(name: &str) -> Option<Self> {
        [Mechanism::ScramSha256, Mechanism::ScramSha256Plus]
            .into_iter()
            .find(|mechanism| mechanism.as_str() == name)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the client says of channel binding, first in the gs2 header and again in `c=`, where the
/// proof covers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    /// `n`: the client does not support channel binding, or the connection has no TLS.
    NotSupported,
    /// `y`: the client supports it, and thinks that the server does not, as it offered no PLUS. A
    /// server that did offer it sees by this that someone took its offer away.
    NotOffered,
    /// `p=tls-server-end-point`: bound to the server's certificate by this digest of it, see
    /// [`tls_server_end_point`](crate::wire::channel_binding::tls_server_end_point).
    TlsServerEndPoint(Vec<u8>),
}

impl ChannelBinding {
    pub(super) fn gs2_header(&self) -> &'static str {
        match self {
            ChannelBinding::NotSupported => "n,,",
            ChannelBinding::NotOffered => "y,,",
            ChannelBinding::TlsServerEndPoint(_) => BOUND,
        }
    }

    /// The contents of `c=`: the gs2 header, and the channel-binding data with it.
    pub(super) fn cbind_input(&self) -> Vec<u8> {
        let data = match self {
            ChannelBinding::TlsServerEndPoint(data) => data.as_slice(),
            ChannelBinding::NotSupported | ChannelBinding::NotOffered => &[],
        };
        [self.gs2_header().as_bytes(), data].concat()
    }
}

/// The connection to the database for which a mechanism is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// It runs over TLS.
    pub tls: bool,
    /// The digest of the server's certificate, where one could be computed and binding is wanted.
    /// Meaningless without TLS.
    pub tls_server_end_point: Option<Vec<u8>>,
    /// Nothing less than SCRAM-SHA-256-PLUS will do.
    pub require_channel_binding: bool,
}

impl Offer {
    /// Chooses of the mechanisms that a server offers, by the rules of PostgreSQL's own client:
    /// PLUS where it can be had, `y` only over TLS when the client could bind and the server did
    /// not offer it, else `n`.
    ///
    /// ```
    /// use approzium::wire::scram::{ChannelBinding, Mechanism, Offer};
    ///
    /// let over_tls = Offer {
    ///     tls: true,
    ///     tls_server_end_point: Some(vec![7; 32]),
    ///     require_channel_binding: false,
    /// };
    /// let (mechanism, channel_binding) = over_tls.select(["SCRAM-SHA-256"])?;
    /// assert_eq!(mechanism, Mechanism::ScramSha256);
    /// assert_eq!(channel_binding, ChannelBinding::NotOffered);
    /// # Ok::<_, approzium::wire::scram::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoMechanism`], [`Error::PlusWithoutTls`], [`Error::ChannelBindingUnavailable`]
    /// where it is required, and [`Error::ChannelBindingData`].
    pub fn select<'a>(
        self,
        mechanisms: impl IntoIterator<Item = &'a str>,
    ) -> Result<(Mechanism, ChannelBinding), Error> {
        let (mut plain, mut plus) = (false, false);
        for mechanism in mechanisms {
            plain |= mechanism == Mechanism::ScramSha256.as_str();
            plus |= mechanism == Mechanism::ScramSha256Plus.as_str();
        }
        if plus && !self.tls {
            return Err(Error::PlusWithoutTls);
        }
        let data = self.tls_server_end_point.filter(|_| self.tls);
        if let Some(data) = &data
            && !DIGEST_LENGTHS.contains(&data.len())
        {
            return Err(Error::ChannelBindingData);
        }
        match data {
            Some(data) if plus => Ok((
                Mechanism::ScramSha256Plus,
                ChannelBinding::TlsServerEndPoint(data),
            )),
            _ if self.require_channel_binding => Err(Error::ChannelBindingUnavailable),
            Some(_) if plain => Ok((Mechanism::ScramSha256, ChannelBinding::NotOffered)),
            None if plain => Ok((Mechanism::ScramSha256, ChannelBinding::NotSupported)),
            _ => Err(Error::NoMechanism),
        }
    }

    /// As [`select`](Self::select), but of those mechanisms alone that are allowed.
    ///
    /// Where PLUS is not, the flag is `n`, never `y`: the server may well have offered PLUS, and
    /// would take `y` for a sign that someone took its offer away.
    ///
    /// # Errors
    ///
    /// Those of [`select`](Self::select).
    pub fn select_allowed<'a>(
        self,
        allowed: impl Fn(Mechanism) -> bool,
        mechanisms: impl IntoIterator<Item = &'a str>,
    ) -> Result<(Mechanism, ChannelBinding), Error> {
        let plus = allowed(Mechanism::ScramSha256Plus);
        let offer = Offer {
            tls_server_end_point: self.tls_server_end_point.filter(|_| plus),
            ..self
        };
        let allowed = |name: &&str| Mechanism::from_name(name).is_some_and(&allowed);
        offer.select(mechanisms.into_iter().filter(allowed))
    }
}

/// The gs2 header of an exchange that is bound to the TLS connection.
pub(super) const BOUND: &str = "p=tls-server-end-point,,";

/// Bytes of the digests that a certificate may have, SHA-224 to SHA-512.
const DIGEST_LENGTHS: std::ops::RangeInclusive<usize> = 28..=64;
