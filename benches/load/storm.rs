//! Keys that nobody has: so many logins at once, each with a record and a salt of its own.

use std::{sync::Arc, time::Duration};

use approzium::identity::aws::Signer;
use aws_credential_types::provider::SharedCredentialsProvider;
use tokio::task::JoinSet;

use crate::{
    CONNECTIONS,
    handshake::{Database, log_in},
    health::Health,
    percentiles,
    process::{Server, timed},
    sessions::session,
};

const STORM: usize = 1_000;

/// How long health is looked at before.
const CALM: Duration = Duration::from_secs(3);

/// The users of the records that it needs.
pub(crate) fn users() -> impl Iterator<Item = String> {
    (0..STORM).map(|number| format!("user-{number}"))
}

pub(crate) async fn run(server: &Server) {
    // What the databases know is computed before: it takes as long as at the Authenticator.
    let databases: Vec<Arc<Database>> = users()
        .map(|user| {
            Arc::new(Database::new(
                &user,
                format!("salt of {user}").as_bytes(),
                true,
            ))
        })
        .collect();
    let signer = Signer::builder()
        .credentials_provider(SharedCredentialsProvider::new(server.credentials()))
        .region("us-east-1")
        .build()
        .await
        .unwrap();
    let channels = server.connections().await;
    let token = session(channels[0].clone(), &signer).await;
    let storm = |databases: Vec<Arc<Database>>| {
        let mut tasks = JoinSet::new();
        for (number, database) in databases.into_iter().enumerate() {
            let (channel, token) = (channels[number % CONNECTIONS].clone(), token.clone());
            tasks.spawn(async move { log_in(channel, token, &database, number).await });
        }
        async move { drop(tasks.join_all().await) }
    };

    let calm = Health::look(server).await;
    tokio::time::sleep(CALM).await;
    let mut calm = calm.end().await;
    let health = Health::look(server).await;
    let cold = timed(storm(databases.clone())).await;
    let mut stormy = health.end().await;
    let warm = timed(storm(databases)).await;

    println!(
        "{STORM} logins at once: {:.2} s with a key to derive for each, {:.2} s once they are known",
        cold.as_secs_f64(),
        warm.as_secs_f64()
    );
    println!("health checks meanwhile:        idle p50 ms   p99 ms   storm p50 ms   p99 ms");
    for (check, name) in ["gRPC's health", "/v1/health"].into_iter().enumerate() {
        let [p50, p99] = percentiles(&mut calm[check]);
        let [storm_p50, storm_p99] = percentiles(&mut stormy[check]);
        println!("  {name:<28} {p50:>12.2} {p99:>8.2} {storm_p50:>14.2} {storm_p99:>8.2}");
    }
}
