//! Effective priority: what is configured, and what trackers add to it.

use std::collections::BTreeMap;

use ha_common::{
    fsm::{FaultCause, TrackerId},
    time::Timestamp,
    types::Priority,
};

use super::{Engine, InstanceId};

/// Something that an instance depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tracking {
    /// What it is.
    pub tracker: TrackerId,
    /// Added to the priority while it is up (positive) or while it is down
    /// (negative); 0: while it is down the instance is in fault.
    pub weight: i16,
    /// It counts as up while it is down, and the other way round.
    pub reverse: bool,
}

/// What one tracker does for an instance at present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contribution {
    /// What is tracked, and how it counts.
    pub tracking: Tracking,
    /// Whether it is up, not reversed; `None` until told, which counts as good.
    pub up: Option<bool>,
    /// What it adds to the priority; 0 for an owner, whose priority is fixed.
    pub added: i16,
}

impl Tracking {
    fn is_good(self, trackers: &BTreeMap<TrackerId, bool>) -> bool {
        let up = trackers.get(&self.tracker);
        up.is_none_or(|up| *up != self.reverse)
    }

    fn added(self, trackers: &BTreeMap<TrackerId, bool>) -> i16 {
        let counts = if self.is_good(trackers) {
            self.weight > 0
        } else {
            self.weight < 0
        };
        if counts { self.weight } else { 0 }
    }
}

/// The priority that results from `base`: 1 to 254, or 255 if that is its base.
pub(super) fn effective(
    base: Priority,
    trackings: &[Tracking],
    trackers: &BTreeMap<TrackerId, bool>,
) -> Priority {
    if base == Priority::OWNER {
        return base;
    }
    let sum: i32 = trackings
        .iter()
        .map(|tracking| i32::from(tracking.added(trackers)))
        .sum();
    let priority = (i32::from(base.0) + sum).clamp(1, 254);
    Priority(u8::try_from(priority).unwrap_or(base.0))
}

pub(super) fn contributions(
    base: Priority,
    trackings: &[Tracking],
    trackers: &BTreeMap<TrackerId, bool>,
) -> Vec<Contribution> {
    let contribution = |tracking: &Tracking| Contribution {
        tracking: *tracking,
        up: trackers.get(&tracking.tracker).copied(),
        added: if base == Priority::OWNER {
            0
        } else {
            tracking.added(trackers)
        },
    };
    trackings.iter().map(contribution).collect()
}

impl Engine {
    /// `tracker` is up or down. Until told, it counts as good for everyone.
    pub fn handle_tracker(&mut self, now: Timestamp, tracker: TrackerId, up: bool) {
        if self.trackers.insert(tracker, up) == Some(up) {
            return;
        }
        for id in self.ids() {
            self.follow(now, id, tracker);
        }
    }

    /// What `tracker`, which has changed, means for `id`.
    fn follow(&mut self, now: Timestamp, id: InstanceId, tracker: TrackerId) {
        let slot = &self.slots[id.place()];
        let mut needed = slot.trackings.iter();
        let is_missed = needed.any(|tracking| {
            tracking.tracker == tracker && tracking.weight == 0 && !tracking.is_good(&self.trackers)
        });
        let priority = effective(slot.base, &slot.trackings, &self.trackers);
        let cause = FaultCause::Tracker(tracker);
        if is_missed {
            self.handle_fault(now, id, cause);
        } else {
            self.handle_recovery(now, id, cause);
        }
        if self.slots[id.place()].router.parameters().priority != priority {
            self.step(now, id, |router, out| {
                router.handle_priority(now, priority, out);
            });
        }
    }
}
