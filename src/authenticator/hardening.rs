//! What keeps memory that holds passwords out of files.

/// No core dumps, and no reading of this process's memory by others of the same user.
///
/// `approzium serve` and `approzium secret` begin by it; a program that holds an Authenticator of its
/// own should, too. Best effort: where the system does not allow it, the log says so.
pub fn harden() {
    report(&unreported());
}

/// As [`harden`], for who has no log yet: what could not be done.
pub(super) fn unreported() -> Vec<String> {
    let mut problems = Vec::new();
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{
            DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit,
        };
        let no_core = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        if let Err(error) = setrlimit(Resource::Core, no_core) {
            problems.push(format!("core dumps could not be switched off: {error}"));
        }
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            problems.push(format!(
                "the process's memory could not be made private: {error}"
            ));
        }
    }
    #[cfg(not(target_os = "linux"))]
    problems.push("core dumps are not switched off on this system".to_owned());
    problems
}

pub(super) fn report(problems: &[String]) {
    for problem in problems {
        ::tracing::warn!("{problem}");
    }
}
