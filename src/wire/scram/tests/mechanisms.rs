use super::super::{ChannelBinding, Error, Mechanism, Offer};

#[test]
fn mechanisms() {
    const PLAIN: &str = "SCRAM-SHA-256";
    const PLUS: &str = "SCRAM-SHA-256-PLUS";
    let digest = || Some(vec![7; 32]);
    let bound = ChannelBinding::TlsServerEndPoint(vec![7; 32]);
    for (tls, data, require, offered, selected) in [
        // PLUS where it can be had, in whatever order it is offered.
        (
            true,
            digest(),
            false,
            &[PLUS, PLAIN][..],
            Ok((PLUS, bound.clone())),
        ),
        (
            true,
            digest(),
            true,
            &[PLAIN, PLUS],
            Ok((PLUS, bound.clone())),
        ),
        (true, digest(), false, &[PLUS], Ok((PLUS, bound))),
        // Not offered: `y` says that we would have.
        (
            true,
            digest(),
            false,
            &[PLAIN],
            Ok((PLAIN, ChannelBinding::NotOffered)),
        ),
        // Offered, but this client cannot.
        (
            true,
            None,
            false,
            &[PLUS, PLAIN],
            Ok((PLAIN, ChannelBinding::NotSupported)),
        ),
        (true, None, false, &[PLUS], Err(Error::NoMechanism)),
        // Without TLS there is nothing to bind to.
        (
            false,
            None,
            false,
            &[PLAIN],
            Ok((PLAIN, ChannelBinding::NotSupported)),
        ),
        (
            false,
            digest(),
            false,
            &[PLAIN],
            Ok((PLAIN, ChannelBinding::NotSupported)),
        ),
        (
            false,
            digest(),
            false,
            &[PLUS, PLAIN],
            Err(Error::PlusWithoutTls),
        ),
        (
            false,
            None,
            true,
            &[PLAIN],
            Err(Error::ChannelBindingUnavailable),
        ),
        // Required.
        (
            true,
            digest(),
            true,
            &[PLAIN],
            Err(Error::ChannelBindingUnavailable),
        ),
        (
            true,
            None,
            true,
            &[PLUS, PLAIN],
            Err(Error::ChannelBindingUnavailable),
        ),
        // Names are compared as they are.
        (true, digest(), false, &[], Err(Error::NoMechanism)),
        (
            true,
            None,
            false,
            &["scram-sha-256"],
            Err(Error::NoMechanism),
        ),
        (
            true,
            None,
            false,
            &["SCRAM-SHA-1", "OAUTHBEARER"],
            Err(Error::NoMechanism),
        ),
        // A digest is as long as digests are.
        (
            true,
            Some(vec![]),
            false,
            &[PLUS],
            Err(Error::ChannelBindingData),
        ),
        (
            true,
            Some(vec![7; 27]),
            false,
            &[PLAIN],
            Err(Error::ChannelBindingData),
        ),
        (
            true,
            Some(vec![7; 65]),
            false,
            &[PLUS],
            Err(Error::ChannelBindingData),
        ),
    ] {
        let case = format!("{tls} {data:?} {require} {offered:?}");
        let offer = Offer {
            tls,
            tls_server_end_point: data,
            require_channel_binding: require,
        };
        let selected = selected.map(|(name, channel_binding)| {
            let mechanism = match name {
                PLUS => Mechanism::ScramSha256Plus,
                _ => Mechanism::ScramSha256,
            };
            assert_eq!(mechanism.to_string(), name);
            (mechanism, channel_binding)
        });
        assert_eq!(offer.select(offered.iter().copied()), selected, "{case}");
    }
}
