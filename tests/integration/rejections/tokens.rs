//! Session tokens in hands that did not get them.

use approzium::authenticator::SessionKeys;
use approzium_peers::Authority;

use super::{House, Log, NAMES, dev_signer, dev_sts, server_tls};
use crate::authenticator::{
    client::{Client, channel, showing, start},
    process::record,
};

/// Replicas that share their keys take each other's tokens; but only from the hands that got them.
#[tokio::test]
async fn a_token_is_bound_to_its_client_certificate_at_every_replica() {
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let keys = SessionKeys::random().unwrap();
    let clients = Authority::default();
    let records = record("app", "");
    let demanding = || {
        House::start_with(sts.verifier(), &records, |builder, own| {
            let tls = server_tls(own, &NAMES).with_client_ca(clients.pem().as_bytes());
            builder.tls(tls.unwrap()).session_keys(keys.clone())
        })
    };
    let (first, second) = tokio::join!(demanding(), demanding());
    let open = House::start_with(sts.verifier(), &records, |builder, _| {
        builder.session_keys(keys.clone())
    })
    .await;
    let (our_certificate, their_certificate) = (clients.client("ours"), clients.client("theirs"));
    let connect = async |house: &House, certificate| {
        let tls = showing(house.tls(), certificate);
        Client::over(channel(&house.address(), tls).await.unwrap())
    };
    let ours = connect(&first, &our_certificate).await;
    let ours_elsewhere = connect(&second, &our_certificate).await;
    let theirs = connect(&first, &their_certificate).await;
    let theirs_elsewhere = connect(&second, &their_certificate).await;
    let nobodys = open.client().await;

    let signer = dev_signer(&sts, "checkout").await;
    let bound = ours.session(&signer).await.session_token;
    let unbound = nobodys.session(&signer).await.session_token;
    ours.accepted(&bound, "app").await;
    ours_elsewhere.accepted(&bound, "app").await;
    nobodys.accepted(&unbound, "app").await;

    let forged = ours.start(start("forged", "app")).await.told().await;
    for (client, token, what) in [
        (&theirs, &bound, "stolen"),
        (&theirs_elsewhere, &bound, "stolen, and taken to a replica"),
        (
            &nobodys,
            &bound,
            "taken to where no certificate is asked for",
        ),
        (&ours, &unbound, "brought from there"),
    ] {
        let told = client.start(start(token, "app")).await.told().await;
        assert_eq!(told.status, forged.status, "{what}");
        let line = log.audit(&told.request_id, "denied").await;
        assert_eq!(line["reason"], "token_other_certificate", "{what}");
        // Whose certificate was just renewed does this once: that is nobody's alarm.
        assert_eq!(line["level"], "INFO", "{what}");
        // Not whose it was: he who brings it is somebody else.
        assert!(line.get("iam_arn").is_none(), "{line}");
    }
}
