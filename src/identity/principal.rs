//! Whom a record names, whom STS vouches for, and when the two are the same.

use std::fmt;

use super::arn::{Arn, InvalidArn};

/// An identity to which a secrets record can give access.
///
/// Two principals match when they are equal, which compares partition and account always, and then
///
/// - a role by its **name**: STS leaves the path out of an assumed role's ARN, and a role's name is
///   unique in its account, so a path in a record is accepted and ignored;
/// - a user by its whole ARN, path included;
/// - the root user and federated users by their whole ARN: nobody is one of them by accident;
/// - a whole account, which [its own form](Principal::parse_account) alone can say, everybody in it.
///
/// There are no wildcards.
///
/// ```
/// use approzium::identity::{Principal, VerifiedIdentity};
///
/// let configured = Principal::parse("arn:aws:iam::123456789012:role/team/checkout")?;
/// let caller = VerifiedIdentity::new(
///     "arn:aws:sts::123456789012:assumed-role/checkout/pod-7f",
///     "AROAEXAMPLE:pod-7f",
/// )?;
/// assert!(configured.matches(&caller.principal));
/// # Ok::<(), approzium::identity::InvalidArn>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Principal {
    /// An IAM role, whoever assumed it and under whatever session name.
    Role {
        /// `aws`, `aws-cn`, …
        partition: String,
        /// Twelve digits.
        account: String,
        /// The role's name, without its path.
        name: String,
    },
    /// An IAM user.
    User {
        /// The whole ARN, path included.
        arn: Arn,
    },
    /// The root user of an account; not, as in IAM policies, everyone in that account.
    Root {
        /// `aws`, `aws-cn`, …
        partition: String,
        /// Twelve digits.
        account: String,
    },
    /// A user of `GetFederationToken`.
    FederatedUser {
        /// The whole ARN.
        arn: Arn,
    },
    /// Everybody in an account, its root user included. No caller is one.
    Account {
        /// `aws`, `aws-cn`, …
        partition: String,
        /// Twelve digits.
        account: String,
    },
}

impl Principal {
    /// The principal that an operator wrote into a record.
    ///
    /// # Errors
    /// [`InvalidArn`] for anything but a role, a user, a root user or a federated user. The ARN of
    /// an assumed role is refused, since the session in it would promise a check that means
    /// nothing: its caller chose it.
    pub fn parse(text: &str) -> Result<Self, InvalidArn> {
        let arn = Arn::parse(text)?;
        if arn.sts_resource("assumed-role/").is_some() {
            return Err(InvalidArn(
                "it names one session of a role, and a session's name proves nothing; \
                 write arn:aws:iam::ACCOUNT:role/NAME",
            ));
        }
        if let Some(path_and_name) = arn.iam_resource("role/") {
            let name = path_and_name.rsplit('/').next().unwrap_or_default();
            return Principal::role(&arn, name);
        }
        Principal::other_than_role(&arn)
    }

    /// A whole account, as an operator wrote it where nothing else can stand: its twelve digits, or
    /// `aws-cn:` (`aws-us-gov:`, …) and them.
    ///
    /// # Errors
    /// [`InvalidArn`] for anything else, an ARN included.
    pub fn parse_account(text: &str) -> Result<Self, InvalidArn> {
        let (partition, account) = text.split_once(':').unwrap_or(("aws", text));
        // What an ARN says of them is what may stand here.
        let root = format!("arn:{partition}:iam::{account}:root");
        match Arn::parse(&root).map(|arn| Principal::other_than_role(&arn)) {
            Ok(Ok(Principal::Root { partition, account })) => {
                Ok(Principal::Account { partition, account })
            }
            _ => Err(InvalidArn(
                "it is no account; write its twelve digits, in quotes, or aws-cn: before them",
            )),
        }
    }

    /// The principal behind an ARN that STS stated for a caller.
    ///
    /// # Errors
    /// [`InvalidArn`] for an ARN that GetCallerIdentity does not state.
    pub(crate) fn of_caller(arn: &Arn) -> Result<Self, InvalidArn> {
        if let Some((role, session)) = arn.assumed_role() {
            if !is_iam_name(session) {
                return Err(InvalidArn("its session name is malformed"));
            }
            return Principal::role(arn, role);
        }
        Principal::other_than_role(arn)
    }

    /// Whether both are the same identity, or the other one is of this account.
    pub fn matches(&self, other: &Principal) -> bool {
        match self {
            Principal::Account { partition, account } => {
                partition == other.partition() && account == other.account()
            }
            _ => self == other,
        }
    }

    /// Everybody in its account.
    #[cfg(feature = "authenticator")]
    pub(crate) fn whole_account(&self) -> Principal {
        Principal::Account {
            partition: self.partition().to_owned(),
            account: self.account().to_owned(),
        }
    }

