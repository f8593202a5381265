//! How many files may be open: each connection is one.
//!
//! Where the limit is below what the bounds on connections allow, those never hold: strangers take
//! all the files that there are, and neither port takes anybody in, nor is STS or the secrets manager
//! reached.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{limits::Limits, listener::OPERATORS};

/// Whatever is open beside the connections of applications and operators: to STS and to the secrets
/// manager, files that are followed, the log.
const OTHERS: u64 = 200;

/// Raises the soft limit, for which many leave 1,024, to the hard one, and says whether as many files
/// may be open then as there may be connections. An error is good as yet, and says what to do.
pub(super) fn suffice(limits: &Limits) -> Result<String, String> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Where it stays as it is, it may be enough.
    let most = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    judged(most, limits.connections)
}

/// `None` is no limit.
fn judged(most: Option<u64>, connections: usize) -> Result<String, String> {
    let connections = u64::try_from(connections).unwrap_or(u64::MAX);
    let needed = connections
        .saturating_add(OPERATORS as u64)
        .saturating_add(OTHERS);
    match most {
        None => Ok("as many may be open as there are".to_owned()),
        Some(most) if most >= needed => Ok(format!("{most} may be open, and {needed} are enough")),
        Some(most) => Err(format!(
            "max_connections: {connections} connections and what is beside them take {needed} open \
             files, and no more than {most} may be open: raise the limit (ulimit -n, LimitNOFILE= of \
             systemd, ulimits of a container), or set it lower"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_enough_where_every_connection_has_one() {
        let needed = 10_000 + 256 + 200;
        for (most, suffices) in [
            (None, true),
            (Some(needed), true),
            (Some(needed - 1), false),
            (Some(1_024), false),
        ] {
            assert_eq!(judged(most, 10_000).is_ok(), suffices, "{most:?}");
        }
        let problem = judged(Some(1_024), 10_000).unwrap_err();
        for part in ["max_connections", "10456", "1024", "ulimit -n"] {
            assert!(problem.contains(part), "{part}: {problem}");
        }
        assert!(judged(Some(u64::MAX - 1), usize::MAX).is_err());
    }
}
