//! What the fuzzers run: one function per target, which panics when a promise
//! is broken and returns how far the input got.
//!
//! The bodies live here and not in the fuzzing crate, so that every stable
//! `cargo test` replays the committed inputs (`tests/fuzz/corpus`), and the
//! suite can tell that those inputs still reach what they were kept for.
//! `cargo xtask fuzz TARGET` looks for new ones.

#[cfg(feature = "daemon")]
mod config;
mod frame;
#[cfg(feature = "daemon")]
mod keepalived;
// The oracle of the parser's own tests, and the frames it knows how to seal:
// shared by path, so that there is one second opinion and not two.
#[path = "../../ha-common/tests/wire/frames.rs"]
#[allow(dead_code, reason = "the parser's tests use the rest")]
mod frames;
mod machine;
#[path = "../../ha-common/tests/wire/oracle.rs"]
mod oracle;
#[cfg(all(test, feature = "daemon"))]
mod tally;

#[cfg(feature = "daemon")]
pub use config::config;
pub use frame::{Reached, frame};
#[cfg(feature = "daemon")]
pub use keepalived::keepalived;
pub use machine::machine;

/// The targets: their names are those of the functions, of the directories of
/// `tests/fuzz/corpus` and of the files of `tests/fuzz/fuzz_targets`.
pub const TARGETS: [&str; 4] = ["config", "frame", "keepalived", "machine"];
