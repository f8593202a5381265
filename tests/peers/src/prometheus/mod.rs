//! A Prometheus of one's own, and promtool.

mod installation;

use std::{collections::BTreeMap, path::Path, process, time::Duration};

use reqwest::Url;
use serde_json::Value;
use tokio::process::Command;

use crate::{Error, Process, Result, Stop, capture, files, free_port, http};

/// A running Prometheus. It stops when the value is dropped.
pub struct Prometheus {
    // Stops before its folder goes: fields are dropped in order.
    _server: Process,
    folder: tempfile::TempDir,
    url: String,
    http: reqwest::Client,
}

/// One element of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// `__name__` among them, where the expression keeps it.
    pub labels: BTreeMap<String, String>,
    /// Its latest value.
    pub value: f64,
}

impl Prometheus {
    /// Starts one that scrapes nothing, until it is [configured](Self::configure).
    ///
    /// # Errors
    /// [`Error::Missing`] if it is not on the machine and could not be fetched.
    pub async fn start() -> Result<Self> {
        let program = installation::find("prometheus").await?;
        let folder = files::folder_of(None)?;
        let configuration = folder.path().join("prometheus.yml");
        files::write(&configuration, "")?;
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = process::Command::new(program);
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--web.enable-lifecycle")
            .current_dir(folder.path());
        let mut server = Process::start(
            "prometheus",
            &mut command,
            Stop::Terminate,
            &folder.path().join("prometheus.log"),
            Some(folder.path()),
        )?;
        let (url, http) = (format!("http://{address}"), http::client());
        let ready = async || {
            let answer = http.get(format!("{url}/-/ready")).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        };
        server.until(Duration::from_secs(30), ready).await?;
        Ok(Prometheus {
            _server: server,
            folder,
            url,
            http,
        })
    }

    /// Its address: `http://127.0.0.1:<port>`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lets it go by this configuration from now on.
    ///
    /// # Errors
    /// If it does not take it; says why.
    pub async fn configure(&self, configuration: &str) -> Result<()> {
        files::write(&self.folder.path().join("prometheus.yml"), configuration)?;
        let reload = format!("{}/-/reload", self.url);
        let failed = |error: reqwest::Error| Error::failed(&reload, error);
        let answer = self.http.post(&reload).send().await.map_err(failed)?;
        let accepted = answer.status().is_success();
        let said = answer.text().await.map_err(failed)?;
        accepted
            .then_some(())
            .ok_or_else(|| Error::failed(reload, said))
    }

    /// What an expression says now. A scalar is one sample without labels.
    ///
    /// # Errors
    /// If it is no expression; says where.
    pub async fn query(&self, expression: &str) -> Result<Vec<Sample>> {
        let data = self.ask("query", &[("query", expression)]).await?;
        let samples = match data["resultType"].as_str() {
            Some("scalar") => vec![Sample {
                labels: BTreeMap::new(),
                value: number(&data["result"]),
            }],
            _ => {
                let elements = data["result"].as_array().into_iter().flatten();
                elements.map(sample).collect()
            }
        };
        Ok(samples)
    }

    /// The names of all metrics that it has scraped.
    pub async fn names(&self) -> Result<Vec<String>> {
        let data = self.ask("label/__name__/values", &[]).await?;
        let names = data.as_array().into_iter().flatten();
        Ok(names
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect())
    }

    async fn ask(&self, what: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let url = format!("{}/api/v1/{what}", self.url);
        let url =
            Url::parse_with_params(&url, parameters).map_err(|error| Error::failed(&url, error))?;
        let answer = self.http.get(url.clone()).send().await;
        let answer = answer.map_err(|error| Error::failed(&url, error))?;
        Ok(http::json(&url, answer).await?["data"].take())
    }
}

/// Runs `promtool` in a folder and returns what it prints.
///
/// # Errors
/// [`Error::Missing`] as [`Prometheus::start`]; else what promtool does not like.
pub async fn promtool(folder: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(installation::find("promtool").await?);
    command.args(arguments).current_dir(folder);
    capture(&mut command).await
}

fn sample(element: &Value) -> Sample {
    let labels = element["metric"].as_object().into_iter().flatten();
    Sample {
        labels: labels
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect(),
        value: number(&element["value"]),
    }
}

/// Of a pair of time and value, the value; it comes as text.
fn number(pair: &Value) -> f64 {
    let text = pair[1].as_str();
    text.and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}
