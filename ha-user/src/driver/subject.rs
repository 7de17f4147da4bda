//! What instances depend on, and the words for it.

use std::{
    fmt,
    time::{Duration, Instant},
};

use ha_common::{fsm::TrackerId, time::Timestamp, types::Priority};

use super::{Driver, Executor};
use crate::engine::{InstanceId, Reading, Readings};

/// What a tracker looks at.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subject {
    /// An interface, by name.
    Interface(String),
    /// A health check, by name.
    Check(String),
}

impl Subject {
    /// As in "check nginx fails".
    #[must_use]
    pub fn describe(&self, reading: Option<Reading>) -> String {
        let says = match (self, reading) {
            (Self::Interface(_), Some(Reading::Up)) => "is up",
            (Self::Interface(_), _) => "is down",
            (Self::Check(_), None | Some(Reading::Pending)) => "has no result yet",
            (Self::Check(_), Some(Reading::Up)) => "passes",
            (Self::Check(_), Some(Reading::Down)) => "fails",
            (Self::Check(_), Some(Reading::Value(value))) => return format!("{self} is {value}"),
        };
        format!("{self} {says}")
    }
}

/// As in "tracked interface eth1 is down".
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(name) => write!(f, "tracked interface {name}"),
            Self::Check(name) => write!(f, "check {name}"),
        }
    }
}

impl Driver {
    /// Has the engine know of a reading, and the log of what comes of it.
    pub(super) fn take_tracker(&mut self, now: Timestamp, tracker: TrackerId, reading: Reading) {
        // A new priority moves what is left of Active_Down, so what is left has to be
        // known, by the priority that it was sorted by.
        self.hand_over_records(now);
        let priority = |driver: &Self, id| driver.engine.parameters(id).priority;
        let before: Vec<(InstanceId, Priority)> = self
            .engine
            .ids()
            .map(|id| (id, priority(self, id)))
            .collect();
        self.engine.handle_tracker(now, tracker, reading);
        for (id, before) in before {
            let after = priority(self, id);
            if after != before {
                let readings = self.engine.readings();
                self.executors[id].tell_priority(before, after, tracker, readings);
            }
        }
    }
}

impl Executor {
    fn tell_priority(
        &mut self,
        before: Priority,
        after: Priority,
        tracker: TrackerId,
        readings: &Readings,
    ) {
        let more = match self.priorities.take(Instant::now()) {
            Turn::Told => String::new(),
            Turn::Last => format!("; what changes within {SPAN:?} more is not told"),
            Turn::Untold => return,
        };
        tracing::info!(
            instance = self.name(),
            "priority {} -> {}: {}{more}",
            before.0,
            after.0,
            self.describe_tracker(tracker, readings)
        );
    }
}

/// So many changes of a priority within [`SPAN`] are told: a check that turns all the
/// time would fill the log.
const LINES: usize = 6;

const SPAN: Duration = Duration::from_secs(10);

/// When the last changes of a priority were told.
#[derive(Debug, Default)]
pub(super) struct Spate(Vec<Instant>);

/// Whether something is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
    Told,
    /// And what follows soon is not.
    Last,
    Untold,
}

impl Spate {
    fn take(&mut self, now: Instant) -> Turn {
        if self.0.len() >= LINES {
            let is_over = self.0.last().is_none_or(|last| now - *last >= SPAN);
            if !is_over {
                return Turn::Untold;
            }
            self.0.clear();
        }
        self.0.retain(|at| now - *at < SPAN);
        self.0.push(now);
        match self.0.len() {
            LINES => Turn::Last,
            _ => Turn::Told,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spate_is_told_for_a_while_only() {
        let start = Instant::now();
        let mut spate = Spate::default();
        let mut told = |ms| spate.take(start + Duration::from_millis(ms));
        for ms in [0, 1, 2, 3, 4] {
            assert_eq!(told(ms), Turn::Told, "{ms}");
        }
        assert_eq!(told(5), Turn::Last);
        assert_eq!(told(6), Turn::Untold);
        assert_eq!(told(10_004), Turn::Untold);
        assert_eq!(told(10_005), Turn::Told);
        // Rare ones are all told.
        for ms in (20_000..200_000).step_by(3000) {
            assert_eq!(told(ms), Turn::Told, "{ms}");
        }
    }
}
