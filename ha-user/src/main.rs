//! The command `harrier`.
fn main() {}
