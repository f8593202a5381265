//! The configuration file.

use std::{collections::BTreeMap, path::Path};

use serde_yaml_ng::Value;

use super::{
    layers::{Given, Origin},
    settings::{self, SETTINGS, Setting, Takes},
};
use crate::{Error, Result, error::printable};

type Found = BTreeMap<&'static str, Given>;

/// Reads sections of settings. A key that is not known, or stands in another section than its own,
/// is an error: a setting that is not heeded is worse than none.
pub(super) fn read(path: &Path) -> Result<Found> {
    let error =
        |problem: String| Error::configuration(format!("config ({}): {problem}", path.display()));
    // It may be there, or ours to read, in a moment. What stands in it stays as it is.
    let bytes = std::fs::read(path).map_err(|cause| error(cause.to_string()).unready())?;
    let text = std::str::from_utf8(&bytes).map_err(|_| error("it is not UTF-8".to_owned()))?;
    parse(text, path).map_err(error)
}

fn parse(text: &str, path: &Path) -> Result<Found, String> {
    let value: Value = serde_yaml_ng::from_str(text).map_err(|cause| match cause.location() {
        Some(place) => format!("line {}, column {}: not YAML", place.line(), place.column()),
        None => "not YAML".to_owned(),
    })?;
    let sections = match value {
        Value::Null => return Ok(Found::new()),
        Value::Mapping(sections) => sections,
        _ => return Err(format!("it is not a mapping of sections ({})", names())),
    };
    let mut found = Found::new();
    for (section, settings) in sections {
        let section = section.as_str().unwrap_or_default();
        if section.is_empty() || !SETTINGS.iter().any(|setting| setting.section == section) {
            return Err(format!(
                "unknown section \"{}\": there are {}",
                printable(section),
                names()
            ));
        }
        let settings = match settings {
            Value::Null => continue,
            Value::Mapping(settings) => settings,
            _ => return Err(format!("section {section} is not a mapping of keys")),
        };
        for (key, value) in settings {
            let key = key.as_str().unwrap_or_default();
            let setting = settings::find(key)
                .filter(|setting| setting.section == section)
                .ok_or_else(|| unknown(section, key))?;
            found.insert(setting.key, given(setting, &value, path)?);
        }
    }
    Ok(found)
}

fn given(setting: &'static Setting, value: &Value, path: &Path) -> Result<Given, String> {
    let texts = match value {
        Value::Sequence(items) if setting.takes == Takes::List => {
            items.iter().map(scalar).collect()
        }
        value => scalar(value).map(|text| vec![text]),
    };
    Ok(Given {
        texts: texts.ok_or_else(|| format!("{}: it is not of the right kind", setting.key))?,
        origin: Origin::File {
            path: path.to_owned(),
            section: setting.section,
        },
    })
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Bool(switch) => Some(switch.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

fn unknown(section: &str, key: &str) -> String {
    match settings::find(key).map(|setting| setting.section) {
        Some("") => format!("{key}: it can be given as a flag only"),
        Some(home) => format!("{key}: it belongs to section {home}, not {section}"),
        None => format!("unknown key \"{}\" in section {section}", printable(key)),
    }
}

fn names() -> String {
    let mut names: Vec<_> = SETTINGS.iter().map(|setting| setting.section).collect();
    names.dedup();
    names.retain(|name| !name.is_empty());
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(yaml: &str) -> String {
        parse(yaml, Path::new("a.yaml")).unwrap_err()
    }

    #[test]
    fn a_file_that_cannot_be_read_may_be_later_and_one_that_says_nothing_stays_so() {
        let folder = tempfile::tempdir().unwrap();
        let is_retryable = |path: &Path| {
            let error = read(path).err().unwrap();
            assert!(error.is_configuration(), "{error}");
            error.is_retryable()
        };
        assert!(is_retryable(&folder.path().join("absent.yaml")));
        assert!(is_retryable(folder.path()));
        for text in [&b"listner: {}"[..], b"\xff"] {
            let path = folder.path().join("a.yaml");
            std::fs::write(&path, text).unwrap();
            assert!(!is_retryable(&path));
        }
    }

    #[test]
    fn reads_scalars_of_any_kind_and_lists() {
        let yaml = "listener:\n  grpc_port: 7001\n  host: 127.0.0.1\ntls:\n  disable_tls: true\n\
            session:\n  audiences: [a, b]\nlogging:\n";
        let found = parse(yaml, Path::new("a.yaml")).unwrap();
        assert_eq!(found["grpc_port"].texts, ["7001"]);
        assert_eq!(found["disable_tls"].texts, ["true"]);
        assert_eq!(found["audiences"].texts, ["a", "b"]);
        assert!(parse("", Path::new("a.yaml")).unwrap().is_empty());
    }

    #[test]
    fn what_is_not_known_is_an_error_that_names_it() {
        for (yaml, says) in [
            ("listner:\n  host: a", "listner"),
            ("listener:\n  grpcport: 1", "grpcport"),
            ("listener:\n  log_level: info", "section logging"),
            ("listener:\n  dev: true", "flag"),
            ("listener:\n  host: [a, b]", "host"),
            ("listener: 3", "listener"),
            ("- 3", "sections"),
            ("listener: {", "line"),
        ] {
            assert!(error(yaml).contains(says), "{yaml}: {}", error(yaml));
        }
    }

    #[test]
    fn errors_do_not_show_values() {
        for yaml in [
            "secrets:\n  vault_token: [hunter2]",
            "secrets:\n  vault_token: hunter2: x",
        ] {
            assert!(!error(yaml).contains("hunter2"), "{}", error(yaml));
        }
    }
}
