//! Who woke the connection: the other half of [`parents`](super::parents).
//!
//! [`Connection`](crate::postgres::Connection) polls the driver's with a waker of its own, which
//! notes the current span of the thread that wakes it. The [`Stream`](crate::postgres::Stream)
//! below waits for its socket with the task's real waker instead, so that what the socket wakes is
//! not taken for a sender.

use std::{
    cell::{Cell, RefCell},
    mem,
    sync::{Arc, OnceLock},
    task::{Context as TaskContext, Poll, Wake, Waker},
};

use ::opentelemetry::{
    Context,
    baggage::{BaggageExt, KeyValueMetadata},
    trace::TraceContextExt,
};

use super::Observed;
use crate::opentelemetry::parent;

/// The wakers of one connection.
#[derive(Debug, Default)]
pub(in crate::postgres) struct Callers {
    /// What it was last polled with, twice: as it is, and as the driver knows it.
    waker: Option<(Arc<NotingWaker>, Waker)>,
    /// The observer of the stream below, once it has been met.
    observed: Option<Arc<Observed>>,
}

#[derive(Debug)]
struct NotingWaker {
    task: Waker,
    observed: Arc<Observed>,
    /// The first who woke.
    noted: OnceLock<Context>,
}

thread_local! {
    /// Whether this thread is polling a connection of ours.
    static POLLS: Cell<bool> = const { Cell::new(false) };
    /// Whether it is the wrapper that sends on this thread.
    static ANNOUNCED: Cell<bool> = const { Cell::new(false) };
    /// Who is met while this thread polls.
    static MEETING: RefCell<Meeting> = const { RefCell::new(Meeting::None) };
}

/// Only the driver knows both a connection and its stream: they meet when it is polled.
enum Meeting {
    None,
    Expected,
    Met(Arc<Observed>),
}

impl Callers {
    /// Polls the driver's connection. The first time that only meets the stream below.
    pub(in crate::postgres) fn poll<T>(
        &mut self,
        cx: &mut TaskContext<'_>,
        poll: impl FnOnce(&mut TaskContext<'_>) -> Poll<T>,
    ) -> Poll<T> {
        // It is handed over and back, which spares counting references.
        let Some(observed) = self.observed.take() else {
            let (result, met) = meet(|| poll(cx));
            self.observed = met;
            return result;
        };
        let last = self.waker.take();
        let noted = last.as_ref().and_then(|(noting, _)| noting.noted.get());
        let caller = noted.cloned();
        let (noting, waker) = next_waker(last, cx.waker(), &observed);
        observed.poll_begins();
        let polling = Polling::begin(&observed);
        let result = poll(&mut TaskContext::from_waker(&waker));
        drop(polling);
        observed.poll_ended(caller);
        self.waker = Some((noting, waker));
        self.observed = Some(observed);
        result
    }
}

/// Who wakes this one was not known to anybody before. An old one may still be held by who is late to
/// wake it.
fn next_waker(
    last: Option<(Arc<NotingWaker>, Waker)>,
    task: &Waker,
    observed: &Arc<Observed>,
) -> (Arc<NotingWaker>, Waker) {
    let is_fresh = |(noting, _): &(Arc<NotingWaker>, Waker)| {
        noting.noted.get().is_none() && noting.task.will_wake(task)
    };
    last.filter(is_fresh).unwrap_or_else(|| {
        observed.poll.by(task);
        let noting = Arc::new(NotingWaker {
            task: task.clone(),
            observed: Arc::clone(observed),
            noted: OnceLock::new(),
        });
        let waker = Waker::from(Arc::clone(&noting));
        (noting, waker)
    })
}

impl Wake for NotingWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // While this thread polls a connection, it is not in the midst of a caller's query.
        if !ANNOUNCED.get() && !POLLS.get() && self.observed.is_wanted() {
            self.noted.get_or_init(caller);
        }
        self.task.wake_by_ref();
    }
}

/// While the wrapper polls the driver for what it has announced: nobody will ask who sent that.
pub(in crate::postgres) struct Announced {
    outer: bool,
}

impl Announced {
    pub(in crate::postgres) fn begin() -> Self {
        Announced {
            outer: ANNOUNCED.replace(true),
        }
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        ANNOUNCED.set(self.outer);
    }
}

/// The current span by its name only: held here, it would last longer than its owner wants. With it
/// what a span processor asks for, and whether anything is to be traced at all.
fn caller() -> Context {
    let current = parent();
    let mut caller = Context::new();
    if current.has_active_span() {
        caller = caller.with_remote_span_context(current.span().span_context().clone());
    }
    if !current.baggage().is_empty() {
        let baggage = current.baggage().iter();
        caller = caller.with_baggage(baggage.map(|(key, (value, metadata))| {
            KeyValueMetadata::new(key.clone(), value.clone(), metadata.clone())
        }));
    }
    if current.is_telemetry_suppressed() {
        caller = caller.with_telemetry_suppressed();
    }
    caller
}

/// While this thread polls a connection of ours.
struct Polling<'a> {
    observed: &'a Observed,
    outer: bool,
}

impl<'a> Polling<'a> {
    fn begin(observed: &'a Observed) -> Self {
        observed.poll.begin();
        Polling {
            observed,
            outer: POLLS.replace(true),
        }
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        POLLS.set(self.outer);
        self.observed.poll.end();
    }
}

/// Whom `poll` meets.
fn meet<T>(poll: impl FnOnce() -> T) -> (T, Option<Arc<Observed>>) {
    /// What was met before, until this has ended.
    struct Outer(Meeting);

    impl Drop for Outer {
        fn drop(&mut self) {
            MEETING.replace(mem::replace(&mut self.0, Meeting::None));
        }
    }

    let outer = Outer(MEETING.replace(Meeting::Expected));
    let result = poll();
    let met = MEETING.replace(Meeting::None);
    drop(outer);
    match met {
        Meeting::Met(observed) => (result, Some(observed)),
        Meeting::None | Meeting::Expected => (result, None),
    }
}

/// For a stream that is being polled by somebody.
pub(super) fn introduce(observed: &Arc<Observed>) {
    // None: the thread is ending.
    let _ = MEETING.try_with(|meeting| {
        let meeting = &mut *meeting.borrow_mut();
        if matches!(meeting, Meeting::Expected) {
            *meeting = Meeting::Met(Arc::clone(observed));
        }
    });
}
