//! What keeps memory that holds passwords out of files.

/// No core dumps, and no reading of this process's memory by others of the same user.
///
/// `approzium serve` and `approzium secret` begin by it; a program that holds an Authenticator of its
/// own should, too. Best effort: where the system does not allow it, the log says so.
pub fn harden() {
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
            ::tracing::warn!(%error, "core dumps could not be switched off");
        }
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            ::tracing::warn!(%error, "the process's memory could not be made private");
        }
    }
    #[cfg(not(target_os = "linux"))]
    ::tracing::warn!("core dumps are not switched off on this system");
}
