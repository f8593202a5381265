//! What lies whole in the bytes at hand, told at a glance: most requests and most answers do.

use super::{session::Response, skim::message};

/// Whether the bytes are one request, from its beginning to its end, that changes nothing of what
/// later ones mean: a `Query`, or `Bind`, `Execute` and `Sync` by the unnamed portal.
///
/// A `ROLLBACK` is none: a driver sends it by itself.
pub(crate) fn is_run(bytes: &[u8]) -> bool {
    match message(bytes) {
        Some((b'Q', text, [])) => !text.starts_with(b"ROLLBACK"),
        Some((b'B', [0, ..], rest)) => match message(rest) {
            Some((b'E', [0, ..], rest)) => matches!(message(rest), Some((b'S', [], []))),
            _ => false,
        },
        _ => false,
    }
}

/// How much of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Part,
    /// With the ReadyForQuery that ends it.
    End,
}

/// What the bytes are of the answer to one [run](is_run): whole messages, and none that means anything
/// for later requests, as one does that asks for the data of a copy. None: something else.
pub(crate) fn answer(mut bytes: &[u8]) -> Option<Answer> {
    while let Some((tag, _, rest)) = message(bytes) {
        match tag {
            b'Z' => return rest.is_empty().then_some(Answer::End),
            b'G' => return None,
            _ => drop(Response::keep(tag)?),
        }
        bytes = rest;
    }
    bytes.is_empty().then_some(Answer::Part)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use postgres_protocol::{IsNull, message::frontend};

    use super::*;

    fn written(write: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        write(&mut bytes);
        bytes.to_vec()
    }

    fn run(portal: &str, bytes: &mut BytesMut) {
        let value = |(), _: &mut BytesMut| Ok(IsNull::Yes);
        assert!(frontend::bind(portal, "s7", [1], [()], value, [1], bytes).is_ok());
        frontend::execute(portal, 0, bytes).unwrap();
        frontend::sync(bytes);
    }

    #[test]
    fn a_run_is_one_request_and_whole() {
        let of_statement = written(|bytes| run("", bytes));
        let of_text = written(|bytes| frontend::query("SELECT 1", bytes).unwrap());
        for one in [&of_statement, &of_text] {
            assert!(is_run(one));
            for end in 0..one.len() {
                assert!(!is_run(&one[..end]), "{end}");
            }
            assert!(!is_run(&[one.as_slice(), one].concat()));
        }
        for other in [
            written(|bytes| run("portal", bytes)),
            written(|bytes| frontend::query("ROLLBACK TO a", bytes).unwrap()),
            written(|bytes| {
                frontend::parse("s7", "SELECT 1", [], bytes).unwrap();
                run("", bytes);
            }),
            written(|bytes| {
                frontend::close(b'S', "s7", bytes).unwrap();
                frontend::sync(bytes);
            }),
            written(frontend::sync),
        ] {
            assert!(!is_run(&other));
        }
    }

    #[test]
    fn an_answer_ends_with_ready_for_query_and_nothing_behind_it() {
        let (row, ready) = (b"D\0\0\0\x06\0\0".as_slice(), b"Z\0\0\0\x05I".as_slice());
        let seen = |messages: &[&[u8]]| answer(&messages.concat());
        assert_eq!(seen(&[row, row]), Some(Answer::Part));
        assert_eq!(seen(&[row, ready]), Some(Answer::End));
        assert_eq!(seen(&[ready, row]), None);
        assert_eq!(seen(&[row, &ready[..5]]), None);
        assert_eq!(seen(&[b"G\0\0\0\x07\0\0\0"]), None);
        assert_eq!(seen(&[b"?\0\0\0\x04"]), None, "there is no such type");
        assert_eq!(seen(&[b"D\0\0\0\x03"]), None, "nor such a length");
    }
}
