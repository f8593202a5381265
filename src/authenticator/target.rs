//! Which database an application wants to log in to, as checked at the edge.

use super::secrets::RecordKey;
use crate::{
    attribution::keys,
    proto::v2::{DatabaseSystem, HandshakeStart},
};

/// A host name of DNS, or the path of a Unix socket's directory.
const MAX_HOST: usize = 255;
/// PostgreSQL's names have 63 bytes; other databases' a few more.
const MAX_NAME: usize = 255;
const MAX_ATTRIBUTION_KEYS: usize = 64;
const MAX_ATTRIBUTION_LENGTH: usize = 256;

/// One database user on one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) database: String,
}

/// What is wrong with a [`HandshakeStart`]; it may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidTarget {
    System,
    Text(&'static str),
}

impl Target {
    pub(crate) fn parse(start: &HandshakeStart) -> Result<Self, InvalidTarget> {
        if start.system() != DatabaseSystem::Postgresql {
            return Err(InvalidTarget::System);
        }
        Ok(Target {
            host: text("host", &start.host, 1..=MAX_HOST)?,
            port: u16::try_from(start.port)
                .ok()
                .filter(|port| *port != 0)
                .ok_or(InvalidTarget::Text("port is not between 1 and 65535"))?,
            user: text("user", &start.user, 1..=MAX_NAME)?,
            database: text("database", &start.database, 0..=MAX_NAME)?,
        })
    }

    /// As the v1 API names it: without the database, and with the port as a text.
    pub(crate) fn of(host: &str, port: &str, user: &str) -> Result<Self, InvalidTarget> {
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        Ok(Target {
            host: text("host", host, 1..=MAX_HOST)?,
            port: port
                .parse()
                .ok()
                .filter(|port| digits && *port != 0)
                .ok_or(InvalidTarget::Text("port is not between 1 and 65535"))?,
            user: text("user", user, 1..=MAX_NAME)?,
            database: String::new(),
        })
    }

    pub(crate) fn key(&self) -> RecordKey {
        RecordKey::new(&self.host, self.port, &self.user)
    }
}

/// What a client says it runs on, sorted; nothing of it is believed. Keys that attribution does not
/// have are left out: a newer client may know more.
pub(crate) fn attribution(start: &HandshakeStart) -> Result<Vec<(String, String)>, InvalidTarget> {
    let fits =
        |text: &str| text.len() <= MAX_ATTRIBUTION_LENGTH && !text.chars().any(char::is_control);
    if start.attribution.len() > MAX_ATTRIBUTION_KEYS
        || !start
            .attribution
            .iter()
            .all(|(key, value)| !key.is_empty() && fits(key) && fits(value))
    {
        return Err(InvalidTarget::Text(
            "attribution is more than 64 keys of 256 bytes, or has control characters",
        ));
    }
    let mut attribution: Vec<_> = start
        .attribution
        .iter()
        .filter(|(key, _)| keys::ALL.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    attribution.sort();
    Ok(attribution)
}

fn text(
    name: &'static str,
    value: &str,
    length: std::ops::RangeInclusive<usize>,
) -> Result<String, InvalidTarget> {
    if length.contains(&value.len()) && !value.chars().any(char::is_control) {
        return Ok(value.to_owned());
    }
    Err(InvalidTarget::Text(match name {
        "host" => "host is empty, too long, or has control characters",
        "user" => "user is empty, too long, or has control characters",
        _ => "database is too long, or has control characters",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> HandshakeStart {
        HandshakeStart {
            system: DatabaseSystem::Postgresql.into(),
            host: "DB.example".into(),
            port: 5432,
            user: "app".into(),
            database: "shop".into(),
            ..HandshakeStart::default()
        }
    }

    fn refuses(change: impl FnOnce(&mut HandshakeStart)) -> InvalidTarget {
        let mut start = start();
        change(&mut start);
        Target::parse(&start)
            .map(|_| ())
            .and_then(|()| attribution(&start).map(|_| ()))
            .unwrap_err()
    }

    #[test]
    fn names_are_bounded_and_have_no_control_characters() {
        assert_eq!(
            Target::parse(&start()).unwrap().key(),
            RecordKey::new("db.example", 5432, "app")
        );
        assert_eq!(refuses(|start| start.system = 0), InvalidTarget::System);
        for bad in [
            "",
            "a\nb",
            "a\u{1b}[2Jb",
            "a\0",
            "a\u{85}",
            &"x".repeat(256),
        ] {
            refuses(|start| start.host = bad.into());
            refuses(|start| start.user = bad.into());
            if !bad.is_empty() {
                refuses(|start| start.database = bad.into());
            }
        }
        for port in [0, 65_536, u32::MAX] {
            refuses(|start| start.port = port);
        }
    }

    #[test]
    fn only_keys_of_attribution_are_kept() {
        let mut start = start();
        for (key, value) in [
            ("k8s.pod.name", "checkout-7"),
            ("host.id", "i-0abc"),
            ("request_id", "forged"),
        ] {
            start.attribution.insert(key.into(), value.into());
        }
        let kept = attribution(&start).unwrap();
        let expected = [("host.id", "i-0abc"), ("k8s.pod.name", "checkout-7")];
        assert_eq!(
            kept,
            expected.map(|(key, value)| (key.into(), value.into()))
        );
    }

    #[test]
    fn attribution_is_bounded() {
        refuses(|start| {
            start.attribution.insert("key".into(), "a\rb".into());
        });
        refuses(|start| {
            start.attribution.insert("key".into(), "x".repeat(257));
        });
        refuses(|start| {
            start
                .attribution
                .extend((0..65).map(|n| (n.to_string(), String::new())));
        });
    }
}
