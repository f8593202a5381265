//! Presigned URLs, as the original's SDKs make them.

use std::time::{Duration, SystemTime};

use approzium::authenticator::dev::DevSts;
use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4,
};

/// What is signed.
#[derive(Clone)]
pub(crate) struct Presigned {
    pub(crate) method: &'static str,
    pub(crate) origin: String,
    pub(crate) region: &'static str,
    pub(crate) expires: u64,
    pub(crate) at: SystemTime,
}

impl Presigned {
    /// What Python's boto3 makes of a stand-in's address, but for the hour.
    pub(super) fn for_stand_in(sts: &DevSts) -> Self {
        Presigned {
            origin: sts.endpoint(),
            ..Presigned::for_region("us-east-1")
        }
    }

    pub(crate) fn for_region(region: &'static str) -> Self {
        Presigned {
            method: "POST",
            origin: format!("https://sts.{region}.amazonaws.com"),
            region,
            expires: 900,
            at: SystemTime::now(),
        }
    }

    pub(crate) fn url(&self, keys: &Credentials) -> String {
        let identity = keys.clone().into();
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(Duration::from_secs(self.expires));
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name("sts")
            .time(self.at)
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let mut url = format!(
            "{}/?Action=GetCallerIdentity&Version=2011-06-15",
            self.origin
        );
        let none = std::iter::empty();
        let request = SignableRequest::new(self.method, &url, none, SignableBody::Bytes(b""));
        let (instructions, _) = sign(request.unwrap(), &parameters).unwrap().into_parts();
        for (name, value) in instructions.params() {
            url.push_str(&format!("&{name}={}", encoded(value)));
        }
        url
    }
}

fn encoded(value: &str) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
