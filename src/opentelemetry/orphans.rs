//! Queries whose caller is not known.

use std::sync::atomic::{AtomicBool, Ordering};

use super::instrumentation::Instrumentation;

/// A query begins without a parent: that is counted, and said once per process.
pub(super) fn found(instrumentation: &Instrumentation) {
    instrumentation.instruments().without_parent();
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        ::tracing::warn!(
            "a query went past approzium's own client, and whose span it belongs to is not \
             certain: such spans are roots with approzium.parent=unknown; query through \
             approzium::postgres::Client, or hand each connection to one task at a time"
        );
    }
}
