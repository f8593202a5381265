//! Spans of queries that do not go through the wrapper.
//!
//! ```text
//!   Client ────── announces ──────▶ Ledger         what the wrapper shows itself
//!     │                               │
//!   the driver's client               ▼
//!     │              Observed { Conversation } ──▶ a span for each query that nobody announced
//!     ▼                   ▲       ▲        ▲
//!   Connection ── polled ─┘       │        │       who woke it: the parent, if that is certain
//!     ▼                           │        │
//!   Stream ─────────── wrote ─────┘        │
//!          ◀────────── read ───────────────┘
//! ```
//! The bytes of either direction are followed message by message, without being held up, and also
//! while nobody wants spans, so that the observer knows where it is when somebody does. A query is
//! a simple `Query` or an `Execute`; preparing is none by itself, but a text that cannot be prepared
//! is a failed query. The driver's own questions about types are none of the application's.
//!
//! Bytes that make no sense end the observation of that connection, and nothing else.

pub(super) mod callers;
mod conversation;
mod due;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod ledger;
mod observing;
mod parents;
#[cfg(test)]
mod tests;
mod texts;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use ::opentelemetry::Context;

use self::{
    conversation::{Conversation, Scene},
    due::DueSpans,
    ledger::Ledger,
    parents::Ended,
};
pub(super) use self::{ledger::Key, observing::Observing};
use crate::{
    opentelemetry::{ConnectionInfo, Due, sql::Description},
    wire::postgres::{Request, Response, Skimmer},
};

/// One connection, as it is observed.
#[derive(Default)]
pub(super) struct Observed {
    /// The first query may be the driver's own: whether the session takes writes.
    checks_session: bool,
    connection: OnceLock<Arc<ConnectionInfo>>,
    ledger: Ledger,
    sight: Mutex<Sight>,
    /// Nothing is sent any more.
    gone: AtomicBool,
    due: DueSpans,
}

/// What is seen of the bytes.
#[derive(Default)]
struct Sight {
    /// None: not begun, or lost.
    followed: Option<Followed>,
}

struct Followed {
    requests: Skimmer,
    responses: Skimmer,
    conversation: Conversation,
}

