//! What a record allows for a challenge, told only to who is on it.

use std::collections::BTreeSet;

use approzium::wire::scram::Keys;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use tonic::{Code, Status};

use super::{
    client::{
        Client, both, challenge, request_id, start,
        v2::{
            self, authenticate_request::Message as Request,
            authenticate_response::Message as Answer,
        },
    },
    process::{Dev, PASSWORD, record, write_private},
};

const SALT: &[u8] = b"sixteen bytes ok";

async fn refused(dev: &Dev, status: Status, code: Code, reason: &str) {
    assert_eq!(status.code(), code, "{status}");
    assert_eq!(dev.reason(&request_id(&status), "denied").await, reason);
}

fn plain(tls: bool, hash: &[u8]) -> v2::ScramOffer {
    v2::ScramOffer {
        mechanisms: vec!["SCRAM-SHA-256".into()],
        tls,
        tls_server_end_point: hash.to_vec(),
        require_channel_binding: false,
    }
}

#[tokio::test]
async fn md5_is_answered_only_where_the_record_lists_it() {
    let records = record("app", "") + &record("legacy", ", methods: [md5]");
    let dev = Dev::start(&records).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    let md5 = |salt: &[u8]| {
        Request::Md5Challenge(v2::Md5Challenge {
            salt: salt.to_vec(),
        })
    };

    let (mut handshake, _) = client.accepted(&token, "app").await;
    let status = handshake.ask(md5(&[1, 2, 3, 4])).await.unwrap_err();
    refused(
        &dev,
        status,
        Code::FailedPrecondition,
        "method_not_on_record",
    )
    .await;

    let (mut handshake, id) = client.accepted(&token, "legacy").await;
    let Answer::Md5Response(response) = handshake.ask(md5(&[1, 2, 3, 4])).await.unwrap() else {
        panic!("no response");
    };
    let expected = approzium::wire::md5::response("legacy", PASSWORD.as_bytes(), [1, 2, 3, 4]);
    assert_eq!(response.password, expected);
    assert_eq!(dev.reason(&id, "allowed").await, "md5_answered");

    let (mut handshake, _) = client.accepted(&token, "legacy").await;
    let status = handshake.ask(md5(&[1, 2, 3])).await.unwrap_err();
    refused(&dev, status, Code::InvalidArgument, "malformed_challenge").await;

    let (mut handshake, _) = client.accepted(&token, "legacy").await;
    let scram = handshake.scram(both(&[]), SALT, 4096).await.unwrap_err();
    refused(
        &dev,
        scram,
        Code::FailedPrecondition,
        "method_not_on_record",
    )
    .await;
}

#[tokio::test]
async fn a_whole_account_is_let_in_only_where_a_record_says_so() {
    let who = |names: &str| {
        record("app", "").replace(
            "iam_arns: ['arn:aws:iam::000000000000:role/checkout']",
            names,
        )
    };
    let dev = Dev::start(&who("iam_accounts: ['000000000000']")).await;
    let client = Client::connect(&dev).await;
    let mut tokens = Vec::new();
    for name in ["checkout", "reporting"] {
        let token = client.token(&dev, name).await;
        client.accepted(&token, "app").await;
        tokens.push(token);
    }
    for names in [
        "iam_accounts: ['123456789012']",
        "iam_accounts: ['aws-cn:000000000000']",
        "iam_arns: ['arn:aws:iam::000000000000:root']",
    ] {
        write_private(&dev.records(), &who(names));
        for token in &tokens {
            let status = client.start(start(token, "app")).await.refusal().await;
            refused(&dev, status, Code::PermissionDenied, "not_on_record").await;
        }
    }
}

#[tokio::test]
async fn the_channel_binding_flag_is_postgresqls() {
    let dev = Dev::start(&record("app", "")).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    let seen = [7; 32];
    let bound = [&b"p=tls-server-end-point,,"[..], &seen].concat();
    for (offer, mechanism, cbind_input) in [
        (both(&seen), "SCRAM-SHA-256-PLUS", bound.as_slice()),
        (both(&[]), "SCRAM-SHA-256", b"n,,"),
        (plain(true, &seen), "SCRAM-SHA-256", b"y,,"),
        (plain(false, &[]), "SCRAM-SHA-256", b"n,,"),
    ] {
        let (mut handshake, id) = client.accepted(&token, "app").await;
        let proved = handshake.prove(offer, SALT, 4096).await.unwrap();
        assert_eq!(proved.cbind_input, cbind_input, "{mechanism}");
        let line = dev.audit(&id, "allowed").await;
        assert_eq!(line["detail"], mechanism);
    }
}

