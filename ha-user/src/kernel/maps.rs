//! One type per map, with the operations that the daemon needs.
//!
//! Each handle has a file descriptor of its own, so the driver's thread and the
//! control side never wait for each other.

use std::sync::{Mutex, MutexGuard, PoisonError};

use aya::{
    Ebpf,
    maps::{self, HashMap, Map, MapData, PerCpuArray},
};
use bytemuck::Pod;
use ha_common::abi::{
    self, Claim, Counter, Counters, InstanceKey, Peer, PeerKey, UnicastPeer, Vip, VipKey,
};

use super::{AbiPod, Actives, DumpRing, EventRing, Instances, MapError, Refusals, Slots};

/// Every map, ready to be given to whoever works with it.
pub struct Maps {
    /// What the kernel is told of each virtual router.
    pub instances: Instances,
    /// The addresses whose claims are watched.
    pub vips: Vips,
    /// Who may advertise by unicast.
    pub unicast_peers: UnicastPeers,
    /// Every admitted peer, to admit and remove.
    pub peers: Peers,
    /// The same map, to look at from another thread.
    pub peers_view: Peers,
    /// Who holds back Active_Down, by slot.
    pub actives: Actives,
    /// Clears what the kernel keeps per slot.
    pub slots: Slots,
    /// The last refused advertisement, by slot.
    pub refusals: Refusals,
    /// Who claimed a watched address.
    pub claims: Claims,
    /// Packets by reason.
    pub counters: CounterMap,
    /// The same map, to look at from another thread.
    pub counters_view: CounterMap,
    /// What cannot wait for a deadline.
    pub events: EventRing,
    /// Advertisements as they are seen, while [`Instances::set_dump`] says so.
    pub dump: DumpRing,
}

