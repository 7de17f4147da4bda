//! Failures are told once, and so is their end.

use std::time::Duration;

use tokio::time::Instant;

/// After so long a failure that goes on is told again, if it is still met.
const AGAIN: Duration = Duration::from_secs(60);

/// So many reasons of one failure are kept apart.
const REASONS: usize = 8;

/// What has been told of a failure.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// Reasons, and when they were told; the oldest first.
    told: Vec<(String, Instant)>,
    /// How often it has failed since it last did not.
    pub(super) failures: u64,
}

impl Trouble {
    /// It has failed for the reason `why`; whether that is to be told.
    pub(super) fn failed(&mut self, why: &str) -> bool {
        self.failures += 1;
        let now = Instant::now();
        self.told.retain(|(_, at)| now < *at + AGAIN);
        if self.told.iter().any(|(told, _)| told == why) || self.told.len() >= REASONS {
            return false;
        }
        self.told.push((why.to_owned(), now));
        true
    }

    /// It has not failed. If it had before, how often, which is to be told.
    pub(super) fn recovered(&mut self) -> Option<u64> {
        self.told.clear();
        let failures = std::mem::take(&mut self.failures);
        (failures > 0).then_some(failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_and_its_end_are_told_once() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.recovered(), None);
        assert!(trouble.failed("full"));
        assert!(!trouble.failed("full"));
        // Two that take turns.
        assert!(trouble.failed("gone"));
        assert!(!trouble.failed("full"));
        assert!(!trouble.failed("gone"));
        assert_eq!(trouble.recovered(), Some(5));
        assert_eq!(trouble.recovered(), None);
        assert!(trouble.failed("gone"));
        // Long ago.
        if let Some(before) = trouble.told[0].1.checked_sub(2 * AGAIN) {
            trouble.told[0].1 = before;
            assert!(trouble.failed("gone"));
        }
        let told = (0..1000).filter(|number| trouble.failed(&number.to_string()));
        assert_eq!(told.count(), REASONS - 1);
    }
}
