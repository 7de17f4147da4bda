//! Skew_Time and Active_Down_Interval (RFC 9568 §6.1, RFC 3768 §6.1).

use core::time::Duration;

use crate::types::{Priority, Version};

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
