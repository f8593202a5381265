//! Which mechanism a record allows for what a database offers.

use super::refusal::Refusal;
use crate::{
    authenticator::{
        audit::Reason,
        secrets::{Method, Policy},
    },
    proto::v2::ScramStart,
    wire::scram::{ChannelBinding, Mechanism, Offer},
};

/// Chooses by PostgreSQL's rules among what the record allows.
///
/// Where the record pins certificates, one of those is what the proof is bound to, whatever the
/// client says it saw: at any other server such a proof fails.
pub(super) fn choose(
    policy: &Policy,
    start: ScramStart,
) -> Result<(Mechanism, ChannelBinding), Refusal> {
    let allows = |method| policy.methods.contains(&method);
    let (plain, plus) = (allows(Method::ScramSha256), allows(Method::ScramSha256Plus));
    if !plain && !plus {
        return Err(Refusal::policy(
            "the record does not allow SCRAM",
            Reason::MethodNotOnRecord,
        ));
    }
    let seen = Some(start.tls_server_end_point).filter(|seen| !seen.is_empty());
    let binding = match policy.pinned_certificates.as_slice() {
        [] => seen,
        pinned => Some(pin(pinned, seen)?),
    };
    let offer = Offer {
        tls: start.tls,
        // Where the record keeps the client from binding, it must not say `y`: the database may
        // have offered PLUS.
        tls_server_end_point: binding.filter(|_| plus),
        require_channel_binding: start.require_channel_binding || policy.demands_channel_binding(),
    };
    let offered: Vec<&str> = start
        .mechanisms
        .iter()
        .map(String::as_str)
        .filter(|name| plain || *name != Mechanism::ScramSha256.as_str())
        .filter(|name| plus || *name != Mechanism::ScramSha256Plus.as_str())
        .collect();
    if offered.is_empty() && !start.mechanisms.is_empty() {
        return Err(Refusal::policy(
            "the database offers no mechanism that the record allows",
            Reason::MethodNotOnRecord,
        ));
    }
    Ok(offer.select(offered)?)
}

fn pin(pinned: &[Vec<u8>], seen: Option<Vec<u8>>) -> Result<Vec<u8>, Refusal> {
    match (pinned, seen) {
        (_, Some(seen)) if pinned.contains(&seen) => Ok(seen),
        ([only], None) => Ok(only.clone()),
        _ => Err(Refusal::policy(
            "the database's certificate is none that the record pins",
            Reason::CertificateNotPinned,
        )),
    }
}