    /// The partition: identities of different partitions have nothing to do with each other.
    pub fn partition(&self) -> &str {
        match self {
            Principal::Role { partition, .. }
            | Principal::Root { partition, .. }
            | Principal::Account { partition, .. } => partition,
            Principal::User { arn } | Principal::FederatedUser { arn } => arn.partition(),
        }
    }

    /// The account, twelve digits.
    pub fn account(&self) -> &str {
        match self {
            Principal::Role { account, .. }
            | Principal::Root { account, .. }
            | Principal::Account { account, .. } => account,
            Principal::User { arn } | Principal::FederatedUser { arn } => arn.account(),
        }
    }

    /// The role's name, if this is a role.
    pub fn role_name(&self) -> Option<&str> {
        match self {
            Principal::Role { name, .. } => Some(name),
            _ => None,
        }
    }

    fn role(arn: &Arn, name: &str) -> Result<Self, InvalidArn> {
        if !is_iam_name(name) {
            return Err(InvalidArn("its role name is malformed"));
        }
        Ok(Principal::Role {
            partition: arn.partition().to_owned(),
            account: arn.account().to_owned(),
            name: name.to_owned(),
        })
    }

    fn other_than_role(arn: &Arn) -> Result<Self, InvalidArn> {
        if let Some(path_and_name) = arn.iam_resource("user/") {
            let name = path_and_name.rsplit('/').next().unwrap_or_default();
            return if is_iam_name(name) {
                Ok(Principal::User { arn: arn.clone() })
            } else {
                Err(InvalidArn("its user name is malformed"))
            };
        }
        if arn.iam_resource("root") == Some("") {
            return Ok(Principal::Root {
                partition: arn.partition().to_owned(),
                account: arn.account().to_owned(),
            });
        }
        if arn.sts_resource("federated-user/").is_some_and(is_iam_name) {
            return Ok(Principal::FederatedUser { arn: arn.clone() });
        }
        Err(InvalidArn(
            "it is none of role, user, root and federated-user",
        ))
    }
}

/// As an ARN; that of a role has no path. A whole account as [`Principal::parse_account`] reads it.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Principal::Role {
                partition,
                account,
                name,
            } => write!(f, "arn:{partition}:iam::{account}:role/{name}"),
            Principal::Root { partition, account } => {
                write!(f, "arn:{partition}:iam::{account}:root")
            }
            Principal::User { arn } | Principal::FederatedUser { arn } => arn.fmt(f),
            Principal::Account { partition, account } => write!(f, "{partition}:{account}"),
        }
    }
}

/// IAM's `[\w+=,.@-]+`, for names of roles, users and sessions.
fn is_iam_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
}

/// An identity that its cloud vouched for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedIdentity {
    /// The ARN as STS stated it, with the session of an assumed role.
    pub arn: String,
    /// STS's UserId: the unique id, and for an assumed role `:` and the session.
    pub user_id: String,
    /// What records are compared with.
    pub principal: Principal,
}

impl VerifiedIdentity {
    /// The identity that STS, or a session token that this Authenticator made, states.
    ///
    /// # Errors
    /// [`InvalidArn`] if the ARN is none that a caller can have, or the UserId is malformed.
    pub fn new(arn: &str, user_id: &str) -> Result<Self, InvalidArn> {
        let parsed = Arn::parse(arn)?;
        let plausible = (1..=256).contains(&user_id.len())
            && user_id.bytes().all(|byte| byte.is_ascii_graphic());
        if !plausible {
            return Err(InvalidArn("the UserId beside it is malformed"));
        }
        Ok(VerifiedIdentity {
            principal: Principal::of_caller(&parsed)?,
            arn: arn.to_owned(),
            user_id: user_id.to_owned(),
        })
    }

