//! An exchange that its client reports as a whole.

use super::{ChannelBinding, ClientFirst, Error, Limits, ServerFirst};

/// Reads an AuthMessage (RFC 5802, section 3), which a client wrote that made the nonce and the
/// first message itself: client-first-message-bare, server-first-message and
/// client-final-message-without-proof, with commas between them.
///
/// Each part is parsed, and what comes out answers for this exchange and no other text: a proof over
/// bytes of a client's choice would be one for whatever these bytes mean elsewhere.
///
/// It names a user, as RFC 5802 has it. PostgreSQL's own clients name none, and no more does
/// [`ClientFirst`]: of an exchange that was begun by either, nobody gets the server's signature here,
/// by which he could say that a database had verified it.
///
/// # Errors
///
/// [`Error::AuthMessage`] if it is not of this form, binds to a channel, or does not repeat the
/// server's nonce; and those of [`ClientFirst::server_first`].
pub fn read_auth_message(text: &str, limits: &Limits) -> Result<ServerFirst, Error> {
    let limit = 3 * limits.message_length;
    if text.len() > limit {
        return Err(Error::MessageTooLong { limit });
    }
    // A name has no comma: RFC 5802 writes it as `=2C`.
    let (name, rest) = text.split_once(',').ok_or(Error::AuthMessage)?;
    let (nonce, rest) = rest.split_once(',').ok_or(Error::AuthMessage)?;
    let (server_first, last) = rest.rsplit_once(",c=").ok_or(Error::AuthMessage)?;
    let name = name
        .strip_prefix("n=")
        .filter(|name| !name.is_empty())
        .ok_or(Error::AuthMessage)?;
    let nonce = nonce
        .strip_prefix("r=")
        .filter(|nonce| !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_graphic()))
        .ok_or(Error::AuthMessage)?;
    if name.chars().any(char::is_control) {
        return Err(Error::AuthMessage);
    }
    let exchange = ClientFirst::with_names(ChannelBinding::NotSupported, name, nonce.to_owned());
    let exchange = exchange.server_first(server_first.as_bytes(), limits)?;
    let repeated = last.strip_prefix("biws,r=");
    if repeated != Some(exchange.nonce()) {
        return Err(Error::AuthMessage);
    }
    Ok(exchange)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::scram::Keys;

    const RFC_7677: &str = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
        r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
        c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

    #[test]
    fn rfc_7677() {
        let exchange = read_auth_message(RFC_7677, &Limits::default()).unwrap();
        let keys = Keys::derive(b"pencil", exchange.salt(), exchange.iterations());
        let last = exchange.client_final(&keys).unwrap();
        assert_eq!(last.proof(), "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let signature: [u8; 32] = *last.server_signature().expose_secret();
        assert_eq!(signature[..4], [0xea, 0xba, 0xe2, 0x4d]);
    }

    #[test]
    fn what_is_not_one_exchange_without_channel_binding_is_refused() {
        let server_nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        for (changed, to) in [
            (RFC_7677, ""),
            (RFC_7677, "hello, world!"),
            ("n=user", "u=user"),
            ("n=user", "n="),
            ("n=user", "n=us\ner"),
            ("n=user,", "n=user,m=x,"),
            (",r=rOprNGfwEbeRWgbNEkqO,", ",r=,"),
            (",r=rOprNGfwEbeRWgbNEkqO,", ",r=another,"),
            (server_nonce, "rOprNGfwEbeRWgbNEkqO"),
            ("s=W22ZaJ0SNY7soEsUEjb6gQ==", "s=*"),
            ("i=4096", "i=4095"),
            ("i=4096", "i=4096,m=x"),
            ("i=4096", "i=4294967296"),
            ("c=biws", "c=eSws"),
            ("c=biws", "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCws"),
            ("c=biws,r=", "c=biws,r=x"),
            (",c=biws,r=rO", ",r=rO"),
        ] {
            let text = RFC_7677.replace(changed, to);
            assert_ne!(text, RFC_7677);
            let refused = read_auth_message(&text, &Limits::default());
            assert!(refused.is_err(), "{text}");
        }
        let long = RFC_7677.replace("n=user", &format!("n={}", "x".repeat(6_144)));
        let refused = read_auth_message(&long, &Limits::default());
        assert_eq!(refused.unwrap_err(), Error::MessageTooLong { limit: 6_144 });
    }

    proptest! {
        /// Whatever is accepted is answered byte for byte.
        #[test]
        fn what_is_answered_is_what_was_written(
            name in "[ -+.-~é]{1,20}",
            nonce in "[!-+--~]{1,24}",
            added in "[!-+--~]{1,24}",
            noise in "\\PC{0,20}",
        ) {
            let keys = Keys::from_parts(b"salt", 4_096, &[7; 32], &[9; 32]);
            let text = format!(
                "n={name},r={nonce},r={nonce}{added},s=c2FsdA==,i=4096,c=biws,r={nonce}{added}"
            );
            let exchange = read_auth_message(&text, &Limits::default()).unwrap();
            let last = exchange.client_final(&keys).unwrap();
            let over_what_was_written = keys.server_signature(text.as_bytes());
            prop_assert!(last.server_signature().matches(over_what_was_written.as_slice()));
            let _ = read_auth_message(&format!("{noise}{text}"), &Limits::default());
            let _ = read_auth_message(&noise, &Limits::default());
        }
    }
}
