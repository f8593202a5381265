//! What a record allows for a challenge, told only to who is on it.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tonic::{Code, Status};

use super::{
    client::{
        Client, both, request_id,
        v2::{
            self, authenticate_request::Message as Request,
            authenticate_response::Message as Answer,
        },
    },
    process::{Dev, record},
};

const SALT: &[u8] = b"sixteen bytes ok";

async fn refused(dev: &Dev, status: Status, code: Code, reason: &str) {
    assert_eq!(status.code(), code, "{status}");
    assert_eq!(dev.reason(&request_id(&status), "denied").await, reason);
}

fn plain(tls: bool, hash: &[u8]) -> v2::ScramStart {
    v2::ScramStart {
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
    let expected =
        approzium::wire::md5::response("legacy", super::process::PASSWORD.as_bytes(), [1, 2, 3, 4]);
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
async fn the_channel_binding_flag_is_postgresqls() {
    let dev = Dev::start(&record("app", "")).await;
    let client = Client::connect(&dev).await;
    let token = client.token(&dev, "checkout").await;
    let seen = [7; 32];
    for (start, mechanism, header) in [
        (
            both(&seen),
            "SCRAM-SHA-256-PLUS",
            "p=tls-server-end-point,,",
        ),
        (both(&[]), "SCRAM-SHA-256", "n,,"),
        (plain(true, &seen), "SCRAM-SHA-256", "y,,"),
        (plain(false, &[]), "SCRAM-SHA-256", "n,,"),
    ] {
        let (mut handshake, _) = client.accepted(&token, "app").await;
        let answer = handshake.ask(Request::ScramStart(start)).await.unwrap();
        let Answer::ScramClientFirst(first) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(first.mechanism, mechanism);
        let message = String::from_utf8(first.message).unwrap();
        assert!(message.starts_with(&format!("{header}n=,r=")), "{message}");
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
            v2::ScramStart {
                tls: false,
                ..both(&[7; 32])
            },
            Code::InvalidArgument,
            "malformed_challenge",
        ),
        (
            "bound",
            v2::ScramStart {
                mechanisms: vec!["GSSAPI".into()],
                ..both(&[7; 32])
            },
            Code::FailedPrecondition,
            impossible,
        ),
    ] {
        let (mut handshake, _) = client.accepted(&token, user).await;
        let status = handshake.ask(Request::ScramStart(start)).await.unwrap_err();
        refused(&dev, status, code, reason).await;
    }

    // The client did not say what it saw: the pin is what the proof is bound to.
    let (mut handshake, _) = client.accepted(&token, "pinned").await;
    handshake.ask(Request::ScramStart(both(&[]))).await.unwrap();
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
    let demanded = v2::ScramStart {
        require_channel_binding: true,
        ..plain(true, &[7; 32])
    };
    let status = handshake
        .ask(Request::ScramStart(demanded))
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
        handshake.ask(Request::ScramStart(both(&[]))).await.unwrap();
        let first = v2::ScramServerFirst {
            message: message.into(),
        };
        let status = handshake
            .ask(Request::ScramServerFirst(first))
            .await
            .unwrap_err();
        refused(&dev, status, Code::InvalidArgument, "malformed_challenge").await;
    }
}
