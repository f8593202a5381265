//! Who used a proof first, where replicas share that.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use approzium::{
    authenticator::{RedisReplays, dev::DevSts},
    identity::aws::PresignedLimits,
};
use approzium_peers::{Authority, Redis, eventually, peer};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tonic::{Code, Status};
use tracing::subscriber::DefaultGuard;

use super::{
    client::{Client, Pgsha256HashRequest, rfc_7677, who},
    presigned::Presigned,
};
use crate::{
    authenticator::{
        client::{channel_from, request_id},
        process::{command, failing, record, write_private},
    },
    rejections::{House, Log, dev_sts},
};

const CHECKOUT: &str = "arn:aws:sts::000000000000:assumed-role/checkout/dev";
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

fn shared(redis: &Redis) -> RedisReplays {
    RedisReplays::builder(redis.tls_url())
        .password_file(redis.password_path())
        .ca_file(redis.ca_path())
        .build()
        .unwrap()
}

/// An Authenticator that follows files of these tests, and a proof that is used at it.
struct Exchange {
    house: House,
    request: Pgsha256HashRequest,
    log: Log,
    _recording: DefaultGuard,
    _sts: DevSts,
}

impl Exchange {
    async fn with(replays: RedisReplays) -> Self {
        let sts = dev_sts().await;
        let (log, recording) = Log::start();
        Exchange {
            house: replica(&sts, replays).await,
            request: request(&sts),
            log,
            _recording: recording,
            _sts: sts,
        }
    }

    async fn login(&self) -> Result<(), Status> {
        let client = from(2, &self.house).await;
        client.scram(self.request.clone()).await.map(drop)
    }

    /// Writes a file, and waits until it was read again.
    async fn write(&self, path: &Path, text: &str) {
        let series = "approzium_reloads_total{file=\"v1_replay_store\",result=\"ok\"}";
        let before = self.house.metric(series).await;
        write_private(path, text);
        eventually("it is read again", PATIENCE, async || {
            (self.house.metric(series).await > before).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn its_password_is_exchanged_while_logins_go_on() {
    let redis = peer!(Redis::start());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    write_private(&file, Redis::PASSWORD);
    let replays = RedisReplays::builder(redis.url()).password_file(&file);
    let exchange = Exchange::with(replays.build().unwrap()).await;
    exchange.login().await.unwrap();
    // Before Redis has it, the one of before is good.
    exchange.write(&file, "redis-hunter3").await;
    exchange.login().await.unwrap();
    redis.exchange_password("redis-hunter3").await.unwrap();
    let login = async || exchange.login().await.ok();
    eventually("a login", PATIENCE, login).await;
}

#[tokio::test]
async fn its_authority_is_exchanged_and_the_old_one_trusted_no_more() {
    let mut redis = peer!(Redis::start());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    write_private(&file, &redis.authority().pem());
    let replays = RedisReplays::builder(redis.tls_url())
        .password_file(redis.password_path())
        .ca_file(&file);
    let exchange = Exchange::with(replays.build().unwrap()).await;
    exchange.login().await.unwrap();
    redis.certified_by(Authority::default()).await.unwrap();
    exchange.write(&file, &redis.authority().pem()).await;
    let login = async || exchange.login().await.ok();
    eventually("a login", PATIENCE, login).await;

    exchange.write(&file, &Authority::default().pem()).await;
    let refused = exchange.login().await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let reason = exchange.log.reason(&request_id(&refused), "failed").await;
    assert_eq!(reason, "replay_store_unavailable");
}

/// As where a host is gone, and its address has moved to another.
#[tokio::test]
async fn a_connection_that_falls_silent_is_made_anew() {
    let redis = peer!(Redis::start());
    let way = Way::to(redis.url().trim_start_matches("redis://")).await;
    let replays = RedisReplays::builder(format!("redis://{}", way.address));
    let replays = replays.password_file(redis.password_path()).build();
    let exchange = Exchange::with(replays.unwrap()).await;
    exchange.login().await.unwrap();
    way.falls_silent();
    let refused = exchange.login().await.unwrap_err();
    let reason = exchange.log.reason(&request_id(&refused), "failed").await;
    assert_eq!(reason, "replay_store_unavailable");
    exchange.login().await.unwrap();
}

/// Passes on what it is given, until it falls silent: then that of new connections alone.
struct Way {
    address: SocketAddr,
    silence: watch::Sender<()>,
}

impl Way {
    async fn to(server: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let way = Way {
            address: listener.local_addr().unwrap(),
            silence: watch::Sender::new(()),
        };
        let (server, silence) = (server.to_owned(), way.silence.clone());
        tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                let mut there = TcpStream::connect(&server).await.unwrap();
                let mut silence = silence.subscribe();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = copy_bidirectional(&mut here, &mut there) => {}
                        Ok(()) = silence.changed() => std::future::pending().await,
                    }
                });
            }
        });
        way
    }

    fn falls_silent(&self) {
        self.silence.send_replace(());
    }
}

