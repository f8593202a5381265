//! Where a KV secrets engine keeps a record, and in what.

use std::{str::FromStr, sync::Arc};

use serde::Deserialize;

use super::{
    super::{
        Record, Trouble, Unavailable,
        parse::{Users, not_json},
        place::Place,
    },
    version::Version,
};

/// The version of a KV secrets engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvVersion {
    /// One value for each path, as the original Approzium has it.
    One,
    /// Values with their history.
    Two,
}

/// `1` or `2`.
impl FromStr for KvVersion {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "1" => Ok(KvVersion::One),
            "2" => Ok(KvVersion::Two),
            _ => Err("it is neither 1 nor 2"),
        }
    }
}

/// A mount, and the paths below it.
pub(super) struct Kv {
    mount: String,
    template: String,
    pub(super) version: Version,
}

impl Kv {
    pub(super) fn new(
        mount: &str,
        template: &str,
        version: Option<KvVersion>,
    ) -> Result<Self, (&'static str, &'static str)> {
        let mount = mount.trim_matches('/');
        if !is_path(mount) {
            return Err(("vault_mount", "it is not a path such as approzium"));
        }
        // Any place will do to see whether the rest is a path.
        let example = template.replace("{host}", "h").replace("{port}", "1");
        if !is_path(&example) {
            return Err(("vault_path", "it is not a path such as {host}:{port}"));
        }
        if !template.contains("{host}") || !template.contains("{port}") {
            return Err(("vault_path", "it must hold {host} and {port}"));
        }
        if !tells_apart(template) {
            let problem = "between {host} and {port} something must stand that is no digit: one path \
                           would else be of several databases";
            return Err(("vault_path", problem));
        }
        Ok(Kv {
            mount: mount.to_owned(),
            template: template.to_owned(),
            version: Version::new(version),
        })
    }

    /// Of a place's secret. What a place may be made of means nothing in a URL's path.
    pub(super) fn path(&self, version: KvVersion, place: &Place) -> String {
        self.below(version, place.host(), &place.port().to_string())
    }

    /// Of a secret that no database can have.
    pub(super) fn readiness(&self, version: KvVersion) -> String {
        self.below(version, "readiness", "0")
    }

    /// Where one asks what is mounted, as Vault's own command does.
    pub(super) fn mount_path(&self) -> String {
        format!("sys/internal/ui/mounts/{}", self.mount)
    }

    fn below(&self, version: KvVersion, host: &str, port: &str) -> String {
        // The port first: it cannot hold what stands for the host.
        let path = self
            .template
            .replace("{port}", port)
            .replace("{host}", host);
        match version {
            KvVersion::One => format!("{}/{path}", self.mount),
            KvVersion::Two => format!("{}/data/{path}", self.mount),
        }
    }
}

/// Whether a path is of one place alone: where a host ends and a port begins is seen. `db1` at 5432
/// and `db15` at 432 are not the same database.
fn tells_apart(template: &str) -> bool {
    // Braces stand for nothing else in a path.
    let places = template.replace("{host}", "{").replace("{port}", "}");
    let mut open = false;
    for one in places.chars() {
        match one {
            '{' | '}' if open => return false,
            '{' | '}' => open = true,
            _ if !one.is_ascii_digit() => open = false,
            _ => {}
        }
    }
    true
}

/// Segments with slashes between them, of characters that mean nothing else in a URL.
fn is_path(text: &str) -> bool {
    text.split('/').all(|segment| {
        !segment.is_empty()
            && !segment.bytes().all(|byte| byte == b'.')
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._:@=-".contains(&byte))
    })
}

#[derive(Deserialize)]
struct Wrapped<T> {
    data: Option<T>,
}

/// The records in an answer. A version of version 2 that was deleted has no data.
pub(super) fn records(
    version: KvVersion,
    answer: &[u8],
    place: &Place,
) -> Result<Vec<Arc<Record>>, Unavailable> {
    let users = match version {
        KvVersion::One => serde_json::from_slice::<Wrapped<Users>>(answer).map(|one| one.data),
        KvVersion::Two => serde_json::from_slice::<Wrapped<Wrapped<Users>>>(answer)
            .map(|two| two.data.and_then(|one| one.data)),
    };
    let malformed = |problem: String| {
        Unavailable::new(
            Trouble::Malformed,
            format!("the secret of {place}: {problem}"),
        )
    };
    match users.map_err(|error| malformed(not_json(&error)))? {
        Some(users) => users.records(place).map_err(malformed),
        None => Ok(Vec::new()),
    }
}

