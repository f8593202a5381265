//! What the two sides say once a login is over, as far as an observer has to understand it.
//!
//! Messages come as a [`Skimmer`](super::Skimmer) shows them: of a long one only the beginning is
//! there. Nothing here can fail: what is missing or malformed reads as empty.

use super::Reader;

/// A message of the client's.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(any(test, fuzzing), derive(Debug))]
pub(crate) enum Request<'a> {
    /// `Q`: a text to be run, of one statement or several.
    Query { text: &'a [u8] },
    /// `P`: a text becomes a statement of this name.
    Parse { statement: &'a [u8], text: &'a [u8] },
    /// `B`: a statement and its parameters become a portal.
    Bind {
        portal: &'a [u8],
        statement: &'a [u8],
    },
    /// `E`: a portal is run.
    Execute { portal: &'a [u8] },
    /// `C`: a statement (`S`) or a portal (`P`) goes.
    Close { kind: u8, name: &'a [u8] },
    /// `S`: the server answers up to here, and then with ReadyForQuery.
    Sync,
    /// `c` and `f`: a copy into the server is complete, or given up.
    CopyEnd,
    /// `F`: a function is called, which ends in ReadyForQuery as a query does.
    FunctionCall,
    /// Anything else.
    Other,
}

/// A message of the server's.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(any(test, fuzzing), derive(Debug))]
pub(crate) enum Response<'a> {
    /// `D`.
    DataRow,
    /// `C`: a statement is done, as `SELECT 3`.
    CommandComplete { tag: &'a [u8] },
    /// `E`: ErrorResponse.
    Error(ErrorFields<'a>),
    /// `G`, CopyInResponse: the server waits for a copy's data, and ignores `Sync` until that ends.
    CopyIn,
    /// `Z`: everything up to a `Sync` is answered.
    ReadyForQuery,
    /// Anything else.
    Other,
}

/// What of an error is read.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(any(test, fuzzing), derive(Debug))]
pub(crate) struct ErrorFields<'a> {
    pub(crate) severity: &'a [u8],
    pub(crate) sqlstate: &'a [u8],
    pub(crate) message: &'a [u8],
    /// It came up in a function or another statement than the client's; or that cannot be told,
    /// since the error's end is cut off.
    pub(crate) has_context: bool,
    /// The database's own function that said it.
    pub(crate) routine: &'a [u8],
}

impl<'a> Request<'a> {
    /// Bytes of a message's body that are needed to read it; `None`: clients send no such message.
    pub(crate) fn keep(tag: u8) -> Option<usize> {
        Some(match tag {
            b'Q' => MAX_TEXT_LENGTH,
            b'P' => MAX_NAME_LENGTH + MAX_TEXT_LENGTH,
            b'B' | b'E' | b'C' => 2 * MAX_NAME_LENGTH,
            b'D' | b'F' | b'H' | b'S' | b'X' | b'c' | b'd' | b'f' | b'p' => 0,
            _ => return None,
        })
    }

    pub(crate) fn read(tag: u8, body: &'a [u8]) -> Self {
        let mut body = Reader(body);
        match tag {
            b'Q' => Request::Query {
                text: begun(&mut body),
            },
            b'P' => Request::Parse {
                statement: begun(&mut body),
                text: begun(&mut body),
            },
            b'B' => Request::Bind {
                portal: begun(&mut body),
                statement: begun(&mut body),
            },
            b'E' => Request::Execute {
                portal: begun(&mut body),
            },
            b'C' => Request::Close {
                kind: body.u8().unwrap_or_default(),
                name: begun(&mut body),
            },
            b'S' => Request::Sync,
            b'c' | b'f' => Request::CopyEnd,
            b'F' => Request::FunctionCall,
            _ => Request::Other,
        }
    }
}

impl<'a> Response<'a> {
    /// As [`Request::keep`], for servers.
    pub(crate) fn keep(tag: u8) -> Option<usize> {
        Some(match tag {
            b'E' => MAX_ERROR_LENGTH,
            b'C' => MAX_NAME_LENGTH,
            b'1' | b'2' | b'3' | b'A' | b'D' | b'G' | b'H' | b'I' | b'K' | b'N' | b'R' | b'S'
            | b'T' | b'V' | b'W' | b'Z' | b'c' | b'd' | b'n' | b's' | b't' | b'v' => 0,
            _ => return None,
        })
    }

    pub(crate) fn read(tag: u8, body: &'a [u8]) -> Self {
        match tag {
            b'D' => Response::DataRow,
            b'C' => Response::CommandComplete {
                tag: begun(&mut Reader(body)),
            },
            b'E' => Response::Error(ErrorFields::read(Reader(body))),
            b'G' => Response::CopyIn,
            b'Z' => Response::ReadyForQuery,
            _ => Response::Other,
        }
    }
}

impl<'a> ErrorFields<'a> {
    fn read(mut body: Reader<'a>) -> Self {
        let mut fields = ErrorFields::default();
        loop {
            let kind = match body.u8() {
                Some(0) => return fields,
                Some(kind) => kind,
                None => break,
            };
            let value = begun(&mut body);
            match kind {
                // `V`, which is not translated, comes after `S`, which is.
                b'S' | b'V' => fields.severity = value,
                b'C' => fields.sqlstate = value,
                b'M' => fields.message = value,
                b'W' => fields.has_context = true,
                b'R' => fields.routine = value,
                _ => {}
            }
        }
        ErrorFields {
            has_context: true,
            ..fields
        }
    }
}

/// A string up to its NUL, or as much of it as there is.
fn begun<'a>(body: &mut Reader<'a>) -> &'a [u8] {
    body.c_string()
        .unwrap_or_else(|| std::mem::take(&mut body.0))
}

/// Of a name, in bytes with its NUL. PostgreSQL's own are of 63 at most; those of statements may be
/// longer, but the driver's are short.
const MAX_NAME_LENGTH: usize = 128;

/// Of a query's text, in bytes.
pub(crate) const MAX_TEXT_LENGTH: usize = 64 * 1_024;

/// Of an error, in bytes: severity, SQLSTATE and message come first. Of one that is longer, less is
/// told.
const MAX_ERROR_LENGTH: usize = 4 * 1_024;
