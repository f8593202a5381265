//! Conversations as drivers have them, byte by byte.

mod held;
mod session;

use std::time::SystemTime;

use bytes::{BufMut, BytesMut};
use opentelemetry_sdk::trace::InMemorySpanExporter;
use postgres_protocol::message::frontend;
use proptest::prelude::*;

use self::session::*;
use super::*;

/// `query` of the driver's client: prepared, run, and closed.
fn prepared_run_and_closed() -> Vec<Piece> {
    vec![
        client(|bytes| {
            parse("s1", "SELECT $1::text FROM t", bytes);
            frontend::sync(bytes);
        }),
        server(&[
            message(b'1', b""),
            message(b't', b"\0\0"),
            message(b'T', b"\0\0"),
            ready(b'I'),
        ]),
        client(|bytes| run("s1", bytes)),
        server(&[
            message(b'2', b""),
            row(),
            row(),
            complete("SELECT 2"),
            ready(b'I'),
        ]),
        client(|bytes| {
            frontend::close(b'S', "s1", bytes).unwrap();
            frontend::sync(bytes);
        }),
        server(&[message(b'3', b""), ready(b'I')]),
        client(|bytes| frontend::query("DELETE FROM t", bytes).unwrap()),
        server(&[
            message(b'N', b"VNOTICE\0\0"),
            complete("DELETE 3"),
            ready(b'I'),
        ]),
    ]
}

fn expected() -> Vec<(String, Option<String>, Option<String>)> {
    vec![
        ("SELECT $1::text FROM t".into(), None, Some("2".into())),
        ("DELETE FROM t".into(), None, None),
    ]
}

#[test]
fn what_is_run_is_a_span_and_what_is_prepared_is_none() {
    let session = Session::new();
    session.play(&prepared_run_and_closed());
    assert_eq!(session.shown(), expected());
    assert!(!format!("{:?}", session.spans()).contains("canary"));
    for span in session.spans() {
        let mark = span
            .attributes
            .iter()
            .find(|one| one.key.as_str() == "approzium.parent");
        assert_eq!(mark.unwrap().value.as_str(), "unknown");
    }
}

#[test]
fn what_was_prepared_before_anybody_asked_is_known() {
    let session = Session::logging_in();
    session.client(|bytes| {
        parse("s1", "SELECT 1 AS early", bytes);
        frontend::sync(bytes);
        run("s1", bytes);
    });
    session.server(&[ready(b'I'), complete("SELECT 1"), ready(b'I')]);
    assert!(session.spans().is_empty());
    session.log_in();
    session.client(|bytes| run("s1", bytes));
    session.server(&[complete("SELECT 1"), ready(b'I')]);
    assert_eq!(session.texts(), ["SELECT ? AS early"]);
}

#[test]
fn a_text_that_cannot_be_prepared_is_a_failed_query() {
    let session = Session::new();
    let mut written = Vec::new();
    for text in [
        "SELECT nothing",
        "SELECT enumlabel\nFROM pg_catalog.pg_enum\nWHERE enumtypid = $1\nORDER BY enumsortorder\n",
    ] {
        session.client(|bytes| {
            parse("s1", text, bytes);
            frontend::sync(bytes);
        });
        written.push(SystemTime::now());
        session.server(&[error("42703"), ready(b'I')]);
    }
    // It began when it was sent.
    assert!(session.spans()[0].start_time <= written[0]);
    let failed = ("SELECT nothing".into(), Some("42703".into()), None);
    assert_eq!(session.shown(), [failed]);
}

#[test]
fn what_was_announced_is_not_shown() {
    let session = Session::new();
    let announced = [
        session.observed.announce(Sent::Text("DELETE FROM t"), None),
        session.observed.announce(Sent::Statement(1), None),
    ];
    session.play(&prepared_run_and_closed());
    assert!(session.spans().is_empty());
    for announcement in announced {
        announcement.withdraw();
    }
    session.play(&prepared_run_and_closed());
    assert_eq!(session.shown(), expected());

    let failing = || {
        session.client(|bytes| {
            parse("s2", "SELECT nothing", bytes);
            frontend::sync(bytes);
        });
        session.server(&[error("42703"), ready(b'I')]);
    };
    let preparation = session
        .observed
        .announce(Sent::Preparation("SELECT nothing"), None);
    failing();
    assert_eq!(session.spans().len(), 2);
    preparation.withdraw();
    failing();
    assert_eq!(session.spans().len(), 3);
}

