//! What only the wrapper can have sent is mostly not looked at, and nobody can tell.

use std::collections::VecDeque;

use ::opentelemetry::{
    Context, SpanId, TraceId,
    trace::{SpanContext, TraceContextExt, TraceFlags, TraceState},
};
use opentelemetry_sdk::trace::SpanData;

use super::*;

/// What both the wrapper and others run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Text,
    Statement,
    Commit,
}

/// What happens on a connection, as far as it can.
#[derive(Clone, Debug)]
enum Step {
    Announce(What),
    /// And then the driver cannot write its values.
    InVain(What),
    /// Everything that the driver was given, in one piece or more.
    Write {
        together: bool,
    },
    /// Past the wrapper, by who holds the driver's client.
    Stranger(What),
    /// Of the first request.
    Answer(Answer),
    /// Who has the answer says so.
    Withdraw(usize),
    GiveUp(usize),
    HandOut,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Rows,
    ManyRows,
    Error,
    Copy,
    RolledBack,
    Cut,
    End,
}

fn step() -> impl Strategy<Value = Step> {
    let what = || prop::sample::select(vec![What::Text, What::Statement, What::Commit]);
    let answers = vec![
        Answer::Rows,
        Answer::ManyRows,
        Answer::Error,
        Answer::Copy,
        Answer::RolledBack,
        Answer::Cut,
        Answer::End,
        Answer::End,
        Answer::End,
    ];
    prop_oneof![
        3 => what().prop_map(Step::Announce),
        1 => what().prop_map(Step::InVain),
        4 => any::<bool>().prop_map(|together| Step::Write { together }),
        1 => what().prop_map(Step::Stranger),
        6 => prop::sample::select(answers).prop_map(Step::Answer),
        3 => any::<usize>().prop_map(Step::Withdraw),
        1 => any::<usize>().prop_map(Step::GiveUp),
        1 => Just(Step::HandOut),
    ]
}

/// An operation of the wrapper's.
struct Operation {
    number: usize,
    announcement: Announcement,
}

/// A connection with one wrapper, and others once it is handed out.
struct Connection {
    session: Session,
    operations: Vec<Operation>,
    /// What the driver was given, which is written whoever gives it up.
    unwritten: Vec<(Option<usize>, What)>,
    /// Who woke the connection for it.
    caller: Option<Context>,
    /// Those of requests that are not answered; none of strangers.
    asked: VecDeque<Option<usize>>,
    answered: Vec<usize>,
    handed_out: bool,
    next: usize,
    /// What the wrapper was told of its operations.
    told: Vec<(usize, bool)>,
}

impl Connection {
    fn new(keeps: bool) -> Self {
        let session = Session::new();
        session.client(|bytes| {
            parse("s1", "SELECT $1::text FROM t", bytes);
            frontend::sync(bytes);
        });
        session.server(&[message(b'1', b""), ready(b'I')]);
        if keeps {
            session.observed.keep_to_us();
        }
        Connection {
            session,
            operations: Vec::new(),
            unwritten: Vec::new(),
            caller: None,
            asked: VecDeque::new(),
            answered: Vec::new(),
            handed_out: false,
            next: 0,
            told: Vec::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Announce(what) => {
                let (number, announcement) = self.announce(*what);
                self.unwritten.push((Some(number), *what));
                self.operations.push(Operation {
                    number,
                    announcement,
                });
            }
            Step::InVain(what) => {
                let (number, announcement) = self.announce(*what);
                self.told.push((number, announcement.withdraw()));
            }
            Step::Write { together } => self.write(*together),
            Step::Stranger(what) if self.handed_out => {
                self.caller.get_or_insert_with(caller);
                self.unwritten.push((None, *what));
            }
            Step::Answer(answer) => self.answer(*answer),
            Step::Withdraw(which) => self.withdraw(*which),
            Step::GiveUp(which) if !self.operations.is_empty() => {
                let which = which % self.operations.len();
                drop(self.operations.swap_remove(which));
            }
            Step::HandOut => {
                self.session.observed.hand_out();
                self.handed_out = true;
            }
            Step::Stranger(_) | Step::GiveUp(_) => {}
        }
    }

    fn announce(&mut self, what: What) -> (usize, Announcement) {
        let sent = match what {
            What::Text => Sent::Text("DELETE FROM t"),
            What::Statement => Sent::Statement(1),
            What::Commit => Sent::Text("COMMIT"),
        };
        let number = self.next;
        self.next += 1;
        (number, self.session.observed.announce(sent, None))
    }

    fn write(&mut self, together: bool) {
        let mut pieces = Vec::new();
        for (number, what) in std::mem::take(&mut self.unwritten) {
            let Piece::Client(bytes) = client(|bytes| match what {
                What::Text => frontend::query("DELETE FROM t", bytes).unwrap(),
                What::Statement => run("s1", bytes),
                What::Commit => frontend::query("COMMIT", bytes).unwrap(),
            }) else {
                unreachable!("the client's");
            };
            self.asked.push_back(number);
            pieces.push(bytes);
        }
        if together {
            pieces = vec![pieces.concat()];
        }
        self.poll(self.caller.clone(), |observed| {
            for piece in &pieces {
                observed.wrote([piece.as_slice()], true);
            }
        });
        self.caller = None;
    }

