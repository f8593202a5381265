//! A collector that is reached by TLS, as the environment says.

use std::{path::Path, process::Command};

use approzium::opentelemetry::otlp::pipeline;
use approzium_peers::{Authority, Process, Stop};
use opentelemetry::trace::Tracer;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use super::{PATIENCE, collector::Collector};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_with_an_authority_of_its_own_knows_and_is_known() {
    let (authority, another) = (Authority::default(), Authority::default());
    let own = authority.localhost();
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(own.certificate_pem, own.key_pem))
        .client_ca_root(Certificate::from_pem(authority.pem()));
    let collector = Collector::behind_tls(tls).await;
    let folder = tempfile::tempdir().unwrap();
    let trusted = authority.write(folder.path().join("ca.pem")).unwrap();
    let distrusted = another.write(folder.path().join("other.pem")).unwrap();
    let (certificate, key) = authority
        .client("checkout")
        .write(folder.path(), "checkout")
        .unwrap();
    let run = async |authority: &Path, identity: &[(&str, &Path)], sent: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let test = "collectors::tls::sends_one_span";
        command
            .args(["--ignored", "--exact", "--nocapture", test])
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
            .env("OTEL_EXPORTER_OTLP_TIMEOUT", "2000")
            .env("OTEL_EXPORTER_OTLP_CERTIFICATE", authority)
            .env("SENT", sent)
            .envs(identity.iter().copied());
        let log = folder.path().join("log");
        let mut run = Process::start("sender", &mut command, Stop::Terminate, &log, None).unwrap();
        let status = run.finish(PATIENCE).await.unwrap();
        assert!(status.success(), "{}", run.log());
    };
    let identity: [(&str, &Path); 2] = [
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &certificate),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &key),
    ];
    run(&distrusted, &identity, "false").await;
    run(&trusted, &[], "false").await;
    assert_eq!(collector.answered(), 0);
    run(&trusted, &identity, "true").await;
    assert_eq!(collector.answered(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "an application: a_collector_with_an_authority_of_its_own_knows_and_is_known runs it"]
async fn sends_one_span() {
    let pipeline = pipeline().service_name("sender").build().await.unwrap();
    pipeline.tracer("test").start("one");
    let sent = pipeline.flush(PATIENCE).await.is_ok();
    assert_eq!(sent.to_string(), std::env::var("SENT").unwrap());
}
