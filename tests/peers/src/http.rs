//! Asking the servers of this crate by plain HTTP.

use std::time::Duration;

use reqwest::{Response, Url};
use serde_json::Value;

use crate::{Error, Result, certificates};

/// A client that no proxy of the machine stands between.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        // Loopback speaks plain HTTP; the client wants a TLS configuration all the same.
        .tls_backend_preconfigured(certificates::client_configuration(&[]))
        .timeout(Duration::from_secs(10))
        .build()
        .expect("a client without special wishes")
}

/// What was answered, if it was answered well.
pub(crate) async fn json(url: &Url, response: Response) -> Result<Value> {
    let failed = |error: &dyn std::fmt::Display| Error::failed(url, error);
    let status = response.status();
    let body = response.text().await.map_err(|error| failed(&error))?;
    if !status.is_success() {
        return Err(failed(&format!("{status}: {body}")));
    }
    serde_json::from_str(&body).map_err(|error| failed(&error))
}
