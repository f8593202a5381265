//! The subcommands, one file each.

pub(crate) mod attribution;
pub(crate) mod check;
pub(crate) mod secret;
pub(crate) mod serve;
