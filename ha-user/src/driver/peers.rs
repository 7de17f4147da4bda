//! Which sources get a row in the kernel's `peers` map.
//!
//! The kernel only updates rows; they are made here, from its events, a bounded
//! number per virtual router. A known peer can thus not be pushed out by forged
//! sources, and a full table costs a newcomer only its row: the election reads
//! `actives`, which needs none.

use std::{collections::HashMap, time::Duration};

use ha_common::{abi, time::Timestamp};

use crate::{kernel::Peers, sys};

/// A row whose peer has been silent for so long makes room for another.
const STALE_AFTER: Duration = Duration::from_secs(60);

/// See the [module](self).
pub struct PeerTable {
    map: Peers,
    known: HashMap<u32, Vec<abi::PeerKey>>,
}

impl PeerTable {
    /// A table over an empty map.
    #[must_use]
    pub fn new(map: Peers) -> Self {
        Self {
            map,
            known: HashMap::new(),
        }
    }

    /// Gives the source of an advertisement a row, if it has none and there is
    /// room. Not having one harms only what `harrier peers` can show, so a map
    /// that cannot be written is told and nothing else.
    pub fn admit(&mut self, event: &abi::Event) {
        let key = abi::PeerKey {
            ifindex: event.ifindex,
            vrid: event.vrid,
            family: event.family,
            reserved: [0; 2],
            address: event.address,
        };
        let known = self.known.entry(event.index).or_default();
        if known.contains(&key) {
            return;
        }
        if known.len() >= abi::PEERS_PER_INSTANCE as usize && !make_room(known, &self.map) {
            return;
        }
        let row = abi::Peer {
            last_seen_ns: event.at_ns,
            adverts: 1,
            interval_cs: event.interval_cs,
            priority: event.priority,
            version: event.version,
            address_mismatch: event.address_mismatch,
            message_only_checksum: event.message_only_checksum,
            mac: event.mac,
            reserved: [0; 4],
        };
        match self.map.admit(&key, &row) {
            Ok(()) => known.push(key),
            Err(error) => tracing::warn!(%error, "a new peer gets no row in the kernel's map"),
        }
    }
}

impl PeerTable {
    /// Takes back the rows of the instance with slot `index`.
    pub fn forget(&mut self, index: u32) {
        for key in self.known.remove(&index).unwrap_or_default() {
            if let Err(error) = self.map.remove(&key) {
                tracing::warn!(%error, "a peer of an interface that is gone keeps its row");
            }
        }
    }
}

/// Removes the peer that has been silent longest, if that is long enough.
fn make_room(known: &mut Vec<abi::PeerKey>, map: &Peers) -> bool {
    let silent = known
        .iter()
        .enumerate()
        .map(|(place, key)| {
            (
                map.read(key)
                    .ok()
                    .flatten()
                    .map_or(0, |peer| peer.last_seen_ns),
                place,
            )
        })
        .min();
    let Some((last_seen_ns, place)) = silent else {
        return false;
    };
    if sys::now().since(Timestamp::from_nanos(last_seen_ns)) < STALE_AFTER {
        return false;
    }
    let key = known.swap_remove(place);
    if let Err(error) = map.remove(&key) {
        tracing::warn!(%error, "a silent peer keeps its row in the kernel's map");
    }
    true
}
