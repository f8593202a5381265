//! A server over TLS that answers as it is told.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use approzium::identity::aws::{StsVerifier, StsVerifierBuilder};
use approzium_peers::{Authority, Certificate};
use rustls_pki_types::pem::PemObject;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// The host that is asked for proofs of `us-east-1`.
pub(crate) const HOST: &str = "sts.us-east-1.amazonaws.com";

pub(crate) fn document(arn: &str, account: &str) -> String {
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <GetCallerIdentityResult><Arn>{arn}</Arn><UserId>AROAX:pod-7f</UserId>\
         <Account>{account}</Account></GetCallerIdentityResult>\
         <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>\
         </GetCallerIdentityResponse>"
    )
}

pub(crate) fn answer(status: u16, content_type: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} x\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    )
}

pub(crate) fn redirect(to: SocketAddr) -> String {
    format!(
        "HTTP/1.1 307 x\r\nlocation: https://{HOST}:{}/\r\ncontent-length: 0\r\n\
         connection: close\r\n\r\n",
        to.port()
    )
}

/// A body of the document and then `more` chunks of 16 spaces, without a length.
pub(crate) fn chunked(document: &str, more: usize) -> String {
    format!(
        "HTTP/1.1 200 x\r\ncontent-type: text/xml\r\ntransfer-encoding: chunked\r\n\r\n\
         {:x}\r\n{document}\r\n{}0\r\n\r\n",
        document.len(),
        format!("10\r\n{}\r\n", " ".repeat(16)).repeat(more)
    )
}

pub(crate) enum Behaviour {
    /// Answers each request with these bytes, and closes.
    Answer(String),
    /// Begins so, and then does nothing.
    Stall(String),
    /// Begins so, and then sends a space now and then.
    Drip(String),
    /// Answers when a second request is there too, or has not come for so long.
    Together(String, Duration),
}

/// What a server saw.
#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<String>>,
    at_once: AtomicUsize,
    at_once_at_most: AtomicUsize,
}

pub(crate) struct Sts {
    pub(super) address: SocketAddr,
    authority_der: Vec<u8>,
    behaviour: Arc<Mutex<Arc<Behaviour>>>,
    seen: Arc<Seen>,
    server: JoinHandle<()>,
}

impl Drop for Sts {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Sts {
    pub(super) async fn answering(answer: String) -> Self {
        Sts::start(Behaviour::Answer(answer)).await
    }

    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let authority = Authority::default();
        let certificate = authority.server(&[HOST]);
        Sts::with_certificate(behaviour, &authority, &certificate).await
    }

    pub(super) async fn with_certificate(
        behaviour: Behaviour,
        authority: &Authority,
        certificate: &Certificate,
    ) -> Self {
        let provider = rustls::crypto::ring::default_provider();
        let key = rustls_pki_types::PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes());
        let config = rustls::ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.certificate_der.clone().into()],
                key.unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let behaviour = Arc::new(Mutex::new(Arc::new(behaviour)));
        let server = tokio::spawn({
            let (seen, behaviour) = (Arc::clone(&seen), Arc::clone(&behaviour));
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
                    let behaviour = Arc::clone(&behaviour.lock().unwrap());
                    tokio::spawn(async move {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            behave(&behaviour, stream, &seen).await;
                        }
                    });
                }
            }
        });
        Sts {
            address,
            authority_der: authority.der(),
            behaviour,
            seen,
            server,
        }
    }

    /// Behaves otherwise from the next connection on.
    pub(in crate::identity) fn now(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = Arc::new(behaviour);
    }

    pub(crate) fn builder(&self) -> StsVerifierBuilder {
        StsVerifier::builder()
            .dial(self.address)
            .add_root_certificate(self.authority_der.clone().into())
    }

    pub(crate) fn verifier(&self) -> StsVerifier {
        self.builder().build().unwrap()
    }

    /// The most requests that were open at once.
    pub(super) fn at_once_at_most(&self) -> usize {
        self.seen.at_once_at_most.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().unwrap().clone()
    }
}

async fn behave(behaviour: &Behaviour, mut stream: TlsStream<TcpStream>, seen: &Seen) {
    let Some(request) = read_request(&mut stream).await else {
        return;
    };
    seen.requests.lock().unwrap().push(request);
    let at_once = seen.at_once.fetch_add(1, Ordering::SeqCst) + 1;
    seen.at_once_at_most.fetch_max(at_once, Ordering::SeqCst);
    // A client that is gone is no failure here.
    match behaviour {
        Behaviour::Answer(answer) => {
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Behaviour::Stall(beginning) => {
            let _ = stream.write_all(beginning.as_bytes()).await;
            let _ = stream.read_u8().await;
        }
        Behaviour::Drip(beginning) => {
            let _ = stream.write_all(beginning.as_bytes()).await;
            while stream.write_all(b" ").await.is_ok() && stream.flush().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Behaviour::Together(answer, wait) => {
            let _ = tokio::time::timeout(*wait, a_second_request(seen)).await;
            seen.at_once.fetch_sub(1, Ordering::SeqCst);
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    }
}

async fn a_second_request(seen: &Seen) {
    while seen.at_once_at_most.load(Ordering::SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Head and body, by its content-length.
async fn read_request(stream: &mut TlsStream<TcpStream>) -> Option<String> {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return Some(text);
            }
        }
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
}
