//! The ring of what cannot wait for a deadline.

use std::os::fd::{AsFd, BorrowedFd};

use aya::maps::{Map, MapData, RingBuf};
use ha_common::abi::{self, Event};

use super::MapError;

/// The daemon's end of the ring `events`. There can be only one.
///
/// The kernel wakes a waiter only for an event that finds the ring read empty,
/// so whoever waits reads until [`next`](Self::next) returns `None`, or looks
/// again by itself.
pub struct EventRing {
    ring: RingBuf<MapData>,
}

impl EventRing {
    pub(super) fn new(map: Map) -> Result<Self, MapError> {
        let ring = RingBuf::try_from(map).map_err(|source| MapError {
            operation: "open",
            map: abi::map::EVENTS,
            source,
        })?;
        Ok(Self { ring })
    }

    /// The oldest event not yet taken, or `None` if there is none.
    // Not an iterator: it goes on after `None`.
    #[allow(clippy::should_implement_trait, reason = "it goes on after `None`")]
    pub fn next(&mut self) -> Option<Event> {
        loop {
            let entry = self.ring.next()?;
            match bytemuck::try_pod_read_unaligned(&entry) {
                Ok(event) => return Some(event),
                Err(error) => {
                    tracing::error!(octets = entry.len(), %error, "an event of unknown layout");
                }
            }
        }
    }
}

/// Readable when there are events.
impl AsFd for EventRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}
