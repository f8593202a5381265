//! Calls of one request: it is waited for, and not for ever. And one call that has no end.

use std::time::Duration;

use approzium::{authenticator::Limits, identity::aws::PresignedLimits};
use futures_util::{
    StreamExt as _,
    future::join_all,
    stream::{self, BoxStream},
};
use tokio::time::timeout;
use tonic::{Code, Request, Status, client::Grpc, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};
use tonic_prost::ProstCodec;

use super::{House, dev_signer, dev_sts};
use crate::authenticator::{
    client::{Client, channel},
    process::record,
};

const CALLS: [&str; 5] = [
    "/approzium.authenticator.protos.Authenticator/GetPGMD5Hash",
    "/approzium.authenticator.protos.Authenticator/GetPGSHA256Hash",
    "/approzium.authenticator.protos.Authenticator/GetMYSQLSHA1Hash",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
];

/// More than anything here takes, and less than for ever.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn requests_that_are_never_whole_are_not_waited_for() {
    let sts = dev_sts().await;
    let mut limits = Limits::default();
    limits.handshake_timeout = Duration::from_secs(1);
    let house = House::start_with(sts.verifier(), "", |builder, _| {
        builder.limits(limits).v1_api(PresignedLimits::default())
    })
    .await;
    let channel = channel(&house.address(), house.tls()).await.unwrap();
    // Whoever has proved who they are may keep the connection.
    let known = Client::over(channel.clone());
    known.session(&dev_signer(&sts, "checkout").await).await;

    let nothing = || stream::pending().boxed();
    let no_end = || stream::iter([message()]).chain(stream::pending()).boxed();
    // What comes after the one message of a request is read as well.
    let no_pause = || stream::repeat_with(message).boxed();
    let beginnings: [&dyn Fn() -> BoxStream<'static, HealthCheckRequest>; 3] =
        [&nothing, &no_end, &no_pause];
    let asked = CALLS.iter().flat_map(|call| {
        let begun = beginnings.iter().map(|messages| messages());
        begun.map(|messages| ask(channel.clone(), call, messages))
    });
    let told = timeout(PATIENCE, join_all(asked)).await;
    for (number, status) in told.expect("they are waited for").iter().enumerate() {
        assert_eq!(status.code(), Code::DeadlineExceeded, "{number}: {status}");
        assert_eq!(status.message(), "the request was not whole in time");
    }
    known.challenge().await.unwrap();
}

/// Of the length nought, which is a message of any type.
fn message() -> HealthCheckRequest {
    HealthCheckRequest::default()
}

/// Asks by as many messages as it likes, and says why that was refused.
async fn ask(
    channel: Channel,
    call: &'static str,
    messages: BoxStream<'static, HealthCheckRequest>,
) -> Status {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
    let path = http::uri::PathAndQuery::from_static(call);
    let answered = grpc.client_streaming(Request::new(messages), path, codec);
    answered.await.map(drop).unwrap_err()
}

#[tokio::test]
async fn who_watches_its_health_is_told_and_keeps_it_from_ending_no_longer() {
    let house = House::start(dev_sts().await.verifier(), &record("app", "")).await;
    let channel = channel(&house.address(), house.tls()).await.unwrap();
    let mut watches = Vec::new();
    for service in ["", "approzium.v2.Authenticator"] {
        let service = service.to_owned();
        let mut health = HealthClient::new(channel.clone());
        let watched = health.watch(HealthCheckRequest { service }).await;
        let mut watched = watched.unwrap().into_inner();
        let now = watched.message().await.unwrap().unwrap();
        assert_eq!(now.status(), ServingStatus::Serving);
        watches.push(watched);
    }
    assert!(house.running.shutdown().await, "they were waited for");
    for mut watched in watches {
        let last = watched.message().await.unwrap().unwrap();
        assert_eq!(last.status(), ServingStatus::NotServing);
        assert!(watched.message().await.unwrap().is_none());
    }
}