/// What is said to the wrapper is understood later, by when it may say the same again.
#[test]
fn what_failed_is_not_shown_again_when_its_answer_is_looked_at() {
    let session = Session::new();
    let prepare = || {
        session.client(|bytes| {
            parse("s2", "SELECT nothing", bytes);
            frontend::sync(bytes);
        });
    };
    let run = || {
        session.client(|bytes| run("s2", bytes));
        session.server(&[row(), complete("SELECT 1"), ready(b'I')]);
    };
    for _ in 0..2 {
        let announced = session
            .observed
            .announce(Sent::Text("SELECT nothing"), None);
        prepare();
        session.server(&[error("42P01"), ready(b'I')]);
        announced.withdraw();
    }
    let announced = session
        .observed
        .announce(Sent::Text("SELECT nothing"), None);
    prepare();
    session.server(&[ready(b'I')]);
    run();
    announced.withdraw();
    assert!(session.spans().is_empty());
    run();
    assert_eq!(session.texts(), ["SELECT nothing"]);
}

#[test]
fn what_was_put_off_changes_nothing_that_comes_behind_it() {
    let session = Session::new();
    let long = vec![row(); 400];
    for rows in [vec![row()], long] {
        let announced = session.observed.announce(Sent::Text("SELECT 1"), None);
        session.client(|bytes| frontend::query("SELECT 1", bytes).unwrap());
        // In pieces, some of them in the midst of a message.
        let answer = [rows.concat(), complete("SELECT 1"), ready(b'I')].concat();
        for piece in answer.chunks(7) {
            session.observed.read(piece, false);
        }
        announced.withdraw();
    }
    session.client(query);
    session.server(&[row(), complete("SELECT 1"), ready(b'I')]);
    let shown = ("SELECT ? AS after".into(), None, Some("1".into()));
    assert_eq!(session.shown(), [shown]);
}

/// The connection is not the application's processor's.
#[test]
fn what_makes_spans_may_panic() {
    for at_the_end in [true, false] {
        let session = Session::logging_in();
        session.log_in_with(|provider| provider.with_span_processor(Panics { at_the_end }));
        for _ in 0..2 {
            session.client(query);
            session.server(&[row(), complete("SELECT 1"), ready(b'I')]);
        }
    }
}

#[test]
fn a_commit_that_rolls_back_has_failed() {
    let session = Session::new();
    let simple = |text: &str, tag: &str| {
        session.client(|bytes| frontend::query(text, bytes).unwrap());
        session.server(&[complete(tag), ready(b'I')]);
    };
    for (text, tag) in [
        ("COMMIT", "ROLLBACK"),
        ("end;", "ROLLBACK"),
        ("COMMIT", "COMMIT"),
        ("ROLLBACK", "ROLLBACK"),
        ("Commit_soon", "ROLLBACK"),
    ] {
        simple(text, tag);
    }
    let failures: Vec<_> = session.shown().into_iter().map(|shown| shown.1).collect();
    let rolled_back = Some("rolled_back".to_owned());
    assert_eq!(
        failures,
        [rolled_back.clone(), rolled_back, None, None, None]
    );

    for (text, tag) in [("COMMIT", "ROLLBACK"), ("COMMIT", "COMMIT")] {
        let commit = session.observed.announce(Sent::Text(text), None);
        simple(text, tag);
        assert_eq!(commit.withdraw(), tag == "ROLLBACK");
    }
}

#[test]
fn portals_run_their_statement() {
    let session = Session::new();
    session.client(|bytes| {
        parse("s1", "SELECT 1 FROM a", bytes);
        frontend::sync(bytes);
        bind("p1", "s1", bytes);
        frontend::sync(bytes);
        for _ in 0..2 {
            frontend::execute("p1", 1, bytes).unwrap();
            frontend::sync(bytes);
        }
        frontend::close(b'P', "p1", bytes).unwrap();
        frontend::sync(bytes);
    });
    let suspended = || message(b's', b"");
    session.server(&[ready(b'T'), ready(b'T')]);
    session.server(&[
        row(),
        suspended(),
        ready(b'T'),
        row(),
        suspended(),
        ready(b'T'),
    ]);
    session.server(&[ready(b'T')]);
    assert_eq!(session.texts(), ["SELECT ? FROM a", "SELECT ? FROM a"]);
}

/// What was asked before is answered when more has been written.
#[test]
fn answers_to_others_change_no_name() {
    let session = Session::new();
    session.client(|bytes| {
        parse("s1", "SELECT 1 FROM a", bytes);
        frontend::sync(bytes);
        query(bytes);
        bind("", "s1", bytes);
    });
    session.server(&[ready(b'I'), row(), complete("SELECT 1"), ready(b'I')]);
    session.client(|bytes| {
        frontend::execute("", 0, bytes).unwrap();
        frontend::sync(bytes);
    });
    session.server(&[complete("SELECT 0"), ready(b'I')]);
    assert_eq!(session.texts(), ["SELECT ? AS after", "SELECT ? FROM a"]);
}

