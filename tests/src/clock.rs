//! The clock that everything here is measured by.

use std::time::Duration;

use ha_common::time::Timestamp;
use rustix::time::{ClockId, Timespec, clock_gettime};

fn nanos(time: Timespec) -> u64 {
    // Both clocks count from boot or from 1970: neither is negative.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let fraction = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds * 1_000_000_000 + fraction
}

/// Now, in `CLOCK_MONOTONIC`.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from_nanos(nanos(clock_gettime(ClockId::Monotonic)))
}

/// Turns wall clock times, which is what the kernel stamps frames with, into
/// [`Timestamp`]s.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    wall_minus_monotonic: u64,
}

impl WallClock {
    /// Compares the two clocks: the tightest of a few readings, exact to well
    /// under a microsecond on an idle machine.
    #[must_use]
    pub fn compare() -> Self {
        let (_, wall_minus_monotonic) = (0..5)
            .map(|_| {
                let before = now().as_nanos();
                let wall = nanos(clock_gettime(ClockId::Realtime));
                let after = now().as_nanos();
                let width = after - before;
                (width, wall.saturating_sub(before + width / 2))
            })
            .min()
            .unwrap_or_default();
        Self {
            wall_minus_monotonic,
        }
    }

    /// The point at which the wall clock showed `wall_nanos`.
    #[must_use]
    pub fn to_monotonic(self, wall_nanos: u64) -> Timestamp {
        Timestamp::from_nanos(wall_nanos.saturating_sub(self.wall_minus_monotonic))
    }
}

/// `duration` as milliseconds with one decimal.
#[must_use]
pub fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}
