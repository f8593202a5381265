//! Waiting longer after each failure.

use std::time::Duration;

use tokio::time::Instant;

/// Doubles from `first` to `ceiling`; each wait is between half of that and all of it, so that
/// clients that failed together do not come back together.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    ceiling: Duration,
    failures: u32,
    not_before: Option<Instant>,
}

impl Backoff {
    pub(super) const fn new(first: Duration, ceiling: Duration) -> Self {
        Backoff {
            first,
            ceiling,
            failures: 0,
            not_before: None,
        }
    }

    /// When the next attempt may be made, if that is not yet.
    pub(super) fn not_before(&self) -> Option<Instant> {
        self.not_before.filter(|instant| *instant > Instant::now())
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.not_before = None;
    }

    pub(super) fn failed(&mut self) {
        let delay = self.delay(random_fraction());
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(Instant::now() + delay);
    }

    fn delay(&self, fraction: f64) -> Duration {
        let factor = 1_u32 << self.failures.min(16);
        let whole = self.first.saturating_mul(factor).min(self.ceiling);
        whole.mul_f64(0.5 + 0.5 * fraction)
    }
}

/// From 0 to 1. Without randomness every client waits the same: worse, not wrong.
fn random_fraction() -> f64 {
    getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const CEILING: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn doubles_to_its_ceiling_and_forgets_after_a_success() {
        let mut backoff = Backoff::new(FIRST, CEILING);
        assert_eq!(backoff.not_before(), None);
        for expected in [100, 200, 400, 800, 1600, 2000, 2000] {
            let whole = Duration::from_millis(expected);
            assert_eq!(backoff.delay(1.0), whole);
            assert_eq!(backoff.delay(0.0), whole / 2);
            backoff.failed();
            let wait = backoff.not_before().unwrap() - Instant::now();
            assert!(wait >= whole / 2 && wait <= whole, "{wait:?} of {whole:?}");
        }
        tokio::time::advance(CEILING).await;
        assert_eq!(backoff.not_before(), None);
        backoff.succeeded();
        assert_eq!(backoff.delay(1.0), FIRST);
    }

    #[test]
    fn a_million_failures_do_not_overflow() {
        let mut backoff = Backoff::new(FIRST, CEILING);
        backoff.failures = u32::MAX;
        assert_eq!(backoff.delay(1.0), CEILING);
    }
}
