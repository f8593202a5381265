//! Skimming, and what is read of a session.

use std::iter::repeat_n;

use proptest::prelude::*;

use super::{
    super::{
        session::{Request, Response},
        skim::Skimmed,
    },
    *,
};

/// Every message of these bytes, cut where `cuts` say.
fn skim(
    bytes: &[u8],
    cuts: &[usize],
    keep: impl Fn(u8) -> Option<usize> + Copy,
) -> Result<Vec<(u8, Vec<u8>)>, Error> {
    let mut skimmer = Skimmer::default();
    let mut seen = Vec::new();
    let mut rest = bytes;
    let mut show = |one: Skimmed<'_>| {
        seen.extend(repeat_n((one.tag, one.body.to_vec()), one.times));
    };
    for cut in cuts {
        let (piece, after) = rest.split_at((*cut).min(rest.len()));
        rest = after;
        skimmer.skim(piece, keep, &mut show)?;
    }
    skimmer.skim(rest, keep, &mut show)?;
    Ok(seen)
}

#[test]
fn of_each_message_the_beginning_is_kept() {
    let bytes = [message(b'Q', b"SELECT 1\0"), message(b'S', b"")].concat();
    let seen = skim(&bytes, &[], |_| Some(6)).unwrap();
    assert_eq!(seen, [(b'Q', b"SELECT".to_vec()), (b'S', Vec::new())]);
}

#[test]
fn what_is_no_message_is_refused() {
    assert!(skim(b"Q\0\0\0\x03", &[], |_| Some(0)).is_err());
    assert!(skim(b"!\0\0\0\x04", &[], Request::keep).is_err());
    // Nothing is reserved on the word of a peer.
    assert_eq!(skim(b"Q\xff\xff\xff\xff", &[], Request::keep), Ok(vec![]));
}

#[test]
fn many_of_one_type_are_shown_at_once() {
    let row = message(b'D', b"\0\x01\0\0\0\x011");
    let done = message(b'C', b"SELECT 3\0");
    let bytes = [&row[..], &row, &row, &done, &done, &row[..7]].concat();
    let mut seen = Vec::new();
    let show = |one: Skimmed<'_>| seen.push((one.tag, one.times));
    Skimmer::default()
        .skim(&bytes, Response::keep, show)
        .unwrap();
    assert_eq!(seen, [(b'D', 3), (b'C', 1), (b'C', 1)]);

    let impossible = [&row[..], &row, b"D\0\0\0\x03"].concat();
    let mut rows = 0;
    let show = |one: Skimmed<'_>| rows += one.times;
    let skimmed = Skimmer::default().skim(&impossible, Response::keep, show);
    assert!(skimmed.is_err());
    assert_eq!(rows, 2);
}

#[test]
fn what_drivers_write_is_understood() {
    use postgres_protocol::message::frontend;
    let mut bytes = BytesMut::new();
    frontend::query("SELECT 1", &mut bytes).unwrap();
    frontend::parse("s7", "SELECT $1", [23], &mut bytes).unwrap();
    frontend::execute("p1", 5, &mut bytes).unwrap();
    frontend::close(b'S', "s7", &mut bytes).unwrap();
    frontend::copy_fail("", &mut bytes).unwrap();
    frontend::copy_done(&mut bytes);
    frontend::sync(&mut bytes);
    frontend::terminate(&mut bytes);
    bytes.extend_from_slice(&message(b'B', b"p1\0s7\0\0\0\0\x01\0\0\0\x01x\0\0"));
    let seen = skim(&bytes, &[3, 9, 1], Request::keep).unwrap();
    let read: Vec<_> = seen
        .iter()
        .map(|(tag, body)| Request::read(*tag, body))
        .collect();
    assert_eq!(
        read,
        [
            Request::Query { text: b"SELECT 1" },
            Request::Parse {
                statement: b"s7",
                text: b"SELECT $1",
            },
            Request::Execute { portal: b"p1" },
            Request::Close {
                kind: b'S',
                name: b"s7",
            },
            Request::CopyEnd,
            Request::CopyEnd,
            Request::Sync,
            Request::Other,
            Request::Bind {
                portal: b"p1",
                statement: b"s7",
            },
        ]
    );
}

#[test]
fn what_a_server_says_is_understood() {
    let error = b"SFEHLER\0VERROR\0C42P01\0Mno such\0Dsecret\0\0";
    let Response::Error(fields) = Response::read(b'E', error) else {
        panic!("no error");
    };
    assert_eq!(
        (fields.severity, fields.sqlstate, fields.message),
        (&b"ERROR"[..], &b"42P01"[..], &b"no such"[..])
    );
    assert_eq!((fields.has_context, fields.routine), (false, &b""[..]));
    for (error, has_context, routine) in [
        (
            &b"C42P01\0Mno such\0RparserOpenTable\0\0"[..],
            false,
            &b"parserOpenTable"[..],
        ),
        (
            b"C23514\0Mvalue\0WPL/pgSQL function\0Rexec_stmt_raise\0\0",
            true,
            b"exec_stmt_raise",
        ),
        // What is cut off may be its context.
        (b"C23514\0Mvalue\0", true, b""),
        (b"C23514\0Mval", true, b""),
    ] {
        let Response::Error(fields) = Response::read(b'E', error) else {
            panic!("no error");
        };
        assert_eq!((fields.has_context, fields.routine), (has_context, routine));
    }
    assert_eq!(
        Response::read(b'C', b"SELECT 3\0"),
        Response::CommandComplete { tag: b"SELECT 3" }
    );
    assert_eq!(Response::read(b'Z', b""), Response::ReadyForQuery);
}

proptest! {
    #[test]
    fn cuts_change_nothing(
        messages in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)), 0..8),
        cuts in prop::collection::vec(0usize..30, 0..20),
        kept in 0usize..50,
    ) {
        let bytes: Vec<u8> = messages.iter().flat_map(|(tag, body)| message(*tag, body)).collect();
        let expected: Vec<_> = messages
            .into_iter()
            .map(|(tag, body)| (tag, body[..body.len().min(kept)].to_vec()))
            .collect();
        prop_assert_eq!(skim(&bytes, &cuts, |_| Some(kept)), Ok(expected));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), tag in any::<u8>()) {
        let _ = skim(&bytes, &[7], Request::keep);
        let _ = skim(&bytes, &[7], Response::keep);
        Request::read(tag, &bytes);
        Response::read(tag, &bytes);
    }
}
