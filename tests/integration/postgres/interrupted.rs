//! The Authenticator is lost in the middle of a login.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use approzium::Hop;
use approzium_peers::{Postgres, peer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{Authenticator, PASSWORD, config, server};

/// AuthenticationSASLContinue, up to its data: `R`, a length, 11.
const SASL_CONTINUE: u32 = 11;

/// Stands before the Authenticator, and can lose all of its connections.
struct Losing {
    address: SocketAddr,
    lost: watch::Sender<()>,
}

impl Losing {
    async fn before(authenticator: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (lost, losses) = watch::channel(());
        tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                let mut losses = losses.clone();
                losses.mark_unchanged();
                tokio::spawn(async move {
                    let mut there = TcpStream::connect(authenticator).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut here, &mut there) => {}
                        _ = losses.changed() => {}
                    }
                });
            }
        });
        Losing { address, lost }
    }
}

/// Stands before the database, and has the Authenticator lost under so many logins, each time before
/// the application sees the challenge. Counts the connections.
async fn database(port: u16, losing: Losing, mut times: usize) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((here, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let there = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let (mut from_client, mut to_client) = here.into_split();
            let (mut from_server, mut to_server) = there.into_split();
            tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
            let mut bytes = [0; 8192];
            while let Ok(length @ 1..) = from_server.read(&mut bytes).await {
                let challenge = bytes[..length].first() == Some(&b'R')
                    && bytes[5..9] == SASL_CONTINUE.to_be_bytes();
                if challenge && times > 0 {
                    times -= 1;
                    losing.lost.send_replace(());
                }
                if to_client.write_all(&bytes[..length]).await.is_err() {
                    break;
                }
            }
        }
    });
    (address.port(), connections)
}

/// A login in which the Authenticator is lost so many times, and how many connections to the
/// database it took.
async fn log_in(server: &Postgres, times: usize) -> (approzium::Result<()>, usize) {
    let authenticator = Authenticator::start().await;
    let losing = Losing::before(authenticator.address()).await;
    let client = authenticator.client_by(losing.address);
    let (port, connections) = database(server.port(), losing, times).await;
    authenticator.record(port, "app", PASSWORD);
    let text = format!("host=127.0.0.1 port={port} user=app dbname=postgres sslmode=disable");
    let connected = config(&text).connect_with(&client).await;
    (connected.map(drop), connections.load(Ordering::SeqCst))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_login_is_begun_anew_once() {
    let server = peer!(server(15));
    let (connected, connections) = log_in(&server, 1).await;
    connected.unwrap();
    assert_eq!(connections, 2);

    let (connected, connections) = log_in(&server, 2).await;
    let error = connected.unwrap_err();
    assert!(
        error.is_retryable() && error.hop() == Hop::Handshake,
        "{error}"
    );
    assert!(error.request_id().is_some());
    assert_eq!(connections, 2);
}
