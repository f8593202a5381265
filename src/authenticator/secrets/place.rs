//! The name under which a secrets manager keeps the records of one database.

use std::{fmt, net::Ipv6Addr};

use super::RecordKey;

/// A host and a port that are safe in a path, a file's name and a secret's name.
///
/// What clients write reaches no secrets manager but through here. A host is a name of DNS, an IPv4
/// or an IPv6 address; anything else (a Unix socket's folder, `..`, `%2e`, a slash, a name that is
/// not ASCII) has no place, and so no record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    host: String,
    port: u16,
}

const MAX_HOST: usize = 253;
const MAX_LABEL: usize = 63;

impl Place {
    pub(crate) fn of(key: &RecordKey) -> Option<Self> {
        let host = key.host();
        let is_host = is_name(host) || host.parse::<Ipv6Addr>().is_ok();
        is_host.then(|| Place {
            host: host.to_owned(),
            port: key.port(),
        })
    }

    /// In lower case; of `a-z0-9._-`, or for IPv6 of `a-f0-9.:`.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The name under which one of its users is filed.
    pub(super) fn key(&self, user: &str) -> RecordKey {
        RecordKey::new(&self.host, self.port, user)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Labels with dots between them. Underscores stand in names of services and of containers.
fn is_name(host: &str) -> bool {
    host.len() <= MAX_HOST
        && host.split('.').all(|label| {
            (1..=MAX_LABEL).contains(&label.len())
                && label.bytes().all(|byte| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte)
                })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(host: &str) -> Option<String> {
        let place = Place::of(&RecordKey::new(host, 5432, "app"))?;
        Some(place.to_string())
    }

    #[test]
    fn names_and_addresses_have_a_place() {
        for (host, place) in [
            ("db", "db:5432"),
            ("DB.Internal.", "db.internal:5432"),
            ("my_db-1.eu.example", "my_db-1.eu.example:5432"),
            ("10.0.0.7", "10.0.0.7:5432"),
            ("::1", "::1:5432"),
            ("2001:DB8::7", "2001:db8::7:5432"),
        ] {
            assert_eq!(of(host).as_deref(), Some(place), "{host}");
        }
    }

    #[test]
    fn nothing_else_has_one() {
        let (long_label, long_name) = ("x".repeat(64), "x.".repeat(127) + "x");
        for host in [
            "",
            ".",
            "..",
            "...",
            "../secret",
            "a/../b",
            "/var/run/postgresql",
            "a/b",
            "a\\b",
            ".a",
            "a..b",
            "..data",
            "%2e%2e",
            "a%2fb",
            "a?version=1",
            "a#b",
            "a b",
            "a:1",
            "a@b",
            "[::1]",
            "fe80::1%eth0",
            "b\u{fc}cher",
            "a\0",
            "{host}",
            "*",
            &long_label,
            &long_name,
        ] {
            assert_eq!(of(host), None, "{host:?}");
        }
    }
}
