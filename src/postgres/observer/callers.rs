//! Who woke the connection: the other half of [`parents`](super::parents).
//!
//! [`Connection`](crate::postgres::Connection) polls the driver's with a waker of its own, which
//! notes the current span of the thread that wakes it. The [`Stream`](crate::postgres::Stream)
//! below waits for its socket with the task's real waker instead, so that what the socket wakes is
//! not taken for a sender.

use std::{
    cell::{Cell, RefCell},
    sync::{Arc, OnceLock},
    task::{Context as TaskContext, Poll, Wake, Waker},
};

use ::opentelemetry::{Context, trace::TraceContextExt};

use super::Observed;
use crate::opentelemetry::parent;

/// The wakers of one connection.
#[derive(Debug, Default)]
pub(in crate::postgres) struct Callers {
    /// What it was last polled with.
    waker: Option<Arc<NotingWaker>>,
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
    task: Waker,
    observed: Option<Arc<Observed>>,
}

impl Callers {
    /// Polls the driver's connection.
    pub(in crate::postgres) fn poll<T>(
        &mut self,
        cx: &mut TaskContext<'_>,
        poll: impl FnOnce(&mut TaskContext<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let caller = self.waker.as_ref().and_then(|waker| waker.noted.get());
        let caller = caller.cloned();
        let waker = self.next_waker(cx.waker(), caller.is_some());
        if let Some(observed) = &self.observed {
            observed.poll_begins();
        }
        let polling = Polling::begin(cx.waker());
        let polled = poll(&mut TaskContext::from_waker(&waker));
        if let Some(observed) = polling.end() {
            observed.poll_ended(caller);
            if let Some(waker) = &self.waker {
                waker.observed.get_or_init(|| Arc::clone(&observed));
            }
            self.observed = Some(observed);
        }
        polled
    }

    /// Who wakes this one was not known to anybody before. An old one may still be held by who is
    /// late to wake it.
    fn next_waker(&mut self, task: &Waker, noted: bool) -> Waker {
        let is_fresh = |waker: &Arc<NotingWaker>| !noted && waker.task.will_wake(task);
        let waker = self.waker.take().filter(is_fresh).unwrap_or_else(|| {
            Arc::new(NotingWaker {
                task: task.clone(),
                observed: self
                    .observed
                    .clone()
                    .map(OnceLock::from)
                    .unwrap_or_default(),
                noted: OnceLock::new(),
            })
        });
        self.waker = Some(Arc::clone(&waker));
        waker.into()
    }
}

impl Wake for NotingWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let wanted = self
            .observed
            .get()
            .is_some_and(|observed| observed.is_wanted());
        // While this thread polls a connection, it is not in the midst of a caller's query.
        if wanted && !ANNOUNCED.get() && POLLED.with_borrow(Option::is_none) {
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
    outer: Option<Polled>,
}

impl Polling {
    fn begin(task: &Waker) -> Self {
        let polled = Polled {
            task: task.clone(),
            observed: None,
        };
        Polling {
            outer: POLLED.replace(Some(polled)),
        }
    }

    /// The observer of the stream that was met.
    fn end(self) -> Option<Arc<Observed>> {
        POLLED.with_borrow_mut(|polled| polled.as_mut()?.observed.take())
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        POLLED.set(self.outer.take());
    }
}

/// For a stream that is being polled: the real waker of its connection's task, if that is a
/// connection of ours.
pub(in crate::postgres) fn task(observed: &Arc<Observed>) -> Option<Waker> {
    POLLED.with_borrow_mut(|polled| {
        let polled = polled.as_mut()?;
        polled.observed.get_or_insert_with(|| Arc::clone(observed));
        Some(polled.task.clone())
    })
}