    /// The unique id alone (`AROA…`, `AIDA…`), which changes when a role is deleted and made again:
    /// what a record pins.
    pub fn unique_id(&self) -> &str {
        self.user_id
            .split_once(':')
            .map_or(self.user_id.as_str(), |(id, _)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(arn: &str) -> Principal {
        VerifiedIdentity::new(arn, "AROAEXAMPLE:s")
            .unwrap()
            .principal
    }

    #[test]
    fn a_role_matches_by_partition_account_and_name() {
        let checkout = caller("arn:aws:sts::123456789012:assumed-role/checkout/pod-7f");
        for (configured, same) in [
            ("arn:aws:iam::123456789012:role/checkout", true),
            ("arn:aws:iam::123456789012:role/team/a/checkout", true),
            ("arn:aws:iam::123456789012:role/checkout/reporting", false),
            ("arn:aws:iam::123456789012:role/Checkout", false),
            ("arn:aws:iam::210987654321:role/checkout", false),
            ("arn:aws-cn:iam::123456789012:role/checkout", false),
            ("arn:aws:iam::123456789012:user/checkout", false),
            ("arn:aws:iam::123456789012:root", false),
        ] {
            let configured = Principal::parse(configured).unwrap();
            assert_eq!(configured.matches(&checkout), same, "{configured}");
        }
    }

    #[test]
    fn users_root_and_federated_users_match_by_their_whole_arn() {
        let listed = |text: &str| Principal::parse(text).unwrap();
        let ann = caller("arn:aws:iam::123456789012:user/team/ann");
        assert!(listed("arn:aws:iam::123456789012:user/team/ann").matches(&ann));
        assert!(!listed("arn:aws:iam::123456789012:user/ann").matches(&ann));

        let root = caller("arn:aws:iam::123456789012:root");
        assert!(listed("arn:aws:iam::123456789012:root").matches(&root));
        assert!(!listed("arn:aws:iam::210987654321:root").matches(&root));

        let federated = caller("arn:aws:sts::123456789012:federated-user/bob");
        assert!(listed("arn:aws:sts::123456789012:federated-user/bob").matches(&federated));
        assert!(!listed("arn:aws:iam::123456789012:user/bob").matches(&federated));
    }

    #[test]
    fn a_whole_account_is_everybody_in_it_and_said_by_its_own_form_alone() {
        let everybody = Principal::parse_account("123456789012").unwrap();
        assert_eq!(everybody.to_string(), "aws:123456789012");
        for (arn, inside) in [
            ("arn:aws:sts::123456789012:assumed-role/checkout/s", true),
            ("arn:aws:iam::123456789012:user/team/ann", true),
            ("arn:aws:iam::123456789012:root", true),
            ("arn:aws:sts::123456789012:federated-user/bob", true),
            ("arn:aws:iam::210987654321:root", false),
            (
                "arn:aws-cn:sts::123456789012:assumed-role/checkout/s",
                false,
            ),
        ] {
            assert_eq!(everybody.matches(&caller(arn)), inside, "{arn}");
            assert!(!caller(arn).matches(&everybody), "{arn}");
        }
        let china = Principal::parse_account("aws-cn:123456789012").unwrap();
        assert!(china.matches(&caller(
            "arn:aws-cn:sts::123456789012:assumed-role/checkout/s"
        )));
        for text in [
            "",
            "*",
            "aws:*",
            "12345678901",
            "1234567890123",
            "arn:aws:iam::123456789012:root",
            "arn:aws:iam::123456789012:role/checkout",
            "123456789012:root",
            "aws:123456789012:",
        ] {
            assert!(Principal::parse_account(text).is_err(), "{text}");
        }
        assert!(Principal::parse("aws:123456789012").is_err());
    }

    #[test]
    fn records_cannot_name_sessions_wildcards_or_other_things() {
        for text in [
            "arn:aws:sts::123456789012:assumed-role/checkout/pod-7f",
            "arn:aws:sts::123456789012:assumed-role/checkout",
            "arn:aws:iam::123456789012:role/*",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:role/team/",
            "arn:aws:iam:us-east-1:123456789012:role/checkout",
            "arn:aws:iam::123456789012:group/team",
            "arn:aws:iam::123456789012:rooted",
            "arn:aws:sts::123456789012:role/checkout",
            "arn:aws:iam::123456789012:assumed-role/checkout/pod",
            "123456789012",
            "*",
        ] {
            assert!(Principal::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn callers_that_sts_does_not_state_are_refused() {
        for arn in [
            "arn:aws:sts::123456789012:assumed-role/checkout",
            "arn:aws:sts::123456789012:assumed-role/checkout/",
            "arn:aws:sts::123456789012:assumed-role/a/b/c",
            "arn:aws:sts::123456789012:assumed-role/aws:ec2-instance/i-1",
            "arn:aws:iam::123456789012:role/checkout",
        ] {
            assert!(
                VerifiedIdentity::new(arn, "AROAEXAMPLE:s").is_err(),
                "{arn}"
            );
        }
        let arn = "arn:aws:iam::123456789012:user/ann";
        for user_id in ["", "a b", "a\n", &"x".repeat(257)] {
            assert!(VerifiedIdentity::new(arn, user_id).is_err(), "{user_id:?}");
        }
    }

    #[test]
    fn the_unique_id_stands_before_the_session() {
        let identity = VerifiedIdentity::new(
            "arn:aws:sts::123456789012:assumed-role/checkout/pod-7f",
            "AROAEXAMPLE:pod-7f",
        )
        .unwrap();
        assert_eq!(identity.unique_id(), "AROAEXAMPLE");
        assert_eq!(
            identity.principal.to_string(),
            "arn:aws:iam::123456789012:role/checkout"
        );
    }
}
