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
    let value: Value = serde_yaml_ng::from_str(text).map_err(|cause| not_read(text, &cause))?;
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

/// Of what the library says nothing is shown but keys that are known: values stand in it, too.
fn not_read(text: &str, cause: &serde_yaml_ng::Error) -> String {
    let place = cause.location();
    let said = cause.to_string();
    let Some((_, twice)) = said.split_once("duplicate entry ") else {
        return match place {
            Some(place) => format!("line {}, column {}: not YAML", place.line(), place.column()),
            None => "not YAML".to_owned(),
        };
    };
    let twice = twice.split('"').nth(1).unwrap_or_default();
    let mut names = SETTINGS.iter().flat_map(|one| [one.section, one.key]);
    let Some(key) = names.find(|name| !name.is_empty() && *name == twice) else {
        return "a key that is none of the settings stands twice".to_owned();
    };
    let lines = place.and_then(|place| lines_of(key, text, place.line(), place.column()));
    match lines {
        Some((first, second)) => {
            format!("line {second}: {key} stands twice, at first in line {first}")
        }
        None => format!("{key} stands twice"),
    }
}

/// The first two lines that begin with a key, of a mapping that begins at this place: all that the
/// library knows of it. None where a line holds more than one.
fn lines_of(key: &str, text: &str, line: usize, column: usize) -> Option<(usize, usize)> {
    let is_its = |text: &str| {
        let (indent, rest) = text.split_at_checked(column - 1)?;
        let rest = rest.strip_prefix(key)?.trim_start();
        (indent.trim_start_matches(' ').is_empty() && rest.starts_with(':')).then_some(())
    };
    let mut lines = (1..).zip(text.lines()).skip(line - 1);
    let mut next = || lines.find_map(|(number, text)| is_its(text).map(|()| number));
    Some((next()?, next()?))
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
    fn a_key_that_stands_twice_is_named_with_its_lines_where_they_are_known() {
        for (yaml, says) in [
            (
                "# Ours.\ntls: {}\nlogging:\ntls:\n  disable_tls: true\n",
                "line 4: tls stands twice, at first in line 2",
            ),
            (
                "tls:\nlistener:\n  host: a\n  http_port: 1\n  host : b\n",
                "line 5: host stands twice, at first in line 3",
            ),
            ("listener: {host: a, host: b}", "host stands twice"),
            ("listener:\n  \"host\": a\n  host: b\n", "host stands twice"),
            (
                "tls:\n  hunter2: a\n  hunter2: b\n",
                "a key that is none of the settings stands twice",
            ),
            (
                "1: a\n1: b\n",
                "a key that is none of the settings stands twice",
            ),
        ] {
            assert_eq!(error(yaml), says, "{yaml}");
        }
    }

    #[test]
    fn errors_do_not_show_values() {
        for yaml in [
            "secrets:\n  vault_token: {hunter2, hunter2}",
            "secrets:\n  vault_token: [hunter2]",
            "secrets:\n  vault_token: hunter2: x",
        ] {
            assert!(!error(yaml).contains("hunter2"), "{}", error(yaml));
        }
    }
}
