//! The rings: what cannot wait for a deadline, and what `harrier dump` shows.

use std::{
    marker::PhantomData,
    os::fd::{AsFd, BorrowedFd},
};

use aya::maps::{Map, MapData, RingBuf};
use bytemuck::AnyBitPattern;
use ha_common::abi::{Dumped, Event};

use super::MapError;

/// The daemon's end of a ring of `T`. There can be only one.
///
/// The kernel wakes a waiter only for an entry that finds the ring read empty,
/// so whoever waits reads until [`next`](Self::next) returns `None`, or looks
/// again by itself.
pub struct Ring<T> {
    ring: RingBuf<MapData>,
    name: &'static str,
    entries: PhantomData<T>,
}

/// `events`: what cannot wait for a deadline.
pub type EventRing = Ring<Event>;

/// `dump`: advertisements as the kernel program sees them.
pub type DumpRing = Ring<Dumped>;

impl<T: AnyBitPattern> Ring<T> {
    pub(super) fn new(map: Map, name: &'static str) -> Result<Self, MapError> {
        let ring = RingBuf::try_from(map).map_err(|source| MapError {
            operation: "open",
            map: name,
            source,
        })?;
        Ok(Self {
            ring,
            name,
            entries: PhantomData,
        })
    }

    /// The oldest entry not yet taken, or `None` if there is none.
    // Not an iterator: it goes on after `None`.
    #[allow(clippy::should_implement_trait, reason = "it goes on after `None`")]
    pub fn next(&mut self) -> Option<T> {
        loop {
            let entry = self.ring.next()?;
            match bytemuck::try_pod_read_unaligned(&entry) {
                Ok(entry) => return Some(entry),
                Err(error) => {
                    tracing::error!(
                        ring = self.name,
                        octets = entry.len(),
                        %error,
                        "an entry of unknown layout"
                    );
                }
            }
        }
    }
}

/// Readable when there are entries.
impl<T> AsFd for Ring<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}
