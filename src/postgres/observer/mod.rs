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
//! while nobody wants spans, so that the observer knows where it is when somebody does. Answers that
//! nobody waits to see are looked at [later](later), when the database is at work again, and what only
//! the wrapper can have sent mostly [not at all](held). A query is
//! a simple `Query` or an `Execute`; preparing is none by itself, but a text that cannot be prepared
//! is a failed query. The driver's own questions about types are none of the application's.
//!
//! Bytes that make no sense end the observation of that connection, and nothing else.

mod asked;
pub(super) mod callers;
mod conversation;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod held;
mod later;
mod ledger;
mod observing;
mod parents;
mod poll;
mod scene;
mod sight;
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
    held::Holding, later::Polled, ledger::Ledger, poll::Poll, scene::Scene, sight::Sight,
    texts::commits,
};
pub(super) use self::{ledger::Key, observing::Observing};
use crate::opentelemetry::{ConnectionInfo, Due, sql::Description};

/// One connection, as it is observed.
#[derive(Default)]
pub(super) struct Observed {
    /// The first query may be the driver's own: whether the session takes writes.
    checks_session: bool,
    connection: OnceLock<Arc<ConnectionInfo>>,
    ledger: Ledger,
    sight: Mutex<Sight>,
    holding: Holding,
    poll: Poll,
    /// Nothing is sent any more.
    gone: AtomicBool,
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
        self.sight().open(self.checks_session);
        self.read(login, false);
    }

    /// The driver has written. `polled`: while a [`Connection`](super::Connection) polls it.
    pub(super) fn wrote<'a>(
        &self,
        bytes: impl IntoIterator<Item = &'a [u8]> + Clone,
        polled: bool,
    ) {
        self.look(polled, |sight, scene| sight.wrote(bytes, scene));
        if !polled {
            self.ledger.begin_due();
        }
    }

    /// The driver has read.
    pub(super) fn read(&self, bytes: &[u8], polled: bool) {
        if self.sight().put_off(bytes, &self.holding) {
            return;
        }
        self.look(polled, |sight, scene| sight.read(bytes, scene));
    }

    /// The server has gone.
    pub(super) fn closed(&self) {
        self.gone.store(true, Ordering::Relaxed);
        self.look(false, Sight::closed);
    }

    /// The driver has dropped the connection, with what was under way on it.
    pub(super) fn dropped(&self) {
        self.gone.store(true, Ordering::Relaxed);
        self.look(false, Sight::dropped);
        // Its client may be kept long after, and so may a waker that knows this.
        if let Some(connection) = self.connection.get() {
            connection.ended();
        }
    }

    /// Nobody but the wrapper can send on this connection.
    pub(super) fn keep_to_us(&self) {
        self.holding.keep_to_us();
    }

    /// The application has the driver's own client.
    pub(super) fn hand_out(&self) {
        self.holding.hand_out();
    }

    /// The wrapper is about to send something that it shows itself. The span that is due is made once
    /// it is written: the connection's task runs when the sender waits, and what the sender did until
    /// then would hold its request up.
    pub(super) fn announce(self: &Arc<Self>, sent: Sent<'_>, due: Option<Due>) -> Announcement {
        let key = self.key(sent);
        let attends = matches!(sent, Sent::Text(text) if commits(text.as_bytes()));
        if attends {
            self.holding.attend();
        }
        self.ledger.announce(key, due);
        Announcement {
            observed: Arc::clone(self),
            key: Some(key),
            attends,
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
        self.sight().description(statement)
    }

    /// How many statements were prepared past the wrapper, so that others than its own may be in the
    /// application's hands; None: that cannot be told.
    pub(super) fn strangers(&self) -> Option<u64> {
        self.ledger.strangers()
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
    fn poll_ended(&self, caller: Option<Context>) {
        let ended = self.poll.ended();
        if ended.written {
            self.ledger.written();
        }
        let polled = Polled {
            caller,
            ended,
            busy: self.ledger.is_busy(),
            notes: self.is_wanted(),
        };
        let polled = self.sight().put_off_poll(polled, &self.holding);
        if let Some(polled) = polled {
            self.look(true, |sight, scene| sight.polled(polled, scene));
        }
        self.ledger.begin_due();
    }

    fn look(&self, polled: bool, look: impl FnOnce(&mut Sight, &Scene<'_>)) {
        let scene = Scene::new(self.connection.get(), &self.ledger, &self.holding, polled);
        look(&mut self.sight(), &scene);
        scene.leave();
    }

    fn sight(&self) -> MutexGuard<'_, Sight> {
        self.sight.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// Whether the answer is to be understood.
    attends: bool,
}

impl Announcement {
    /// Whether it cannot be sent: the connection is gone.
    pub(super) fn is_in_vain(&self) -> bool {
        self.observed.gone.load(Ordering::Relaxed)
    }

    /// What was to be sent has been sent and answered, or will not be sent. Whether it was a commit
    /// that the database answered with a rollback, which drivers take for a success.
    pub(super) fn withdraw(mut self) -> bool {
        let observed = &self.observed;
        // Of several under way it may be another one's that is held.
        let to_be_met = match observed.ledger.has_one_running() {
            true => !observed.holding.known(),
            false => observed.holding.is_any(),
        };
        let key = self.end(to_be_met);
        key.is_some_and(|key| self.observed.ledger.withdraw(key))
    }

    /// What is held may be its own, which is met only for as long as it is announced.
    fn end(&mut self, to_be_met: bool) -> Option<Key> {
        let key = self.key.take()?;
        if to_be_met {
            self.observed.look(false, Sight::recall);
        }
        if self.attends {
            self.observed.holding.attend_no_more();
        }
        Some(key)
    }
}

/// Its request may be on its way.
impl Drop for Announcement {
    fn drop(&mut self) {
        let to_be_met = self.key.is_some() && self.observed.holding.is_any();
        if let Some(key) = self.end(to_be_met) {
            self.observed.ledger.give_up(key);
        }
    }
}
