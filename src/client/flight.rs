//! One computation at a time, shared by everyone who waits for it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::error::{Error, Hop, Kind, Result};

/// Runs in a task of its own, so that who stops waiting takes it from nobody else.
#[derive(Debug)]
pub(super) struct SingleFlight<T>(Arc<Mutex<Option<Flight<T>>>>);

type Flight<T> = watch::Receiver<Option<Result<T>>>;

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    pub(super) fn new() -> Self {
        SingleFlight(Arc::default())
    }

    /// Joins what is under way, or begins `work`, and waits for its end. Failures are shared too.
    pub(super) async fn run<F>(&self, work: impl FnOnce() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let mut flight = self.start(work);
        match flight.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(result)) => result.clone(),
            // Its task is gone: the runtime that drove it shuts down.
            Ok(None) | Err(_) => Err(Error::new(
                Kind::Cancelled,
                Hop::Authenticator,
                "the runtime that was at it has shut down",
            )),
        }
    }

    /// Begins `work` if nothing is under way, and does not wait.
    pub(super) fn start<F>(&self, work: impl FnOnce() -> F) -> Flight<T>
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = current.as_ref().filter(|flight| is_running(flight)) {
            return flight.clone();
        }
        let (sender, receiver) = watch::channel(None);
        *current = Some(receiver.clone());
        let work = work();
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            let result = work.await;
            // Whoever comes from now on begins anew.
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = None;
            sender.send_replace(Some(result));
        });
        receiver
    }

    pub(super) fn is_running(&self) -> bool {
        let current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().is_some_and(is_running)
    }
}

/// Its task is there: it has neither ended nor gone down with its runtime.
fn is_running<T>(flight: &Flight<T>) -> bool {
    flight.has_changed().is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn work(
        runs: &Arc<AtomicUsize>,
    ) -> impl FnOnce() -> futures_util::future::BoxFuture<'static, Result<usize>> {
        let runs = Arc::clone(runs);
        move || {
            Box::pin(async move {
                tokio::task::yield_now().await;
                Ok(runs.fetch_add(1, Ordering::SeqCst))
            })
        }
    }

    #[tokio::test]
    async fn a_hundred_callers_share_one_run() {
        let runs = Arc::new(AtomicUsize::new(0));
        let flight = SingleFlight::new();
        let results =
            futures_util::future::join_all((0..100).map(|_| flight.run(work(&runs)))).await;
        assert!(results.into_iter().all(|result| result.unwrap() == 0));
        assert_eq!(flight.run(work(&runs)).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn who_stops_waiting_takes_it_from_nobody() {
        let runs = Arc::new(AtomicUsize::new(0));
        let flight = SingleFlight::new();
        // Polled once, then dropped.
        let gone = flight.run(work(&runs));
        assert!(futures_util::FutureExt::now_or_never(gone).is_none());
        assert_eq!(flight.run(work(&runs)).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn failures_are_shared() {
        let flight = SingleFlight::<()>::new();
        let failing = || {
            flight.run(|| async {
                tokio::task::yield_now().await;
                Err(Error::new(Kind::Unavailable, Hop::Session, "down"))
            })
        };
        let (one, other) = tokio::join!(failing(), failing());
        assert!(one.unwrap_err().is_retryable() && other.unwrap_err().is_retryable());
    }

    #[test]
    fn outlives_the_runtime_that_drove_it() {
        let flight = SingleFlight::<()>::new();
        let runtime = || {
            tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap()
        };
        let mut abandoned = runtime().block_on(async { flight.start(std::future::pending) });
        runtime().block_on(async {
            abandoned.wait_for(Option::is_some).await.unwrap_err();
            flight.run(|| async { Ok(()) }).await.unwrap();
        });
    }
}