/// What is mounted.
pub(super) fn version(answer: &[u8]) -> Result<KvVersion, Unavailable> {
    #[derive(Deserialize)]
    struct Mount {
        r#type: String,
        options: Option<Options>,
    }
    #[derive(Deserialize)]
    struct Options {
        version: Option<String>,
    }
    let mount = serde_json::from_slice::<Wrapped<Mount>>(answer)
        .ok()
        .and_then(|answer| answer.data);
    let version = mount
        .filter(|mount| mount.r#type == "kv" || mount.r#type == "generic")
        .map(|mount| mount.options.and_then(|options| options.version));
    match version.as_ref().map(Option::as_deref) {
        Some(Some("2")) => Ok(KvVersion::Two),
        Some(None | Some("1")) => Ok(KvVersion::One),
        _ => Err(Unavailable::new(
            Trouble::Refused,
            "what is mounted there is not a KV secrets engine of version 1 or 2",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authenticator::secrets::RecordKey;

    #[test]
    fn mount_and_path_are_paths_for_every_place() {
        for (mount, path, key) in [
            ("approzium", "{host}:{port}", None),
            ("/team/approzium/", "db/{host}/{port}", None),
            ("approzium", "{port}@{host}", None),
            ("", "{host}:{port}", Some("vault_mount")),
            ("..", "{host}:{port}", Some("vault_mount")),
            ("a/../b", "{host}:{port}", Some("vault_mount")),
            ("a?b", "{host}:{port}", Some("vault_mount")),
            ("a%2fb", "{host}:{port}", Some("vault_mount")),
            ("approzium", "{host}", Some("vault_path")),
            ("approzium", "{port}", Some("vault_path")),
            ("approzium", "{host}{port}", Some("vault_path")),
            ("approzium", "{port}{host}", Some("vault_path")),
            ("approzium", "{host}12{port}", Some("vault_path")),
            ("approzium", "{host}/{host}{port}", Some("vault_path")),
            ("approzium", "{host}-1{port}", None),
            ("approzium", "db1{port}.{host}2", None),
            ("approzium", "/{host}:{port}", Some("vault_path")),
            ("approzium", "../{host}:{port}", Some("vault_path")),
            ("approzium", "{host}:{port}#", Some("vault_path")),
            ("approzium", "{host}:{port}:{user}", Some("vault_path")),
        ] {
            let found = Kv::new(mount, path, None).err().map(|(key, _)| key);
            assert_eq!(found, key, "{mount} {path}");
        }
    }

    #[test]
    fn the_default_is_the_originals() {
        let kv = Kv::new("approzium", "{host}:{port}", None).unwrap();
        let place = Place::of(&RecordKey::new("DB.internal", 5432, "app")).unwrap();
        let path = |version| kv.path(version, &place);
        assert_eq!(path(KvVersion::One), "approzium/db.internal:5432");
        assert_eq!(path(KvVersion::Two), "approzium/data/db.internal:5432");
    }

    #[test]
    fn the_version_is_what_the_mount_says() {
        for (answer, expected) in [
            (
                r#"{"data":{"type":"kv","options":{"version":"2"}}}"#,
                Some(KvVersion::Two),
            ),
            (
                r#"{"data":{"type":"kv","options":{"version":"1"}}}"#,
                Some(KvVersion::One),
            ),
            (
                r#"{"data":{"type":"kv","options":null}}"#,
                Some(KvVersion::One),
            ),
            (r#"{"data":{"type":"generic"}}"#, Some(KvVersion::One)),
            (r#"{"data":{"type":"kv","options":{"version":"3"}}}"#, None),
            (r#"{"data":{"type":"transit"}}"#, None),
            ("{}", None),
            ("", None),
        ] {
            assert_eq!(version(answer.as_bytes()).ok(), expected, "{answer}");
        }
    }
}
