//! What one connection can ask for, and for how long it is waited for what it says.
//!
//! Where time is paused it goes on by itself whenever nothing else happens: minutes are waited for
//! in no time.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use approzium::authenticator::Limits;
use approzium_peers::Authority;
use futures_util::future::join_all;
use rustls::{
    HandshakeKind,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, pause, resume, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{House, NAMES, dev_signer, dev_sts, server_tls};
use crate::authenticator::{
    client::{both, showing},
    process::{https, record},
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SALT: &[u8] = b"sixteen bytes ok";
const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE: Duration = Duration::from_secs(30);
const STRANGERS_STAY: Duration = Duration::from_secs(90);

/// Time enough for a second to be noticed late.
const LATE: Duration = Duration::from_secs(9);

#[tokio::test]
async fn who_is_slow_to_begin_or_to_say_what_he_wants_is_not_waited_for() {
    let house = House::start(dev_sts().await.verifier(), "").await;
    let grpc = house.running.grpc_addr();
    let http = house.running.http_addr().unwrap();
    // The settings, and headers that are longer than what comes.
    let half_a_request = [
        PREFACE,
        &[0, 0, 0, 4, 0, 0, 0, 0, 0],
        &[0, 64, 0, 1, 4, 0, 0, 0, 1],
    ];
    let half_a_request = half_a_request.concat();
    let half_a_header = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx-slow: ".to_vec();
    for (address, protocol, beginning, waited) in [
        (grpc, HTTP_2, vec![], HANDSHAKE_TIMEOUT),
        (http, HTTP_2, vec![], HANDSHAKE_TIMEOUT),
        (http, HTTP_1, vec![], HANDSHAKE_TIMEOUT),
        (grpc, HTTP_2, PREFACE[..10].to_vec(), HANDSHAKE_TIMEOUT),
        (http, HTTP_2, PREFACE[..10].to_vec(), HANDSHAKE_TIMEOUT),
        (http, HTTP_1, b"GET /".to_vec(), HANDSHAKE_TIMEOUT),
        (http, HTTP_1, half_a_header, KEEPALIVE),
        // It is asked whether it is there, and cannot say so before its request is whole.
        (grpc, HTTP_2, half_a_request.clone(), 2 * KEEPALIVE),
        (http, HTTP_2, half_a_request, 2 * KEEPALIVE),
    ] {
        let mut slow = connect(&house, address, protocol).await;
        slow.write_all(&beginning).await.unwrap();
        let took = drip(slow).await;
        let case = format!("{:?} at {address}: {took:?}", beginning.escape_ascii());
        assert!(took + LATE >= waited && took <= waited + LATE, "{case}");
        assert!(took + LATE < STRANGERS_STAY, "{case}");
    }
    // Others were served meanwhile, and are.
    house.client().await.challenge().await.unwrap();
}

/// A handshake that was begun, by a peer that then says nothing more.
#[tokio::test]
async fn who_is_slow_to_agree_on_tls_is_not_waited_for() {
    let house = House::start(dev_sts().await.verifier(), "").await;
    let http = house.running.http_addr().unwrap();
    for address in [house.running.grpc_addr(), http] {
        let mut slow = TcpStream::connect(address).await.unwrap();
        // A record of a handshake, and half of its length.
        slow.write_all(&[22, 3, 1, 2]).await.unwrap();
        let took = drip(slow).await;
        assert!(took <= HANDSHAKE_TIMEOUT + LATE, "{took:?}");
    }
}

#[tokio::test]
async fn streams_of_one_connection_are_bounded_and_the_others_live() {
    const MOST: usize = 256;
    let sts = dev_sts().await;
    let mut limits = Limits::default();
    limits.handshake_timeout = Duration::from_secs(600);
    let house = House::start_with(sts.verifier(), &record("app", ""), |builder, _| {
        builder.limits(limits)
    })
    .await;
    let signer = dev_signer(&sts, "checkout").await;
    let client = house.client().await;
    let token = client.session(&signer).await.session_token;
    let mut open: Vec<_> = join_all((1..MOST).map(|_| client.silent())).await;
    let (mut live, _) = client.accepted(&token, "app").await;

    let one_more = client.silent();
    tokio::pin!(one_more);
    // What comes after it on the same connection is answered before it.
    tokio::select! {
        biased;
        _ = &mut one_more => panic!("there are more than {MOST}"),
        proved = live.scram(both(&[]), SALT, 4096) => proved.unwrap(),
    };
    drop(open.pop());
    one_more.await.unwrap();
    house.client().await.accepted(&token, "app").await;
}

#[tokio::test]
async fn headers_of_operators_are_bounded() {
    let house = House::start(dev_sts().await.verifier(), "").await;
    let http = house.running.http_addr().unwrap();
    for (length, answer) in [(15_000, "HTTP/1.1 200"), (17_000, "HTTP/1.1 431")] {
        let mut stream = connect(&house, http, HTTP_1).await;
        let long = "x".repeat(length);
        let request = format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx-long: {long}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut told = vec![0; answer.len()];
        stream.read_exact(&mut told).await.unwrap();
        assert_eq!(told.escape_ascii().to_string(), answer, "{length}");
    }
}

/// What nobody reads yet lies here: as much as one message, of all streams of a connection.
#[tokio::test]
async fn what_a_connection_may_send_ahead_is_bounded() {
    const WINDOW: u32 = 65_535;
    const SETTINGS: u8 = 4;
    const WINDOW_UPDATE: u8 = 8;
    const INITIAL_WINDOW_SIZE: u16 = 4;
    let house = House::start(dev_sts().await.verifier(), "").await;
    let http = house.running.http_addr().unwrap();
    for address in [house.running.grpc_addr(), http] {
        let mut stream = connect(&house, address, HTTP_2).await;
        // The settings, and questions whether it is there, one after the other: what is said before
        // the last answer was said of the connection.
        stream.write_all(PREFACE).await.unwrap();
        stream
            .write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])
            .await
            .unwrap();
        let mut seen = Vec::new();
        for question in 1..=3 {
            let asked = [question; 8];
            let ping = [&[0, 0, 8, 6, 0, 0, 0, 0, 0][..], &asked].concat();
            stream.write_all(&ping).await.unwrap();
            loop {
                let mut head = [0; 9];
                stream.read_exact(&mut head).await.unwrap();
                let [a, b, c, kind, flags, ..] = head;
                let length = u32::from_be_bytes([0, a, b, c]);
                let mut body = vec![0; usize::try_from(length).unwrap()];
                stream.read_exact(&mut body).await.unwrap();
                assert_ne!(
                    kind, WINDOW_UPDATE,
                    "more than {WINDOW} in all at {address}"
                );
                if kind == SETTINGS && flags == 0 {
                    for setting in body.chunks(6) {
                        let id = u16::from_be_bytes(setting[..2].try_into().unwrap());
                        let value = u32::from_be_bytes(setting[2..].try_into().unwrap());
                        assert!(id != INITIAL_WINDOW_SIZE || value <= WINDOW, "{value}");
                        seen.push(id);
                    }
                }
                if body == asked {
                    break;
                }
            }
        }
        assert!(!seen.is_empty());
    }
}

