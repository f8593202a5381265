//! What an Authenticator must not say.

use super::*;
use crate::client::testing::client_first;

fn accepted(client_firsts: Vec<v2::ScramClientFirst>) -> Response {
    Response::Accepted(v2::HandshakeAccepted {
        request_id: REQUEST_ID.to_owned(),
        iam_arn: ARN.to_owned(),
        scram_client_first: client_firsts,
    })
}

fn is_found_out(error: &Error) {
    assert_eq!(
        (error.kind(), error.hop()),
        (&Kind::Protocol, Hop::Handshake),
        "{error}"
    );
    assert_eq!(error.request_id(), Some(REQUEST_ID));
}

#[tokio::test]
async fn a_lying_authenticator_is_found_out() {
    let behaviour = Behaviour::good();
    let server = Server::start(&behaviour);
    let client = server.client().build().unwrap();
    let offered = offered(&[PLUS, SCRAM]);
    let last = |message: &[u8], hash: &[u8]| {
        Response::ScramClientFinal(v2::ScramClientFinal {
            message: message.to_vec(),
            server_signature_sha256: hash.to_vec(),
        })
    };
    let lies = [
        last(b"", &[9; 32]),
        last(b"c=biws,r=abcdef,p=cHJvb2Y=", &[9; 31]),
        last(&[b'x'; 20_000], &[9; 32]),
        // More than a message of the Authenticator may have.
        last(&[b'x'; 100_000], &[9; 32]),
        Response::Accepted(v2::HandshakeAccepted::default()),
        Response::Md5Response(v2::Md5Response {
            password: "hunter2".to_owned(),
        }),
    ];
    for lie in lies {
        let mut handshake = open(&client).await.unwrap();
        behaviour.on_handshake(move |_| Reply::Say(lie.clone()));
        let answered = handshake.scram_server_first(&offered, SERVER_FIRST).await;
        is_found_out(&answered.unwrap_err());
        let error = handshake.md5([0; 4]).await;
        assert!(error.is_err());
        behaviour.on_handshake(answer);
    }
    behaviour.on_handshake(|_| {
        Reply::Say(Response::Accepted(v2::HandshakeAccepted {
            request_id: "\u{1b}[2J".to_owned(),
            iam_arn: ARN.to_owned(),
            ..v2::HandshakeAccepted::default()
        }))
    });
    assert_eq!(*open(&client).await.unwrap_err().kind(), Kind::Protocol);
}

#[tokio::test]
async fn what_it_would_begin_an_exchange_by_is_read_before_it_is_sent() {
    let behaviour = Behaviour::good();
    let server = Server::start(&behaviour);
    let client = server.client().build().unwrap();
    let n = client_first(SCRAM, b"n,,n=,r=abc");
    for lie in [
        vec![client_first("SCRAM-SHA-1", b"n,,n=,r=abc")],
        vec![client_first(SCRAM, b"")],
        vec![client_first(SCRAM, &[b'x'; 20_000])],
        vec![client_first(PLUS, b"n,,n=,r=abc")],
        vec![client_first(SCRAM, b"n,,n=,r=abc\0p")],
        vec![n.clone(), client_first(SCRAM, b"y,,n=,r=other")],
        vec![n; 5],
    ] {
        let lie = accepted(lie);
        behaviour.on_handshake(move |_| Reply::Say(lie.clone()));
        is_found_out(&open(&client).await.unwrap_err());
    }
    let long = accepted(vec![client_first(SCRAM, &[b'x'; 100_000])]);
    behaviour.on_handshake(move |_| Reply::Say(long.clone()));
    let error = open(&client).await.unwrap_err();
    assert_eq!(*error.kind(), Kind::Protocol, "{error}");
}

/// A record that allows nothing for what the database offers.
#[tokio::test]
async fn where_no_message_fits_the_authenticator_says_why() {
    let behaviour = Behaviour::good();
    let server = Server::start(&behaviour);
    let client = server.client().build().unwrap();
    // Channel binding is required, and not on offer.
    let offered = offered(&[SCRAM]);
    let mut handshake = open(&client).await.unwrap();
    assert_eq!(handshake.scram_start(&offered), None);
    behaviour.on_handshake(|_| Reply::Fail(testing::status(Code::FailedPrecondition, "why")));
    let error = handshake.scram_refused(&offered).await.unwrap_err();
    assert!(error.is_policy(), "{error}");
    assert_eq!(error.request_id(), Some(REQUEST_ID));
    eventually("the offer", || behaviour.seen().len() == 2).await;
    let seen = behaviour.seen();
    let Request::ScramServerFirst(asked) = &seen[1] else {
        panic!("{seen:?}");
    };
    assert!(asked.message.is_empty());
    assert_eq!(asked.offer.as_ref().unwrap().mechanisms, [SCRAM]);

    // It must not give a proof for it.
    behaviour.on_handshake(answer);
    let mut handshake = open(&client).await.unwrap();
    let refused = handshake.scram_refused(&offered).await;
    is_found_out(&refused.unwrap_err());
}
