use std::{future::poll_fn, net::Ipv4Addr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// Who has begun to speak, as HTTP/2 does, and what becomes of it.
#[tokio::test(start_paused = true)]
async fn a_stranger_is_let_go_and_who_proved_himself_stays() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let gate = Gate::new(9, 9);
    for is_known in [false, true] {
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (stream, address) = listener.accept().await.unwrap();
        let pass = || gate.enter(address.ip()).unwrap();
        let peer = Peer::new(address, None, pass());
        let silence = Duration::from_secs(10);
        let abort = CancellationToken::new();
        let mut connection = Connection::new(
            Io::Plain(stream),
            peer.clone(),
            pass(),
            silence,
            None,
            abort,
        );
        let mut preface = [7; PREFACE];
        client.write_all(&preface).await.unwrap();
        connection.read_exact(&mut preface).await.unwrap();
        if is_known {
            peer.is_known();
        }
        let began = tokio::time::Instant::now();
        let read = tokio::time::timeout(Duration::from_secs(3_600), connection.read_u8());
        let end = read.await;
        assert_eq!(end.is_err(), is_known, "{end:?}");
        // The whole of a session in the making, and not much more.
        let most = Duration::from_secs(if is_known { 3_601 } else { 91 });
        assert!(began.elapsed() >= Duration::from_secs(60) && began.elapsed() <= most);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_with_the_certificate_that_was_shown_on_it() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    let (stream, address) = listener.accept().await.unwrap();
    let gate = Gate::new(2, 2);
    let pass = || gate.enter(address.ip()).unwrap();
    let peer = Peer::new(address, None, pass());
    let (hour, abort) = (Duration::from_secs(3_600), CancellationToken::new());
    let io = Io::Plain(stream);
    let mut connection = Connection::new(io, peer.clone(), pass(), hour, Some(24 * hour), abort);
    client.write_all(&[7; PREFACE]).await.unwrap();
    connection.read_exact(&mut [7; PREFACE]).await.unwrap();
    peer.is_known();
    let began = tokio::time::Instant::now();
    assert!(connection.read_u8().await.is_err());
    assert_eq!(began.elapsed().as_secs(), 24 * 3_600);
}

/// HTTP/2 does not read on while it has something to write: who takes nothing is still to go.
#[tokio::test]
async fn who_does_not_read_is_not_kept_either() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (stream, address) = listener.accept().await.unwrap();
    let gate = Gate::new(2, 2);
    let pass = || gate.enter(address.ip()).unwrap();
    let peer = Peer::new(address, None, pass());
    let abort = CancellationToken::new();
    let silence = Duration::from_secs(600);
    let io = Io::Plain(stream);
    let mut connection = Connection::new(io, peer, pass(), silence, None, abort.clone());

    let mut write = async || {
        poll_fn(|context| {
            let written = Pin::new(&mut connection).poll_write(context, &[7; 1 << 16]);
            if written.is_pending() {
                abort.cancel();
            }
            written
        })
        .await
    };
    let end = async { while write().await.is_ok() {} };
    let end = tokio::time::timeout(Duration::from_secs(10), end).await;
    end.expect("the connection is kept");
    let flushed = poll_fn(|context| Pin::new(&mut connection).poll_flush(context)).await;
    let shut = poll_fn(|context| Pin::new(&mut connection).poll_shutdown(context)).await;
    assert!(flushed.is_err() && shut.is_err());
}
