//! Applications that log in again and again.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use approzium::{AuthClient, Error, postgres};
use approzium_peers::eventually;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Tasks of one application.
pub(crate) const TASKS: usize = 2;
/// Logins after which something can be said of them.
const MANY: usize = 30;

const PATIENCE: Duration = Duration::from_secs(60);

/// Logins one after the other, by several tasks.
pub(crate) struct Load {
    end: CancellationToken,
    tasks: JoinSet<()>,
    done: Arc<AtomicUsize>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

/// An error that an application heard of.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) error: Error,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
}

impl Load {
    /// Who fails tries once more; who then fails again ends the test.
    pub(crate) fn start(applications: &[AuthClient], string: &str) -> Self {
        Self::with_retries(1, applications, string)
    }

    /// Who fails tries until it works.
    pub(crate) fn of_the_patient(applications: &[AuthClient], string: &str) -> Self {
        Self::with_retries(usize::MAX, applications, string)
    }

    fn with_retries(retries: usize, applications: &[AuthClient], string: &str) -> Self {
        let mut load = Load {
            end: CancellationToken::new(),
            tasks: JoinSet::new(),
            done: Arc::default(),
            heard: Arc::default(),
        };
        for application in applications {
            for _ in 0..TASKS {
                let (application, string) = (application.clone(), string.to_owned());
                let (end, done) = (load.end.clone(), Arc::clone(&load.done));
                let heard = Arc::clone(&load.heard);
                load.tasks.spawn(async move {
                    while !end.is_cancelled() {
                        log_in(&application, &string, retries, &end, &heard).await;
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        }
        load
    }

    /// Waits for many more.
    pub(crate) async fn more(&self) {
        let before = self.done.load(Ordering::SeqCst);
        eventually("many more logins", PATIENCE, async || {
            (self.done.load(Ordering::SeqCst) >= before + MANY).then_some(())
        })
        .await;
    }

    /// Waits for many errors of logins that began after this.
    pub(crate) async fn many_fail_after(&self, moment: Instant) {
        eventually("many failed logins", PATIENCE, async || {
            let heard = self.heard.lock().unwrap();
            let after = heard.iter().filter(|heard| heard.began > moment);
            (after.count() >= MANY).then_some(())
        })
        .await;
    }

    /// Ends it; what the applications heard of.
    pub(crate) async fn end(self) -> Vec<Heard> {
        self.end.cancel();
        self.tasks.join_all().await;
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

/// One login, with its retries.
async fn log_in(
    application: &AuthClient,
    string: &str,
    retries: usize,
    end: &CancellationToken,
    heard: &Mutex<Vec<Heard>>,
) {
    let mut tries = 0;
    loop {
        let began = Instant::now();
        let Err(error) = once(application, string).await else {
            return;
        };
        assert!(tries < retries, "once more, and then {error}");
        tries += 1;
        heard.lock().unwrap().push(Heard {
            error,
            began,
            ended: Instant::now(),
        });
        // Whoever tries until it works may wait for somebody who is gone.
        if retries > 1 && end.is_cancelled() {
            return;
        }
    }
}

async fn once(application: &AuthClient, string: &str) -> Result<(), Error> {
    let client = postgres::connect_with(string, application).await?;
    client.simple_query("SELECT 1").await.unwrap();
    Ok(())
}
