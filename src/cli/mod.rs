//! The subcommands, one file each.

pub(crate) mod attribution;
pub(crate) mod serve;
