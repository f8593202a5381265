//! From one host or address to the next: in which order, until when, and after which failures.

use tokio::time::Instant;

use crate::{Error, Hop, Result, error::Kind, postgres::failure};

/// An equal share of the time left for each of what is left to try, so that one that never answers
/// leaves time for the next.
pub(super) fn share(deadline: Instant, left: usize) -> Instant {
    let now = Instant::now();
    let left = u32::try_from(left).unwrap_or(u32::MAX).max(1);
    now + deadline.saturating_duration_since(now) / left
}

/// Goes on after a failure unless it is final. Of several failures the last one is kept, but what
/// a database said is not forgotten for a host that cannot be reached.
pub(super) fn keep(failed: &mut Option<Error>, error: Error) -> Result<()> {
    let weight = |error: &Error| match error.kind() {
        Kind::Database(_) => 2,
        Kind::Unavailable | Kind::Interrupted | Kind::Timeout => 0,
        _ => 1,
    };
    if failure::is_final(&error) {
        return Err(error);
    }
    if failed
        .as_ref()
        .is_none_or(|kept| weight(kept) <= weight(&error))
    {
        *failed = Some(error);
    }
    Ok(())
}

/// Fisher and Yates's.
pub(super) fn shuffle<T>(items: &mut [T]) -> Result<()> {
    for last in (1..items.len()).rev() {
        let random = getrandom::u32().map_err(|error| {
            Error::new(
                Kind::Unavailable,
                Hop::Configuration,
                "the system gives no random numbers",
            )
            .with_source(error)
        })?;
        let bound = u32::try_from(last + 1).unwrap_or(u32::MAX);
        // Biased by less than one in a million for any list of hosts that there is.
        items.swap(last, usize::try_from(random % bound).unwrap_or(last));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn error(kind: Kind) -> Error {
        Error::new(kind, Hop::DatabaseConnection, "x")
    }

    #[test]
    fn what_says_more_is_kept_and_a_denial_ends_the_list() {
        let database = || Kind::Database("28P01".into());
        for (before, after, kept) in [
            (Kind::Unavailable, Kind::Timeout, Kind::Timeout),
            (database(), Kind::Unavailable, database()),
            (database(), Kind::Protocol, database()),
            (Kind::Protocol, Kind::Unavailable, Kind::Protocol),
            (Kind::Timeout, database(), database()),
        ] {
            let mut failed = None;
            keep(&mut failed, error(before)).unwrap();
            keep(&mut failed, error(after)).unwrap();
            assert_eq!(failed.unwrap().kind(), &kept);
        }
        for denial in [
            Kind::PermissionDenied,
            Kind::Unauthenticated,
            Kind::Policy,
            Kind::Credentials,
        ] {
            let mut failed = Some(error(database()));
            assert!(keep(&mut failed, error(denial)).is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_left_is_shared_equally() {
        let deadline = Instant::now() + Duration::from_secs(9);
        assert_eq!(share(deadline, 3) - Instant::now(), Duration::from_secs(3));
        assert_eq!(share(deadline, 1), deadline);
        assert_eq!(share(deadline, 0), deadline);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(share(deadline, 2), Instant::now());
    }

    #[test]
    fn shuffling_loses_nobody() {
        let mut items: Vec<u32> = (0..50).collect();
        shuffle(&mut items).unwrap();
        assert!(!items.is_sorted());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
