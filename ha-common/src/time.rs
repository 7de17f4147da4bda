//! Points in time. Spans are [`Duration`]s.

use core::{
    ops::{Add, Sub},
    time::Duration,
};

/// A point in time: nanoseconds of `CLOCK_MONOTONIC`.
///
/// It is the clock of `bpf_ktime_get_ns` too, so a time that the kernel program
/// wrote and a time that the daemon read compare directly. The clock does not
/// run while the machine is suspended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The end of time: a deadline there never falls due.
    pub const MAX: Self = Self(u64::MAX);

    /// The point `nanos` nanoseconds after the clock's origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The span from `earlier` to here; zero if `earlier` is in fact later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Saturates at [`Timestamp::MAX`], which is 584 years after boot.
impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

/// Saturates at the clock's origin.
impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        let start = Timestamp::from_nanos(5);
        assert_eq!(start + Duration::MAX, Timestamp::MAX);
        assert_eq!(start - Duration::from_secs(1), Timestamp::from_nanos(0));
        assert_eq!(start.since(Timestamp::from_nanos(9)), Duration::ZERO);
        assert_eq!(
            (start + Duration::from_nanos(7)).since(start),
            Duration::from_nanos(7)
        );
    }
}
