//! What a call that was refused told its caller.

use tonic::{Code, Status, metadata::MetadataMap};

/// The request id that a refusal carries.
pub(crate) fn request_id(status: &Status) -> String {
    let id = status.metadata().get("x-approzium-request-id");
    id.expect("a request id").to_str().unwrap().to_owned()
}

/// What a call that was refused told its caller, from the first byte to the last.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) request_id: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) messages: usize,
    pub(crate) status: Refusal,
}

/// A status in all its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) details: Vec<u8>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
}

impl From<&Status> for Refusal {
    fn from(status: &Status) -> Self {
        Refusal {
            code: status.code(),
            message: status.message().to_owned(),
            details: status.details().to_vec(),
            trailers: comparable(status.metadata()),
        }
    }
}

/// All metadata, with what differs from call to call cut down to its length.
pub(super) fn comparable(metadata: &MetadataMap) -> Vec<(String, Vec<u8>)> {
    let headers = metadata.clone().into_headers();
    let mut all: Vec<_> = headers
        .iter()
        .map(|(name, value)| {
            let value = match name.as_str() {
                "x-approzium-request-id" | "date" => vec![b'x'; value.len()],
                _ => value.as_bytes().to_vec(),
            };
            (name.to_string(), value)
        })
        .collect();
    all.sort();
    all
}
