//! Connections that are open.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ::opentelemetry::{KeyValue, Value};
use tokio::time::Instant;

use super::{Instruments, names};
use crate::opentelemetry::connection::Server;

/// A connection that is open: counted until it ends, or is dropped, by the instruments that it was
/// opened with.
#[derive(Debug)]
pub(crate) struct OpenConnection {
    instruments: Arc<Instruments>,
    pool: KeyValue,
    since: Instant,
    ended: AtomicBool,
}

impl OpenConnection {
    /// It took `created` to make the connection, and `waited` from the application's asking on, if
    /// that is known.
    pub(in crate::opentelemetry) fn new(
        instruments: Arc<Instruments>,
        server: &Server<'_>,
        created: Duration,
        waited: Option<Duration>,
    ) -> Self {
        let pool = KeyValue::new(names::POOL_NAME, Value::from(Arc::from(pool_name(server))));
        let of_pool = std::slice::from_ref(&pool);
        instruments
            .create_time
            .record(created.as_secs_f64(), of_pool);
        if let Some(waited) = waited {
            instruments.wait_time.record(waited.as_secs_f64(), of_pool);
        }
        instruments.connection_count.add(1, &used(&pool));
        OpenConnection {
            instruments,
            pool,
            since: Instant::now(),
            ended: AtomicBool::new(false),
        }
    }

    /// Nobody uses it any more, whoever may still hold a part of it.
    pub(in crate::opentelemetry) fn end(&self) {
        if self.ended.swap(true, Ordering::Relaxed) {
            return;
        }
        let lived = self.since.elapsed().as_secs_f64();
        let of_pool = std::slice::from_ref(&self.pool);
        self.instruments.use_time.record(lived, of_pool);
        self.instruments.connection_count.add(-1, &used(&self.pool));
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the conventions advise where there is no pool that has a name.
fn pool_name(server: &Server<'_>) -> String {
    let Server { host, port, .. } = server;
    match server.namespace() {
        Some(namespace) => format!("{host}:{port}/{namespace}"),
        None => format!("{host}:{port}"),
    }
}

fn used(pool: &KeyValue) -> [KeyValue; 2] {
    [pool.clone(), KeyValue::new(names::STATE, names::USED)]
}
