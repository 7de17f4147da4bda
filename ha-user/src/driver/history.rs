//! What a virtual router has been through lately, with what was known at the time:
//! for whoever asks why it is what it is.

use std::{
    collections::VecDeque,
    net::IpAddr,
    time::{Duration, SystemTime},
};

use ha_common::{
    fsm::StateKind,
    time::Timestamp,
    types::{Centiseconds, Priority, RouterAddress},
};

use super::Driver;
use crate::engine::InstanceId;

/// Transitions kept per virtual router.
const KEPT: usize = 16;

/// A transition, and what was known then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Past {
    /// When, for people.
    pub at: SystemTime,
    /// The state that was left.
    pub from: StateKind,
    /// The state that was entered.
    pub to: StateKind,
    /// Why, in words.
    pub reason: String,
    /// What was known.
    pub evidence: Evidence,
}

/// What was known at a transition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Evidence {
    /// The last advertisement that held back Active_Down or outranked us, by the
    /// kernel's record.
    pub heard: Option<Heard>,
    /// The effective priority.
    pub priority: Priority,
    /// Whether there was an interface, and it was up.
    pub link_up: bool,
    /// Events of the kernel program, of all instances since the start, that found no
    /// room; `None` if that could not be told.
    pub events_lost: Option<u64>,
}

/// An advertisement by the kernel's record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heard {
    /// Its source.
    pub source: IpAddr,
    /// Its priority.
    pub priority: Priority,
    /// The interval that it advertises.
    pub interval: Duration,
    /// How long ago it arrived.
    pub age: Duration,
}

/// The last transitions of one virtual router.
#[derive(Clone, Debug, Default)]
pub(super) struct History(VecDeque<Past>);

impl History {
    pub(super) fn push(&mut self, past: Past) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(past);
    }

    /// All that is kept, the newest last.
    pub(super) fn latest(&self) -> Vec<Past> {
        self.0.iter().cloned().collect()
    }
}

impl Driver {
    /// The kernel's record for `id`.
    pub(super) fn heard(&self, now: Timestamp, id: InstanceId) -> Option<Heard> {
        let record = self.actives.read(id.0);
        // 0: nothing yet.
        (record.last_seen_ns != 0).then(|| Heard {
            source: RouterAddress(record.address).to_ip(self.executors[id].config.family),
            priority: Priority(record.priority),
            interval: Centiseconds(record.interval_cs).to_duration(),
            age: now.since(Timestamp::from_nanos(record.last_seen_ns)),
        })
    }
}
