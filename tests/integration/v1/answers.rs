//! What is answered, and what a record does not allow.

use approzium::{authenticator::dev::DevSts, identity::aws::PresignedLimits};
use tonic::Code;

use super::{
    client::{Client, ClientLanguage, PasswordRequest, rfc_7677, who},
    presigned::Presigned,
};
use crate::{
    authenticator::{client::request_id, process::record},
    rejections::{House, Log, dev_sts},
};

const CHECKOUT: &str = "arn:aws:sts::000000000000:assumed-role/checkout/dev";

pub(super) async fn v1(sts: &DevSts, records: &str) -> House {
    House::start_with(sts.verifier(), records, |builder, _| {
        builder.v1_api(PresignedLimits::default())
    })
    .await
}

fn checkout(sts: &DevSts, user: &str) -> PasswordRequest {
    let keys = sts.identity("checkout").unwrap().credentials();
    who(&Presigned::for_stand_in(sts).url(&keys), CHECKOUT, user)
}

fn record_of(user: &str, password: &str, more: &str) -> String {
    record(user, more).replace("canary-hunter2", password)
}

#[tokio::test]
async fn each_method_answers_as_the_originals_did() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let records = [
        record_of("bob", "password", ", methods: [md5]"),
        record_of("user", "pencil", ""),
        record_of("app", "password", ", methods: [mysql_native_password]"),
    ];
    let house = v1(&sts, &records.concat()).await;
    let client = Client::of(&house).await;
    // One proof for every login, as the original's SDK uses it.
    let bob = checkout(&sts, "bob");
    let as_user = |user: &str| PasswordRequest {
        dbuser: user.into(),
        ..bob.clone()
    };
    assert_eq!(
        client.md5(&bob, &[1, 2, 3, 4]).await.unwrap(),
        "d576ce99165615bb3f4331154ca6660c"
    );
    let scram = client.scram(rfc_7677(&as_user("user"))).await.unwrap();
    assert_eq!(scram.cproof, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    assert_eq!(scram.sproof, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    let mysql = client.mysql(&as_user("app"), &[0; 20]).await.unwrap();
    let mysql: String = mysql.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(mysql, "072087d16fdfabc55b1644bb904205c60d505fcf");

    // A Go client signs a GET, and claims its role.
    let keys = sts.identity("checkout").unwrap().credentials();
    let get = Presigned {
        method: "GET",
        ..Presigned::for_stand_in(&sts)
    };
    let go = PasswordRequest {
        client_language: ClientLanguage::Go.into(),
        ..who(
            &get.url(&keys),
            "arn:aws:iam::000000000000:role/checkout",
            "bob",
        )
    };
    assert!(client.md5(&go, &[1, 2, 3, 4]).await.is_ok());

    let line = log.audit(&scram.requestid, "allowed").await;
    for (field, value) in [
        ("call", "GetPGSHA256Hash"),
        ("reason", "scram_answered"),
        ("method", "scram-sha-256"),
        ("iam_arn", CHECKOUT),
        ("dbuser", "user"),
        ("client", "v1/python"),
    ] {
        assert_eq!(line[field], value, "{line}");
    }
    for (series, value) in [
        ("approzium_total_requests", 4.0),
        ("approzium_total_responses", 4.0),
        ("approzium_total_error_responses", 0.0),
        ("approzium_total_identity_verification_attempts", 4.0),
        ("approzium_total_identity_matching_failures", 0.0),
        ("approzium_total_password_retrieval_attempts", 4.0),
        ("approzium_streams", 0.0),
        (
            "approzium_phase_duration_seconds_count{phase=\"handshake_v1\",outcome=\"ok\"}",
            4.0,
        ),
        (
            "approzium_handshake_duration_seconds_count{method=\"md5\",outcome=\"ok\"}",
            2.0,
        ),
        (
            "approzium_handshake_duration_seconds_count{method=\"scram-sha-256\",outcome=\"ok\"}",
            1.0,
        ),
        (
            "approzium_handshake_duration_seconds_count{method=\"mysql_native_password\",\
             outcome=\"ok\"}",
            1.0,
        ),
    ] {
        assert_eq!(house.metric(series).await, value, "{series}");
    }
}

/// Nobody's verdict on a proof is kept, so that there is nothing by which another could pass for it.
#[tokio::test]
async fn each_login_by_one_proof_is_a_question_to_sts() {
    let sts = dev_sts().await;
    let house = v1(&sts, &record_of("bob", "password", ", methods: [md5]")).await;
    let client = Client::of(&house).await;
    let bob = checkout(&sts, "bob");
    for asked in [1.0, 2.0, 3.0] {
        client.md5(&bob, &[1, 2, 3, 4]).await.unwrap();
        let attempts = "approzium_total_identity_verification_attempts";
        assert_eq!(house.metric(attempts).await, asked);
    }
}

#[tokio::test]
async fn digests_answer_for_their_own_salt_and_no_other_method() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    // Of `pencil`, with the salt of RFC 7677.
    let digests = |salt: &str| {
        format!(
            "scram_sha_256: {{salt: '{salt}', iterations: 4096, \
             client_key: 'pg/JI9Z+hkSpLRa5btpe9GVrDHJcSEN0viVTVXaZbos=', \
             server_key: 'wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU='}}"
        )
    };
    let password = "password: canary-hunter2";
    let records = [
        record("user", "").replace(password, &digests("W22ZaJ0SNY7soEsUEjb6gQ==")),
        record("other", "").replace(password, &digests("c2FsdA==")),
    ];
    let house = v1(&sts, &records.concat()).await;
    let client = Client::of(&house).await;
    let answer = client.scram(rfc_7677(&checkout(&sts, "user"))).await;
    let answer = answer.unwrap();
    assert_eq!(
        answer.cproof,
        "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    );
    assert_eq!(
        answer.sproof,
        "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    );
    let refused = client.scram(rfc_7677(&checkout(&sts, "other"))).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let reason = log.reason(&request_id(&refused), "denied").await;
    assert_eq!(reason, "keys_of_another_challenge");
    let refused = client.md5(&checkout(&sts, "user"), &[7; 4]).await;
    assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
    let derived = "approzium_phase_duration_seconds_count{phase=\"derivation\",outcome=\"ok\"}";
    assert_eq!(house.metric(derived).await, 0.0);
}

/// Of a password that no record holds.
#[tokio::test]
async fn mysql_is_answered_from_the_digest_of_the_first_stage() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let password = "password: canary-hunter2";
    // SHA1("password"), SHA-256("password").
    let native = "mysql_native_password: W6ph5Mm5Pz8GgiULbPgzG37mj9g=";
    let caching = "caching_sha2_password: XohImNooBHFR0OVvjcYpJ3NgPQ1qq73WKhHvch0VQtg=";
    let records = [
        record("app", ", methods: [mysql_native_password]").replace(password, native),
        record("newer", ", methods: [caching_sha2_password]").replace(password, caching),
    ];
    let house = v1(&sts, &records.concat()).await;
    let client = Client::of(&house).await;
    let answer = client.mysql(&checkout(&sts, "app"), &[0; 20]).await;
    let answer: String = answer
        .unwrap()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(answer, "072087d16fdfabc55b1644bb904205c60d505fcf");
    for refused in [
        client.mysql(&checkout(&sts, "newer"), &[0; 20]).await.err(),
        client.md5(&checkout(&sts, "app"), &[7; 4]).await.err(),
        client.scram(rfc_7677(&checkout(&sts, "app"))).await.err(),
    ] {
        let refused = refused.unwrap();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        let reason = log.reason(&request_id(&refused), "denied").await;
        assert_eq!(reason, "method_not_on_record");
    }
}

#[tokio::test]
async fn a_record_allows_what_it_says_and_no_more() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let pinned_certificate = "00".repeat(32);
    let records = [
        record_of("usual", "pencil", ""),
        record_of("md5", "pencil", ", methods: [md5]"),
        record_of("mysql", "pencil", ", methods: [mysql_native_password]"),
        record_of("bound", "pencil", ", channel_binding: require"),
        record_of(
            "pinned",
            "pencil",
            &format!(", pinned_certificates: ['{pinned_certificate}']"),
        ),
        record_of("plus", "pencil", ", methods: [scram-sha-256-plus]"),
        record_of("salt", "pencil", ", pinned_salt: c2FsdA=="),
        record_of("iterations", "pencil", ", pinned_iterations: 5000"),
        record_of("other_id", "pencil", ", user_ids: [AROAANOTHER]"),
        record_of("other", "pencil", "").replace("role/checkout", "role/reporting"),
    ];
    let house = v1(&sts, &records.concat()).await;
    let client = Client::of(&house).await;
    let keys = checkout(&sts, "usual");
    let of = |user: &str| PasswordRequest {
        dbuser: user.into(),
        ..keys.clone()
    };
    for (method, user, code, reason) in [
        (
            "md5",
            "usual",
            Code::FailedPrecondition,
            "method_not_on_record",
        ),
        (
            "md5",
            "mysql",
            Code::FailedPrecondition,
            "method_not_on_record",
        ),
        (
            "mysql",
            "usual",
            Code::FailedPrecondition,
            "method_not_on_record",
        ),
        (
            "mysql",
            "md5",
            Code::FailedPrecondition,
            "method_not_on_record",
        ),
        (
            "scram",
            "md5",
            Code::FailedPrecondition,
            "method_not_on_record",
        ),
        (
            "scram",
            "plus",
            Code::FailedPrecondition,
            "method_not_on_record",
        ),
        (
            "scram",
            "bound",
            Code::FailedPrecondition,
            "channel_binding_impossible",
        ),
        (
            "scram",
            "pinned",
            Code::FailedPrecondition,
            "channel_binding_impossible",
        ),
        ("scram", "salt", Code::FailedPrecondition, "salt_not_pinned"),
        (
            "scram",
            "iterations",
            Code::FailedPrecondition,
            "iterations_not_pinned",
        ),
        ("scram", "other_id", Code::PermissionDenied, "other_user_id"),
        ("scram", "other", Code::PermissionDenied, "not_on_record"),
        ("scram", "nobody", Code::PermissionDenied, "no_record"),
        ("md5", "nobody", Code::PermissionDenied, "no_record"),
    ] {
        let status = match method {
            "md5" => client.md5(&of(user), &[7; 4]).await.unwrap_err(),
            "mysql" => client.mysql(&of(user), &[7; 20]).await.unwrap_err(),
            _ => client.scram(rfc_7677(&of(user))).await.unwrap_err(),
        };
        assert_eq!(status.code(), code, "{method} {user}: {status}");
        assert!(!format!("{status:?}").contains("pencil"), "{status:?}");
        let found = log.reason(&request_id(&status), "denied").await;
        assert_eq!(found, reason, "{method} {user}");
    }
}