async fn replica(sts: &DevSts, replays: RedisReplays) -> House {
    House::start_with(sts.verifier(), &record("user", ""), |builder, _| {
        builder
            .v1_api(PresignedLimits::default())
            .v1_replay_store(replays)
    })
    .await
}

/// With a proof of the role `checkout`.
fn request(sts: &DevSts) -> Pgsha256HashRequest {
    let keys = sts.identity("checkout").unwrap().credentials();
    let url = Presigned::for_stand_in(sts).url(&keys);
    rfc_7677(&who(&url, CHECKOUT, "user"))
}

async fn from(last: u8, house: &House) -> Client {
    let source = Ipv4Addr::new(127, 0, 0, last);
    let channel = channel_from(source, &house.address(), house.tls()).await;
    Client::over(channel.unwrap())
}

#[tokio::test]
async fn a_proof_that_one_replica_has_seen_is_known_to_the_other() {
    let mut redis = peer!(Redis::start());
    let sts = dev_sts().await;
    let (log, _recording) = Log::start();
    let replica = async || replica(&sts, shared(&redis)).await;
    let (one, other) = (replica().await, replica().await);
    let request = request(&sts);

    from(2, &one).await.scram(request.clone()).await.unwrap();
    let stolen = from(3, &other).await.scram(request.clone()).await;
    let stolen = stolen.unwrap_err();
    assert_eq!(stolen.code(), Code::Unauthenticated);
    let reason = log.reason(&request_id(&stolen), "denied").await;
    assert_eq!(reason, "proof_replayed");
    from(2, &other).await.scram(request.clone()).await.unwrap();
    // Also at one that was not there then.
    let third = replica().await;
    let stolen = from(3, &third).await.scram(request.clone()).await;
    assert_eq!(stolen.unwrap_err().code(), Code::Unauthenticated);

    // Nobody is let in of whom it cannot be said.
    redis.stop();
    let refused = from(2, &one).await.scram(request.clone()).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let reason = log.reason(&request_id(&refused), "failed").await;
    assert_eq!(reason, "replay_store_unavailable");
    redis.start_again().await.unwrap();
    eventually("a login", PATIENCE, async || {
        from(2, &one).await.scram(request.clone()).await.ok()
    })
    .await;
}

#[tokio::test]
async fn serve_looks_before_whether_it_remembers() {
    let mut redis = peer!(Redis::start());
    let look = |flags: &[&str]| {
        let mut command = command(&["--check", "--without-sts", "--disable-tls", "--v1-api"]);
        command.args(flags);
        let output = failing(command);
        let said = String::from_utf8(output.stdout).unwrap();
        let line = said.lines().find(|line| line.contains(" v1 replays "));
        let error = String::from_utf8_lossy(&output.stderr);
        line.unwrap_or_else(|| panic!("{said}{error}")).to_owned()
    };
    let store = |url: &str| format!("--v1-replay-store={url}");
    let path = redis.password_path();
    let password = format!("--v1-replay-store-password-path={}", path.display());
    let ca = format!("--v1-replay-store-ca-path={}", redis.ca_path().display());

    let plain = store(&redis.url());
    let found = look(&[&plain, &password]);
    assert!(found.starts_with("ok"), "{found}");
    let found = look(&[&store(&redis.tls_url()), &password, &ca]);
    assert!(found.starts_with("ok"), "{found}");
    for flags in [
        // Of an authority that nobody trusts here.
        vec![store(&redis.tls_url()), password.clone()],
        vec![plain.clone()],
        vec![store("redis://redis.example")],
    ] {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let found = look(&flags);
        assert!(found.starts_with("FAILED"), "{found}");
        assert!(found.contains("v1_replay_store"), "{found}");
        assert!(!found.contains(Redis::PASSWORD), "{found}");
    }
    redis.stop();
    let found = look(&[&plain, &password]);
    assert!(found.starts_with("FAILED"), "{found}");
}
