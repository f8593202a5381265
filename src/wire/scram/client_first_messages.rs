//! First messages that are written before the server's offer is known.

use super::{
    Error, Limits, Mechanism, Offer,
    mechanism::{BOUND, ChannelBinding},
};

/// The client-first-messages by which one exchange may begin.
///
/// They differ in their gs2 header alone. The side with the keys writes those that it would go on
/// from, in advance; the side with the connection sends the one that fits the server's offer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientFirstMessages(Vec<(Mechanism, Vec<u8>)>);

impl ClientFirstMessages {
    /// Reads what the side with the keys wrote: pairs of a mechanism's name and a message.
    ///
    /// # Errors
    ///
    /// [`Error::ClientFirstMessages`] for a mechanism that is not known here, a message that is
    /// none or too long, a gs2 header that is not its mechanism's or comes twice, and more than one
    /// nonce. That leaves three messages at most.
    pub fn parse<'a>(
        messages: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, Error> {
        let mut headers = Vec::new();
        let mut bare = None;
        let mut parsed = Vec::new();
        for (mechanism, message) in messages {
            let (mechanism, header, rest) =
                parts(mechanism, message).ok_or(Error::ClientFirstMessages)?;
            if headers.contains(&header) || *bare.get_or_insert(rest) != rest {
                return Err(Error::ClientFirstMessages);
            }
            headers.push(header);
            parsed.push((mechanism, message.to_vec()));
        }
        Ok(ClientFirstMessages(parsed))
    }

    /// The message for what a server offers, by the rules of [`Offer::select_allowed`]: a mechanism
    /// is allowed if there is a message of it.
    ///
    /// Where there is none but that of PLUS, it is taken over TLS even if no digest of the server's
    /// certificate is at hand: the side with the keys may know which one to bind to.
    ///
    /// # Errors
    ///
    /// Those of [`Offer::select`]; [`Error::NoMechanism`] too where the message is missing.
    pub fn select<'a>(
        &self,
        offer: Offer,
        mechanisms: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Result<(Mechanism, &[u8]), Error> {
        let (plain, plus) = (Mechanism::ScramSha256, Mechanism::ScramSha256Plus);
        let given = |mechanism| self.0.iter().any(|(of, _)| *of == mechanism);
        let digest_elsewhere = offer.tls
            && offer.tls_server_end_point.is_none()
            && !given(plain)
            && mechanisms
                .clone()
                .into_iter()
                .any(|name| name == plus.as_str());
        let (mechanism, header) = if digest_elsewhere {
            (plus, BOUND)
        } else {
            let (mechanism, channel_binding) = offer.select_allowed(given, mechanisms)?;
            (mechanism, channel_binding.gs2_header())
        };
        self.0
            .iter()
            .find(|(of, message)| *of == mechanism && message.starts_with(header.as_bytes()))
            .map(|(mechanism, message)| (*mechanism, message.as_slice()))
            .ok_or(Error::NoMechanism)
    }
}

/// Mechanism, gs2 header and client-first-message-bare.
fn parts<'a>(mechanism: &str, message: &'a [u8]) -> Option<(Mechanism, &'static str, &'a str)> {
    let mechanism = Mechanism::from_name(mechanism)?;
    if message.len() > Limits::default().message_length {
        return None;
    }
    let message = std::str::from_utf8(message).ok()?;
    let unbound = [ChannelBinding::NotOffered, ChannelBinding::NotSupported];
    let (header, bare) = match mechanism {
        Mechanism::ScramSha256Plus => (BOUND, message.strip_prefix(BOUND)?),
        Mechanism::ScramSha256 => unbound.iter().find_map(|flag| {
            let header = flag.gs2_header();
            Some((header, message.strip_prefix(header)?))
        })?,
    };
    let nonce = bare.strip_prefix("n=,r=")?;
    let printable = |byte: u8| byte.is_ascii_graphic() && byte != b',';
    (!nonce.is_empty() && nonce.bytes().all(printable)).then_some((mechanism, header, bare))
}
