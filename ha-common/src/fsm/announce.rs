//! When the addresses are announced to the link.

use core::time::Duration;

use crate::time::Timestamp;

/// Floor under the spans of a schedule, so that none can make us spin.
const LEAST_SPAN: Duration = Duration::from_millis(1);

/// When a router that has become Active announces its addresses: at once, and
/// then again, as the first announcement may be lost, or reach a switch whose
/// port has only begun to forward.
///
/// The first of `count` announcements comes with the takeover and the others
/// `interval` apart; after `delay` the same `count` comes once more. From then
/// on there is one every `refresh`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnnounceSchedule {
    /// Announcements in a row, at least 1.
    pub count: u8,
    /// From one of a row to the next; at least 1 ms.
    pub interval: Duration,
    /// From the takeover to the second row; zero for none.
    pub delay: Duration,
    /// From one announcement to the next after the rows; zero for none.
    pub refresh: Duration,
}

impl Default for AnnounceSchedule {
    /// At 0, 0.1 and 0.2 s and again from 5 s on; no refresh.
    fn default() -> Self {
        Self {
            count: 3,
            interval: Duration::from_millis(100),
            delay: Duration::from_secs(5),
            refresh: Duration::ZERO,
        }
    }
}

impl AnnounceSchedule {
    /// When the next announcement is due after the one at `now`, which was number
    /// `done` (from 1) since `started_at`.
    #[must_use]
    fn next(&self, done: u16, started_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let count = u16::from(self.count.max(1));
        let again = now + self.interval.max(LEAST_SPAN);
        if self.delay > Duration::ZERO && done == count {
            Some(again.max(started_at + self.delay))
        } else if done < count || (self.delay > Duration::ZERO && done < 2 * count) {
            Some(again)
        } else {
            (self.refresh > Duration::ZERO).then(|| now + self.refresh.max(LEAST_SPAN))
        }
    }
}

/// How far an Active router is in its [`AnnounceSchedule`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Announcing {
    /// When the addresses were last announced.
    pub last_at: Timestamp,
    /// When they are announced again, if ever.
    pub next_at: Option<Timestamp>,
    started_at: Timestamp,
    /// Announcements of the two rows that have been made.
    done: u16,
}

impl Announcing {
    /// The schedule from its beginning, its first announcement made at `now`.
    #[must_use]
    pub fn start(now: Timestamp, schedule: &AnnounceSchedule) -> Self {
        let mut announcing = Self {
            last_at: now,
            next_at: None,
            started_at: now,
            done: 0,
        };
        announcing.announced(now, schedule);
        announcing
    }

    /// The next announcement is made at `now`.
    pub(super) fn announced(&mut self, now: Timestamp, schedule: &AnnounceSchedule) {
        if self.done == 0 {
            self.started_at = now;
        }
        self.done = (self.done + 1).min(2 * u16::from(schedule.count.max(1)));
        self.last_at = now;
        self.next_at = schedule.next(self.done, self.started_at, now);
    }

    /// Has the schedule begin anew at `at`, or at its next announcement if that is
    /// sooner.
    pub(super) fn restart_by(&mut self, at: Timestamp) {
        self.next_at = Some(self.next_at.map_or(at, |next_at| next_at.min(at)));
        self.done = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(schedule: &AnnounceSchedule, most: usize) -> [Option<u64>; 8] {
        let start = Timestamp::from_nanos(1_000_000_000);
        let mut announcing = Announcing::start(start, schedule);
        let mut spans = [None; 8];
        for span in spans.iter_mut().take(most) {
            let Some(at) = announcing.next_at else { break };
            *span = u64::try_from(at.since(start).as_millis()).ok();
            announcing.announced(at, schedule);
        }
        spans
    }

    #[test]
    fn two_rows_and_then_every_refresh() {
        let schedule = AnnounceSchedule {
            refresh: Duration::from_secs(10),
            ..AnnounceSchedule::default()
        };
        assert_eq!(
            spans(&schedule, 8),
            [100, 200, 5000, 5100, 5200, 15_200, 25_200, 35_200].map(Some)
        );
        assert_eq!(
            spans(&AnnounceSchedule::default(), 8)[5],
            None,
            "no refresh"
        );
    }

    #[test]
    fn one_row_where_there_is_no_delay() {
        let schedule = AnnounceSchedule {
            count: 2,
            delay: Duration::ZERO,
            ..AnnounceSchedule::default()
        };
        assert_eq!(spans(&schedule, 8)[..2], [Some(100), None]);
    }

    #[test]
    fn no_schedule_makes_us_spin() {
        let schedule = AnnounceSchedule {
            count: 0,
            interval: Duration::ZERO,
            delay: Duration::from_nanos(1),
            refresh: Duration::from_nanos(1),
        };
        assert_eq!(spans(&schedule, 3)[..3], [Some(1), Some(2), Some(3)]);
    }
}