async fn mutual() -> House {
    let sts = dev_sts().await;
    House::start_with(sts.verifier(), &record("app", ""), |builder, authority| {
        let tls = server_tls(authority, &NAMES);
        builder.tls(tls.with_client_ca(authority.pem().as_bytes()).unwrap())
    })
    .await
}

/// Probes, as the kubelet makes them, have none to show.
#[tokio::test]
async fn operators_show_a_certificate_where_one_is_demanded_and_probes_need_none() {
    let house = mutual().await;
    let address = house.running.http_addr().unwrap();
    let showing = |authority: &Authority| {
        reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(showing(house.tls(), &authority.client("operator")))
            .build()
            .unwrap()
    };
    let without = https(house.authority.pem().as_bytes());
    let with = showing(&house.authority);
    let stranger = showing(&Authority::default());
    for (path, demands) in [
        ("/livez", false),
        ("/v1/live", false),
        ("/readyz", false),
        ("/v1/ready", false),
        ("/v1/health", true),
        ("/v1/metrics/prometheus", true),
    ] {
        let url = format!("https://{address}{path}");
        let shown = with.get(&url).send().await.unwrap();
        assert_eq!(shown.status(), 200, "{path}");
        let asked = without.get(&url).send().await.unwrap();
        assert_eq!(asked.status(), if demands { 403 } else { 200 }, "{path}");
        assert!(!demands || !asked.text().await.unwrap().contains("version"));
        assert!(stranger.get(&url).send().await.is_err(), "{path}");
        let plaintext = url.replace("https", "http");
        assert!(with.get(plaintext).send().await.is_err());
    }
}

