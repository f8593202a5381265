//! A file that is looked at whenever somebody wants to know what stands in it.
//!
//! A file system may keep who asks it waiting: one of a network, for minutes. So it is asked on
//! threads that may wait, by one at a time, and nobody waits for it longer than a while. Whoever
//! comes while it is looked at takes part in the next look, however many they are.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Mutex, Semaphore},
    task::JoinHandle,
    time::timeout,
};

use super::{Freshness, Trouble, Unavailable};
use crate::stamp::Stamp;

/// How long a file system is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// What can be looked at and read. Both may take long.
pub(super) trait Readable: Send + Sync + 'static {
    type Content: Send + Sync + 'static;

    /// Whether what was read with this stamp is certainly what would be read now.
    fn is_as(&self, stamp: &Stamp) -> Result<bool, Unavailable>;

    fn read(&self) -> Result<(Stamp, Self::Content), Unavailable>;
}

/// A file, and what was read of it last.
pub(super) struct Followed<F: Readable> {
    file: Arc<F>,
    /// For looks that are under way, at this file and at others. One that hangs keeps its own.
    threads: Arc<Semaphore>,
    patience: Duration,
    turn: Mutex<Turn<F>>,
}

/// What stood in the file.
pub(super) struct Reading<T> {
    begun: Instant,
    stamp: Stamp,
    pub(super) content: T,
}

struct Turn<F: Readable> {
    held: Option<Arc<Reading<F::Content>>>,
    latest: Option<Look<F>>,
    /// Also where whoever began it has gone.
    under_way: Option<JoinHandle<Look<F>>>,
}

struct Look<F: Readable> {
    begun: Instant,
    found: Result<Arc<Reading<F::Content>>, Unavailable>,
}

impl<F: Readable> Followed<F> {
    pub(super) fn new(file: F, threads: Arc<Semaphore>) -> Self {
        Followed {
            file: Arc::new(file),
            threads,
            patience: PATIENCE,
            turn: Mutex::new(Turn {
                held: None,
                latest: None,
                under_way: None,
            }),
        }
    }

    /// As [`new`](Self::new), where it has just been read.
    pub(super) fn read_before(
        file: F,
        threads: Arc<Semaphore>,
        (stamp, content): (Stamp, F::Content),
    ) -> Self {
        let mut followed = Followed::new(file, threads);
        followed.turn.get_mut().held = Some(Arc::new(Reading {
            begun: Instant::now(),
            stamp,
            content,
        }));
        followed
    }

    pub(super) fn file(&self) -> &F {
        &self.file
    }

    /// What stands there now: it is looked at after this was called.
    pub(super) async fn now(
        &self,
        freshness: Freshness,
    ) -> Result<Arc<Reading<F::Content>>, Unavailable> {
        let found = timeout(self.patience, self.after(Instant::now(), freshness));
        found.await.unwrap_or_else(|_| {
            let detail = format!("the file system does not answer within {:?}", self.patience);
            Err(Unavailable::new(Trouble::Slow, detail))
        })
    }

    async fn after(
        &self,
        asked: Instant,
        freshness: Freshness,
    ) -> Result<Arc<Reading<F::Content>>, Unavailable> {
        let mut turn = self.turn.lock().await;
        loop {
            let latest = turn.latest.as_ref();
            if let Some(latest) = latest.filter(|latest| latest.tells(asked, freshness)) {
                return latest.found.clone();
            }
            let held = turn.held.clone();
            let under_way = match &mut turn.under_way {
                Some(under_way) => under_way,
                none => none.insert(self.look(held, freshness).await?),
            };
            let ended = under_way.await;
            turn.under_way = None;
            let look = ended.map_err(unfinished)?;
            if let Ok(reading) = &look.found {
                turn.held = Some(reading.clone());
            }
            turn.latest = Some(look);
        }
    }

    async fn look(
        &self,
        held: Option<Arc<Reading<F::Content>>>,
        freshness: Freshness,
    ) -> Result<JoinHandle<Look<F>>, Unavailable> {
        let thread = self.threads.clone().acquire_owned().await;
        let (thread, file) = (thread.map_err(unfinished)?, self.file.clone());
        let held = held.filter(|_| freshness == Freshness::Usual);
        Ok(tokio::task::spawn_blocking(move || {
            let _thread = thread;
            Look::at(&*file, held)
        }))
    }
}