/// Whether a challenge is the one that the record expects.
pub(super) fn check_pins(policy: &Policy, salt: &[u8], iterations: u32) -> Result<(), Refusal> {
    let pinned_salt = policy.pinned_salt.as_deref();
    if pinned_salt.is_some_and(|pinned| pinned != salt) {
        return Err(Refusal::policy(
            "the database's salt is not the one that the record pins",
            Reason::SaltNotPinned,
        ));
    }
    if policy
        .pinned_iterations
        .is_some_and(|pinned| pinned != iterations)
    {
        return Err(Refusal::policy(
            "the database's iteration count is not the one that the record pins",
            Reason::IterationsNotPinned,
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authenticator::secrets::ChannelBindingPolicy;

    const PLAIN: &str = "SCRAM-SHA-256";
    const PLUS: &str = "SCRAM-SHA-256-PLUS";

    fn start(mechanisms: &[&str], tls: bool, seen: &[u8]) -> ScramStart {
        ScramStart {
            mechanisms: mechanisms.iter().map(|&name| name.to_owned()).collect(),
            tls,
            tls_server_end_point: seen.to_vec(),
            require_channel_binding: false,
        }
    }

    fn methods(methods: &[Method]) -> Policy {
        Policy {
            methods: methods.iter().copied().collect(),
            ..Policy::default()
        }
    }

    fn plus(hash: &[u8]) -> (Mechanism, ChannelBinding) {
        let binding = ChannelBinding::TlsServerEndPoint(hash.to_vec());
        (Mechanism::ScramSha256Plus, binding)
    }

    fn reason(result: Result<(Mechanism, ChannelBinding), Refusal>) -> Reason {
        result.unwrap_err().reason()
    }

    #[test]
    fn the_flag_follows_postgresqls_rules() {
        let any = Policy::default();
        let no_plus = methods(&[Method::ScramSha256]);
        let not_offered = (Mechanism::ScramSha256, ChannelBinding::NotOffered);
        let not_supported = (Mechanism::ScramSha256, ChannelBinding::NotSupported);
        let seen = &[7; 32][..];
        for (policy, mechanisms, tls, seen, expected) in [
            (&any, &[PLUS, PLAIN][..], true, seen, &plus(seen)),
            (&any, &[PLAIN], true, seen, &not_offered),
            (&any, &[PLUS, PLAIN], true, &[], &not_supported),
            (&any, &[PLAIN], false, seen, &not_supported),
            // `y` here would be a lie, and the database would end the login with 28000.
            (&no_plus, &[PLUS, PLAIN], true, seen, &not_supported),
        ] {
            let chosen = choose(policy, start(mechanisms, tls, seen)).unwrap();
            assert_eq!(chosen, *expected, "{mechanisms:?} {tls}");
        }
    }

    #[test]
    fn what_the_record_does_not_allow_is_not_done() {
        let only_md5 = methods(&[Method::Md5]);
        let only_plus = methods(&[Method::ScramSha256Plus]);
        for (policy, mechanisms, seen, expected) in [
            (
                &only_md5,
                &[PLUS, PLAIN][..],
                &[7; 32][..],
                Reason::MethodNotOnRecord,
            ),
            (&only_plus, &[PLAIN], &[7; 32], Reason::MethodNotOnRecord),
            (&only_plus, &[PLUS, PLAIN], &[], Reason::NoCommonMechanism),
        ] {
            let refused = choose(policy, start(mechanisms, true, seen));
            assert_eq!(reason(refused), expected);
        }
        let chosen = choose(&only_plus, start(&[PLUS, PLAIN], true, &[7; 32]));
        assert_eq!(chosen.unwrap(), plus(&[7; 32]));
    }

    #[test]
    fn a_required_binding_is_had_or_nothing() {
        let record = Policy {
            channel_binding: ChannelBindingPolicy::Require,
            ..Policy::default()
        };
        for impossible in [
            start(&[PLAIN], true, &[7; 32]),
            start(&[PLAIN], false, &[7; 32]),
            start(&[PLUS, PLAIN], true, &[]),
        ] {
            let refused = Reason::ChannelBindingImpossible;
            assert_eq!(reason(choose(&record, impossible.clone())), refused);
            let by_the_client = ScramStart {
                require_channel_binding: true,
                ..impossible
            };
            assert_eq!(reason(choose(&Policy::default(), by_the_client)), refused);
        }
        assert!(choose(&record, start(&[PLUS], true, &[7; 32])).is_ok());
    }

    #[test]
    fn a_pinned_certificate_is_what_the_proof_is_bound_to() {
        let both = [PLUS, PLAIN];
        let pins = |pinned_certificates: &[&[u8]]| Policy {
            pinned_certificates: pinned_certificates.iter().map(|pin| pin.to_vec()).collect(),
            ..Policy::default()
        };
        let one = pins(&[&[1; 32]]);
        let two = pins(&[&[1; 32], &[2; 48]]);
        assert_eq!(
            choose(&one, start(&both, true, &[])).unwrap(),
            plus(&[1; 32])
        );
        let second = choose(&two, start(&both, true, &[2; 48]));
        assert_eq!(second.unwrap(), plus(&[2; 48]));
        for refused in [
            choose(&one, start(&both, true, &[9; 32])),
            choose(&two, start(&both, true, &[])),
        ] {
            assert_eq!(reason(refused), Reason::CertificateNotPinned);
        }
        for impossible in [start(&[PLAIN], true, &[1; 32]), start(&[PLAIN], false, &[])] {
            let refused = choose(&one, impossible);
            assert_eq!(reason(refused), Reason::ChannelBindingImpossible);
        }
    }

    #[test]
    fn pinned_salt_and_iterations_are_exact() {
        let policy = Policy {
            pinned_salt: Some(b"salt".to_vec()),
            pinned_iterations: Some(5_000),
            ..Policy::default()
        };
        assert!(check_pins(&policy, b"salt", 5_000).is_ok());
        let reason = |salt: &[u8], i| check_pins(&policy, salt, i).unwrap_err().reason();
        assert_eq!(reason(b"pepper", 5_000), Reason::SaltNotPinned);
        assert_eq!(reason(b"salt", 4_096), Reason::IterationsNotPinned);
        assert!(check_pins(&Policy::default(), b"any", 4_096).is_ok());
    }
}
