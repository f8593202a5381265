//! An STS that goes away and comes back, behind a real Authenticator.

use std::time::SystemTime;

use tonic::{Code, Status};

use super::hostile_sts::{Behaviour, Sts, answer, document};
use crate::{
    authenticator::{
        client::{Client, request_id, sign, signer_of, v2::SessionGrant},
        process::{record, until},
    },
    rejections::{House, Log},
};

const ARN: &str = "arn:aws:sts::123456789012:assumed-role/checkout/pod-7f";
const IS_OPEN: &str = "approzium_sts_circuit_open{region=\"us-east-1\"}";
const OPENS: &str = "approzium_sts_circuit_opens_total{region=\"us-east-1\"}";

#[tokio::test]
async fn sessions_live_on_while_sts_is_away_and_new_ones_are_refused_at_once() {
    let (log, _recording) = Log::start();
    let sts = Sts::start(vouching()).await;
    let records = record("app", "").replace("000000000000", "123456789012");
    let house = House::start_with(sts.verifier(), &records, |builder, _| builder).await;
    let client = house.client().await;
    let living = session(&client).await.unwrap().session_token;

    sts.now(Behaviour::Answer(String::new()));
    let refused = async |reason: &str| {
        until(reason, async || {
            let refused = session(&client).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unavailable, "{refused}");
            let given = log.reason(&request_id(&refused), "failed").await;
            (given == reason).then_some(refused)
        })
        .await
    };
    let asked = refused("sts_unavailable").await;
    let not_asked = refused("sts_circuit_open").await;
    assert_eq!(not_asked.message(), asked.message());
    assert_eq!(house.metric(IS_OPEN).await, 1.0);
    assert_eq!(house.metric(OPENS).await, 1.0);
    // Whatever else is asked, STS is only looked for now and then.
    let before = sts.requests().len();
    for _ in 0..20 {
        session(&client).await.unwrap_err();
        client.accepted(&living, "app").await;
    }
    let looked_for = sts.requests().len() - before;
    assert!(looked_for < 20, "{looked_for}");

    sts.now(vouching());
    let granted = until("a session", async || session(&client).await.ok()).await;
    client.accepted(&granted.session_token, "app").await;
    assert_eq!(house.metric(IS_OPEN).await, 0.0);
    assert_eq!(house.metric(OPENS).await, 1.0);
}

#[tokio::test]
async fn an_sts_that_throttles_is_asked_again_and_stays_in_use() {
    let (log, _recording) = Log::start();
    let sts = Sts::start(Behaviour::Answer(answer(429, "text/html", ""))).await;
    let house = House::start_with(sts.verifier(), "[]", |builder, _| builder).await;
    let client = house.client().await;
    let refused = session(&client).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let reason = log.reason(&request_id(&refused), "denied").await;
    assert_eq!(reason, "sts_throttled");
    let asked = sts.requests().len();
    assert!(asked > 1, "asked once");
    let again = house.metric("approzium_sts_retries_total").await;
    assert_eq!(again, (asked - 1) as f64);
    assert_eq!(
        house.metric("approzium_sts_throttled_total").await,
        asked as f64
    );

    // It throttles on, and no circuit opens: whoever it takes is granted a session.
    for _ in 0..3 {
        session(&client).await.unwrap_err();
    }
    sts.now(vouching());
    session(&client).await.unwrap();
    assert_eq!(house.metric(OPENS).await, 0.0);
}

fn vouching() -> Behaviour {
    Behaviour::Answer(answer(200, "text/xml", &document(ARN, "123456789012")))
}

async fn session(client: &Client) -> Result<SessionGrant, Status> {
    let keys = aws_credential_types::Credentials::new(
        "ASIAIOSFODNN7EXAMPLE",
        "secret",
        Some("token".into()),
        None,
        "test",
    );
    let challenge = client.challenge().await?;
    let signer = signer_of(keys).await;
    let proof = sign(&signer, &challenge.nonce, "127.0.0.1", SystemTime::now()).await;
    challenge.prove(proof).await
}
