//! The `approzium` command.
fn main() {}
