//! HTTP as metadata services speak it: plain, one short exchange, bounded in time and size.
//!
//! No proxy is asked, no redirect followed and nothing is kept open; dropping the future closes the
//! connection.

use std::{fmt, pin::pin, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::Url;

use crate::error::printable;

/// The longest answer that is read, in bytes. An ECS task of many containers has the longest.
const LONGEST_BODY: usize = 256 * 1024;

/// A server that speaks plain HTTP, and a path on it that all requests begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    host: String,
    port: u16,
    path: String,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

#[derive(Debug)]
pub(super) enum Failure {
    /// No answer in this time.
    Silence(Duration),
    /// No connection, a broken one, or an answer that is not HTTP or too long.
    Broken(String),
}

impl Endpoint {
    /// From `http://host[:port][/path]`; anything else is refused with the reason.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| Err(format!("{why}: {:?}", printable(text)));
        let Ok(url) = Url::parse(text.trim()) else {
            return refuse("this is not a URL");
        };
        if url.scheme() != "http" || !url.username().is_empty() || url.password().is_some() {
            return refuse("only a plain http:// URL can be asked");
        }
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return refuse("this URL names no host");
        };
        Ok(Endpoint {
            host: host.to_owned(),
            port,
            path: url.path().trim_end_matches('/').to_owned(),
        })
    }

    pub(super) async fn get(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
        cap: Duration,
    ) -> Result<Answer, Failure> {
        self.send(Method::GET, path, headers, cap).await
    }

    pub(super) async fn put(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
        cap: Duration,
    ) -> Result<Answer, Failure> {
        self.send(Method::PUT, path, headers, cap).await
    }

    fn target(&self, path: &str) -> String {
        match format!("{}{path}", self.path) {
            target if target.is_empty() => "/".to_owned(),
            target => target,
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        cap: Duration,
    ) -> Result<Answer, Failure> {
        tokio::time::timeout(cap, self.exchange(method, path, headers))
            .await
            .unwrap_or(Err(Failure::Silence(cap)))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Answer, Failure> {
        let broken = |error: &dyn fmt::Display| Failure::Broken(printable(&error.to_string()));
        let mut request = Request::builder()
            .method(method)
            .uri(self.target(path))
            .header(header::HOST, format!("{}:{}", self.host, self.port))
            .header(
                header::USER_AGENT,
                concat!("approzium/", env!("CARGO_PKG_VERSION")),
            );
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(|error| broken(&error))?;

        // An IPv6 address stands in brackets in a URL, and without them in a dialled address.
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, self.port))
            .await
            .map_err(|error| broken(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        let answer = async {
            let response = sender
                .send_request(request)
                .await
                .map_err(|error| broken(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LONGEST_BODY)
                .collect()
                .await
                .map_err(|error| broken(&error))?
                .to_bytes();
            Ok(Answer { status, body })
        };
        // The connection is driven here and not in a task of its own, so that it ends with us.
        let mut answer = pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            _ = connection => answer.await,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}{}", self.host, self.port, self.path)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Silence(cap) => write!(f, "no answer within {cap:?}"),
            Failure::Broken(why) => f.write_str(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_is_asked() {
        let shown = |text: &str| Endpoint::parse(text).map(|endpoint| endpoint.to_string());
        assert_eq!(
            shown("http://169.254.170.2/v4/abc-def/"),
            Ok("http://169.254.170.2:80/v4/abc-def".to_owned())
        );
        assert_eq!(
            shown("http://[fd00:ec2::254]"),
            Ok("http://[fd00:ec2::254]:80".to_owned())
        );
        for refused in [
            "",
            "169.254.169.254",
            "https://x",
            "file:///etc/passwd",
            "http://u:p@x",
        ] {
            assert!(shown(refused).is_err(), "{refused}");
        }
    }
}