/// Agrees on TLS, has something answered, and whether what was agreed on before was taken up.
async fn speak(
    address: SocketAddr,
    tls: Arc<rustls::ClientConfig>,
) -> std::io::Result<(bool, bool)> {
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = TcpStream::connect(address).await?;
    let mut stream = TlsConnector::from(tls).connect(name, stream).await?;
    stream.write_all(PREFACE).await?;
    // Tickets come before what is said.
    let length = stream.read(&mut [0; 64]).await?;
    let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
    Ok((length > 0, resumed))
}

/// A certificate is not looked at again where a session is resumed: it may have ended since.
#[tokio::test]
async fn no_session_is_resumed_where_certificates_are_demanded() {
    let open = House::start(dev_sts().await.verifier(), "").await;
    let mutual = mutual().await;
    let certificate = mutual.authority.client("application");
    for (house, shown, is_resumed) in [(&open, None, true), (&mutual, Some(&certificate), false)] {
        let http = house.running.http_addr().unwrap();
        for address in [house.running.grpc_addr(), http] {
            for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
                let mut tls = speaking(version, house);
                if let Some(certificate) = shown {
                    tls = showing(tls, certificate);
                }
                let tls = Arc::new(tls);
                assert_eq!(speak(address, tls.clone()).await.unwrap(), (true, false));
                let again = speak(address, tls).await.unwrap();
                assert_eq!(again, (true, is_resumed), "{version:?} at {address}");
            }
        }
    }
}

/// A client of one version of TLS.
fn speaking(
    version: &'static rustls::SupportedProtocolVersion,
    house: &House,
) -> rustls::ClientConfig {
    let authority = CertificateDer::from_pem_slice(house.authority.pem().as_bytes());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.unwrap()).unwrap();
    rustls::ClientConfig::builder_with_provider(house.tls().crypto_provider().clone())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[tokio::test]
async fn a_connection_is_over_when_its_client_s_certificate_is() {
    let house = mutual().await;
    let end = SystemTime::now() + Duration::from_secs(3);
    let own = house.authority.client_until("application", end);
    let own = TlsConnector::from(Arc::new(showing(house.tls(), &own)));
    let stream = TcpStream::connect(house.running.grpc_addr()).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut stream = own.connect(name, stream).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    assert!(stream.read(&mut [0; 64]).await.unwrap() > 0);
    // A stranger who has begun to speak would have 90.
    let over = async { while matches!(stream.read(&mut [0; 64]).await, Ok(1..)) {} };
    let over = timeout(Duration::from_secs(20), over).await;
    assert!(over.is_ok() && SystemTime::now() >= end - Duration::from_secs(1));
}

/// TLS would take up what was agreed on at the port that demands less.
#[tokio::test]
async fn a_session_of_probes_opens_no_port_for_applications() {
    let house = mutual().await;
    let without = Arc::new(house.tls());
    let (http, grpc) = (
        house.running.http_addr().unwrap(),
        house.running.grpc_addr(),
    );
    assert_eq!(speak(http, without.clone()).await.unwrap(), (true, false));
    let refused = speak(grpc, without).await;
    assert!(!matches!(refused, Ok((true, _))), "{refused:?}");
    let own = Arc::new(showing(house.tls(), &house.authority.client("application")));
    assert_eq!(speak(grpc, own).await.unwrap(), (true, false));
}

async fn connect(house: &House, address: SocketAddr, protocol: &[u8]) -> TlsStream<TcpStream> {
    let mut tls = house.tls();
    tls.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(tls));
    connector.connect(name, stream).await.unwrap()
}

/// Says a byte a second, and how long it was listened to.
async fn drip(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) -> Duration {
    pause();
    let began = Instant::now();
    let mut answer = [0; 1024];
    loop {
        match timeout(Duration::from_secs(1), stream.read(&mut answer)).await {
            Ok(Ok(0) | Err(_)) => break,
            // Settings and questions whether it is there; it says nothing to them.
            Ok(Ok(_)) => {}
            Err(_) => {
                if stream.write_all(b"x").await.is_err() {
                    break;
                }
            }
        }
    }
    let took = began.elapsed();
    resume();
    took
}
