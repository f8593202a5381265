//! Queries whose caller is not known.

use std::sync::atomic::{AtomicBool, Ordering};

/// A query begins without a parent: that is said once per process.
pub(super) fn found() {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        ::tracing::warn!(
            "a query went past approzium's own client, and whose span it belongs to is not \
             certain: such spans are roots with approzium.parent=unknown; query through \
             approzium::postgres::Client, or hand each connection to one task at a time"
        );
    }
}
