//! Which ways of authenticating are accepted of a server.

use std::{fmt, str::FromStr};

use crate::{Error, Result};

/// The ways in which a server may authenticate the client: libpq's `require_auth`.
///
/// Parsed from a comma-separated list of `scram-sha-256`, `md5` and `none`. `none` accepts a server
/// that asks for nothing, as with `trust` or `cert` in its `pg_hba.conf`; the Authenticator is then
/// not asked either. A list of methods that each begin with `!` is the default without them.
///
/// Unlike libpq's, the default is not "anything", and `none` is accepted only where it stands in
/// the list: a server that asks for nothing has not shown that it knows the password either.
///
/// ```
/// use approzium::postgres::RequireAuth;
///
/// let methods: RequireAuth = "scram-sha-256,none".parse()?;
/// assert!(methods.scram_sha_256() && methods.none() && !methods.md5());
/// # Ok::<(), approzium::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequireAuth {
    scram_sha_256: bool,
    md5: bool,
    none: bool,
}

impl RequireAuth {
    /// Whether SCRAM-SHA-256 (with or without channel binding) is accepted.
    pub fn scram_sha_256(self) -> bool {
        self.scram_sha_256
    }

    /// Whether MD5 is accepted.
    pub fn md5(self) -> bool {
        self.md5
    }

    /// Whether a server that asks for nothing is accepted.
    pub fn none(self) -> bool {
        self.none
    }
}

/// SCRAM-SHA-256 and MD5. Whether MD5 is answered is then for the Authenticator's record to say.
impl Default for RequireAuth {
    fn default() -> Self {
        RequireAuth {
            scram_sha_256: true,
            md5: true,
            none: false,
        }
    }
}

impl FromStr for RequireAuth {
    type Err = Error;

    fn from_str(list: &str) -> Result<Self> {
        if list.trim().is_empty() {
            return Ok(RequireAuth::default());
        }
        let negated = list.trim_start().starts_with('!');
        let mut methods = if negated {
            RequireAuth::default()
        } else {
            RequireAuth {
                scram_sha_256: false,
                md5: false,
                none: false,
            }
        };
        for method in list.split(',').map(str::trim) {
            let (excluded, method) = match method.strip_prefix('!') {
                Some(method) => (true, method),
                None => (false, method),
            };
            if excluded != negated {
                return Err(Error::configuration(
                    "require_auth: methods to accept and methods to refuse (!) cannot be mixed",
                ));
            }
            match method {
                "scram-sha-256" => methods.scram_sha_256 = !negated,
                "md5" => methods.md5 = !negated,
                "none" => methods.none = !negated,
                // Never answered anyway, so that refusing them is no error.
                "password" | "gss" | "sspi" | "oauth" if negated => {}
                "password" => {
                    return Err(Error::configuration(
                        "require_auth: password sends the password itself, which only the \
                         Authenticator has and never gives away",
                    ));
                }
                "gss" | "sspi" | "oauth" => {
                    return Err(Error::configuration(format!(
                        "require_auth: {method} is not supported"
                    ))
                    .with_help("the methods are scram-sha-256, md5 and none"));
                }
                _ => {
                    return Err(Error::configuration("require_auth: unknown method")
                        .with_help("the methods are scram-sha-256, md5 and none"));
                }
            }
        }
        if !(methods.scram_sha_256 || methods.md5 || methods.none) {
            return Err(Error::configuration("require_auth: no method is left"));
        }
        Ok(methods)
    }
}

impl fmt::Display for RequireAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (accepted, name) in [
            (self.scram_sha_256, "scram-sha-256"),
            (self.md5, "md5"),
            (self.none, "none"),
        ] {
            if accepted {
                write!(f, "{separator}{name}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}
