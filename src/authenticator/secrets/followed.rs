//! A file that is looked at whenever somebody wants to know what stands in it.
//!
//! A file system may keep who asks it waiting: one of a network, for minutes. So it is asked on
//! threads that may wait, by one at a time, and nobody waits for it longer than a while. Whoever
//! comes while it is looked at takes part in the next look, however many they are.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use super::{Freshness, Trouble, Unavailable};
use crate::{authenticator::limits::locked, stamp::Stamp};

/// How long a file system is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// What can be looked at and read. Both may take long.
pub(super) trait Readable: Send + Sync + 'static {
    type Content: Send + Sync + 'static;

    fn path(&self) -> PathBuf;

    /// Whether what was read with this stamp is certainly what would be read now.
    fn is_as(&self, stamp: &Stamp) -> Result<bool, Unavailable>;

    fn read(&self) -> Result<(Stamp, Self::Content), Unavailable>;
}

/// A file, and what was read of it last.
pub(super) struct Followed<F: Readable> {
    looked_at: Arc<LookedAt<F>>,
    patience: Duration,
}

struct LookedAt<F: Readable> {
    file: F,
    /// For looks that are under way, at this file and at others. One that hangs keeps its own.
    threads: Arc<Semaphore>,
    next: Mutex<Option<Next<F::Content>>>,
    /// Locked by the one look that is under way, also where whoever wanted it has gone.
    read: Arc<tokio::sync::Mutex<Option<Reading<F::Content>>>>,
}

/// A look that has not begun: whoever comes takes part in it.
struct Next<T> {
    /// Whether one of those wants the file read though it is as it was.
    anew: Arc<AtomicBool>,
    look: WeakShared<Look<T>>,
}

/// It does not begin once nobody waits for it.
type Look<T> = BoxFuture<'static, Found<T>>;

type Found<T> = Result<Arc<T>, Unavailable>;

/// What stood in the file.
struct Reading<T> {
    stamp: Stamp,
    content: Arc<T>,
}

impl<F: Readable> Followed<F> {
    /// With what was read of it just now, if it was.
    pub(super) fn new(file: F, threads: Arc<Semaphore>, read: Option<(Stamp, F::Content)>) -> Self {
        let read = read.map(|(stamp, content)| Reading {
            stamp,
            content: Arc::new(content),
        });
        Followed {
            looked_at: Arc::new(LookedAt {
                file,
                threads,
                next: Mutex::new(None),
                read: Arc::new(tokio::sync::Mutex::new(read)),
            }),
            patience: PATIENCE,
        }
    }

    pub(super) fn file(&self) -> &F {
        &self.looked_at.file
    }

    /// What stands there now: it is looked at after this was called.
    pub(super) async fn now(&self, freshness: Freshness) -> Found<F::Content> {
        let look = self.looked_at.next(freshness);
        timeout(self.patience, look).await.unwrap_or_else(|_| {
            let path = self.file().path();
            let (path, patience) = (path.display(), self.patience);
            let detail = format!("{path}: the file system does not answer within {patience:?}");
            Err(Unavailable::new(Trouble::Slow, detail))
        })
    }
}

impl<F: Readable> LookedAt<F> {
    fn next(self: &Arc<Self>, freshness: Freshness) -> Shared<Look<F::Content>> {
        let mut next = locked(&self.next);
        let open = next.as_ref();
        let open = open.and_then(|next| Some((next.anew.clone(), next.look.upgrade()?)));
        let (anew, look) = open.unwrap_or_else(|| {
            let anew = Arc::new(AtomicBool::new(false));
            let look = tokio::spawn(self.clone().look(anew.clone()));
            let look = AbortOnDropHandle::new(look)
                .map(|ended| ended.unwrap_or_else(|error| Err(unfinished(error))));
            let look = look.boxed().shared();
            *next = look.downgrade().map(|look| Next {
                anew: anew.clone(),
                look,
            });
            (anew, look)
        });
        if freshness == Freshness::Reread {
            anew.store(true, Ordering::Relaxed);
        }
        look
    }

    async fn look(self: Arc<Self>, anew: Arc<AtomicBool>) -> Found<F::Content> {
        let mut read = self.read.clone().lock_owned().await;
        let thread = self.threads.clone().acquire_owned().await;
        let thread = thread.map_err(unfinished)?;
        self.begins(&anew);
        let look = spawn_blocking(move || {
            let _thread = thread;
            if anew.load(Ordering::Relaxed) {
                *read = None;
            }
            self.at(&mut read)
        });
        look.await.map_err(unfinished)?
    }

    /// From now on, whoever comes takes part in another.
    fn begins(&self, anew: &Arc<AtomicBool>) {
        let mut next = locked(&self.next);
        next.take_if(|next| Arc::ptr_eq(&next.anew, anew));
    }

    fn at(&self, read: &mut Option<Reading<F::Content>>) -> Found<F::Content> {
        if let Some(reading) = read
            && self.file.is_as(&reading.stamp)?
        {
            return Ok(reading.content.clone());
        }
        let (stamp, content) = self.file.read()?;
        let content = Arc::new(content);
        *read = Some(Reading {
            stamp,
            content: content.clone(),
        });
        Ok(content)
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
    use tokio::runtime::Handle;

    use super::*;

    /// Hangs whenever it is looked at, until it is let go.
    struct Hanging {
        go: Mutex<mpsc::Receiver<()>>,
        looks: AtomicUsize,
    }

    impl Readable for Arc<Hanging> {
        type Content = usize;

        fn path(&self) -> PathBuf {
            "hanging.yaml".into()
        }

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
            ..Followed::new(file.clone(), Arc::new(Semaphore::new(1)), None)
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
                let unavailable = found.unwrap_err();
                assert_eq!(unavailable.trouble, Trouble::Slow);
                assert!(unavailable.to_string().contains("hanging.yaml: "));
            }
        }
        assert_eq!(file.looks.load(Ordering::SeqCst), 1);
        // Of those who have given up nothing is left to wait for it.
        tokio::task::yield_now().await;
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
        drop(let_go);
        let patient = Followed {
            patience: PATIENCE,
            ..followed
        };
        // What hung was begun before this was asked.
        let found = patient.now(Freshness::Usual).await;
        assert_eq!(found.map(|look| *look).ok(), Some(2));
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
        assert_eq!(first.map(|look| *look).ok(), Some(1));
        for other in others {
            assert_eq!(other.map(|look| *look).ok(), Some(2));
        }
    }
}
