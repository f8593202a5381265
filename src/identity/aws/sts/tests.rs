use time::macros::datetime;

use super::*;
use crate::identity::aws::{Audiences, AwsProof, Skew};

#[test]
fn no_question_takes_longer_than_ten_seconds_whatever_is_configured() {
    let takes = |builder: StsVerifierBuilder| builder.build().unwrap().timeout.as_secs();
    assert_eq!(takes(StsVerifier::builder()), 10);
    let hour = Duration::from_secs(3_600);
    assert_eq!(takes(StsVerifier::builder().timeout(hour)), 10);
}

/// One that makes one call at a time, to where nobody listens.
fn verifier_of_one_call(timeout: Duration) -> StsVerifier {
    let root = rcgen::generate_simple_self_signed(["sts.example.com".to_owned()]).unwrap();
    StsVerifier::builder()
        .add_root_certificate(root.cert.der().clone())
        .dial(([127, 0, 0, 1], 9).into())
        .max_concurrent_calls(1)
        .timeout(timeout)
        .build()
        .unwrap()
}

fn proof() -> CheckedProof {
    let proof = AwsProof {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
        amz_date: "20260102T030405Z".into(),
        region: "eu-central-1".into(),
        security_token: String::new(),
        audience: "a".into(),
        signature: "0".repeat(64),
    };
    let audiences = Audiences::new(["a"]).unwrap();
    let now = datetime!(2026-01-02 03:04:05 UTC);
    CheckedProof::parse(&proof, &[7], &audiences, now, &Skew::default()).unwrap()
}

#[tokio::test]
async fn who_waits_too_long_for_a_free_call_of_his_region_is_throttled() {
    let verifier = verifier_of_one_call(Duration::from_millis(10));
    let proof = proof();
    let calls = |region| verifier.calls.of(Region::find(region).unwrap());
    let elsewhere = calls("us-east-1");
    let the_only_call = elsewhere.acquire().await.unwrap();
    let asked = verifier.verify(&proof).await;
    assert!(matches!(asked, Err(Rejection::Unavailable(_))), "{asked:?}");
    drop(the_only_call);

    let here = calls("eu-central-1");
    let the_only_call = here.acquire().await.unwrap();
    assert_eq!(verifier.verify(&proof).await, Err(Rejection::Throttled));
    drop(the_only_call);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_free_call_leaves_sts_half_of_the_time() {
    let verifier = verifier_of_one_call(MAX_TIMEOUT);
    let calls = verifier.calls.of(Region::find("eu-central-1").unwrap());
    for (waits, is_asked) in [(0.4, true), (0.6, false)] {
        let the_only_call = calls.acquire().await.unwrap();
        let ends = async {
            tokio::time::sleep(MAX_TIMEOUT.mul_f64(waits)).await;
            drop(the_only_call);
        };
        let proof = proof();
        let (asked, ()) = tokio::join!(verifier.verify(&proof), ends);
        let unavailable = matches!(asked, Err(Rejection::Unavailable(_)));
        assert_eq!(unavailable, is_asked, "{asked:?}");
        assert_eq!(asked == Err(Rejection::Throttled), !is_asked, "{asked:?}");
    }
}
