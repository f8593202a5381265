//! Applications that log in again and again.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use approzium::{AuthClient, Error, postgres};
use approzium_peers::eventually;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::replica::PATIENCE;

/// Tasks of one application.
const TASKS: usize = 2;
/// Logins after which something can be said of them.
const MANY: usize = 30;

/// Logins one after the other, by several tasks. Who fails tries once more; who then fails again
/// ends the test.
pub(super) struct Load {
    end: CancellationToken,
    tasks: JoinSet<Vec<Error>>,
    done: Arc<AtomicUsize>,
}

impl Load {
    pub(super) fn start(applications: &[AuthClient], string: &str) -> Self {
        let mut load = Load {
            end: CancellationToken::new(),
            tasks: JoinSet::new(),
            done: Arc::default(),
        };
        for application in applications {
            for _ in 0..TASKS {
                let (end, done) = (load.end.clone(), Arc::clone(&load.done));
                let task = again_and_again(application.clone(), string.to_owned(), end, done);
                load.tasks.spawn(task);
            }
        }
        load
    }

    /// Waits for many more.
    pub(super) async fn more(&self) {
        let before = self.done.load(Ordering::SeqCst);
        eventually("many more logins", PATIENCE, async || {
            (self.done.load(Ordering::SeqCst) >= before + MANY).then_some(())
        })
        .await;
    }

    /// Ends it; what the applications heard of.
    pub(super) async fn end(self) -> Vec<Error> {
        self.end.cancel();
        let heard = self.tasks.join_all().await;
        heard.into_iter().flatten().collect()
    }
}

async fn again_and_again(
    application: AuthClient,
    string: String,
    end: CancellationToken,
    done: Arc<AtomicUsize>,
) -> Vec<Error> {
    let mut heard = Vec::new();
    while !end.is_cancelled() {
        if let Err(error) = log_in(&application, &string).await {
            let again = log_in(&application, &string).await;
            again.unwrap_or_else(|second| panic!("{error}, and then {second}"));
            heard.push(error);
        }
        done.fetch_add(1, Ordering::SeqCst);
    }
    heard
}

async fn log_in(application: &AuthClient, string: &str) -> Result<(), Error> {
    let client = postgres::connect_with(string, application).await?;
    client.simple_query("SELECT 1").await.unwrap();
    Ok(())
}
