//! Flag over environment over file; and, of what is found, where it stood.

use std::{collections::BTreeMap, ffi::OsString, fmt, path::PathBuf, str::FromStr, time::Duration};

use super::{
    file,
    settings::{self, SETTINGS},
};
use crate::{Error, Result, error::printable};

/// What was given, before anybody asked what it means.
#[derive(Debug, Default)]
pub(crate) struct Layers(BTreeMap<&'static str, Given>);

/// The texts given to one setting.
pub(super) struct Given {
    pub(super) texts: Vec<String>,
    pub(super) origin: Origin,
}

/// Where a setting was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(&'static str),
    Variable(&'static str),
    File {
        path: PathBuf,
        section: &'static str,
    },
}

impl Layers {
    /// Puts flags over variables over the file that they name.
    pub(super) fn collect(
        flags: &BTreeMap<&'static str, Vec<String>>,
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self> {
        let mut layers = Layers::default();
        if let Some([path]) = flags.get("config").map(Vec::as_slice) {
            layers.0 = file::read(path.as_ref())?;
        }
        for setting in SETTINGS {
            let flag = flags.get(setting.key).map(|texts| Given {
                texts: texts.clone(),
                origin: Origin::Flag(setting.key),
            });
            // Set to nothing is how many a platform says "not set".
            let variable = Some(setting.variable)
                .filter(|name| !name.is_empty())
                .and_then(variable)
                .filter(|text| !text.is_empty())
                .map(|text| {
                    text.into_string().map_err(|_| {
                        let (key, name) = (setting.key, setting.variable);
                        Error::configuration(format!("{key} (variable {name}): it is not UTF-8"))
                    })
                })
                .transpose()?
                .map(|text| Given {
                    texts: vec![text],
                    origin: Origin::Variable(setting.variable),
                });
            if let Some(given) = flag.or(variable) {
                layers.0.insert(setting.key, given);
            }
        }
        Ok(layers)
    }

    /// Where a setting was given, if it was.
    pub(crate) fn origin(&self, key: &str) -> Option<&Origin> {
        self.0.get(key).map(|given| &given.origin)
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.texts.first().map(String::as_str)
    }

    /// The items of a list; none if it was not given. To give one without items is a mistake.
    pub(super) fn list(&self, key: &str) -> Result<Vec<String>> {
        let Some(given) = self.0.get(key) else {
            return Ok(Vec::new());
        };
        let items: Vec<String> = given
            .texts
            .iter()
            .flat_map(|text| text.split(','))
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
            .collect();
        if items.is_empty() {
            return Err(self.error(key, "the list is empty"));
        }
        Ok(items)
    }

    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    /// A setting, as `read` understands it; `read` says what it would rather have.
    pub(super) fn get<T>(
        &self,
        key: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>> {
        self.text(key)
            .map(|text| read(text).map_err(|problem| self.error(key, problem)))
            .transpose()
    }

    pub(super) fn number<T: FromStr>(&self, key: &str, default: T) -> Result<T> {
        let read = |text: &str| {
            text.parse::<T>()
                .map_err(|_| format!("\"{}\" is not a number that fits here", printable(text)))
        };
        Ok(self.get(key, read)?.unwrap_or(default))
    }

    pub(super) fn duration(&self, key: &str, default: Duration) -> Result<Duration> {
        Ok(self.get(key, duration)?.unwrap_or(default))
    }

    pub(super) fn switch(&self, key: &str) -> Result<bool> {
        let read = |text: &str| match text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(format!("\"{}\" is neither true nor false", printable(text))),
        };
        Ok(self.get(key, read)?.unwrap_or(false))
    }

    /// An error of whoever knows a setting by its key alone, with the place where it was given.
    pub(super) fn located(&self, error: Error) -> Error {
        error.reworded(|message| {
            let (key, problem) = message.split_once(": ")?;
            let origin = self.origin(key)?;
            Some(format!("{key} ({origin}): {}", self.of_file(key, problem)))
        })
    }

    /// Which file of Vault's it is that is not there. What is no path may be the secret itself, in
    /// the wrong setting.
    fn of_file(&self, key: &str, problem: &str) -> String {
        const FILES: [&str; 3] = ["vault_token_path", "vault_secret_id_path", "vault_jwt_path"];
        match self.text(key) {
            Some(path) if FILES.contains(&key) && path.contains('/') && !problem.contains(path) => {
                format!("{}: {problem}", printable(path))
            }
            _ => problem.to_owned(),
        }
    }

    /// An error that names the setting and where it was given.
    pub(crate) fn error(&self, key: &str, problem: impl fmt::Display) -> Error {
        Error::configuration(match self.origin(key) {
            Some(origin) => format!("{key} ({origin}): {problem}"),
            None => format!("{key}: {problem}"),
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(key) => write!(f, "flag --{}", settings::flag(key)),
            Origin::Variable(name) => write!(f, "variable {name}"),
            Origin::File { path, section } => {
                write!(f, "{}, section {section}", path.display())
            }
        }
    }
}

/// Without the values: one of them may be a token.
impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin.fmt(f)
    }
}

/// `250ms`, `20s`, `15m`; a number alone is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text.get(digits.len()..).unwrap_or_default();
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| match unit {
            "ms" => Some(Duration::from_millis(number)),
            "" | "s" => Some(Duration::from_secs(number)),
            "m" => number.checked_mul(60).map(Duration::from_secs),
            _ => None,
        })
        .filter(|duration| !duration.is_zero() && *duration <= Duration::from_secs(86_400))
        .ok_or_else(|| {
            format!(
                "\"{}\" is not a time such as 250ms, 20s or 15m",
                printable(text)
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(duration("20"), Ok(Duration::from_secs(20)));
        assert_eq!(duration("15m"), Ok(Duration::from_secs(900)));
        for wrong in ["", "s", "0s", "-1s", "1h", "1.5s", "1 s", "99999999999m"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
