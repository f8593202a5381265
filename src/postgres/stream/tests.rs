use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::Instant,
};

use super::{Stream, Transport};
use crate::{
    AuthClient, Error,
    postgres::{
        Config,
        connector::Denial,
        login::{Delegate, Login, Policy},
    },
};

/// StartupMessage of protocol 3.0, with a user.
const STARTUP: &[u8] = b"\0\0\0\x12\0\x03\0\0user\0app\0\0";
/// CancelRequest, process 1, key 2.
const CANCEL: &[u8] = b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02";
const OK: &[u8] = b"R\0\0\0\x08\0\0\0\0";
const READY: &[u8] = b"Z\0\0\0\x05I";

/// A stream, and the database's end of it. Nobody listens at the Authenticator's address.
fn stream(require_auth: &str) -> (Stream<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(1024);
    let config: Config = format!("host=h require_auth={require_auth}")
        .parse()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let auth = AuthClient::new("http://127.0.0.1:1").unwrap();
    let login = Login::new(
        Policy::of(&config),
        Delegate::new(auth, "h".into(), 5432, deadline),
        Denial::default(),
    );
    let stream = Stream::new(Transport::Plain(ours), login, Arc::default());
    (stream, theirs)
}

async fn read(stream: &mut (impl AsyncReadExt + Unpin), length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test]
async fn a_cancel_request_passes_however_it_is_cut() {
    for size in 1..=CANCEL.len() {
        let (mut stream, mut database) = stream("");
        for piece in CANCEL.chunks(size) {
            stream.write_all(piece).await.unwrap();
        }
        stream.flush().await.unwrap();
        assert_eq!(read(&mut database, CANCEL.len()).await, CANCEL);
        stream.shutdown().await.unwrap();
        assert_eq!(database.read(&mut [0]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn what_the_database_said_is_replayed_to_the_last_byte() {
    let said = [
        OK,
        b"S\0\0\0\x0bname\0v\0",
        b"K\0\0\0\x0c\0\0\0\x01\0\0\0\x02",
        READY,
        b"and what came with it",
    ]
    .concat();
    let expected = said.clone();
    for size in 1..=STARTUP.len() {
        let (mut stream, mut database) = stream("none");
        let said = said.clone();
        let database = tokio::spawn(async move {
            assert_eq!(read(&mut database, STARTUP.len()).await, STARTUP);
            database.write_all(&said).await.unwrap();
            assert_eq!(read(&mut database, 5).await, b"query");
            database.write_all(b"rows").await.unwrap();
        });
        for piece in STARTUP.chunks(size) {
            stream.write_all(piece).await.unwrap();
        }
        stream.flush().await.unwrap();
        assert_eq!(read(&mut stream, expected.len()).await, expected);
        stream.write_all(b"query").await.unwrap();
        assert_eq!(read(&mut stream, 4).await, b"rows");
        database.await.unwrap();
    }
}

#[tokio::test]
async fn an_error_of_the_database_is_for_the_driver_to_read() {
    let error = b"E\0\0\0\x1dSFATAL\0C53300\0Mtoo many\0\0";
    for before in [&b""[..], OK, b"N\0\0\0\x0bSNOTE\0\0"] {
        let (mut stream, mut database) = stream("none");
        let login = tokio::spawn(async move {
            stream.write_all(STARTUP).await.unwrap();
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await.unwrap();
            read
        });
        read(&mut database, STARTUP.len()).await;
        database.write_all(&[before, error].concat()).await.unwrap();
        drop(database);
        // A notice before AuthenticationOk would only confuse the driver.
        let replayed = if before.starts_with(b"N") {
            b""
        } else {
            before
        };
        assert_eq!(login.await.unwrap(), [replayed, error].concat());
    }
}

#[tokio::test]
async fn our_own_error_comes_back_inside_the_drivers_each_time_that_it_asks() {
    let (mut stream, mut database) = stream("");
    stream.write_all(STARTUP).await.unwrap();
    database.write_all(&[OK, READY].concat()).await.unwrap();
    for _ in 0..2 {
        let error = stream.read(&mut [0; 8]).await.unwrap_err();
        let ours = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Error>());
        assert!(ours.is_some_and(Error::is_policy), "{error:?}");
    }
    let error = stream.write(b"query").await.unwrap_err();
    assert!(error.get_ref().is_some_and(|inner| inner.is::<Error>()));
}

#[tokio::test]
async fn only_a_session_or_a_cancel_begins() {
    for packet in [
        &b"\0\0\0\x07\0\0\0"[..],
        b"\x7f\xff\xff\xff",
        // SSLRequest, and protocol 2.
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        b"\0\0\0\x09\0\x02\0\0\0",
    ] {
        let (mut stream, _database) = stream("");
        let error = stream.write_all(packet).await.unwrap_err();
        assert!(error.get_ref().is_some_and(|inner| inner.is::<Error>()));
    }
    let (mut stream, _database) = stream("");
    assert!(stream.read(&mut [0]).await.is_err());
}
