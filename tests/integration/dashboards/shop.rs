//! Applications at work, for somebody to watch.

use std::{convert::Infallible, process::Command, time::Duration};

use approzium::{
    AuthClient, TlsConfig,
    opentelemetry::{Instrumentation, instrument_with, otlp},
    postgres,
};
use approzium_peers::{Jaeger, Process, Result, Stop};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};

use crate::thread::{
    House,
    application::{CHECKOUT, INTRUDER, Pod, REPORTING},
};

/// Three pods, two of which are let in, and the Authenticator that they ask.
pub(super) struct Shop {
    // Applications go before what they use: fields are dropped in order.
    _pods: Vec<Process>,
    _folder: tempfile::TempDir,
    pub(super) house: House,
}

impl Shop {
    /// All of it tells this Jaeger what it does, until the value is dropped.
    pub(super) async fn open(jaeger: &Jaeger) -> Result<Self> {
        let house = House::open(jaeger.otlp_grpc()).await?;
        let folder = tempfile::tempdir().unwrap();
        let pods = [&CHECKOUT, &REPORTING, &INTRUDER]
            .into_iter()
            .map(|pod| start(&house, folder.path(), pod))
            .collect::<Result<_>>()?;
        Ok(Shop {
            _pods: pods,
            _folder: folder,
            house,
        })
    }
}

fn start(house: &House, folder: &std::path::Path, pod: &Pod) -> Result<Process> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let test = "dashboards::shop::works_until_it_is_stopped";
    command.args(["--ignored", "--exact", "--nocapture", test]);
    house.dress(&mut command, pod);
    let known = house.authenticator.credentials(pod.role).unwrap();
    command.env("KEY_ID", known.access_key_id);
    command.env("SESSION_TOKEN", known.session_token.unwrap_or_default());
    command.env("OTEL_METRICS_EXPORTER", "otlp");
    command.env("OTEL_METRIC_EXPORT_INTERVAL", "200");
    command.env("OTEL_BSP_SCHEDULE_DELAY", "200");
    let log = folder.join(format!("{}.log", pod.name));
    Process::start(pod.name, &mut command, Stop::Terminate, &log, None)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "an application: dashboards::expressions runs it"]
async fn works_until_it_is_stopped() {
    let pipeline = otlp::pipeline().build().await.unwrap();
    pipeline.set_global();
    instrument_with(Instrumentation::new().returned_rows(true));
    let never: Infallible = work().await;
    match never {}
}

async fn work() -> Infallible {
    let database = std::env::var("DATABASE").unwrap();
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    for id in 0.. {
        pace.tick().await;
        // The intruder never gets further.
        if let Ok(mut client) = postgres::connect(&database).await {
            requests(&mut client, id).await.unwrap();
        }
        forge().await;
    }
    unreachable!("there is no last number")
}

async fn requests(client: &mut postgres::Client, id: i32) -> Result<(), tokio_postgres::Error> {
    let count = client.query("SELECT id, note FROM orders LIMIT 5", &[]);
    count.await?;
    let transaction = client.transaction().await?;
    let insert = "INSERT INTO orders VALUES ($1, 'note') ON CONFLICT DO NOTHING";
    transaction.execute(insert, &[&id]).await?;
    transaction.commit().await?;
    let nowhere = client.query("SELECT * FROM nowhere", &[]).await;
    assert!(nowhere.is_err());
    // Not the wrapper's own method: nobody knows the caller.
    let driver: &tokio_postgres::Client = client;
    driver.query("SELECT now()", &[]).await?;
    Ok(())
}

/// Somebody has everything but the key.
async fn forge() {
    let variable = |name| std::env::var(name).unwrap();
    let token = Some(variable("SESSION_TOKEN")).filter(|token| !token.is_empty());
    let forged = Credentials::new(variable("KEY_ID"), "guessed", token, None, "test");
    let client = AuthClient::builder(variable("APPROZIUM_ADDRESS"))
        .tls(TlsConfig::new().roots_file(variable("APPROZIUM_CA")))
        .credentials_provider(SharedCredentialsProvider::new(forged))
        .region("eu-central-1")
        .attribution(false)
        .build()
        .unwrap();
    client.authenticate().await.unwrap_err();
}
