//! Many files through a reader that a fuzzer runs too.

use std::cell::Cell;

use proptest::{
    strategy::Strategy,
    test_runner::{Config, TestRunner},
};

/// How many of `cases` files `read` has taken, and how many it has refused.
///
/// # Panics
/// If a promise is broken, with the smallest file that breaks it.
pub(super) fn tally(
    cases: u32,
    files: &impl Strategy<Value = String>,
    read: impl Fn(&[u8]) -> bool,
) -> (u32, u32) {
    let (taken, refused) = (Cell::new(0), Cell::new(0));
    let result = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    })
    .run(files, |text| {
        let count = if read(text.as_bytes()) {
            &taken
        } else {
            &refused
        };
        count.set(count.get() + 1);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    (taken.get(), refused.get())
}