/// What the wrapper sends.
#[derive(Clone, Copy)]
pub(super) enum Sent<'a> {
    /// A text to be run.
    Text(&'a str),
    /// A text that is only prepared.
    Preparation(&'a str),
    /// The statement that the driver gave this number.
    Statement(u64),
    /// What was put into a key before.
    Known(Key),
}

impl Observed {
    /// A connection that the driver makes by itself, and then asks whether it takes writes if it
    /// was told to.
    pub(super) fn checked(checks_session: bool) -> Self {
        Observed {
            checks_session,
            ..Observed::default()
        }
    }

    /// What the spans of this connection say: the login is over.
    pub(super) fn connected(&self, connection: Arc<ConnectionInfo>) {
        // A connection logs in once.
        let _ = self.connection.set(connection);
    }

    /// The session may begin: the server has said as much, in these bytes.
    pub(super) fn opened(&self, login: &[u8]) {
        self.sight().followed = Some(Followed {
            requests: Skimmer::default(),
            responses: Skimmer::default(),
            conversation: Conversation::new(self.checks_session),
        });
        self.read(login, false);
    }

    /// The driver has written. `polled`: while a [`Connection`](super::Connection) polls it.
    pub(super) fn wrote<'a>(&self, bytes: impl IntoIterator<Item = &'a [u8]>, polled: bool) {
        let mut sight = self.sight();
        let scene = self.scene(polled);
        sight.follow(|followed| {
            let Followed {
                requests,
                conversation,
                ..
            } = followed;
            bytes.into_iter().all(|bytes| {
                requests
                    .skim(bytes, Request::keep, |message| {
                        let request = Request::read(message.tag, message.body);
                        for _ in 0..message.times {
                            conversation.request(request, &scene);
                        }
                    })
                    .is_ok()
            })
        });
    }

    /// The driver has read.
    pub(super) fn read(&self, bytes: &[u8], polled: bool) {
        let mut sight = self.sight();
        let scene = self.scene(polled);
        sight.follow(|followed| {
            let Followed {
                responses,
                conversation,
                ..
            } = followed;
            let mut answered = Ok(());
            let read = responses.skim(bytes, Response::keep, |message| {
                let response = Response::read(message.tag, message.body);
                if answered.is_ok() {
                    answered = conversation.response(response, message.times, &scene);
                }
            });
            read.is_ok() && answered.is_ok()
        });
    }

    /// The server has gone.
    pub(super) fn closed(&self) {
        self.gone.store(true, Ordering::Relaxed);
        if let Some(mut followed) = self.sight().followed.take() {
            followed.conversation.closed(&self.scene(false));
        }
    }

    /// The driver has dropped the connection, with what was under way on it.
    pub(super) fn dropped(&self) {
        self.gone.store(true, Ordering::Relaxed);
        self.sight().followed = None;
        // Its client may be kept long after, and so may a waker that knows this.
        if let Some(connection) = self.connection.get() {
            connection.ended();
        }
    }

    /// The wrapper is about to send something that it shows itself.
    pub(super) fn announce(self: &Arc<Self>, sent: Sent<'_>) -> Announcement {
        let key = self.key(sent);
        self.ledger.announce(key);
        Announcement {
            observed: Arc::clone(self),
            key: Some(key),
        }
    }

    /// By which it will be recognised on its way.
    pub(super) fn key(&self, sent: Sent<'_>) -> Key {
        match sent {
            Sent::Text(text) => Key::Text(self.ledger.hash(text.as_bytes())),
            Sent::Preparation(text) => Key::Preparation(self.ledger.hash(text.as_bytes())),
            Sent::Statement(number) => Key::Statement(number),
            Sent::Known(key) => key,
        }
    }

    /// What is known of a statement that the driver's own client prepared.
    pub(super) fn description(&self, statement: u64) -> Option<Arc<Description>> {
        let mut sight = self.sight();
        sight.followed.as_mut()?.conversation.description(statement)
    }

    fn is_wanted(&self) -> bool {
        self.connection
            .get()
            .is_some_and(|connection| connection.wants_descriptions())
    }

    /// A [`Connection`](super::Connection) is about to be polled.
    fn poll_begins(&self) {
        self.ledger.writing();
    }

    /// It has been polled, after `caller` had woken it.
    fn poll_ended(&self, caller: Option<Context>, ended: Ended) {
        if ended.written {
            self.ledger.written();
        }
        if let Some(followed) = &mut self.sight().followed {
            let scene = self.scene(true);
            followed.conversation.polled(caller, ended, &scene);
        }
        self.due.begin();
    }

    fn scene(&self, polled: bool) -> Scene<'_> {
        Scene {
            connection: self.connection.get(),
            ledger: &self.ledger,
            polled,
        }
    }

    fn sight(&self) -> MutexGuard<'_, Sight> {
        self.sight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sight {
    /// Goes blind once the bytes make no sense.
    fn follow(&mut self, follow: impl FnOnce(&mut Followed) -> bool) {
        if let Some(followed) = &mut self.followed
            && !follow(followed)
        {
            followed.conversation.lost();
            self.followed = None;
            ::tracing::debug!(
                "lost where messages begin: queries that do not go through approzium's own client \
                 make no spans on this connection any more"
            );
        }
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").finish_non_exhaustive()
    }
}

/// One request of the wrapper's, until it has ended.
#[must_use]
#[derive(Debug)]
pub(super) struct Announcement {
    observed: Arc<Observed>,
    key: Option<Key>,
}

impl Announcement {
    /// Whether it cannot be sent: the connection is gone.
    pub(super) fn is_in_vain(&self) -> bool {
        self.observed.gone.load(Ordering::Relaxed)
    }

    /// Has the span made once the request is written.
    pub(super) fn begin_later(&self, due: Due) {
        self.observed.due.push(due);
    }

    /// What was to be sent has been sent and answered, or will not be sent. Whether it was a commit
    /// that the database answered with a rollback, which drivers take for a success.
    pub(super) fn withdraw(mut self) -> bool {
        let key = self.key.take();
        key.is_some_and(|key| self.observed.ledger.withdraw(key))
    }
}

/// Its request may be on its way.
impl Drop for Announcement {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.observed.ledger.give_up(key);
        }
    }
}
