//! How long a token of Vault's lives.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Vault says how long a token lives; for longer than this no arithmetic with instants is asked.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// It says whole seconds, so that ends which are the same seem apart.
const ROUNDING: Duration = Duration::from_secs(2);

/// How long a token lives from when it was granted or renewed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) since: Instant,
    pub(super) ttl: Duration,
    pub(super) renewable: bool,
    /// For people, whose clocks do not begin with this process.
    pub(super) ends: SystemTime,
    /// For how long it was granted; some of that may have been over when it was given to us.
    pub(super) granted: Duration,
    /// Whether Vault has begun to grant less and less.
    pub(super) dwindles: bool,
}

impl Life {
    pub(super) fn new(ttl: Duration, renewable: bool) -> Self {
        let ttl = ttl.min(LONGEST);
        Life {
            since: Instant::now(),
            ttl,
            renewable,
            ends: SystemTime::now() + ttl,
            granted: ttl,
            dwindles: false,
        }
    }

    /// With a third of its time left.
    pub(super) fn due(&self) -> Instant {
        self.since + self.ttl * 2 / 3
    }

    /// With a sixth of its time left: whoever can log in waits for no renewal any more.
    pub(super) fn last(&self) -> Instant {
        self.since + self.ttl * 5 / 6
    }

    pub(super) fn is_over(&self) -> bool {
        self.since.elapsed() >= self.ttl
    }

    /// What a renewal makes of it. Towards the longest life that Vault grants, renewals leave the
    /// end where it is. It was granted then for as long as before: by what is left of that, people
    /// are told that it ends.
    pub(super) fn renewed(self, new: Life) -> Life {
        let end = |life: Life| life.since + life.ttl;
        let longer = end(new).saturating_duration_since(end(self));
        if longer > (self.ttl / 2).max(ROUNDING) {
            return new;
        }
        Life {
            granted: self.granted.max(new.granted),
            dwindles: self.dwindles || new.ttl < self.ttl / 2,
            ..new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_a_token_ends_shows_in_what_is_left_of_what_was_granted() {
        let hours = |hours: u64| Duration::from_secs(hours * 60 * 60);
        // Renewed with a third of its time left, for so long: what it was granted for then.
        for (renewals, granted, dwindles) in [
            (&[24, 24, 24][..], 24, false),
            (&[24, 18], 24, false),
            (&[24, 10], 24, true),
            (&[24, 8, 3, 1], 24, true),
            // Whose role gives less from now on is not about to end.
            (&[24, 6], 24, true),
            (&[24, 6, 6], 6, false),
        ] {
            let mut life = Life::new(hours(24), true);
            for &renewal in renewals {
                let new = Life {
                    since: life.due(),
                    ..Life::new(hours(renewal), true)
                };
                life = life.renewed(new);
            }
            let found = (life.granted, life.dwindles);
            assert_eq!(found, (hours(granted), dwindles), "{renewals:?}");
        }
    }
}
