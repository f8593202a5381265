//! The yardstick: a plain tonic service that answers messages by others of the same size.

use std::{env, io, pin::Pin, sync::Arc};

use futures_util::{Stream, StreamExt};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::{Request, Response, Status, Streaming};

use crate::v2::{
    AuthenticateRequest, AuthenticateResponse, CreateSessionRequest, CreateSessionResponse,
    HandshakeAccepted, ScramClientFinal, ScramClientFirst, authenticate_request,
    authenticate_response::Message as Answer,
    authenticator_server::{Authenticator, AuthenticatorServer},
};

/// By which this executable is the echo. After it come port, certificate and key.
pub(crate) const ARGUMENT: &str = "echo";

pub(crate) async fn serve() {
    let [port, certificate, key] = [2, 3, 4].map(|place| env::args().nth(place).unwrap());
    let provider = rustls::crypto::ring::default_provider();
    let mut tls = rustls::ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(certificate).unwrap()],
            PrivateKeyDer::from_pem_file(key).unwrap(),
        )
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind(("127.0.0.1", port.parse().unwrap())).await;
    let (connections, accepted) = tokio::sync::mpsc::channel(1);
    let listener = listener.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, connections) = (acceptor.clone(), connections.clone());
            tokio::spawn(async move {
                if let Ok(stream) = secure(acceptor, stream).await {
                    connections.send(Ok::<_, io::Error>(stream)).await.ok();
                }
            });
        }
    });
    tonic::transport::Server::builder()
        .max_concurrent_streams(256)
        .add_service(AuthenticatorServer::new(Echo))
        .serve_with_incoming(tokio_stream::wrappers::ReceiverStream::new(accepted))
        .await
        .unwrap();
}

async fn secure(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    stream.set_nodelay(true)?;
    acceptor.accept(stream).await
}

struct Echo;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Authenticator for Echo {
    type CreateSessionStream = Answers<CreateSessionResponse>;
    type AuthenticateStream = Answers<AuthenticateResponse>;

    async fn create_session(
        &self,
        _: Request<Streaming<CreateSessionRequest>>,
    ) -> Result<Response<Self::CreateSessionStream>, Status> {
        Err(Status::unimplemented("an echo knows nobody"))
    }

    async fn authenticate(
        &self,
        request: Request<Streaming<AuthenticateRequest>>,
    ) -> Result<Response<Self::AuthenticateStream>, Status> {
        let answers = request.into_inner().filter_map(async |request| {
            let message = match request.ok()?.message? {
                authenticate_request::Message::Start(_) => Answer::Accepted(accepted()),
                authenticate_request::Message::ScramServerFirst(_) => {
                    Answer::ScramClientFinal(client_final())
                }
                _ => return None,
            };
            Some(Ok(AuthenticateResponse {
                message: Some(message),
            }))
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

fn accepted() -> HandshakeAccepted {
    let first = |mechanism: &str, header: &str| ScramClientFirst {
        mechanism: mechanism.to_owned(),
        message: format!("{header},,n=,r=BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH").into(),
    };
    HandshakeAccepted {
        request_id: "7f0c2a51-0000-4000-8000-000000000001".to_owned(),
        iam_arn: "arn:aws:sts::000000000000:assumed-role/checkout/dev".to_owned(),
        scram_client_first: vec![
            first("SCRAM-SHA-256-PLUS", "p=tls-server-end-point"),
            first("SCRAM-SHA-256", "y"),
            first("SCRAM-SHA-256", "n"),
        ],
    }
}

fn client_final() -> ScramClientFinal {
    let proof = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    ScramClientFinal {
        message: format!("c=biws,r=BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHtheirs,p={proof}").into(),
        server_signature_sha256: vec![7; 32],
    }
}
