//! Whether an STS can be asked at all: the question of `approzium serve --check`.

use std::time::Duration;

use approzium::identity::{Rejection, aws::Region};

use super::hostile_sts::{Behaviour, Sts, answer};

const REFUSAL: &str = "<ErrorResponse><Error><Code>MissingAuthenticationToken</Code></Error>\
                       </ErrorResponse>";

fn region() -> &'static Region {
    Region::find("us-east-1").unwrap()
}

#[tokio::test]
async fn an_sts_that_refuses_who_did_not_sign_can_be_asked() {
    let sts = Sts::start(Behaviour::Answer(answer(403, "text/xml", REFUSAL))).await;
    sts.verifier().reach(region()).await.unwrap();
    let requests = sts.requests();
    let [request] = requests.as_slice() else {
        panic!("{requests:?}");
    };
    assert!(request.starts_with("POST / HTTP/1.1\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\nAction=GetCallerIdentity&Version=2011-06-15"));
    assert!(
        !request.to_lowercase().contains("authorization"),
        "{request}"
    );
}

#[tokio::test]
async fn what_answers_otherwise_is_no_sts_to_be_asked() {
    for behaviour in [
        Behaviour::Answer(answer(503, "text/xml", "")),
        Behaviour::Answer(answer(200, "text/html", "welcome to this network")),
        Behaviour::Answer("HTTP/1.1 307 x\r\nlocation: https://localhost/\r\n\r\n".to_owned()),
        Behaviour::Answer("220 mail.example ESMTP\r\n".to_owned()),
    ] {
        let sts = Sts::start(behaviour).await;
        let reached = sts.verifier().reach(region()).await;
        assert!(
            matches!(reached, Err(Rejection::Unavailable(_))),
            "{reached:?}"
        );
    }
    let sts = Sts::start(Behaviour::Stall(String::new())).await;
    let impatient = sts.builder().timeout(Duration::from_millis(50));
    let reached = impatient.build().unwrap().reach(region()).await;
    assert!(
        matches!(reached, Err(Rejection::Unavailable(_))),
        "{reached:?}"
    );
}

#[tokio::test]
async fn no_other_than_the_regions_own_is_asked() {
    let sts = Sts::start(Behaviour::Answer(answer(403, "text/xml", REFUSAL))).await;
    // The certificate is that of us-east-1.
    let other = Region::find("eu-central-1").unwrap();
    let reached = sts.verifier().reach(other).await;
    assert!(
        matches!(reached, Err(Rejection::Unavailable(_))),
        "{reached:?}"
    );
    let fips = sts.builder().fips(true).build().unwrap();
    assert_eq!(fips.reach(other).await, Err(Rejection::UnknownRegion));
    assert!(sts.requests().is_empty());
}
