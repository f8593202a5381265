//! Amazon Resource Names, as far as they name who somebody is.

use std::{error::Error as StdError, fmt, str::FromStr};

/// An Amazon Resource Name: `arn:partition:service:region:account:resource`.
///
/// Parsing bounds what follows: at most 2,048 visible ASCII characters, a known shape of partition,
/// an account of twelve digits. Comparison is by the whole text, case included.
///
/// ```
/// use approzium::identity::Arn;
///
/// let arn: Arn = "arn:aws:sts::123456789012:assumed-role/checkout/pod-7f".parse()?;
/// assert_eq!(arn.account(), "123456789012");
/// assert_eq!(arn.role_name(), Some("checkout"));
/// assert_eq!(arn.session_name(), Some("pod-7f"));
/// # Ok::<(), approzium::identity::InvalidArn>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Arn(String);

impl Arn {
    /// Parses an identity's ARN.
    ///
    /// # Errors
    /// [`InvalidArn`] says what is missing or malformed.
    pub fn parse(text: &str) -> Result<Self, InvalidArn> {
        if text.len() > 2048 {
            return Err(InvalidArn("it is longer than 2,048 bytes"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidArn("it has characters other than visible ASCII"));
        }
        let arn = Arn(text.to_owned());
        if arn.part(0) != "arn" || text.splitn(6, ':').count() != 6 {
            return Err(InvalidArn(
                "it is not of the form arn:partition:service:region:account:resource",
            ));
        }
        if !is_partition(arn.partition()) {
            return Err(InvalidArn("its partition is none of AWS's"));
        }
        if !is_account(arn.account()) {
            return Err(InvalidArn("its account is not twelve digits"));
        }
        if arn.resource().is_empty() {
            return Err(InvalidArn("it names no resource"));
        }
        Ok(arn)
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The partition: `aws`, `aws-cn`, `aws-us-gov`, …
    pub fn partition(&self) -> &str {
        self.part(1)
    }

    /// The service: `iam` or `sts` in every ARN of an identity.
    pub fn service(&self) -> &str {
        self.part(2)
    }

    /// The region; empty in every ARN of an identity.
    pub fn region(&self) -> &str {
        self.part(3)
    }

    /// The account, twelve digits.
    pub fn account(&self) -> &str {
        self.part(4)
    }

    /// What follows the account: `assumed-role/checkout/pod-7f`.
    pub fn resource(&self) -> &str {
        self.part(5)
    }

    /// The role's name, of a role (its path left out) or of an assumed role.
    pub fn role_name(&self) -> Option<&str> {
        if let Some((role, _)) = self.assumed_role() {
            return Some(role);
        }
        let path_and_name = self.iam_resource("role/")?;
        Some(path_and_name.rsplit('/').next().unwrap_or(path_and_name))
    }

    /// The session name of an assumed role. The caller chose it: it tells instances apart, and
    /// proves nothing.
    pub fn session_name(&self) -> Option<&str> {
        self.assumed_role().map(|(_, session)| session)
    }

    /// The user's name, its path left out.
    pub fn user_name(&self) -> Option<&str> {
        let path_and_name = self.iam_resource("user/")?;
        Some(path_and_name.rsplit('/').next().unwrap_or(path_and_name))
    }

    /// Role and session of `assumed-role/<role>/<session>`.
    pub(super) fn assumed_role(&self) -> Option<(&str, &str)> {
        self.sts_resource("assumed-role/")?.split_once('/')
    }

    pub(super) fn iam_resource(&self, kind: &str) -> Option<&str> {
        (self.service() == "iam" && self.region().is_empty())
            .then(|| self.resource().strip_prefix(kind))
            .flatten()
    }

    pub(super) fn sts_resource(&self, kind: &str) -> Option<&str> {
        (self.service() == "sts" && self.region().is_empty())
            .then(|| self.resource().strip_prefix(kind))
            .flatten()
    }

    fn part(&self, index: usize) -> &str {
        self.0.splitn(6, ':').nth(index).unwrap_or_default()
    }
}

/// [`Arn::role_name`] of a text that may be no ARN at all.
pub(crate) fn role_name(arn: &str) -> Option<String> {
    Arn::parse(arn).ok()?.role_name().map(str::to_owned)
}

fn is_partition(text: &str) -> bool {
    text.strip_prefix("aws").is_some_and(|rest| {
        rest.is_empty()
            || rest.strip_prefix('-').is_some_and(|name| {
                !name.is_empty()
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
            })
    })
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl FromStr for Arn {
    type Err = InvalidArn;

    fn from_str(text: &str) -> Result<Self, InvalidArn> {
        Arn::parse(text)
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Why a text is not the ARN of an identity. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidArn(pub(super) &'static str);

impl fmt::Display for InvalidArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not the ARN of an identity: {}", self.0)
    }
}

impl StdError for InvalidArn {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_role_and_session_apart() {
        let role = Arn::parse("arn:aws-cn:iam::123456789012:role/team/a/checkout").unwrap();
        assert_eq!(role.partition(), "aws-cn");
        assert_eq!(role.role_name(), Some("checkout"));
        assert_eq!(role.session_name(), None);
        let user = Arn::parse("arn:aws:iam::123456789012:user/team/ann").unwrap();
        assert_eq!((user.role_name(), user.user_name()), (None, Some("ann")));
    }

    #[test]
    fn refuses_what_is_no_identity() {
        let long = format!("arn:aws:iam::123456789012:role/{}", "x".repeat(2048));
        for text in [
            "",
            "arn",
            "arn:aws:iam::123456789012",
            "arn:aws:iam::123456789012:",
            "arn:aws:iam::12345678901:role/x",
            "arn:aws:iam::1234567890123:role/x",
            "arn:aws:iam::12345678901a:role/x",
            "arn:aws:iam::*:role/x",
            "arn::iam::123456789012:role/x",
            "arn:awsome:iam::123456789012:role/x",
            "arn:aws-:iam::123456789012:role/x",
            "ARN:aws:iam::123456789012:role/x",
            "arn:aws:iam::123456789012:role/x\n",
            "arn:aws:iam::123456789012:role/x y",
            "arn:aws:iam::123456789012:role/é",
            long.as_str(),
        ] {
            assert!(Arn::parse(text).is_err(), "{text:?}");
        }
    }
}
