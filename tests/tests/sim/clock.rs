//! What happens when: the queue in true time, and the nodes' clocks.

use std::cmp::Ordering;

use ha_common::{time::Timestamp, wire::vrrp::Advert};

use super::daemon::Command;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Start(usize),
    Deliver {
        to: usize,
        index: usize,
        advert: Advert,
    },
    Wake {
        node: usize,
        epoch: u32,
    },
    /// A daemon is told what has happened on its node.
    News {
        node: usize,
        epoch: u32,
        news: Command,
    },
    Begin(usize),
    End(usize),
}

pub(crate) struct Queued {
    pub(crate) at: u64,
    pub(crate) order: u64,
    pub(crate) event: Event,
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives the greatest first.
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Queued {}

/// A node's clock: where it stood at the start, and its error.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) base: u64,
    pub(crate) ppm: i64,
}

impl Clock {
    pub(crate) fn read(self, now: u64) -> Timestamp {
        let error = i128::from(now) * i128::from(self.ppm) / 1_000_000;
        let reading = i128::from(self.base) + i128::from(now) + error;
        Timestamp::from_nanos(u64::try_from(reading).expect("the base is greater"))
    }

    /// The first true time at which it reads at least `reading`.
    pub(crate) fn when(self, reading: Timestamp) -> u64 {
        let span = u128::from(reading.as_nanos().saturating_sub(self.base));
        let rate = u128::try_from(1_000_000 + self.ppm).expect("a small error");
        let mut at = u64::try_from(span * 1_000_000 / rate).expect("within the run");
        while self.read(at) < reading {
            at += 1;
        }
        at
    }
}
