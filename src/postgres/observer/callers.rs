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

use ::opentelemetry::{Context, trace::TraceContextExt};

use super::{Observed, parents::Ended};
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
    observed: OnceLock<Arc<Observed>>,
    /// The first who woke.
    noted: OnceLock<Context>,
}

thread_local! {
    /// The connection that this thread is polling.
    static POLLED: RefCell<Option<Polled>> = const { RefCell::new(None) };
    /// Whether it is the wrapper that sends on this thread.
    static ANNOUNCED: Cell<bool> = const { Cell::new(false) };
}

struct Polled {
    waker: Arc<NotingWaker>,
    observed: Option<Arc<Observed>>,
    ended: Ended,
}

impl Callers {
    /// Polls the driver's connection.
    pub(in crate::postgres) fn poll<T>(
        &mut self,
        cx: &mut TaskContext<'_>,
        poll: impl FnOnce(&mut TaskContext<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let last = self.waker.take();
        let noted = last.as_ref().and_then(|(noting, _)| noting.noted.get());
        let caller = noted.cloned();
        let (noting, waker) = self.next_waker(last, cx.waker());
        if let Some(observed) = &self.observed {
            observed.poll_begins();
        }
        // Both are handed over and back, which spares counting references.
        let polling = Polling::begin(Polled {
            waker: noting,
            observed: self.observed.take(),
            ended: Ended::default(),
        });
        let result = poll(&mut TaskContext::from_waker(&waker));
        if let Some(polled) = polling.end() {
            if let Some(observed) = &polled.observed {
                observed.poll_ended(caller, polled.ended);
                let known = || Arc::clone(observed);
                polled.waker.observed.get_or_init(known);
            }
            self.observed = polled.observed;
            self.waker = Some((polled.waker, waker));
        }
        result
    }

    /// Who wakes this one was not known to anybody before. An old one may still be held by who is
    /// late to wake it.
    fn next_waker(
        &self,
        last: Option<(Arc<NotingWaker>, Waker)>,
        task: &Waker,
    ) -> (Arc<NotingWaker>, Waker) {
        let is_fresh = |(noting, _): &(Arc<NotingWaker>, Waker)| {
            noting.noted.get().is_none() && noting.task.will_wake(task)
        };
        last.filter(is_fresh).unwrap_or_else(|| {
            let noting = Arc::new(NotingWaker {
                task: task.clone(),
                observed: self
                    .observed
                    .clone()
                    .map(OnceLock::from)
                    .unwrap_or_default(),
                noted: OnceLock::new(),
            });
            let waker = Waker::from(Arc::clone(&noting));
            (noting, waker)
        })
    }
}

impl Wake for NotingWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let is_wanted = |observed: &Arc<Observed>| observed.is_wanted();
        // While this thread polls a connection, it is not in the midst of a caller's query; nor
        // while it ends.
        if !ANNOUNCED.get()
            && polled(|polled| polled.is_none()).unwrap_or(false)
            && self.observed.get().is_some_and(is_wanted)
        {
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

/// The current span by its name only: held here, it would last longer than its owner wants.
fn caller() -> Context {
    let current = parent();
    match current.has_active_span() {
        true => Context::new().with_remote_span_context(current.span().span_context().clone()),
        false => Context::new(),
    }
}

/// While this thread polls a connection of ours.
struct Polling {
    /// What it polled before, until this has ended.
    outer: Option<Option<Polled>>,
}

impl Polling {
    fn begin(new: Polled) -> Self {
        Polling {
            outer: polled(|polled| polled.replace(new)),
        }
    }

    fn end(mut self) -> Option<Polled> {
        let outer = self.outer.take()?;
        polled(|polled| mem::replace(polled, outer)).flatten()
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        if let Some(outer) = self.outer.take() {
            polled(|polled| mem::replace(polled, outer));
        }
    }
}

/// None where the thread is ending. Nothing is to be dropped in `look`, which nobody may enter
/// twice.
fn polled<T>(look: impl FnOnce(&mut Option<Polled>) -> T) -> Option<T> {
    let looked = |polled: &RefCell<Option<Polled>>| look(&mut polled.borrow_mut());
    POLLED.try_with(looked).ok()
}

/// The real waker of the task that polls a stream, where that is the task of a connection of ours.
#[derive(Debug, Default)]
pub(super) struct Task(Option<Waker>);

impl Task {
    /// For a stream that is being polled: whether it is by a connection of ours.
    pub(super) fn is_met(&mut self, observed: &Arc<Observed>) -> bool {
        let last = self.0.take();
        let met = polled(|polled| {
            let polled = polled.as_mut()?;
            polled.observed.get_or_insert_with(|| Arc::clone(observed));
            let task = &polled.waker.task;
            let is_same = last.as_ref().is_some_and(|last| last.will_wake(task));
            Some((!is_same).then(|| task.clone()))
        });
        match met.flatten() {
            Some(new) => {
                self.0 = new.or(last);
                true
            }
            None => false,
        }
    }

    /// As long as a connection of ours polls: its task's waker, else the one at hand.
    pub(super) fn context<'a>(&'a self, cx: &'a TaskContext<'_>) -> TaskContext<'a> {
        TaskContext::from_waker(self.0.as_ref().unwrap_or(cx.waker()))
    }
}

/// How far the poll of the connection has come that `observed` belongs to.
pub(super) fn came(observed: &Arc<Observed>, ended: impl FnOnce(&mut Ended)) {
    polled(|polled| {
        if let Some(polled) = polled
            && polled
                .observed
                .as_ref()
                .is_some_and(|known| Arc::ptr_eq(known, observed))
        {
            ended(&mut polled.ended);
        }
    });
}
