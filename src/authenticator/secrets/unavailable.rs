//! Why there are no records to decide by.

use std::fmt;

/// The source could not be read. Says why to the operator; callers learn only that it is so.
#[derive(Clone, Debug)]
pub(crate) struct Unavailable {
    pub(crate) trouble: Trouble,
    detail: String,
}

/// What kind of trouble it is; each is a reason of its own in the audit log and in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(all(feature = "vault", feature = "asm")),
    allow(dead_code, reason = "a file knows less trouble")
)]
pub(crate) enum Trouble {
    /// The secrets manager does not answer, or answers that something is wrong with itself; the
    /// file cannot be read.
    Unreachable,
    /// The secrets manager is up, and waits for somebody to unseal it.
    Sealed,
    /// No answer came in time.
    Slow,
    /// The secrets manager is asked more often than it likes.
    Throttled,
    /// The secrets manager answers, and not to us: policy, token or mount are not right.
    Refused,
    /// What was read is no record.
    Malformed,
}

impl Unavailable {
    pub(crate) fn new(trouble: Trouble, detail: impl fmt::Display) -> Self {
        Unavailable {
            trouble,
            detail: detail.to_string(),
        }
    }
}

impl Trouble {
    /// Whether it may be gone a moment later. What is left needs somebody to change something.
    pub(crate) fn is_retryable(self) -> bool {
        match self {
            Trouble::Unreachable | Trouble::Sealed | Trouble::Slow | Trouble::Throttled => true,
            Trouble::Refused | Trouble::Malformed => false,
        }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}
