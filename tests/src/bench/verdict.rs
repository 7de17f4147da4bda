//! What the advertisements on the wire say of a pair: when the Active was silent,
//! and how often the Backup took over though it lived.

use std::{collections::BTreeMap, time::Duration};

use ha_common::time::Timestamp;

use super::tap::Passed;

/// The longest span between two advertisements of one virtual router, by VRID.
#[must_use]
pub fn longest_gaps(passed: &[Passed]) -> BTreeMap<u8, Duration> {
    let mut last: BTreeMap<u8, Timestamp> = BTreeMap::new();
    let mut longest = BTreeMap::new();
    for advert in passed {
        if let Some(before) = last.insert(advert.vrid, advert.at) {
            let gap: &mut Duration = longest.entry(advert.vrid).or_default();
            *gap = (*gap).max(advert.at.since(before));
        }
    }
    longest
}

/// How often the Backup began to advertise: an advertisement of it is the first of
/// a mastership if it is the virtual router's first at all, or if the Active has
/// advertised (`of_active`, where that was watched) since the one before, or if it
/// comes more than two of its `interval`s after: who is Active does not pause, and
/// who yields is not Active again for three.
#[must_use]
pub fn take_overs(of_active: &[Passed], of_backup: &[Passed], interval: Duration) -> usize {
    let mut active: BTreeMap<u8, Vec<Timestamp>> = BTreeMap::new();
    for advert in of_active {
        active.entry(advert.vrid).or_default().push(advert.at);
    }
    let mut last: BTreeMap<u8, Timestamp> = BTreeMap::new();
    let mut count = 0;
    // A release (priority 0) begins nothing.
    for advert in of_backup.iter().filter(|advert| advert.priority > 0) {
        let before = last.insert(advert.vrid, advert.at);
        let begins = before.is_none_or(|before| {
            let yielded = active.get(&advert.vrid).is_some_and(|times| {
                let next = times.partition_point(|at| *at <= before);
                times.get(next).is_some_and(|at| *at < advert.at)
            });
            yielded || advert.at.since(before) > interval * 2
        });
        count += usize::from(begins);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_millis(10);

    fn at(millis: u64, vrid: u8, priority: u8) -> Passed {
        Passed {
            at: Timestamp::from_nanos(millis * 1_000_000),
            vrid,
            priority,
        }
    }

    #[test]
    fn gaps_are_those_of_one_virtual_router() {
        let passed = [at(0, 1, 200), at(5, 2, 200), at(10, 1, 200), at(22, 1, 200)];
        let gaps = longest_gaps(&passed);
        assert_eq!(gaps.get(&1), Some(&Duration::from_millis(12)));
        assert_eq!(gaps.get(&2), None, "one alone has no gap");
    }

    #[test]
    fn a_mastership_is_counted_once() {
        let of_b = [at(40, 1, 100), at(50, 1, 100), at(60, 1, 100)];
        assert_eq!(take_overs(&[], &of_b, TEN), 1);
        assert_eq!(take_overs(&[], &[], TEN), 0);
    }

    #[test]
    fn it_ends_with_an_advertisement_of_the_active() {
        let of_b = [at(40, 1, 100), at(45, 1, 100)];
        assert_eq!(take_overs(&[at(42, 1, 200)], &of_b, TEN), 2);
        // Of another virtual router, or before or after both: one.
        for other in [at(42, 2, 200), at(39, 1, 200), at(46, 1, 200)] {
            assert_eq!(take_overs(&[other], &of_b, TEN), 1, "{other:?}");
        }
    }

    #[test]
    fn it_ends_with_silence() {
        let of_b = [at(40, 1, 100), at(76, 1, 100), at(76, 2, 100)];
        assert_eq!(take_overs(&[], &of_b, TEN), 3);
        assert_eq!(take_overs(&[], &[at(1, 1, 0)], TEN), 0, "a release");
    }
}
