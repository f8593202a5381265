//! Where lines go, and how many of those are written that cost nobody anything.
//!
//! To be refused takes no identity: strangers could fill a disk with lines about themselves. Of each
//! address, and of all together, so many refusals a second have a line each; of further ones one line
//! a second says how many there were. Metrics count every one of them.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{now, stream::AuditLog};
use crate::authenticator::{
    limits::{Rate, locked, neighbourhood},
    logging,
    metrics::Metrics,
};

/// Refusals of one address each second that have a line each, and ten times as many at once.
const FOR_EACH: u32 = 20;
/// The same of all addresses.
const IN_ALL: u32 = 200;
/// How often it is said what was left out.
const INTERVAL: Duration = Duration::from_secs(1);
/// Addresses of which it is said each by itself.
const NAMED: usize = 10;
/// Addresses that are told apart.
const APART: usize = 1_000;

/// Where audit lines go, for all calls.
pub(crate) struct AuditLines {
    /// None: to the log.
    pub(super) log: Option<AuditLog>,
    strangers: Rate<IpAddr>,
    left_out: Mutex<LeftOut>,
    metrics: Arc<Metrics>,
}

/// What has no line, and is not said yet.
#[derive(Default)]
struct LeftOut {
    by_address: HashMap<IpAddr, u64>,
    of_others: u64,
}

impl AuditLines {
    pub(crate) fn new(log: Option<AuditLog>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(AuditLines {
            log,
            strangers: Rate::new(IN_ALL, FOR_EACH),
            left_out: Mutex::default(),
            metrics,
        })
    }

    /// Whether a stranger's refusal has a line of its own. If not, it is counted in one that follows.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr, now: Instant) -> bool {
        let peer = neighbourhood(peer);
        if self.strangers.allow(peer, now) {
            return true;
        }
        if locked(&self.left_out).add(peer) {
            let lines = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(INTERVAL).await;
                lines.say().await;
            });
        }
        false
    }

    async fn say(&self) {
        let left_out = std::mem::take(&mut *locked(&self.left_out));
        for (peer, number) in left_out.lines() {
            self.write(peer, number).await;
        }
    }

    async fn write(&self, peer: Option<IpAddr>, left_out: u64) {
        let mut not_written = None;
        if let Some(log) = &self.log {
            let line = Line {
                timestamp: now(),
                level: "WARN",
                target: logging::AUDIT,
                message: MESSAGE,
                peer,
                left_out,
            };
            match log.write(&line).await {
                Ok(()) => return,
                Err(error) => not_written = Some(error.to_string()),
            }
            self.metrics.audit_write_failed();
        }
        let peer = peer.map(::tracing::field::display);
        ::tracing::warn!(target: logging::AUDIT, peer, left_out, not_written, "{MESSAGE}");
    }
}

impl fmt::Debug for AuditLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLines").finish_non_exhaustive()
    }
}

impl LeftOut {
    /// Counts one, and says whether it is the first.
    fn add(&mut self, peer: IpAddr) -> bool {
        let is_first = self.by_address.is_empty();
        let is_apart = self.by_address.len() < APART || self.by_address.contains_key(&peer);
        match is_apart {
            true => *self.by_address.entry(peer).or_default() += 1,
            false => self.of_others += 1,
        }
        is_first
    }

    /// Of those who have most by themselves, of the others together.
    fn lines(self) -> impl Iterator<Item = (Option<IpAddr>, u64)> {
        let mut all: Vec<_> = self.by_address.into_iter().collect();
        all.sort_unstable_by_key(|(_, number)| std::cmp::Reverse(*number));
        let others = all.split_off(NAMED.min(all.len()));
        let of_others = others.iter().map(|(_, number)| number).sum::<u64>() + self.of_others;
        let others = (of_others > 0).then_some((None, of_others));
        let named = all.into_iter().map(|(peer, number)| (Some(peer), number));
        named.chain(others)
    }
}

const MESSAGE: &str = "refusals were left out";

#[derive(Serialize)]
struct Line {
    timestamp: String,
    level: &'static str,
    target: &'static str,
    message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<IpAddr>,
    left_out: u64,
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from(number).into()
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_of_strangers_have_few_lines_and_one_says_how_many_more_there_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let log = AuditLog::open(&path).unwrap();
        let lines = AuditLines::new(Some(log), Arc::default());
        let now = Instant::now();
        let admitted = |peer, number| (0..number).filter(|_| lines.admit(peer, now)).count();
        assert_eq!(admitted(address(1), 300), 200);
        assert_eq!(admitted(address(2), 201), 200);
        // Of all: 2,000 at once.
        assert_eq!(
            (3..1_900).map(|n| admitted(address(n), 1)).sum::<usize>(),
            1_600
        );

        tokio::time::sleep(2 * INTERVAL).await;
        let written = || std::fs::read_to_string(&path).unwrap();
        while written().lines().count() < NAMED + 1 {
            tokio::task::yield_now().await;
        }
        let written = written();
        let said: Vec<serde_json::Value> = written
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            (&said[0]["peer"], &said[0]["left_out"]),
            (&"0.0.0.1".into(), &100.into())
        );
        let sum: u64 = said
            .iter()
            .map(|line| line["left_out"].as_u64().unwrap())
            .sum();
        assert_eq!(sum, 100 + 1 + 297);
        assert_eq!(said.len(), NAMED + 1);
        assert!(said[NAMED].get("peer").is_none());
        assert!(lines.admit(address(2), now + Duration::from_secs(1)));
    }

    #[test]
    fn addresses_that_are_told_apart_are_bounded() {
        let mut left_out = LeftOut::default();
        let first = (0..5_000)
            .filter(|number| left_out.add(address(*number)))
            .count();
        assert_eq!(first, 1);
        assert_eq!(left_out.by_address.len(), APART);
        assert_eq!(
            left_out.lines().map(|(_, number)| number).sum::<u64>(),
            5_000
        );
    }
}
