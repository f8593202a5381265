//! The Authenticator's address.

use std::{fmt, net::IpAddr, num::NonZeroU16};

use crate::error::{Error, Result, printable};

/// The port of the Authenticator's gRPC listener, where an address names none.
const DEFAULT_PORT: u16 = 6001;

/// Where an Authenticator listens: `[https://|http://]host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    host: String,
    port: u16,
    plaintext: bool,
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let (plaintext, authority) = match text.split_once("://") {
            None => (false, text),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (true, rest),
            Some((scheme, _)) => {
                return Err(invalid(
                    text,
                    &format!(
                        "its scheme `{}` is neither https nor http",
                        printable(scheme)
                    ),
                ));
            }
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = split(authority)
            .ok_or_else(|| invalid(text, "an IPv6 address stands in brackets: `[::1]:6001`"))?;
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => port
                .parse::<NonZeroU16>()
                .ok()
                .filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()))
                .map(NonZeroU16::get)
                .ok_or_else(|| invalid(text, "its port is not a number from 1 to 65535"))?,
        };
        if !is_host(host) {
            return Err(invalid(
                text,
                "its host is neither a DNS name nor an IP address",
            ));
        }
        // An IPv6 address has many spellings; the Authenticator answers to the shortest.
        let host = match host.parse::<IpAddr>() {
            Ok(ip) => ip.to_string(),
            Err(_) => host.to_ascii_lowercase(),
        };
        Ok(Address {
            host,
            port,
            plaintext,
        })
    }

    /// The name or the IP address, without brackets, in lower case.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The address said `http://`.
    pub(super) fn is_plaintext(&self) -> bool {
        self.plaintext
    }

    /// The host can mean this machine alone. A name is believed only after its addresses have
    /// been looked at, when it is dialled.
    pub(super) fn may_be_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => is_loopback(ip),
            Err(_) => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }
}

/// `host:port`, with brackets where the host is an IPv6 address.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

pub(super) fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Host and port of an authority; `None` where the colons leave it open which is which.
fn split(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest {
            "" => Some((host, None)),
            _ => Some((host, Some(rest.strip_prefix(':')?))),
        };
    }
    match authority.split_once(':') {
        None => Some((authority, None)),
        Some((_, port)) if port.contains(':') => None,
        Some((host, port)) => Some((host, Some(port))),
    }
}

fn is_host(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
        || (host.len() <= 253
            && host.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && label
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            }))
}

fn invalid(text: &str, why: &str) -> Error {
    Error::configuration(format!(
        "`{}` is no address of an Authenticator: {why}",
        printable(text)
    ))
    .with_help("write `host:port`, for example `authenticator.internal:6001`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hosts_and_ports() {
        for (text, shown, host) in [
            (
                "Authenticator.Internal",
                "authenticator.internal:6001",
                "authenticator.internal",
            ),
            ("https://a.example:7000/", "a.example:7000", "a.example"),
            ("10.0.0.7:6001", "10.0.0.7:6001", "10.0.0.7"),
            ("[::1]", "[::1]:6001", "::1"),
            ("[0:0::0:1]", "[::1]:6001", "::1"),
            ("[fd00::7]:7000", "[fd00::7]:7000", "fd00::7"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(address.host(), host);
            assert!(!address.is_plaintext());
        }
        assert!(
            Address::parse("http://localhost:6001")
                .unwrap()
                .is_plaintext()
        );
    }

    #[test]
    fn refuses_what_is_no_address() {
        for text in [
            "",
            ":6001",
            "a:0",
            "a:65536",
            "a:+80",
            "a:b",
            "::1",
            "::1:6001",
            "[::1",
            "[::1]6001",
            "ftp://a",
            "a b",
            "a/b",
            "user@a",
            "a..b",
            "a\r\nb",
        ] {
            let error = Address::parse(text).expect_err(text);
            assert!(error.is_configuration(), "{text}: {error}");
        }
    }

    #[test]
    fn knows_which_names_can_be_this_machine() {
        for (text, expected) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("127.9.9.9:1", true),
            ("[::1]", true),
            ("[::ffff:127.0.0.1]", true),
            ("10.0.0.1", false),
            ("localhost.example", false),
            ("authenticator", false),
        ] {
            assert_eq!(
                Address::parse(text).unwrap().may_be_loopback(),
                expected,
                "{text}"
            );
        }
    }
}