impl Maps {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, MapError> {
        let peers = take(ebpf, abi::map::PEERS)?;
        let peers_view = again(&peers, abi::map::PEERS)?;
        let actives = take(ebpf, abi::map::ACTIVES)?;
        let actives_to_clear = again(&actives, abi::map::ACTIVES)?;
        let refusals = take(ebpf, abi::map::REFUSALS)?;
        let refusals_to_clear = again(&refusals, abi::map::REFUSALS)?;
        let claims = take(ebpf, abi::map::CLAIMS)?;
        let claims_of_vips = again(&claims, abi::map::CLAIMS)?;
        let counters = take(ebpf, abi::map::COUNTERS)?;
        let counters_view = again(&counters, abi::map::COUNTERS)?;
        Ok(Self {
            instances: Instances::new(
                &take(ebpf, abi::map::INSTANCES)?,
                &take(ebpf, abi::map::BUCKETS)?,
            )?,
            vips: Vips {
                vips: Table::new(take(ebpf, abi::map::VIPS)?, abi::map::VIPS)?,
                claims: Table::new(claims_of_vips, abi::map::CLAIMS)?,
            },
            unicast_peers: UnicastPeers(Table::new(
                take(ebpf, abi::map::UNICAST_PEERS)?,
                abi::map::UNICAST_PEERS,
            )?),
            peers: Peers(Table::new(peers, abi::map::PEERS)?),
            peers_view: Peers(Table::new(peers_view, abi::map::PEERS)?),
            actives: Actives::new(&actives)?,
            slots: Slots::new(
                actives_to_clear,
                refusals_to_clear,
                take(ebpf, abi::map::TOLD)?,
            )?,
            refusals: Refusals::new(refusals)?,
            claims: Claims(Table::new(claims, abi::map::CLAIMS)?),
            counters: CounterMap::new(counters)?,
            counters_view: CounterMap::new(counters_view)?,
            events: EventRing::new(take(ebpf, abi::map::EVENTS)?, abi::map::EVENTS)?,
            dump: DumpRing::new(take(ebpf, abi::map::DUMP)?, abi::map::DUMP)?,
        })
    }
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, MapError> {
    ebpf.take_map(name).ok_or_else(|| {
        failed("find", name)(maps::MapError::InvalidName {
            name: name.to_owned(),
        })
    })
}

/// A second handle on a hash map or an array (per CPU too), with a descriptor of its own.
fn again(map: &Map, name: &'static str) -> Result<Map, MapError> {
    let failed = |source| failed("open", name)(source);
    let (data, wrap): (_, fn(MapData) -> Map) = match map {
        Map::HashMap(data) => (data, Map::HashMap),
        Map::Array(data) => (data, Map::Array),
        Map::PerCpuArray(data) => (data, Map::PerCpuArray),
        _ => {
            return Err(failed(maps::MapError::InvalidName {
                name: name.to_owned(),
            }));
        }
    };
    let fd = std::os::fd::AsFd::as_fd(data.fd())
        .try_clone_to_owned()
        .map_err(|error| failed(error.into()))?;
    MapData::from_fd(fd).map(wrap).map_err(failed)
}

pub(super) fn failed(
    operation: &'static str,
    map: &'static str,
) -> impl FnOnce(maps::MapError) -> MapError {
    move |source| MapError {
        operation,
        map,
        source,
    }
}

/// A hash map of ABI types.
struct Table<K, V> {
    name: &'static str,
    // For `aya`, a write needs the handle alone, although the kernel does not.
    map: Mutex<HashMap<MapData, AbiPod<K>, AbiPod<V>>>,
}

impl<K: Pod, V: Pod> Table<K, V> {
    fn new(map: Map, name: &'static str) -> Result<Self, MapError> {
        let map = HashMap::try_from(map).map_err(failed("open", name))?;
        Ok(Self {
            name,
            map: Mutex::new(map),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MapData, AbiPod<K>, AbiPod<V>>> {
        // A panic elsewhere cannot leave a handle half-written.
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, key: &K, value: &V) -> Result<(), MapError> {
        self.lock()
            .insert(AbiPod(*key), AbiPod(*value), 0)
            .map_err(failed("write", self.name))
    }

    fn read(&self, key: &K) -> Result<Option<V>, MapError> {
        match self.lock().get(&AbiPod(*key), 0) {
            Ok(value) => Ok(Some(value.0)),
            Err(maps::MapError::KeyNotFound) => Ok(None),
            Err(source) => Err(failed("read", self.name)(source)),
        }
    }

    /// Not an error if there is no such row.
    fn remove(&self, key: &K) -> Result<(), MapError> {
        match self.lock().remove(&AbiPod(*key)) {
            Ok(()) | Err(maps::MapError::KeyNotFound) => Ok(()),
            Err(source) if super::error::errno(&source) == Some(libc::ENOENT) => Ok(()),
            Err(source) => Err(failed("remove a row of", self.name)(source)),
        }
    }

    fn rows(&self) -> impl Iterator<Item = Result<(K, V), MapError>> + use<K, V> {
        let rows: Vec<_> = self
            .lock()
            .iter()
            .map(|row| {
                row.map(|(key, value)| (key.0, value.0))
                    .map_err(failed("read", self.name))
            })
            .collect();
        rows.into_iter()
    }

    /// Removes every row that `belongs`; looks at all of them.
    fn remove_where(&self, belongs: impl Fn(&K, &V) -> bool) -> Result<(), MapError> {
        for row in self.rows() {
            let (key, value) = row?;
            if belongs(&key, &value) {
                self.remove(&key)?;
            }
        }
        Ok(())
    }
}

/// Whether `peer` is one of the virtual router `instance`.
fn is_peer_of(peer: &PeerKey, instance: &InstanceKey) -> bool {
    (peer.ifindex, peer.vrid, peer.family) == (instance.ifindex, instance.vrid, instance.family)
}

/// `vips`: the addresses whose claims are watched.
pub struct Vips {
    vips: Table<VipKey, Vip>,
    claims: Table<VipKey, Claim>,
}

impl Vips {
    /// Watches an address for claims by others.
    ///
    /// # Errors
    /// If the map is full or the kernel refuses.
    pub fn watch(&self, key: &VipKey, vip: &Vip) -> Result<(), MapError> {
        self.vips.write(key, vip)
    }

    /// Watches an address no longer, and forgets its claims.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn unwatch(&self, key: &VipKey) -> Result<(), MapError> {
        self.vips.remove(key)?;
        self.claims.remove(key)
    }

    /// As [`unwatch`](Self::unwatch), for every address of one virtual router. Looks
    /// at every row of the map, so it is not for the driver's thread.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn forget(&self, instance: &InstanceKey) -> Result<(), MapError> {
        for row in self.vips.rows() {
            let (key, vip) = row?;
            if (key.ifindex, vip.vrid, vip.family)
                == (instance.ifindex, instance.vrid, instance.family)
            {
                self.unwatch(&key)?;
            }
        }
        Ok(())
    }
}

/// `unicast_peers`: who may advertise to a virtual router by unicast.
pub struct UnicastPeers(Table<PeerKey, UnicastPeer>);

impl UnicastPeers {
    /// Lets the kernel take advertisements from a peer.
    ///
    /// # Errors
    /// If the map is full or the kernel refuses.
    pub fn list(&self, key: &PeerKey) -> Result<(), MapError> {
        self.0.write(key, &UnicastPeer::default())
    }