/// By what an exchange may begin is what the record allows, with one nonce for one stream.
#[tokio::test]
async fn a_record_says_how_an_exchange_may_begin() {
    let pin = "07".repeat(32);
    let records = record("app", "")
        + &record("plain", ", methods: [scram-sha-256]")
        + &record("plus", ", methods: [scram-sha-256-plus]")
        + &record("bound", ", channel_binding: require")
        + &record("pinned", &format!(", pinned_certificates: ['{pin}']"))
        + &record("legacy", ", methods: [md5]");
    let dev = Dev::start(&records).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    let p = ("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,");
    let (y, n) = (("SCRAM-SHA-256", "y,,"), ("SCRAM-SHA-256", "n,,"));
    let mut nonces = BTreeSet::new();
    for (user, expected) in [
        ("app", &[p, y, n][..]),
        ("app", &[p, y, n]),
        ("plain", &[n]),
        ("plus", &[p]),
        ("bound", &[p]),
        ("pinned", &[p]),
        ("legacy", &[]),
    ] {
        let (handshake, _) = client.accepted(&token, user).await;
        let given = handshake.client_first.iter();
        let given: Vec<(&str, &str, &str)> = given
            .map(|first| {
                let message = std::str::from_utf8(&first.message).unwrap();
                let (header, nonce) = message.split_once("n=,r=").unwrap();
                (first.mechanism.as_str(), header, nonce)
            })
            .collect();
        let begins: Vec<_> = given
            .iter()
            .map(|&(name, header, _)| (name, header))
            .collect();
        assert_eq!(begins, expected, "{user}");
        if let Some((.., nonce)) = given.first() {
            assert_eq!(BASE64_STANDARD.decode(nonce).unwrap().len(), 18);
            assert!(given.iter().all(|(.., other)| other == nonce), "{user}");
            assert!(nonces.insert((*nonce).to_owned()), "{nonce} comes twice");
        }
    }
}

#[tokio::test]
async fn a_record_can_demand_channel_binding() {
    let pin = "07".repeat(32);
    let records = record("bound", ", channel_binding: require")
        + &record("pinned", &format!(", pinned_certificates: ['{pin}']"));
    let dev = Dev::start(&records).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    let impossible = "channel_binding_impossible";
    for (user, start, code, reason) in [
        (
            "bound",
            plain(true, &[7; 32]),
            Code::FailedPrecondition,
            impossible,
        ),
        ("bound", both(&[]), Code::FailedPrecondition, impossible),
        (
            "pinned",
            plain(true, &[7; 32]),
            Code::FailedPrecondition,
            impossible,
        ),
        (
            "pinned",
            both(&[8; 32]),
            Code::FailedPrecondition,
            "certificate_not_pinned",
        ),
        (
            "bound",
            v2::ScramOffer {
                tls: false,
                ..both(&[7; 32])
            },
            Code::InvalidArgument,
            "malformed_challenge",
        ),
        (
            "bound",
            v2::ScramOffer {
                mechanisms: vec!["GSSAPI".into()],
                ..both(&[7; 32])
            },
            Code::FailedPrecondition,
            impossible,
        ),
    ] {
        let (mut handshake, _) = client.accepted(&token, user).await;
        // What the record refuses is said even where there is no server-first-message.
        let empty = challenge(start.clone(), b"");
        let good = challenge(start, handshake.server_first(SALT, 4096).as_bytes());
        let status = handshake.ask(good).await.unwrap_err();
        refused(&dev, status, code, reason).await;
        let (mut handshake, _) = client.accepted(&token, user).await;
        let status = handshake.ask(empty).await.unwrap_err();
        refused(&dev, status, code, reason).await;
    }

    // The client did not say what it saw: the pin is what the proof is bound to.
    let (mut handshake, _) = client.accepted(&token, "pinned").await;
    let proved = handshake.prove(both(&[]), SALT, 4096).await.unwrap();
    let bound = [&b"p=tls-server-end-point,,"[..], &[7; 32]].concat();
    assert_eq!(proved.cbind_input, bound);
    for user in ["bound", "pinned"] {
        let (mut handshake, _) = client.accepted(&token, user).await;
        handshake.scram(both(&[7; 32]), SALT, 4096).await.unwrap();
    }
}

