//! A session without a server, and what its observer shows.

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{
        InMemorySpanExporter, SdkTracerProvider, Span, SpanData, SpanProcessor,
        TracerProviderBuilder,
    },
};
use postgres_protocol::{IsNull, message::frontend};

use super::super::*;
use crate::opentelemetry::{Identity, Instrumentation, Server};

/// A session that is observed, and the spans that it made.
pub(super) struct Session {
    pub(super) observed: Arc<Observed>,
    pub(super) exporter: InMemorySpanExporter,
}

/// What either side sends.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    Client(Vec<u8>),
    Server(Vec<u8>),
}

impl Session {
    pub(super) fn new() -> Self {
        let session = Session::logging_in();
        session.log_in();
        session
    }

    /// Nobody knows yet who is connected.
    pub(super) fn logging_in() -> Self {
        let session = Session {
            observed: Arc::default(),
            exporter: InMemorySpanExporter::default(),
        };
        session.observed.opened(&ready(b'I'));
        session
    }

    pub(super) fn log_in(&self) {
        self.log_in_with(|provider| provider.with_simple_exporter(self.exporter.clone()));
    }

    pub(super) fn log_in_with(
        &self,
        with: impl FnOnce(TracerProviderBuilder) -> TracerProviderBuilder,
    ) {
        let provider = with(SdkTracerProvider::builder()).build();
        let own = Instrumentation::new()
            .tracer_provider(provider)
            .returned_rows(true);
        let server = Server {
            host: "db.example",
            port: 5432,
            peer: None,
            database: "shop",
            schema: None,
        };
        let identity = Identity::default();
        let info = ConnectionInfo::postgresql(&server, &identity, Some(Arc::new(own)));
        self.observed.connected(info);
    }

    pub(super) fn play(&self, pieces: &[Piece]) {
        for piece in pieces {
            match piece {
                Piece::Client(bytes) => self.observed.wrote([bytes.as_slice()], false),
                Piece::Server(bytes) => self.observed.read(bytes, false),
            }
        }
    }

    pub(super) fn client(&self, write: impl FnOnce(&mut BytesMut)) {
        self.play(&[client(write)]);
    }

    pub(super) fn server(&self, messages: &[Vec<u8>]) {
        self.play(&[server(messages)]);
    }

    pub(super) fn spans(&self) -> Vec<SpanData> {
        self.exporter.get_finished_spans().unwrap()
    }

    /// Text, and error or rows, of each span.
    pub(super) fn shown(&self) -> Vec<(String, Option<String>, Option<String>)> {
        let spans = self.spans();
        let of = |span: &SpanData, key: &str| {
            let found = span.attributes.iter().find(|one| one.key.as_str() == key)?;
            Some(found.value.to_string())
        };
        spans
            .iter()
            .map(|span| {
                let text = of(span, "db.query.text").unwrap_or_default();
                let rows = of(span, "db.response.returned_rows");
                (text, of(span, "error.type"), rows)
            })
            .collect()
    }

    pub(super) fn texts(&self) -> Vec<String> {
        self.shown().into_iter().map(|(text, ..)| text).collect()
    }
}

/// A processor of spans that is not good at it, at their beginning or their end.
#[derive(Debug)]
pub(super) struct Panics {
    pub(super) at_the_end: bool,
}

impl SpanProcessor for Panics {
    fn on_start(&self, _: &mut Span, _: &Context) {
        assert!(self.at_the_end, "as a test wants it");
    }

    fn on_end(&self, _: SpanData) {
        assert!(!self.at_the_end, "as a test wants it");
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

pub(super) fn client(write: impl FnOnce(&mut BytesMut)) -> Piece {
    let mut bytes = BytesMut::new();
    write(&mut bytes);
    Piece::Client(bytes.to_vec())
}

pub(super) fn server(messages: &[Vec<u8>]) -> Piece {
    Piece::Server(messages.concat())
}

pub(super) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![tag];
    message.put_u32(u32::try_from(body.len() + 4).unwrap());
    message.put_slice(body);
    message
}

pub(super) fn ready(status: u8) -> Vec<u8> {
    message(b'Z', &[status])
}

pub(super) fn complete(tag: &str) -> Vec<u8> {
    message(b'C', format!("{tag}\0").as_bytes())
}

pub(super) fn row() -> Vec<u8> {
    message(b'D', b"\0\x01\0\0\0\x011")
}

pub(super) fn error(code: &str) -> Vec<u8> {
    let fields = format!("SERROR\0VERROR\0C{code}\0Mno such\0\0");
    message(b'E', fields.as_bytes())
}

pub(super) fn parse(name: &str, text: &str, bytes: &mut BytesMut) {
    frontend::parse(name, text, [], bytes).unwrap();
    frontend::describe(b'S', name, bytes).unwrap();
}

pub(super) fn bind(portal: &str, statement: &str, bytes: &mut BytesMut) {
    let value = |(), bytes: &mut BytesMut| {
        bytes.put_slice(b"canary");
        Ok(IsNull::No)
    };
    let bound = frontend::bind(portal, statement, [1], [()], value, [1], bytes);
    assert!(bound.is_ok());
}

pub(super) fn run(statement: &str, bytes: &mut BytesMut) {
    bind("", statement, bytes);
    frontend::execute("", 0, bytes).unwrap();
    frontend::sync(bytes);
}
