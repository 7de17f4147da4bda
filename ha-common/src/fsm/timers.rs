//! Skew_Time and Active_Down_Interval (RFC 9568 §6.1, RFC 3768 §6.1).

use core::time::Duration;

use crate::{
    time::Timestamp,
    types::{Priority, Version},
};

/// Skew_Time: the lower the priority, the longer a Backup holds back.
///
/// Version 3: `(256 − priority) × Active_Adver_Interval / 256`;
/// version 2: `(256 − priority) / 256` s, whatever the interval.
/// Computed in nanoseconds, the product before the quotient: at priority 254
/// and 10 ms it is 78 125 ns, which centiseconds would round to nothing.
#[must_use]
pub fn skew_time(
    version: Version,
    priority: Priority,
    active_adver_interval: Duration,
) -> Duration {
    let parts = 256 - u32::from(priority.0);
    let whole = match version {
        Version::V2 => Duration::from_secs(1),
        Version::V3 => active_adver_interval,
    };
    // The longest interval is 40.95 s (v3) or 255 s (v2): the product stays
    // below 2^64 ns, and a Duration holds far more.
    whole * parts / 256
}

/// Active_Down_Interval: how long a Backup waits for an advertisement before it
/// takes over: `3 × Active_Adver_Interval + Skew_Time`.
#[must_use]
pub fn active_down_interval(
    version: Version,
    priority: Priority,
    active_adver_interval: Duration,
) -> Duration {
    3 * active_adver_interval + skew_time(version, priority, active_adver_interval)
}

/// When an Active that advertises at `now` does so again: an Advertisement_Interval
/// later, or with a `phase` at the last time before that (or then) which is `phase`
/// after a multiple of the interval on the clock. Virtual routers of one interval
/// whose phases are the same thus advertise together; never later than without, and
/// always later than `now`.
///
/// Without effect where the interval is zero.
#[must_use]
pub fn next_advert(now: Timestamp, interval: Duration, phase: Option<Duration>) -> Timestamp {
    let latest = now + interval;
    let nanos = |span: Duration| u64::try_from(span.as_nanos()).ok();
    let (Some(interval), Some(phase)) = (nanos(interval), phase.and_then(nanos)) else {
        return latest;
    };
    let remainder = |nanos: u64| nanos.checked_rem(interval);
    let (Some(at), Some(phase)) = (remainder(latest.as_nanos()), remainder(phase)) else {
        return latest;
    };
    let past = match at.checked_sub(phase) {
        Some(past) => past,
        None => at + (interval - phase),
    };
    latest - Duration::from_nanos(past)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v3(priority: u8, interval_ms: u64) -> Duration {
        active_down_interval(
            Version::V3,
            Priority(priority),
            Duration::from_millis(interval_ms),
        )
    }

    #[test]
    fn active_down_interval_at_the_usual_settings() {
        assert_eq!(v3(100, 1000), Duration::from_nanos(3_609_375_000));
        assert_eq!(v3(100, 100), Duration::from_nanos(360_937_500));
        assert_eq!(v3(100, 10), Duration::from_nanos(36_093_750));
        assert_eq!(v3(1, 40_950), Duration::from_nanos(163_640_039_062));
    }

    #[test]
    fn skew_is_not_truncated_to_nothing() {
        assert_eq!(
            skew_time(Version::V3, Priority(254), Duration::from_millis(10)),
            Duration::from_nanos(78_125)
        );
    }

    #[test]
    fn the_next_advertisement_is_on_the_grid_and_never_late() {
        let at = |millis: u64| Timestamp::from_nanos(millis * 1_000_000);
        let (interval, phase) = (Duration::from_millis(100), Duration::from_millis(30));
        for (now, next) in [
            (0, 30),
            (29, 30),
            (30, 130),
            (31, 130),
            (129, 130),
            (5000, 5030),
        ] {
            let next_at = next_advert(at(now), interval, Some(phase));
            assert_eq!(next_at, at(next), "after {now} ms");
            assert_eq!(next_advert(at(now), interval, None), at(now + 100));
            let whole = phase + 7 * interval;
            assert_eq!(next_advert(at(now), interval, Some(whole)), at(next));
        }
    }

    #[test]
    fn a_grid_has_no_end_and_may_have_no_width() {
        let phase = Some(Duration::MAX);
        let zero = Duration::ZERO;
        let now = Timestamp::from_nanos(7);
        assert_eq!(next_advert(now, zero, phase), now);
        assert_eq!(next_advert(now, Duration::MAX, phase), Timestamp::MAX);
        let late = Timestamp::MAX - Duration::from_nanos(1);
        let interval = Duration::from_secs(1);
        assert!(next_advert(late, interval, phase) > late - interval);
    }

    #[test]
    fn version_2_skews_by_a_fraction_of_a_second_whatever_the_interval() {
        for seconds in [1, 10, 255] {
            let interval = Duration::from_secs(seconds);
            assert_eq!(
                active_down_interval(Version::V2, Priority(100), interval),
                3 * interval + Duration::from_nanos(609_375_000)
            );
        }
    }
}