#[tokio::test]
async fn a_client_can_demand_channel_binding_too() {
    let dev = Dev::start(&record("app", "")).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    let (mut handshake, _) = client.accepted(&token, "app").await;
    let demanded = v2::ScramOffer {
        require_channel_binding: true,
        ..plain(true, &[7; 32])
    };
    let message = handshake.server_first(SALT, 4096);
    let status = handshake
        .ask(challenge(demanded, message.as_bytes()))
        .await
        .unwrap_err();
    let reason = "channel_binding_impossible";
    refused(&dev, status, Code::FailedPrecondition, reason).await;
}

#[tokio::test]
async fn what_a_database_asks_for_is_bounded_and_can_be_pinned() {
    let salt = BASE64_STANDARD.encode(SALT);
    let pinned = format!(", pinned_salt: '{salt}', pinned_iterations: 5000");
    let dev = Dev::start(&(record("app", "") + &record("pinned", &pinned))).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    for (user, salt, iterations, code, reason) in [
        (
            "app",
            SALT,
            4_095,
            Code::InvalidArgument,
            "iterations_out_of_bounds",
        ),
        (
            "app",
            SALT,
            1,
            Code::InvalidArgument,
            "iterations_out_of_bounds",
        ),
        (
            "app",
            SALT,
            100_001,
            Code::InvalidArgument,
            "iterations_out_of_bounds",
        ),
        (
            "app",
            b"",
            4_096,
            Code::InvalidArgument,
            "malformed_challenge",
        ),
        (
            "pinned",
            b"another salt",
            5_000,
            Code::FailedPrecondition,
            "salt_not_pinned",
        ),
        (
            "pinned",
            SALT,
            4_096,
            Code::FailedPrecondition,
            "iterations_not_pinned",
        ),
    ] {
        let (mut handshake, _) = client.accepted(&token, user).await;
        let status = handshake
            .scram(both(&[]), salt, iterations)
            .await
            .unwrap_err();
        refused(&dev, status, code, reason).await;
    }
    let (mut handshake, _) = client.accepted(&token, "pinned").await;
    handshake.scram(both(&[]), SALT, 5_000).await.unwrap();
}

#[tokio::test]
async fn digests_answer_for_their_own_salt_and_iterations_alone() {
    let keys = Keys::derive(PASSWORD.as_bytes(), SALT, 5_000);
    let [salt, client_key, server_key] = [keys.salt(), keys.client_key(), keys.server_key()]
        .map(|part| BASE64_STANDARD.encode(part));
    let digests = format!(
        "scram_sha_256: {{salt: {salt}, iterations: 5000, client_key: {client_key}, server_key: \
         {server_key}}}"
    );
    let records = record("app", "").replace(&format!("password: {PASSWORD}"), &digests);
    assert!(records.contains(&digests));
    let dev = Dev::start(&records).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    for (salt, iterations) in [(&b"another salt"[..], 5_000), (SALT, 4_096)] {
        let (mut handshake, _) = client.accepted(&token, "app").await;
        let asked = handshake.scram(both(&[]), salt, iterations).await;
        let reason = "keys_of_another_challenge";
        refused(&dev, asked.unwrap_err(), Code::FailedPrecondition, reason).await;
    }
    let (mut handshake, _) = client.accepted(&token, "app").await;
    let md5 = Request::Md5Challenge(v2::Md5Challenge { salt: vec![1; 4] });
    let status = handshake.ask(md5).await.unwrap_err();
    let reason = "method_not_on_record";
    refused(&dev, status, Code::FailedPrecondition, reason).await;

    for offer in [both(&[7; 32]), plain(false, &[])] {
        let (mut handshake, id) = client.accepted(&token, "app").await;
        handshake.scram(offer, SALT, 5_000).await.unwrap();
        assert_eq!(dev.reason(&id, "allowed").await, "scram_answered");
    }
}

#[tokio::test]
async fn a_server_first_message_that_is_not_for_our_nonce_is_refused() {
    let dev = Dev::start(&record("app", "")).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    for message in [
        "",
        "r=theirs,s=c2FsdA==,i=4096",
        "m=x,r=theirs,s=c2FsdA==,i=4096",
        "\u{0}",
    ] {
        let (mut handshake, _) = client.accepted(&token, "app").await;
        let status = handshake
            .ask(challenge(both(&[]), message.as_bytes()))
            .await
            .unwrap_err();
        refused(&dev, status, Code::InvalidArgument, "malformed_challenge").await;
    }
}