    fn answer(&mut self, answer: Answer) {
        if !self.unwritten.is_empty() {
            self.write(false);
        }
        let Some(front) = self.asked.front().copied() else {
            return;
        };
        let messages = match answer {
            Answer::Rows => vec![message(b'2', b""), row(), row()],
            Answer::ManyRows => vec![row(); 200],
            Answer::Error => vec![error("42P01")],
            // Its Sync does not count, but the one that ends it.
            Answer::Copy => vec![message(b'G', b"\0\0\0"), message(b'C', b"COPY 0\0")],
            Answer::RolledBack => vec![complete("ROLLBACK")],
            Answer::Cut => vec![row()],
            Answer::End => vec![complete("DELETE 3"), ready(b'I')],
        };
        let bytes = messages.concat();
        match answer {
            Answer::Cut => {
                for piece in bytes.chunks(7) {
                    self.poll(None, |observed| observed.read(piece, true));
                }
            }
            _ => self.poll(None, |observed| observed.read(&bytes, true)),
        }
        if matches!(answer, Answer::End) {
            self.asked.pop_front();
            self.answered.extend(front);
        }
    }

    /// As a connection's task does it.
    fn poll(&self, caller: Option<Context>, passes: impl FnOnce(&Observed)) {
        let observed = &self.session.observed;
        observed.poll_begins();
        observed.poll.begin();
        passes(observed);
        observed.poll.came_to_read(true);
        observed.poll.came_to_write(true);
        observed.poll.end();
        observed.poll_ended(caller);
    }

    fn withdraw(&mut self, which: usize) {
        if self.operations.is_empty() {
            return;
        }
        let which = which % self.operations.len();
        let number = self.operations[which].number;
        if !self.answered.contains(&number) {
            return;
        }
        let operation = self.operations.swap_remove(which);
        self.told.push((number, operation.announcement.withdraw()));
    }

    /// Everything that is shown of anybody, and who is said to have sent it.
    fn shown(&self) -> Vec<String> {
        let of = |span: &SpanData| {
            let rest: Vec<_> = span
                .attributes
                .iter()
                .map(|one| format!("{one:?}"))
                .collect();
            format!("{} {:?} {}", span.name, span.parent_span_id, rest.join(" "))
        };
        self.session.spans().iter().map(of).collect()
    }
}

fn caller() -> Context {
    let span = SpanContext::new(
        TraceId::from(7),
        SpanId::from(7),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    Context::new().with_remote_span_context(span)
}

#[test]
fn what_only_the_wrapper_can_have_sent_is_held_until_it_is_answered() {
    let mut connection = Connection::new(true);
    let holds = |connection: &Connection| connection.session.observed.holding.is_unanswered();
    for what in [What::Statement, What::Text] {
        connection.take(&Step::Announce(what));
        connection.take(&Step::Write { together: false });
        assert!(holds(&connection), "{what:?}");
        connection.take(&Step::Answer(Answer::Rows));
        assert!(holds(&connection), "{what:?}");
        connection.take(&Step::Answer(Answer::End));
        assert!(!holds(&connection), "{what:?}");
        connection.take(&Step::Withdraw(0));
    }
    // The answer to this one may be that it is a rollback.
    connection.take(&Step::Announce(What::Commit));
    connection.take(&Step::Write { together: false });
    assert!(!holds(&connection));
    connection.take(&Step::Answer(Answer::RolledBack));
    connection.take(&Step::Answer(Answer::End));
    connection.take(&Step::Withdraw(0));
    assert_eq!(connection.told.pop(), Some((2, true)));

    connection.take(&Step::Announce(What::Statement));
    connection.take(&Step::Write { together: false });
    connection.take(&Step::HandOut);
    connection.take(&Step::Stranger(What::Statement));
    connection.take(&Step::Write { together: false });
    assert!(!holds(&connection));
    connection.take(&Step::Answer(Answer::End));
    connection.take(&Step::Answer(Answer::End));
    assert_eq!(connection.session.texts(), ["SELECT $1::text FROM t"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn nobody_can_tell_what_was_held(steps in prop::collection::vec(step(), 0..40)) {
        let mut held = Connection::new(true);
        let mut seen = Connection::new(false);
        for step in &steps {
            held.take(step);
            seen.take(step);
            prop_assert_eq!(held.shown(), seen.shown());
        }
        for connection in [&mut held, &mut seen] {
            connection.session.observed.closed();
        }
        prop_assert_eq!(held.shown(), seen.shown());
        prop_assert_eq!(held.told, seen.told);
    }
}
