//! Channels to the Authenticator, by TLS.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use approzium_peers::Certificate;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;
use tonic::transport::Channel;

/// A TLS client that trusts these authorities (PEM).
pub(crate) fn tls(authorities: &[u8]) -> rustls::ClientConfig {
    let authorities: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(authorities)
        .map(|der| der.unwrap().to_vec())
        .collect();
    approzium_peers::certificates::client_configuration(&authorities)
}

/// The same, with a certificate to show.
pub(crate) fn showing(mut tls: rustls::ClientConfig, own: &Certificate) -> rustls::ClientConfig {
    let chain = CertificateDer::from_pem_slice(own.certificate_pem.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).unwrap();
    let provider = tls.crypto_provider().clone();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let certified = rustls::sign::CertifiedKey::new(vec![chain], key);
    tls.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    tls
}

/// A channel by TLS to 127.0.0.1.
pub(crate) async fn channel(
    address: &str,
    tls: rustls::ClientConfig,
) -> Result<Channel, tonic::transport::Error> {
    channel_from(Ipv4Addr::UNSPECIFIED, address, tls).await
}

/// As [`channel`], from another address of this machine.
pub(crate) async fn channel_from(
    source: Ipv4Addr,
    address: &str,
    mut tls: rustls::ClientConfig,
) -> Result<Channel, tonic::transport::Error> {
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let address: SocketAddr = address.parse().unwrap();
    let connector = TlsConnector::from(Arc::new(tls));
    let dial = tower::service_fn(move |_: http::Uri| {
        let connector = connector.clone();
        async move {
            let socket = TcpSocket::new_v4()?;
            socket.bind((source, 0).into())?;
            let stream = socket.connect(address).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from("127.0.0.1").unwrap();
            Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, stream).await?))
        }
    });
    let endpoint = tonic::transport::Endpoint::from_static("http://authenticator");
    endpoint.connect_with_connector(dial).await
}