    /// Lets the kernel refuse a peer again; fine if it is not listed.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn unlist(&self, key: &PeerKey) -> Result<(), MapError> {
        self.0.remove(key)
    }

    /// As [`unlist`](Self::unlist), for every peer of one virtual router. Looks at
    /// every row of the map, so it is not for the driver's thread.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn forget(&self, instance: &InstanceKey) -> Result<(), MapError> {
        self.0.remove_where(|key, _| is_peer_of(key, instance))
    }
}

/// `claims`: who last claimed each watched address from outside.
pub struct Claims(Table<VipKey, Claim>);

impl Claims {
    /// The last claim of one address, if there was one.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn read(&self, key: &VipKey) -> Result<Option<Claim>, MapError> {
        self.0.read(key)
    }

    /// Every claim.
    pub fn iter(&self) -> impl Iterator<Item = Result<(VipKey, Claim), MapError>> + use<> {
        self.0.rows()
    }
}

/// `peers`: every admitted peer's last advertisement.
///
/// The kernel program updates rows but never makes them.
pub struct Peers(Table<PeerKey, Peer>);

impl Peers {
    /// Gives a peer its row.
    ///
    /// # Errors
    /// If the map is full or the kernel refuses.
    pub fn admit(&self, key: &PeerKey, peer: &Peer) -> Result<(), MapError> {
        self.0.write(key, peer)
    }

    /// Takes a peer's row away; fine if it has none.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn remove(&self, key: &PeerKey) -> Result<(), MapError> {
        self.0.remove(key)
    }

    /// As [`remove`](Self::remove), for every peer of one virtual router. Looks at
    /// every row of the map, so it is not for the driver's thread.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn forget(&self, instance: &InstanceKey) -> Result<(), MapError> {
        self.0.remove_where(|key, _| is_peer_of(key, instance))
    }

    /// One peer's row, if it has one.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn read(&self, key: &PeerKey) -> Result<Option<Peer>, MapError> {
        self.0.read(key)
    }

    /// Every row. One that comes or goes meanwhile may be missing, and if it
    /// goes the kernel may start over, so that others come twice.
    pub fn iter(&self) -> impl Iterator<Item = Result<(PeerKey, Peer), MapError>> + use<> {
        self.0.rows()
    }
}

/// `counters`: packets by reason, counted per CPU.
pub struct CounterMap(PerCpuArray<MapData, AbiPod<Counters>>);

impl CounterMap {
    fn new(map: Map) -> Result<Self, MapError> {
        PerCpuArray::try_from(map)
            .map(Self)
            .map_err(failed("open", abi::map::COUNTERS))
    }

    /// The counts of all CPUs together.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn sum(&self) -> Result<Counters, MapError> {
        let per_cpu = self
            .0
            .get(&0, 0)
            .map_err(failed("read", abi::map::COUNTERS))?;
        let mut sum = [0u64; Counter::ALL.len()];
        for AbiPod(counters) in per_cpu.iter() {
            let counts: &[u64; Counter::ALL.len()] = bytemuck::cast_ref(counters);
            for (sum, count) in sum.iter_mut().zip(counts) {
                *sum = sum.wrapping_add(*count);
            }
        }
        Ok(bytemuck::cast(sum))
    }
}
