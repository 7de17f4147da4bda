//! The rounds of one check, one after the other.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{
    board::{Row, Shared, State},
    probe::{Finding, Probe},
    verdict::Verdict,
};
use crate::{
    config::CheckConfig,
    driver::{self, Command},
    engine::Reading,
};

/// A check that turns more often than this many times in [`LOG_SPAN`] is told less
/// often: what is so then is told when there is room again.
const LOG_LINES: usize = 6;

const LOG_SPAN: Duration = Duration::from_secs(10);

/// When rounds are due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Schedule {
    pub(super) first: Instant,
    pub(super) second: Instant,
    /// From the second to the third, and so on.
    pub(super) interval: Duration,
}

impl Schedule {
    /// When the next round is due after one that was due at `due` and has ended at
    /// `now`, and how many have been missed.
    fn next(&self, due: Instant, now: Instant) -> (Instant, u64) {
        let mut next = match due < self.second {
            true => self.second,
            false => due + self.interval,
        };
        let mut missed = 0;
        if let Some(late) = now.checked_duration_since(next) {
            // A round that ran into a timeout as long as the interval, the default, ends
            // when the next is due: that one begins a little late.
            let late = late.saturating_sub(self.interval / 10);
            let rounds = late.as_nanos().div_ceil(self.interval.as_nanos());
            missed = u64::try_from(rounds).unwrap_or(u64::MAX);
            // In steps of a u32, of which there is one but after very long pauses.
            let mut left = missed;
            while left > 0 {
                let step = u32::try_from(left).unwrap_or(u32::MAX);
                next += self.interval * step;
                left -= u64::from(step);
            }
        }
        (next, missed)
    }
}

/// See the [module](self).
pub(super) struct Rounds {
    probe: Probe,
    timeout: Duration,
    verdict: Verdict,
    shared: Arc<Shared>,
    driver: driver::Handle,
    /// What the log was told last.
    told: State,
    /// When it was told the last times.
    told_at: VecDeque<Instant>,
    told_slow: bool,
}

impl Rounds {
    pub(super) fn new(
        check: &CheckConfig,
        probe: Probe,
        shared: Arc<Shared>,
        driver: driver::Handle,
    ) -> Self {
        let state = shared.lock().state;
        // A check that is failed at first has still to say so.
        let known = shared.lock().rounds > 0;
        Self {
            probe,
            timeout: check.timeout,
            verdict: Verdict::new(check.rise, check.fall),
            shared,
            driver,
            told: if known { state } else { State::Pending },
            told_at: VecDeque::new(),
            told_slow: false,
        }
    }

    /// Goes on for ever.
    pub(super) async fn run(mut self, schedule: Schedule) {
        let mut due = schedule.first;
        loop {
            let changed = tokio::select! {
                () = sleep_until(due) => false,
                // Something has happened that a round would find.
                () = self.probe.changed() => true,
            };
            let began = Instant::now();
            let finding = self.probe.round(self.timeout).await;
            let ended = Instant::now();
            self.take(finding, ended - began, ended);
            if changed && ended < due {
                continue;
            }
            let missed;
            (due, missed) = schedule.next(due, ended);
            if missed > 0 {
                self.skip(missed, ended - began);
            }
        }
    }

    fn take(&mut self, finding: Finding, took: Duration, now: Instant) {
        let (state, text, failed) = match finding {
            Finding::Passed(text) => (self.judge(true), text, false),
            Finding::Failed(text) => (self.judge(false), text, true),
            Finding::Value(value, text) => (State::Value(value), text, false),
            // The last round is not over. It counted already.
            Finding::Busy => {
                self.shared.lock().skipped += 1;
                return;
            }
        };
        let (row, turned) = {
            let mut row = self.shared.lock();
            row.rounds += 1;
            row.failures += u64::from(failed);
            row.took = Some(took);
            row.text = text;
            let turned = row.state != state;
            if turned {
                row.state = state;
                row.since = now;
            } else if state == self.told {
                return;
            }
            (row.clone(), turned)
        };
        self.tell(&row, now);
        if turned {
            // If the driver has ended there is nobody to tell.
            let _ = self
                .driver
                .send(Command::Tracker(row.id, Reading::from(state)));
        }
    }

    fn judge(&mut self, passed: bool) -> State {
        match self.verdict.take(passed) {
            true => State::Passing,
            false => State::Failing,
        }
    }

    /// Has the log know of a change, once.
    fn tell(&mut self, row: &Row, now: Instant) {
        self.told_at.retain(|at| now - *at < LOG_SPAN);
        if row.state == self.told || self.told_at.len() >= LOG_LINES {
            return;
        }
        self.told = row.state;
        self.told_at.push_back(now);
        match row.state {
            State::Failing => tracing::warn!("{}", row.describe()),
            State::Pending | State::Passing | State::Value(_) => {
                tracing::info!("{}", row.describe());
            }
        }
    }

    fn skip(&mut self, missed: u64, took: Duration) {
        let mut row = self.shared.lock();
        row.skipped += missed;
        if !self.told_slow {
            self.told_slow = true;
            tracing::warn!(
                "a round of check {} took {:.0} ms, longer than its interval: rounds are left out \
                 while that is so",
                row.name,
                took.as_secs_f64() * 1e3
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_stay_in_step_whatever_they_take() {
        let ms = Duration::from_millis;
        let start = Instant::now();
        let schedule = Schedule {
            first: start,
            second: start + ms(70),
            interval: ms(100),
        };
        let next = |due, now| {
            let (next, missed) = schedule.next(start + ms(due), start + ms(now));
            ((next - start).as_millis(), missed)
        };
        assert_eq!(next(0, 5), (70, 0));
        assert_eq!(next(70, 75), (170, 0));
        assert_eq!(next(70, 169), (170, 0));
        // As after a timeout that is as long as the interval.
        assert_eq!(next(70, 170), (170, 0));
        assert_eq!(next(70, 180), (170, 0));
        // What was due meanwhile is left out.
        assert_eq!(next(70, 181), (270, 1));
        assert_eq!(next(70, 480), (470, 3));
        assert_eq!(next(70, 500), (570, 4));
        assert_eq!(next(0, 300), (370, 3));
    }
}
