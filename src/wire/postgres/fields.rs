//! The fields of errors and notices.

use std::{borrow::Cow, fmt};

use bytes::Bytes;

use super::{Error, Frame, Reader};

/// An ErrorResponse or NoticeResponse: what the server says, and the message itself, to be passed
/// on.
///
/// Texts are in the server's language and encoding; what is not UTF-8 in them is replaced. They are
/// a peer's: escape them before they reach a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Fields {
    raw: Bytes,
    fields: Vec<(u8, Bytes)>,
}

impl Fields {
    pub(super) fn parse(frame: Frame) -> Result<Self, Error> {
        let mut fields = Vec::new();
        let mut body = Reader(frame.body());
        loop {
            let kind = body.u8().ok_or(MALFORMED)?;
            if kind == 0 && body.is_empty() {
                break;
            }
            if kind == 0 || fields.len() == MAX_FIELDS {
                return Err(MALFORMED);
            }
            let value = body.c_string().ok_or(MALFORMED)?;
            fields.push((kind, frame.raw().slice_ref(value)));
        }
        Ok(Fields {
            raw: frame.into_raw(),
            fields,
        })
    }

    /// The SQLSTATE, if the message has one of the right form: five digits or upper-case letters.
    pub fn sqlstate(&self) -> Option<&str> {
        let code = str::from_utf8(self.bytes(b'C')?).ok()?;
        let well_formed = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
        (code.len() == 5 && code.bytes().all(well_formed)).then_some(code)
    }

    /// `ERROR`, `FATAL`, `PANIC`, `WARNING`, …; not translated since PostgreSQL 9.6.
    pub fn severity(&self) -> Option<Cow<'_, str>> {
        self.get(b'V').or_else(|| self.get(b'S'))
    }

    /// The message that a human is meant to read.
    pub fn message(&self) -> Option<Cow<'_, str>> {
        self.get(b'M')
    }

    /// More about the problem.
    pub fn detail(&self) -> Option<Cow<'_, str>> {
        self.get(b'D')
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<Cow<'_, str>> {
        self.get(b'H')
    }

    /// Any field by its type, as the documentation's "Error and Notice Message Fields" lists them.
    pub fn get(&self, kind: u8) -> Option<Cow<'_, str>> {
        self.bytes(kind).map(String::from_utf8_lossy)
    }

    /// The whole message, to be passed on.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    fn bytes(&self, kind: u8) -> Option<&[u8]> {
        self.fields
            .iter()
            .find_map(|(known, value)| (*known == kind).then_some(value.as_ref()))
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fields")
            .field("severity", &self.severity())
            .field("sqlstate", &self.sqlstate())
            .field("message", &self.message())
            .finish_non_exhaustive()
    }
}

/// Fields of one message; PostgreSQL defines 18.
const MAX_FIELDS: usize = 64;

const MALFORMED: Error = Error::Malformed("ErrorResponse or NoticeResponse");