impl<F: Readable> Look<F> {
    fn at(file: &F, held: Option<Arc<Reading<F::Content>>>) -> Self {
        let begun = Instant::now();
        let unchanged = held.map(|held| Ok(file.is_as(&held.stamp)?.then_some(held)));
        let found = match unchanged.transpose() {
            Ok(Some(Some(held))) => Ok(held),
            Ok(_) => file.read().map(|(stamp, content)| {
                Arc::new(Reading {
                    begun,
                    stamp,
                    content,
                })
            }),
            Err(unavailable) => Err(unavailable),
        };
        Look { begun, found }
    }

    /// Whether it is an answer to who asked then.
    fn tells(&self, asked: Instant, freshness: Freshness) -> bool {
        let begun = match (&self.found, freshness) {
            (Ok(reading), Freshness::Reread) => reading.begun,
            _ => self.begun,
        };
        begun > asked
    }
}

fn unfinished(error: impl fmt::Display) -> Unavailable {
    Unavailable::new(Trouble::Unreachable, error)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    use futures_util::future::join_all;

    use super::*;

    /// Hangs whenever it is looked at, until it is let go.
    struct Hanging {
        go: Mutex<mpsc::Receiver<()>>,
        looks: AtomicUsize,
    }

    impl Readable for Arc<Hanging> {
        type Content = usize;

        fn is_as(&self, _: &Stamp) -> Result<bool, Unavailable> {
            Ok(false)
        }

        fn read(&self) -> Result<(Stamp, usize), Unavailable> {
            let look = self.looks.fetch_add(1, Ordering::SeqCst) + 1;
            let go = self.go.lock().unwrap_or_else(PoisonError::into_inner);
            go.recv().ok();
            Ok((Stamp::never(), look))
        }
    }

    fn hanging(patience: Duration) -> (Arc<Hanging>, Followed<Arc<Hanging>>, mpsc::Sender<()>) {
        let (let_go, go) = mpsc::channel();
        let file = Arc::new(Hanging {
            go: Mutex::new(go),
            looks: AtomicUsize::new(0),
        });
        let followed = Followed {
            patience,
            ..Followed::new(file.clone(), Arc::new(Semaphore::new(1)))
        };
        (file, followed, let_go)
    }

    /// On the one thread of this runtime nothing else would happen while it is asked there.
    #[tokio::test]
    async fn a_file_system_that_hangs_is_waited_for_on_one_thread_and_not_for_long() {
        let (file, followed, let_go) = hanging(Duration::from_millis(50));
        for _ in 0..2 {
            let all = (0..20).map(|_| followed.now(Freshness::Usual));
            for found in join_all(all).await {
                assert_eq!(found.err().map(|error| error.trouble), Some(Trouble::Slow));
            }
        }
        assert_eq!(file.looks.load(Ordering::SeqCst), 1);
        drop(let_go);
        let patient = Followed {
            patience: PATIENCE,
            ..followed
        };
        // What hung was begun before this was asked.
        let found = patient.now(Freshness::Usual).await;
        assert_eq!(found.map(|reading| reading.content).ok(), Some(2));
    }

    #[tokio::test]
    async fn whoever_comes_while_it_is_looked_at_takes_part_in_the_next_look() {
        let (file, followed, let_go) = hanging(PATIENCE);
        let first = followed.now(Freshness::Usual);
        let others = async {
            while file.looks.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            let others = (0..20).map(|_| followed.now(Freshness::Reread));
            let mut others = std::pin::pin!(join_all(others));
            assert!(futures_util::poll!(&mut others).is_pending());
            drop(let_go);
            others.await
        };
        let (first, others) = tokio::join!(first, others);
        assert_eq!(first.map(|reading| reading.content).ok(), Some(1));
        for other in others {
            assert_eq!(other.map(|reading| reading.content).ok(), Some(2));
        }
    }
}
