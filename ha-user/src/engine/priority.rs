//! Effective priority: what is configured, and what trackers add to it.

use std::collections::BTreeMap;

use ha_common::{
    fsm::{FaultCause, State, TrackerId},
    time::Timestamp,
    types::Priority,
};

use super::{Engine, InstanceId, Slot};

/// What is known of a tracker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// Nothing yet: it adds nothing, and who cannot do without it waits.
    Pending,
    /// It is up, or passes.
    Up,
    /// It is down, or fails.
    Down,
    /// A number, which is multiplied with the weight. Without weight everything
    /// but 0 is a fault, and so is a product of -254 or less.
    Value(i32),
}

impl From<bool> for Reading {
    fn from(up: bool) -> Self {
        if up { Self::Up } else { Self::Down }
    }
}

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
    /// What is known of it, not reversed; `None` until told, which counts as good.
    pub reading: Option<Reading>,
    /// What it adds to the priority; 0 for an owner, whose priority is fixed.
    pub added: i16,
}

/// What is known of all trackers.
pub type Readings = BTreeMap<TrackerId, Reading>;

/// Greatest change of a priority either way; what goes below is a fault.
const MAX_ADDED: i64 = 253;

impl Tracking {
    /// What it adds to the priority, and whether it is a fault.
    pub(super) fn counts(self, readings: &Readings) -> (i16, bool) {
        let good = match readings.get(&self.tracker) {
            None => true,
            Some(Reading::Pending) => return (0, self.weight == 0),
            Some(Reading::Up) => !self.reverse,
            Some(Reading::Down) => self.reverse,
            Some(Reading::Value(value)) if self.weight == 0 => (*value == 0) != self.reverse,
            Some(Reading::Value(value)) => {
                let weight = i64::from(self.weight);
                let product = i64::from(*value) * if self.reverse { -weight } else { weight };
                let added = product.clamp(-MAX_ADDED, MAX_ADDED);
                return (i16::try_from(added).unwrap_or(0), product < -MAX_ADDED);
            }
        };
        let added = match good {
            true => self.weight.max(0),
            false => self.weight.min(0),
        };
        (added, self.weight == 0 && !good)
    }
}

/// The priority that results from `base`: 1 to 254, or 255 if that is its base.
pub(super) fn effective(base: Priority, trackings: &[Tracking], readings: &Readings) -> Priority {
    if base == Priority::OWNER {
        return base;
    }
    let sum: i32 = trackings
        .iter()
        .map(|tracking| i32::from(tracking.counts(readings).0))
        .sum();
    let priority = (i32::from(base.0) + sum).clamp(1, 254);
    Priority(u8::try_from(priority).unwrap_or(base.0))
}

pub(super) fn contributions(
    base: Priority,
    trackings: &[Tracking],
    readings: &Readings,
) -> Vec<Contribution> {
    let contribution = |tracking: &Tracking| Contribution {
        tracking: *tracking,
        reading: readings.get(&tracking.tracker).copied(),
        added: if base == Priority::OWNER {
            0
        } else {
            tracking.counts(readings).0
        },
    };
    trackings.iter().map(contribution).collect()
}

impl Engine {
    /// What is known of all trackers.
    #[must_use]
    pub fn readings(&self) -> &Readings {
        &self.trackers
    }

    /// What is known of `tracker` now. Until told, it counts as good for everyone.
    pub fn handle_tracker(
        &mut self,
        now: Timestamp,
        tracker: TrackerId,
        reading: impl Into<Reading>,
    ) {
        let reading = reading.into();
        if self.trackers.insert(tracker, reading) == Some(reading) {
            return;
        }
        for id in self.ids() {
            self.follow(now, id, tracker);
        }
    }

    /// What `tracker`, which has changed, means for `id`.
    fn follow(&mut self, now: Timestamp, id: InstanceId, tracker: TrackerId) {
        let slot = &self.slots[id];
        let mut needed = slot.trackings.iter();
        let is_missed =
            needed.any(|tracking| tracking.tracker == tracker && self.is_fault(slot, *tracking));
        let cause = FaultCause::Tracker(tracker);
        if is_missed {
            self.handle_fault(now, id, cause);
        } else {
            self.handle_recovery(now, id, cause);
        }
        self.start_in_fault(now, id);
        self.reweigh(now, id);
    }

    /// Whether what is known of `tracking` puts the router of `slot` into fault.
    /// Nothing known yet keeps one from starting; it does not stop one that takes
    /// part, which has got a new check.
    pub(super) fn is_fault(&self, slot: &Slot, tracking: Tracking) -> bool {
        let pending = self.trackers.get(&tracking.tracker) == Some(&Reading::Pending);
        let takes_part = !matches!(slot.router.state(), State::Init | State::Fault);
        tracking.counts(&self.trackers).1 && !(pending && takes_part)
    }

    /// The effective priority of `id` follows what it is made of.
    pub(super) fn reweigh(&mut self, now: Timestamp, id: InstanceId) {
        let priority = self.slots[id].effective(&self.trackers);
        if self.slots[id].router.parameters().priority != priority {
            self.step(now, id, |router, out| {
                router.handle_priority(now, priority, out);
            });
        }
    }
}
