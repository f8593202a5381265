//! The little that attribution reads from ARNs that it did not verify.

use super::report::Iam;

/// An Amazon Resource Name, apart: `arn:partition:service:region:account:resource`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub(super) partition: &'a str,
    pub(super) service: &'a str,
    pub(super) region: &'a str,
    pub(super) account: &'a str,
    pub(super) resource: &'a str,
}

impl<'a> Parts<'a> {
    pub(super) fn of(arn: &'a str) -> Option<Self> {
        let mut parts = arn.splitn(6, ':');
        let scheme = parts.next()?;
        let [partition, service, region, account, resource] = [
            parts.next()?,
            parts.next()?,
            parts.next()?,
            parts.next()?,
            parts.next()?,
        ];
        let complete = scheme == "arn" && ![partition, service, resource].contains(&"");
        complete.then_some(Parts {
            partition,
            service,
            region,
            account,
            resource,
        })
    }
}

/// The role and the session that an IAM or STS ARN names.
///
/// STS leaves the path of an assumed role out, so a role's own ARN is read without it too.
pub(super) fn role_and_session(parts: &Parts<'_>) -> (Option<String>, Option<String>) {
    let mut segments = parts.resource.split('/');
    match (parts.service, segments.next()) {
        ("sts", Some("assumed-role")) => (
            segments.next().map(str::to_owned),
            segments.next().map(str::to_owned),
        ),
        ("iam", Some("role")) => (segments.next_back().map(str::to_owned), None),
        _ => (None, None),
    }
}

/// The ARN of a role's session, as GetCallerIdentity would say it.
pub(super) fn assumed_role(role_arn: &str, session: &str) -> Option<String> {
    let parts = Parts::of(role_arn)?;
    let (Some(role), None) = role_and_session(&parts) else {
        return None;
    };
    let Parts {
        partition, account, ..
    } = parts;
    Some(format!(
        "arn:{partition}:sts::{account}:assumed-role/{role}/{session}"
    ))
}

/// The partition of a region, for the ARNs that AWS leaves to be put together.
pub(super) fn partition_of(region: &str) -> &'static str {
    const PREFIXES: [(&str, &str); 7] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-isof-", "aws-iso-f"),
        ("eusc-", "aws-eusc"),
    ];
    PREFIXES
        .iter()
        .find(|(prefix, _)| region.starts_with(prefix))
        .map_or("aws", |(_, partition)| partition)
}

impl Iam {
    pub(super) fn from_arn(arn: &str, verified: bool) -> Option<Iam> {
        let parts = Parts::of(arn)?;
        let (role, session) = role_and_session(&parts);
        Some(Iam {
            arn: arn.to_owned(),
            account: parts.account.to_owned(),
            role,
            session,
            verified,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_role_and_session_are_told_apart() {
        let read = |arn: &str| {
            let iam = Iam::from_arn(arn, false)?;
            Some((iam.account, iam.role, iam.session))
        };
        let some = |text: &str| Some(text.to_owned());
        let account = || "111122223333".to_owned();
        assert_eq!(
            read("arn:aws:sts::111122223333:assumed-role/checkout/i-0abc"),
            Some((account(), some("checkout"), some("i-0abc")))
        );
        assert_eq!(
            read("arn:aws-us-gov:iam::111122223333:role/team/deep/checkout"),
            Some((account(), some("checkout"), None))
        );
        assert_eq!(
            read("arn:aws:iam::111122223333:user/alice"),
            Some((account(), None, None))
        );
        assert_eq!(
            read("arn:aws:sts::111122223333:federated-user/bob"),
            Some((account(), None, None))
        );
        for nonsense in [
            "",
            "arn",
            "arn:aws:iam::1",
            "urn:aws:iam::1:role/x",
            "arn::::1:x",
        ] {
            assert_eq!(read(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn a_session_of_a_role_with_a_path_loses_the_path() {
        assert_eq!(
            assumed_role("arn:aws:iam::111122223333:role/team/web", "s1").as_deref(),
            Some("arn:aws:sts::111122223333:assumed-role/web/s1")
        );
        assert_eq!(assumed_role("arn:aws:iam::111122223333:user/x", "s"), None);
    }

    #[test]
    fn regions_lie_in_partitions() {
        assert_eq!(partition_of("eu-west-1"), "aws");
        assert_eq!(partition_of("us-gov-west-1"), "aws-us-gov");
        assert_eq!(partition_of("us-isob-east-1"), "aws-iso-b");
        assert_eq!(partition_of("cn-north-1"), "aws-cn");
    }
}
