//! The maps. Names, keys and values are those of [`ha_common::abi`], which also
//! says who writes what.
//!
//! The sizes are defaults for those who load the object by hand; the daemon
//! sets its own when it loads it.

use aya_ebpf::{
    btf_maps::{Array, HashMap, PerCpuArray, RingBuf},
    macros::btf_map,
};
use ha_common::{abi, types::RouterAddress};

const MAX_INSTANCES: usize = 1024;
const MAX_PEERS: usize = MAX_INSTANCES * abi::PEERS_PER_INSTANCE as usize;
const MAX_VIPS: usize = 4096;

/// Flag of the maps that the daemon has in its memory.
const MMAPABLE: usize = aya_ebpf::bindings::BPF_F_MMAPABLE as usize;

/// Where in [`INSTANCES`] the virtual routers of a bucket begin.
#[btf_map(name = "buckets")]
pub(crate) static BUCKETS: Array<abi::Bucket, { abi::BUCKETS as usize }, MMAPABLE> = Array::new();

/// Configured virtual routers, by slot. A hash map would cost every packet of VRRP
/// three times as much: here the key is compared where it is, and no function
/// of the kernel called.
#[btf_map(name = "instances")]
pub(crate) static INSTANCES: Array<abi::InstanceRow, MAX_INSTANCES, MMAPABLE> = Array::new();

/// Watched addresses.
#[btf_map(name = "vips")]
pub(crate) static VIPS: HashMap<abi::VipKey, abi::Vip, MAX_VIPS> = HashMap::new();

/// Who may advertise by unicast.
#[btf_map(name = "unicast_peers")]
pub(crate) static UNICAST_PEERS: HashMap<abi::PeerKey, abi::UnicastPeer, MAX_PEERS> =
    HashMap::new();

/// Admitted peers. The program never inserts, so forged sources can neither
/// fill the map nor push a peer out.
#[btf_map(name = "peers")]
pub(crate) static PEERS: HashMap<abi::PeerKey, abi::Peer, MAX_PEERS> = HashMap::new();

/// The advertisement that holds back Active_Down, by slot.
#[btf_map(name = "actives")]
pub(crate) static ACTIVES: Array<abi::ActiveRouter, MAX_INSTANCES, MMAPABLE> = Array::new();

/// The last refused advertisement, by slot.
#[btf_map(name = "refusals")]
pub(crate) static REFUSALS: Array<abi::Refused, MAX_INSTANCES> = Array::new();

/// When events were last sent, by slot: a map of its own, because a Backup that
/// hears nothing new needs none of it.
#[btf_map(name = "told")]
pub(crate) static TOLD: Array<abi::Told, MAX_INSTANCES> = Array::new();

/// Claims of watched addresses. The keys are a subset of those of `vips`, so
/// it needs no more room.
#[btf_map(name = "claims")]
pub(crate) static CLAIMS: HashMap<abi::VipKey, abi::Claim, MAX_VIPS> = HashMap::new();

/// Packets by reason.
#[btf_map(name = "counters")]
pub(crate) static COUNTERS: PerCpuArray<abi::Counters, 1> = PerCpuArray::new();

/// What cannot wait for a deadline: a ring of [`abi::Event`]. The map's own type
/// has no value, because libbpf refuses a ring whose value has a size.
#[btf_map(name = "events")]
pub(crate) static EVENTS: RingBuf<(), { abi::EVENTS_BYTES as usize }> = RingBuf::new();

/// What `harrier dump` shows: a ring of [`abi::Dumped`].
#[btf_map(name = "dump")]
pub(crate) static DUMP: RingBuf<(), { abi::DUMP_BYTES as usize }> = RingBuf::new();

/// The row of the virtual router (`ifindex`, `vrid`, `family`), if it is configured.
#[inline(always)]
pub(crate) fn instance(ifindex: u32, vrid: u8, family: u8) -> Option<&'static abi::InstanceRow> {
    let key = abi::InstanceKey {
        ifindex,
        vrid,
        family,
        reserved: [0; 2],
    };
    let mut next = BUCKETS.get(key.bucket())?.first;
    let mut steps = 0;
    while steps < abi::LONGEST_CHAIN {
        if next == 0 {
            return None;
        }
        // The daemon may write the row meanwhile; see `abi::InstanceRow`.
        let row = INSTANCES.get(next.wrapping_sub(1))?;
        if bytemuck::cast::<_, u64>(row.key) == bytemuck::cast::<_, u64>(key) {
            return Some(row);
        }
        next = row.next;
        steps = steps.wrapping_add(1);
    }
    None
}

/// Whether the virtual router (`ifindex`, `vrid`, `family`) may be sent
/// advertisements by unicast from `source`.
#[inline(always)]
pub(crate) fn is_unicast_peer(ifindex: u32, vrid: u8, family: u8, source: RouterAddress) -> bool {
    let key = abi::PeerKey {
        ifindex,
        vrid,
        family,
        reserved: [0; 2],
        address: source.0,
    };
    UNICAST_PEERS.get_ptr(key).is_some()
}
