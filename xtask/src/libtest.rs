//! Counting tests in the output of `cargo test`.

use std::{fmt, ops::AddAssign};

/// What a run of tests came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    /// Whether something ran and nothing failed.
    pub(crate) fn is_success(self) -> bool {
        self.failed == 0 && self.passed > 0
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(
            formatter,
            "{passed} passed, {failed} failed, {skipped} skipped"
        )
    }
}

/// Reads the lines of one `cargo test`, which runs several test programs.
#[derive(Default)]
pub(crate) struct Reader {
    counts: Counts,
    /// A program said how many tests it runs and has not yet said how they went.
    open: bool,
}

impl Reader {
    /// Takes one line of the output.
    pub(crate) fn line(&mut self, line: &str) {
        let line = without_escapes(line);
        let line = line.trim();
        if is_opening(line) {
            self.close();
            self.open = true;
        } else if let Some(counts) = parse_result(line) {
            self.counts += counts;
            self.open = false;
        }
    }

    /// The sum, once the output has ended and cargo's own verdict is known. A
    /// program that died before its result, or a failure that no result tells
    /// of (a build that broke), counts as one failed test.
    pub(crate) fn finish(mut self, success: bool) -> Counts {
        self.close();
        if !success && self.counts.failed == 0 {
            self.counts.failed = 1;
        }
        self.counts
    }

    fn close(&mut self) {
        if self.open {
            self.counts.failed += 1;
            self.open = false;
        }
    }
}

/// `running 12 tests`
fn is_opening(line: &str) -> bool {
    let mut words = line.split(' ');
    words.next() == Some("running")
        && words
            .next()
            .is_some_and(|number| number.parse::<u64>().is_ok())
        && matches!(words.next(), Some("test" | "tests"))
        && words.next().is_none()
}

/// `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; …`
fn parse_result(line: &str) -> Option<Counts> {
    let (_verdict, rest) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |name: &str| {
        rest.split("; ")
            .find_map(|part| part.strip_suffix(name)?.trim_end().parse().ok())
    };
    Some(Counts {
        passed: count("passed")?,
        failed: count("failed")?,
        skipped: count("ignored")?,
    })
}

/// How many tests a line of `--list` tells of: `12 tests, 0 benchmarks`.
pub(crate) fn parse_listed(line: &str) -> Option<u64> {
    let (tests, benchmarks) = line.trim().split_once(", ")?;
    let (number, unit) = tests.split_once(' ')?;
    (matches!(unit, "test" | "tests") && benchmarks.contains("benchmark"))
        .then(|| number.parse().ok())
        .flatten()
}

/// The line without terminal escape sequences (`ESC [ … letter`).
fn without_escapes(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            characters.find(char::is_ascii_alphabetic);
        } else {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str, success: bool) -> Counts {
        let mut reader = Reader::default();
        output.lines().for_each(|line| reader.line(line));
        reader.finish(success)
    }

    const OK: &str = "running 3 tests\ntest a ... ok\ntest result: ok. 2 passed; 0 failed; \
                      1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n";
    const FAILED: &str = "running 2 tests\ntest b ... FAILED\ntest result: FAILED. 1 passed; \
                          1 failed; 0 ignored; 0 measured; 4 filtered out; finished in 2.50s\n";

    #[test]
    fn results_add_up_over_programs() {
        let counts = read(&[OK, FAILED, OK].concat(), false);
        assert_eq!(
            counts,
            Counts {
                passed: 5,
                failed: 1,
                skipped: 2
            }
        );
        assert_eq!(counts.to_string(), "5 passed, 1 failed, 2 skipped");
        assert!(!counts.is_success());
    }

    #[test]
    fn colours_do_not_hide_a_result() {
        let coloured = "running 1 test\ntest result: \u{1b}[32mok\u{1b}[m\u{1b}(B. 1 passed; 0 failed; \
                        0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(read(coloured, true).passed, 1);
    }

    #[test]
    fn a_program_that_dies_is_a_failure() {
        let died_first = ["running 2 tests\ntest b ... ", "\n", OK].concat();
        assert_eq!(read(&died_first, false).failed, 1);
        let died_last = [OK, "running 2 tests\n"].concat();
        assert_eq!(read(&died_last, false).failed, 1);
    }

    #[test]
    fn a_build_that_breaks_is_a_failure() {
        assert_eq!(read("", false).failed, 1);
        assert_eq!(read(FAILED, false).failed, 1, "not counted twice");
    }

    #[test]
    fn nothing_ran_is_no_success() {
        let none = "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored; \
                    0 measured; 7 filtered out; finished in 0.00s\n";
        let counts = read(none, true);
        assert_eq!(counts, Counts::default());
        assert!(!counts.is_success());
        assert!(read(OK, true).is_success());
    }

    #[test]
    fn what_tests_print_is_not_counted() {
        let noise =
            "running 10 tests in a row\ntest result: unknown\nI said test result: ok. 9 passed";
        assert_eq!(read(noise, true), Counts::default());
    }

    #[test]
    fn lists_are_counted() {
        assert_eq!(parse_listed("12 tests, 0 benchmarks"), Some(12));
        assert_eq!(parse_listed("1 test, 0 benchmarks\n"), Some(1));
        assert_eq!(parse_listed("wire::checks: test"), None);
    }
}
