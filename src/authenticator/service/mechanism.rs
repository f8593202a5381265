//! Which mechanism a record allows for what a database offers.

use super::refusal::Refusal;
use crate::{
    authenticator::{
        audit::Reason,
        secrets::{Method, Policy},
    },
    proto::v2::{ScramClientFirst, ScramOffer},
    wire::scram::{ChannelBinding, ClientFirst, Mechanism, NONCE_LENGTH, Offer},
};

/// Chooses by PostgreSQL's rules among what the record allows.
///
/// Where the record pins certificates, one of those is what the proof is bound to, whatever the
/// client says it saw: at any other server such a proof fails.
pub(super) fn choose(
    policy: &Policy,
    offered: ScramOffer,
) -> Result<(Mechanism, ChannelBinding), Refusal> {
    let allows = |mechanism| allows(policy, mechanism);
    if !allows(Mechanism::ScramSha256) && !allows(Mechanism::ScramSha256Plus) {
        return Err(Refusal::policy(
            "the record does not allow SCRAM",
            Reason::MethodNotOnRecord,
        ));
    }
    let seen = Some(offered.tls_server_end_point).filter(|seen| !seen.is_empty());
    let binding = match policy.pinned_certificates.as_slice() {
        [] => seen,
        pinned => Some(pin(pinned, seen)?),
    };
    let offer = Offer {
        tls: offered.tls,
        tls_server_end_point: binding,
        require_channel_binding: offered.require_channel_binding
            || policy.demands_channel_binding(),
    };
    let mechanisms = offered.mechanisms.iter().map(String::as_str);
    let forbidden = |name| Mechanism::from_name(name).is_some_and(|mechanism| !allows(mechanism));
    if !offered.mechanisms.is_empty() && mechanisms.clone().all(forbidden) {
        return Err(Refusal::policy(
            "the database offers no mechanism that the record allows",
            Reason::MethodNotOnRecord,
        ));
    }
    Ok(offer.select_allowed(allows, mechanisms)?)
}

/// The client-first-messages of every exchange to which [`choose`] may come for this record.
pub(super) fn client_first_messages(
    policy: &Policy,
    nonce: [u8; NONCE_LENGTH],
) -> Vec<ScramClientFirst> {
    let plus = allows(policy, Mechanism::ScramSha256Plus);
    let plain = allows(policy, Mechanism::ScramSha256) && !policy.demands_channel_binding();
    // The digest itself is not in the message.
    let bound = ChannelBinding::TlsServerEndPoint(Vec::new());
    [
        (plus, Mechanism::ScramSha256Plus, bound),
        (
            plain && plus,
            Mechanism::ScramSha256,
            ChannelBinding::NotOffered,
        ),
        (plain, Mechanism::ScramSha256, ChannelBinding::NotSupported),
    ]
    .into_iter()
    .filter(|(may_be, ..)| *may_be)
    .map(|(_, mechanism, channel_binding)| ScramClientFirst {
        mechanism: mechanism.as_str().to_owned(),
        message: ClientFirst::new(channel_binding, nonce).message().to_vec(),
    })
    .collect()
}

fn allows(policy: &Policy, mechanism: Mechanism) -> bool {
    policy.methods.contains(&method(mechanism))
}

/// As records call it.
pub(super) fn method(mechanism: Mechanism) -> Method {
    match mechanism {
        Mechanism::ScramSha256 => Method::ScramSha256,
        Mechanism::ScramSha256Plus => Method::ScramSha256Plus,
    }
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
    use crate::{authenticator::secrets::ChannelBindingPolicy, wire::scram::ClientFirstMessages};

    const PLAIN: &str = "SCRAM-SHA-256";
    const PLUS: &str = "SCRAM-SHA-256-PLUS";

    fn start(mechanisms: &[&str], tls: bool, seen: &[u8]) -> ScramOffer {
        ScramOffer {
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
            let by_the_client = ScramOffer {
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

    /// The application begins the exchange on its own, and by its own reading of the offer.
    #[test]
    fn the_application_sends_the_message_that_is_gone_on_from() {
        let (digest, nonce) = (vec![7; 32], [5; NONCE_LENGTH]);
        let all_methods: [&[Method]; 4] = [
            &[Method::Md5],
            &[Method::ScramSha256],
            &[Method::ScramSha256Plus],
            &[Method::ScramSha256, Method::ScramSha256Plus],
        ];
        let mechanisms: [&[&str]; 5] = [
            &[],
            &["GSSAPI"],
            &[PLAIN],
            &[PLUS],
            &[PLUS, "GSSAPI", PLAIN],
        ];
        let pins = [
            vec![],
            vec![digest.clone()],
            vec![digest.clone(), vec![8; 32]],
        ];
        let booleans = [false, true];
        let mut agreed = 0;
        for (methods_of, pins, demands) in all_methods.iter().flat_map(|methods| {
            let pins = pins.iter();
            pins.flat_map(move |pins| booleans.map(|demands| (methods, pins, demands)))
        }) {
            let policy = Policy {
                pinned_certificates: pins.clone(),
                channel_binding: match demands {
                    true => ChannelBindingPolicy::Require,
                    false => ChannelBindingPolicy::Prefer,
                },
                ..methods(methods_of)
            };
            let given = client_first_messages(&policy, nonce);
            let given = given
                .iter()
                .map(|g| (g.mechanism.as_str(), g.message.as_slice()));
            let messages = ClientFirstMessages::parse(given).unwrap();
            for (offered, tls, seen, required) in mechanisms.iter().flat_map(|offered| {
                let seen = [vec![], digest.clone(), vec![9; 32], vec![1]];
                seen.into_iter().flat_map(move |seen| {
                    [(false, false), (false, true), (true, false), (true, true)]
                        .map(|(tls, required)| (offered, tls, seen.clone(), required))
                })
            }) {
                let offer = ScramOffer {
                    require_channel_binding: required,
                    ..start(offered, tls, &seen)
                };
                let connection = Offer {
                    tls,
                    tls_server_end_point: Some(seen).filter(|seen| !seen.is_empty()),
                    require_channel_binding: required,
                };
                let Ok((mechanism, channel_binding)) = choose(&policy, offer.clone()) else {
                    continue;
                };
                let chosen = ClientFirst::new(channel_binding, nonce);
                let sent = messages.select(connection, offered.iter().copied());
                assert_eq!(
                    sent,
                    Ok((mechanism, chosen.message())),
                    "{policy:?} {offer:?}"
                );
                agreed += 1;
            }
        }
        assert!(agreed > 50, "{agreed}");
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
