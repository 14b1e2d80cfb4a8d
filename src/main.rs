//! The `mobileone` command.
fn main() {}
