//! The links that `approzium attribution --jaeger` prints in each pod.

use approzium_peers::{Error, Result, capture};
use serde_json::Value;
use tokio::process::Command;

use crate::workload::{CHECKOUT, Cluster, INTRUDER, Pod, REPORTING};

/// The links of a pod.
pub(crate) struct Links {
    pub(crate) pod: &'static Pod,
    /// To everything that it did.
    pub(crate) everything: String,
    /// To what took a second or longer of that.
    pub(crate) slow: String,
}

impl Links {
    /// Of all pods, in their order. `pages` is Jaeger's address.
    pub(crate) async fn all(cluster: &Cluster<'_>, pages: &str) -> Result<Vec<Links>> {
        let mut links = Vec::new();
        for pod in [&CHECKOUT, &REPORTING, &INTRUDER] {
            links.push(Links::print(cluster, pod, pages).await?);
        }
        Ok(links)
    }

    async fn print(cluster: &Cluster<'_>, pod: &'static Pod, pages: &str) -> Result<Links> {
        let mut command = cluster.command(pod, &crate::program("approzium")?);
        // More time than an application would wait: this machine may just be compiling.
        command.args([
            "attribution",
            "--json",
            "--budget",
            "10s",
            "--jaeger",
            pages,
        ]);
        let printed = capture(&mut Command::from(command)).await?;
        let printed: Value = serde_json::from_str(&printed)
            .map_err(|error| Error::Failed(format!("approzium attribution: {error}")))?;
        let link = |name: &str| {
            let link = printed.get("jaeger").and_then(|jaeger| jaeger.get(name));
            let link = link.and_then(Value::as_str).map(str::to_owned);
            link.ok_or_else(|| Error::Failed(format!("approzium attribution printed {printed:#}")))
        };
        Ok(Links {
            pod,
            everything: link("everything")?,
            slow: link("slow")?,
        })
    }
}
