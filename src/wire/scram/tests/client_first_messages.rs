use crate::wire::scram::{
    ChannelBinding, ClientFirst, ClientFirstMessages, Error, Mechanism, Offer,
};

const PLAIN: &str = "SCRAM-SHA-256";
const PLUS: &str = "SCRAM-SHA-256-PLUS";
const P: (&str, &[u8]) = (PLUS, b"p=tls-server-end-point,,n=,r=abc");
const Y: (&str, &[u8]) = (PLAIN, b"y,,n=,r=abc");
const N: (&str, &[u8]) = (PLAIN, b"n,,n=,r=abc");

fn offer(tls: bool, digest: Option<[u8; 32]>) -> Offer {
    Offer {
        tls,
        tls_server_end_point: digest.map(Vec::from),
        require_channel_binding: false,
    }
}

#[test]
fn the_message_follows_the_offer() {
    let digest = Some([7; 32]);
    let all = &[P, Y, N][..];
    let unavailable = Error::ChannelBindingUnavailable;
    for (given, offer, offered, expected) in [
        (all, offer(true, digest), &[PLUS, PLAIN][..], Ok(P)),
        (all, offer(true, digest), &[PLAIN], Ok(Y)),
        (all, offer(true, None), &[PLUS, PLAIN], Ok(N)),
        (all, offer(false, None), &[PLAIN], Ok(N)),
        (
            all,
            offer(false, digest),
            &[PLUS],
            Err(Error::PlusWithoutTls),
        ),
        (all, offer(true, None), &[PLUS], Err(Error::NoMechanism)),
        // Who may not bind does not say `y`.
        (&[N], offer(true, digest), &[PLUS, PLAIN], Ok(N)),
        (&[N], offer(true, digest), &[PLAIN], Ok(N)),
        (&[N], offer(true, digest), &[PLUS], Err(Error::NoMechanism)),
        // Who must bind may leave it to the other side to know what to.
        (&[P], offer(true, digest), &[PLUS, PLAIN], Ok(P)),
        (&[P], offer(true, None), &[PLUS, PLAIN], Ok(P)),
        (&[P], offer(true, digest), &[PLAIN], Err(Error::NoMechanism)),
        (&[P], offer(true, None), &[PLAIN], Err(Error::NoMechanism)),
        (
            &[P],
            offer(false, None),
            &[PLUS],
            Err(Error::PlusWithoutTls),
        ),
        // Nothing else is made of what is missing.
        (
            &[P, N],
            offer(true, digest),
            &[PLAIN],
            Err(Error::NoMechanism),
        ),
        (
            &[],
            offer(true, digest),
            &[PLUS, PLAIN],
            Err(Error::NoMechanism),
        ),
        (
            all,
            offer(true, digest),
            &["GSSAPI"],
            Err(Error::NoMechanism),
        ),
        (
            all,
            Offer {
                require_channel_binding: true,
                ..offer(true, digest)
            },
            &[PLAIN],
            Err(unavailable),
        ),
    ] {
        let messages = ClientFirstMessages::parse(given.iter().copied()).unwrap();
        let selected = messages.select(offer.clone(), offered.iter().copied());
        let selected = selected.map(|(mechanism, message)| (mechanism.as_str(), message));
        assert_eq!(selected, expected, "{given:?} {offer:?} {offered:?}");
    }
}

#[test]
fn our_own_are_read() {
    let message = |channel_binding| {
        ClientFirst::new(channel_binding, [7; 18])
            .message()
            .to_vec()
    };
    let bound = message(ChannelBinding::TlsServerEndPoint(vec![7; 32]));
    let not_offered = message(ChannelBinding::NotOffered);
    let not_supported = message(ChannelBinding::NotSupported);
    let all = [
        (Mechanism::ScramSha256Plus.as_str(), bound.as_slice()),
        (Mechanism::ScramSha256.as_str(), not_offered.as_slice()),
        (Mechanism::ScramSha256.as_str(), not_supported.as_slice()),
    ];
    ClientFirstMessages::parse(all).unwrap();
}

#[test]
fn others_are_not() {
    let long = [b"n,,n=,r=".as_slice(), &[b'x'; 3_000]].concat();
    let cases: [&[(&str, &[u8])]; 15] = [
        &[("SCRAM-SHA-1", N.1)],
        &[("", N.1)],
        &[(PLAIN, b"")],
        &[(PLAIN, P.1)],
        &[(PLUS, N.1)],
        &[(PLUS, b"p=tls-unique,,n=,r=abc")],
        &[(PLAIN, b"n,,n=,r=")],
        &[(PLAIN, b"n,,n=someone,r=abc")],
        &[(PLAIN, b"n,,m=x,n=,r=abc")],
        &[(PLAIN, b"n,,n=,r=a,b=c")],
        &[(PLAIN, b"n,,n=,r=a\0")],
        &[(PLAIN, b"n,,n=,r=\xff")],
        &[(PLAIN, &long)],
        &[N, N],
        &[N, (PLAIN, b"y,,n=,r=abd")],
    ];
    for case in cases {
        let parsed = ClientFirstMessages::parse(case.iter().copied());
        assert_eq!(parsed, Err(Error::ClientFirstMessages), "{case:?}");
    }
}