#[tokio::test]
async fn what_is_malformed_is_told_before_anybody_asks_who_it_is() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let house = v1(&sts, &record_of("user", "pencil", "")).await;
    let client = Client::of(&house).await;
    let forged = who("https://evil.example/", "", "user");
    let good = rfc_7677(&forged);
    let scram = |change: fn(&mut super::client::Pgsha256HashRequest)| {
        let mut request = good.clone();
        change(&mut request);
        request
    };
    let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let mut requests = vec![
        scram(|request| request.salt.clear()),
        scram(|request| request.authentication_msg.clear()),
        scram(|request| request.authentication_msg = "hello, world!".into()),
        scram(|request| request.salt = "c2FsdA==".into()),
        scram(|request| request.iterations = 4097),
        scram(|request| request.iterations = 0),
        scram(|request| request.pwd_request = None),
    ];
    for (from, to) in [
        ("i=4096", "i=1"),
        ("i=4096", "i=150001"),
        ("i=4096", "i=100001"),
        ("c=biws", "c=eSws"),
        (&format!("c=biws,r={nonce}"), "c=biws,r=other"),
    ] {
        let mut request = good.clone();
        request.authentication_msg = request.authentication_msg.replace(from, to);
        if let Some(iterations) = to.strip_prefix("i=") {
            request.iterations = iterations.parse().unwrap();
        }
        requests.push(request);
    }
    for request in requests {
        let message = request.authentication_msg.clone();
        let status = client.scram(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{message} {status}");
        log.reason(&request_id(&status), "denied").await;
    }
    for salt in [&[][..], &[0; 3], &[0; 5]] {
        let status = client.md5(&forged, salt).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
    for salt in [&[][..], &[0; 19], &[0; 21]] {
        let status = client.mysql(&forged, salt).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
    let with = |change: fn(&mut PasswordRequest)| {
        let mut who = forged.clone();
        change(&mut who);
        who
    };
    for malformed in [
        with(|who| who.dbhost.clear()),
        with(|who| who.dbhost = "a\nb".into()),
        with(|who| who.dbport = "/../../secret/foo".into()),
        with(|who| who.dbport = "+5432".into()),
        with(|who| who.dbport = "65536".into()),
        with(|who| who.dbuser.clear()),
        with(|who| who.client_language = 0),
        with(|who| who.client_language = 17),
        with(|who| who.aws = None),
    ] {
        let status = client.md5(&malformed, &[7; 4]).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{malformed:?}");
    }
    assert_eq!(
        house
            .metric("approzium_total_identity_verification_attempts")
            .await,
        0.0
    );
    assert_eq!(
        house
            .metric("approzium_total_password_retrieval_attempts")
            .await,
        0.0
    );
}

#[tokio::test]
async fn md5_and_mysql_answers_are_few_for_one_identity() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let records = [
        record_of("old", "pencil", ", methods: [md5]"),
        record_of("mysql", "pencil", ", methods: [mysql_native_password]"),
    ];
    let mut limits = approzium::authenticator::Limits::default();
    limits.md5_per_second_per_principal = 1;
    let house = House::start_with(sts.verifier(), &records.concat(), |builder, _| {
        builder.limits(limits).v1_api(PresignedLimits::default())
    })
    .await;
    let client = Client::of(&house).await;
    let keys = checkout(&sts, "old");
    let mysql = PasswordRequest {
        dbuser: "mysql".into(),
        ..keys.clone()
    };
    let mut refused = None;
    for salt in 0..200_u8 {
        if let Err(status) = client.md5(&keys, &[salt; 4]).await {
            refused = Some(status);
            break;
        }
    }
    let refused = refused.expect("a bound");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    let reason = log.reason(&request_id(&refused), "denied").await;
    assert_eq!(reason, "too_many_md5_answers");
    let mut refused = None;
    for salt in 0..100_u8 {
        if let Err(status) = client.mysql(&mysql, &[salt; 20]).await {
            refused = Some(status);
            break;
        }
    }
    let reason = log
        .reason(&request_id(&refused.expect("a bound")), "denied")
        .await;
    assert_eq!(reason, "too_many_mysql_native_answers");
}

#[tokio::test]
async fn it_is_off_unless_asked_for() {
    let sts = dev_sts().await;
    let house = House::start_with(sts.verifier(), &record_of("user", "pencil", ""), |b, _| b).await;
    let client = Client::of(&house).await;
    let status = client
        .scram(rfc_7677(&checkout(&sts, "user")))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    let (log, _recording) = Log::start();
    let _house = v1(&sts, "").await;
    let warned = log.lines(|line| line["level"] == "WARN" && line.to_string().contains("v1 API"));
    assert_eq!(warned.len(), 1);
}
