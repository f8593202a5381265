//! What v1 answers is worth nothing in an exchange of v2, whose client must not know what a database
//! would say.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tonic::Code;

use super::{
    answers::v1,
    client::{Client, Pgsha256HashRequest, who},
    presigned::Presigned,
};
use crate::{
    authenticator::{
        client::{
            challenge, request_id, start,
            v2::{
                ScramOffer,
                authenticate_response::Message as Answer,
                outcome::{Result as Outcome, Succeeded},
            },
        },
        process::record,
    },
    rejections::{Log, dev_signer, dev_sts},
};

const CHECKOUT: &str = "arn:aws:sts::000000000000:assumed-role/checkout/dev";
const ITERATIONS: u32 = 4_096;

/// Whoever could have it would have keys kept for a salt that no database ever sent.
#[tokio::test]
async fn no_login_of_v2_is_verified_by_what_v1_answers() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let house = v1(&sts, &record("app", "")).await;
    let client = house.client().await;
    let signer = dev_signer(&sts, "checkout").await;
    let token = client.session(&signer).await.session_token;
    let mut handshake = client.start(start(&token, "app")).await;
    let accepted = handshake.acceptance().await;

    // A database that is made up, and says that it has no channel to bind to.
    let mut firsts = accepted.scram_client_first.iter();
    let bare = firsts.find_map(|first| first.message.strip_prefix(b"n,,"));
    let bare = std::str::from_utf8(bare.unwrap()).unwrap();
    let server_first = handshake.server_first(b"never was a salt", ITERATIONS);
    let offer = ScramOffer {
        mechanisms: vec!["SCRAM-SHA-256".into()],
        ..ScramOffer::default()
    };
    let last = handshake.ask(challenge(offer, server_first.as_bytes()));
    let Ok(Answer::ScramClientFinal(last)) = last.await else {
        panic!("no answer");
    };
    let last = String::from_utf8(last.message).unwrap();
    let (without_proof, _) = last.split_once(",p=").unwrap();

    let keys = sts.identity("checkout").unwrap().credentials();
    let ask = async |bare: &str| {
        let original = Client::of(&house).await;
        let url = Presigned::for_stand_in(&sts).url(&keys);
        original
            .scram(Pgsha256HashRequest {
                pwd_request: Some(who(&url, CHECKOUT, "app")),
                salt: BASE64_STANDARD.encode(b"never was a salt"),
                iterations: ITERATIONS,
                authentication_msg: format!("{bare},{server_first},{without_proof}"),
            })
            .await
    };
    let refused = ask(bare).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let reason = log.reason(&request_id(&refused), "denied").await;
    assert_eq!(reason, "malformed_challenge");

    // As the original's clients begin theirs it is another exchange.
    let other = ask(&bare.replacen("n=", "n=app", 1)).await.unwrap();
    let server_signature = BASE64_STANDARD.decode(other.sproof).unwrap();
    let succeeded = Succeeded { server_signature };
    handshake.outcome(Outcome::Succeeded(succeeded)).await;
    let reason = log.reason(&accepted.request_id, "outcome").await;
    assert_eq!(reason, "login_unproved");
}