fn copy(bytes: &mut BytesMut) {
    parse("s1", "COPY t FROM STDIN", bytes);
    frontend::sync(bytes);
    run("s1", bytes);
}

fn query(bytes: &mut BytesMut) {
    frontend::query("SELECT 1 AS after", bytes).unwrap();
}

#[test]
fn a_copy_ends_once_though_it_is_synced_twice() {
    for end in ["COPY 1", "57014"] {
        let session = Session::new();
        session.client(copy);
        session.server(&[ready(b'I'), message(b'2', b""), message(b'G', b"\0\0\0")]);
        session.client(|bytes| {
            bytes.put_slice(&message(b'd', b"1\n"));
            frontend::copy_done(bytes);
            frontend::sync(bytes);
            query(bytes);
        });
        let answer = match end {
            "COPY 1" => complete(end),
            code => error(code),
        };
        session.server(&[answer, ready(b'I')]);
        assert_eq!(session.texts(), ["COPY t FROM STDIN"], "{end}");
        session.server(&[row(), complete("SELECT 1"), ready(b'I')]);
        assert_eq!(session.texts().len(), 2, "{end}");
    }
}

#[test]
fn a_copy_that_is_refused_is_answered_twice() {
    let session = Session::new();
    session.client(copy);
    session.server(&[ready(b'I')]);
    // The driver's future was dropped before it heard of it.
    session.client(|bytes| {
        frontend::copy_fail("", bytes).unwrap();
        frontend::sync(bytes);
        query(bytes);
    });
    session.server(&[error("42501"), ready(b'I'), ready(b'I'), ready(b'I')]);
    let failed = session.shown().into_iter().next().unwrap();
    assert_eq!(failed.1.as_deref(), Some("42501"));
    assert_eq!(session.texts(), ["COPY t FROM STDIN", "SELECT ? AS after"]);
}

#[test]
fn what_is_not_answered_says_why() {
    let session = Session::new();
    session.client(query);
    session.server(&[error("57P01")]);
    session.observed.closed();
    let session_that_died = session.shown();
    assert_eq!(session_that_died[0].1.as_deref(), Some("57P01"));

    let session = Session::new();
    session.client(query);
    session.observed.closed();
    assert_eq!(session.shown()[0].1.as_deref(), Some("closed"));

    let session = Session::new();
    session.client(query);
    session.observed.dropped();
    assert_eq!(session.shown()[0].1.as_deref(), Some("cancelled"));
}

#[test]
fn the_drivers_own_check_is_no_query() {
    let session = Session {
        observed: Arc::new(Observed::checked(true)),
        exporter: InMemorySpanExporter::default(),
    };
    session.observed.opened(&ready(b'I'));
    session.log_in();
    for _ in 0..2 {
        session.client(|bytes| frontend::query("SHOW transaction_read_only", bytes).unwrap());
        session.server(&[row(), complete("SHOW"), ready(b'I')]);
    }
    assert_eq!(session.texts(), ["SHOW transaction_read_only"]);
}

#[test]
fn once_lost_it_sees_nothing_and_disturbs_nothing() {
    for nonsense in [
        Piece::Client(b"!!!!!!!!".to_vec()),
        Piece::Server(b"Q\0\0\0\x01".to_vec()),
        server(&[ready(b'I'), ready(b'I')]),
    ] {
        let session = Session::new();
        session.client(query);
        session.play(&[nonsense]);
        assert_eq!(session.shown()[0].1, None);
        session.play(&prepared_run_and_closed());
        session.observed.closed();
        assert_eq!(session.spans().len(), 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn cuts_change_nothing(cuts in prop::collection::vec(1usize..20, 1..20)) {
        let session = Session::new();
        let mut cuts = cuts.iter().copied().cycle();
        for piece in prepared_run_and_closed() {
            let (Piece::Client(bytes) | Piece::Server(bytes)) = &piece;
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (now, later) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                rest = later;
                session.play(&[match piece {
                    Piece::Client(_) => Piece::Client(now.to_vec()),
                    Piece::Server(_) => Piece::Server(now.to_vec()),
                }]);
            }
        }
        prop_assert_eq!(session.shown(), expected());
    }

    #[test]
    fn no_bytes_make_it_panic(
        pieces in prop::collection::vec(
            (any::<bool>(), prop::sample::select(b"QPBECScfFDGZT".to_vec()), prop::collection::vec(any::<u8>(), 0..60)),
            0..12,
        ),
        tail in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let session = Session::new();
        for (ours, tag, body) in pieces {
            let bytes = message(tag, &body);
            session.play(&[if ours { Piece::Client(bytes) } else { Piece::Server(bytes) }]);
        }
        session.play(&[Piece::Client(tail.clone()), Piece::Server(tail)]);
        session.observed.closed();
    }
}
