//! Verified identities that are not on the record.

use approzium_peers::{Moto, moto::ACCOUNT, peer};
use tonic::Code;

use super::{
    House, Log, dev_signer, dev_sts,
    proofs::{keys, verifier},
};
use crate::authenticator::{
    client::{
        Client, Told, both, challenge as scram_challenge, request_id, signer_of, start,
        v2::{self, authenticate_request::Message as Request},
    },
    process::{PASSWORD, record, write_private},
};

const OTHER_ACCOUNT: &str = "210987654321";

fn record_of(user: &str, principal: &str) -> String {
    record(user, "").replace("arn:aws:iam::000000000000:role/checkout", principal)
}

#[tokio::test]
async fn who_is_not_on_a_record_is_told_what_is_told_where_there_is_none() {
    let moto = peer!(Moto::start());
    let (log, _recording) = Log::start();
    let role = format!("arn:aws:iam::{ACCOUNT}:role/team/checkout");
    let records = [
        record_of("app", &role),
        record_of(
            "elsewhere",
            &format!("arn:aws:iam::{OTHER_ACCOUNT}:role/checkout"),
        ),
        record_of("china", &format!("arn:aws-cn:iam::{ACCOUNT}:role/checkout")),
        record_of("person", &format!("arn:aws:iam::{ACCOUNT}:user/checkout")),
        record_of("root", &format!("arn:aws:iam::{ACCOUNT}:root")),
        record_of("made_anew", &role).replace(" }", ", user_ids: [AROAANOTHER] }"),
        record_of("legacy", &format!("arn:aws:iam::{ACCOUNT}:role/legacy"))
            .replace(" }", ", methods: [md5] }"),
    ];
    let house = House::start(verifier(&moto), &records.concat()).await;
    let client = house.client().await;
    let token = async |account: &str, role: &str| {
        let credentials = moto
            .assumed_role(account, "/", role, "pod-7f")
            .await
            .unwrap();
        let grant = client.session(&signer_of(keys(&credentials)).await).await;
        (grant.session_token, credentials.arn)
    };
    let checkout = token(ACCOUNT, "checkout").await;
    let namesake = token(OTHER_ACCOUNT, "checkout").await;
    let reporting = token(ACCOUNT, "reporting").await;
    let person = moto.user("checkout").await.unwrap();
    let grant = client.session(&signer_of(keys(&person)).await).await;
    let person = (grant.session_token, person.arn);

    let absent = refused(&log, &client, &checkout, "nobody", "no_record").await;
    assert_eq!(absent.status.code, Code::PermissionDenied);
    assert_eq!(absent.messages, 0);
    for (who, user, reason) in [
        (&reporting, "nobody", "no_record"),
        (&reporting, "app", "not_on_record"),
        (&namesake, "app", "not_on_record"),
        (&person, "app", "not_on_record"),
        (&checkout, "elsewhere", "not_on_record"),
        (&checkout, "china", "not_on_record"),
        (&checkout, "person", "not_on_record"),
        (&checkout, "root", "not_on_record"),
        (&checkout, "made_anew", "other_user_id"),
        (&checkout, "legacy", "not_on_record"),
    ] {
        let told = refused(&log, &client, who, user, reason).await;
        let context = format!("{} as {user}", who.1);
        assert_eq!(told.status, absent.status, "{context}");
        assert_eq!(told.headers, absent.headers, "{context}");
        assert_eq!(told.messages, absent.messages, "{context}");
        assert_eq!(told.request_id.len(), absent.request_id.len());
    }

    // Each is let in where he is named.
    for (who, user) in [
        (&checkout, "app"),
        (&namesake, "elsewhere"),
        (&person, "person"),
    ] {
        client.accepted(&who.0, user).await;
    }
}

/// A handshake that is to be refused, and its line in the audit log.
async fn refused(
    log: &Log,
    client: &Client,
    (token, arn): &(String, String),
    user: &str,
    reason: &str,
) -> Told {
    let told = client.start(start(token, user)).await.told().await;
    let line = log.audit(&told.request_id, "denied").await;
    assert_eq!(line["reason"], reason, "{arn} as {user}");
    assert_eq!(line["iam_arn"], *arn);
    assert!(line["user_id"].is_string(), "{line}");
    assert_eq!(line["dbuser"], user);
    assert_eq!(line["dbhost"], "db.example");
    told
}

#[tokio::test]
async fn records_are_looked_up_for_nobody_who_is_not_verified() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let house = House::start(sts.verifier(), &record("app", "")).await;
    let client = house.client().await;
    let signer = dev_signer(&sts, "checkout").await;
    let token = client.session(&signer).await.session_token;
    // Whoever looks now does not find the records.
    write_private(&house.secrets(), &format!("- {{password: {PASSWORD}"));

    let malformed = v2::HandshakeStart {
        port: 0,
        user: "a\nb".into(),
        ..start("forged", "app")
    };
    for begin in [start("forged", "app"), start("", "nobody"), malformed] {
        let told = client.start(begin).await.told().await;
        assert_eq!(told.status.code, Code::Unauthenticated);
        assert_eq!(log.reason(&told.request_id, "denied").await, "token_forged");
    }
    let attempts = "approzium_total_password_retrieval_attempts";
    assert_eq!(house.metric(attempts).await, 0.0);

    let status = client.start(start(&token, "app")).await.refusal().await;
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(!status.message().contains("secrets.yaml"), "{status}");
    let reason = log.reason(&request_id(&status), "failed").await;
    assert_eq!(reason, "secrets_malformed");
    assert_eq!(house.metric(attempts).await, 1.0);
}

/// A client may take minutes between its start and its challenge. What counts is who is on the
/// record, and what it allows, when an answer is given.
#[tokio::test]
async fn an_answer_is_given_by_the_record_as_it_is_then() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let before = record("app", ", methods: [md5, scram-sha-256, scram-sha-256-plus]");
    let house = House::start(sts.verifier(), &before).await;
    let client = house.client().await;
    let signer = dev_signer(&sts, "checkout").await;
    let token = client.session(&signer).await.session_token;
    let (salt, plus_only) = (vec![7; 4], ", methods: [scram-sha-256-plus]");
    for (after, code, reason, decision) in [
        (
            before.replace("role/checkout", "role/other"),
            Code::PermissionDenied,
            "not_on_record",
            "denied",
        ),
        (
            record("app", plus_only),
            Code::Unavailable,
            "record_changed",
            "failed",
        ),
    ] {
        write_private(&house.secrets(), &before);
        let (mut scram, scram_id) = client.accepted(&token, "app").await;
        let (mut md5, md5_id) = client.accepted(&token, "app").await;
        write_private(&house.secrets(), &after);
        let message = scram.server_first(b"salt", 4096);
        let challenge = scram_challenge(both(&[7; 32]), message.as_bytes());
        assert_eq!(scram.ask(challenge).await.unwrap_err().code(), code);
        assert_eq!(log.reason(&scram_id, decision).await, reason);

        let salt = salt.clone();
        let challenge = Request::Md5Challenge(v2::Md5Challenge { salt });
        let refused = md5.ask(challenge).await.unwrap_err();
        let reason = if code == Code::PermissionDenied {
            reason
        } else {
            "method_not_on_record"
        };
        assert_eq!(log.reason(&md5_id, "denied").await, reason, "{refused}");
    }
}
