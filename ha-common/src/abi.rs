//! The contract between the kernel program and the daemon: map names and the
//! layout of every key, value and event.
//!
//! Who writes what (each map has one writer, so no update can be lost):
//!
//! | map | key → value | written by |
//! |---|---|---|
//! | `buckets` | [`InstanceKey::bucket`] → [`Bucket`] | daemon |
//! | `instances` | [`Instance::index`] → [`InstanceRow`] | daemon |
//! | `vips` | [`VipKey`] → [`Vip`] | daemon |
//! | `unicast_peers` | [`PeerKey`] → [`UnicastPeer`] | daemon |
//! | `peers` | [`PeerKey`] → [`Peer`] | daemon admits and removes, kernel updates in place |
//! | `actives` | [`Instance::index`] → [`ActiveRouter`] | kernel |
//! | `refusals` | [`Instance::index`] → [`Refused`] | kernel |
//! | `told` | [`Instance::index`] → [`Told`] | kernel |
//! | `claims` | [`VipKey`] → [`Claim`] | kernel (daemon removes with the VIP) |
//! | `counters` | 0 → [`Counters`], one per CPU | kernel |
//! | `events` | ring of [`Event`] | kernel |
//! | `dump` | ring of [`Dumped`] | kernel |
//!
//! `buckets`, `instances` and `actives` are in the daemon's memory, so that telling
//! the kernel or looking at a record costs no system call.
//!
//! The daemon clears a slot of `actives`, `refusals` and `told` before it tells the
//! kernel of an instance that is to use it, while no instance does.
//!
//! The structs have no padding, no enums and no `Option`s; addresses are octets
//! in network byte order, IPv4 in the first four. Field names are a user
//! interface: people read them in `bpftool map dump`.

mod counters;

use core::mem::offset_of;

use bytemuck::{Pod, Zeroable};

pub use self::counters::{Counter, Counters};

/// Name of the kernel program.
pub const PROGRAM: &str = "harrier";

/// Map names (at most 15 characters, `BPF_OBJ_NAME_LEN`).
pub mod map {
    /// Where in `instances` a virtual router is.
    pub const BUCKETS: &str = "buckets";
    /// What the daemon tells the kernel of each virtual router.
    pub const INSTANCES: &str = "instances";
    /// The addresses whose claims are watched.
    pub const VIPS: &str = "vips";
    /// Who may advertise to a virtual router by unicast.
    pub const UNICAST_PEERS: &str = "unicast_peers";
    /// Every admitted peer's last advertisement.
    pub const PEERS: &str = "peers";
    /// Per virtual router, the last advertisement that holds back Active_Down.
    pub const ACTIVES: &str = "actives";
    /// Per virtual router, the last advertisement that was refused.
    pub const REFUSALS: &str = "refusals";
    /// Per virtual router, when which kind of event was last sent.
    pub const TOLD: &str = "told";
    /// Who last claimed one of our addresses.
    pub const CLAIMS: &str = "claims";
    /// Accepted and refused packets by reason.
    pub const COUNTERS: &str = "counters";
    /// What cannot wait for a deadline.
    pub const EVENTS: &str = "events";
    /// Advertisements as they are seen, while somebody looks.
    pub const DUMP: &str = "dump";

    /// All of them, in the order above.
    pub const ALL: [&str; 12] = [
        BUCKETS,
        INSTANCES,
        VIPS,
        UNICAST_PEERS,
        PEERS,
        ACTIVES,
        REFUSALS,
        TOLD,
        CLAIMS,
        COUNTERS,
        EVENTS,
        DUMP,
    ];
}

/// Peers that the daemon admits per virtual router. Sources beyond that still
/// count for the election; they only get no row of their own.
pub const PEERS_PER_INSTANCE: u32 = 16;

/// Buckets of `buckets`; a power of two.
pub const BUCKETS: u32 = 4096;

/// Virtual routers in one bucket at most; the daemon refuses more. Ten thousand of
/// them need a quarter of it.
pub const LONGEST_CHAIN: usize = 32;

/// Octets of the event ring; a power of two and a multiple of the page size.
pub const EVENTS_BYTES: u32 = 256 * 1024;

/// Octets of the ring `dump`; a power of two and a multiple of the page size.
pub const DUMP_BYTES: u32 = 256 * 1024;

/// How many of the events [`EVENT_RELEASE`] and [`EVENT_OUTRANKED`] may be sent
/// within [`Instance::event_gap_ns`], for each of the two.
///
/// Unlike the events that repeat by themselves, one of these may be the last
/// that the sender ever says, so a second one that follows soon may matter as much
/// as the first: a duplicate of a release starts every Backup's Skew_Time again,
/// and wants its answer; a release may follow the advertisement of a router
/// that had taken over from the one that released first. No link has
/// so many routers that more of them say so within a tenth of an interval,
/// except in a flood.
pub const EVENT_BURST: u32 = 8;

/// Least span between two [`EVENT_REFUSED`] of one virtual router, in nanoseconds:
/// one second. What is refused decides nothing; a warning for people needs no
/// more, whatever the interval.
pub const REFUSED_GAP_NS: u64 = 1_000_000_000;

/// [`Instance::state`]: not taking part.
pub const STATE_INIT: u8 = 0;
/// [`Instance::state`]: Backup.
pub const STATE_BACKUP: u8 = 1;
/// [`Instance::state`]: Active. With [`Instance::priority`] 0: a router that hands
/// over its addresses; whoever advertises a priority outranks it.
pub const STATE_ACTIVE: u8 = 2;
/// [`Instance::state`]: fault (for example, the link is down).
pub const STATE_FAULT: u8 = 3;

/// [`Event::kind`]: the Active router releases (priority 0).
pub const EVENT_RELEASE: u32 = 1;
/// [`Event::kind`]: we are Active and another router outranks us.
pub const EVENT_OUTRANKED: u32 = 2;
/// [`Event::kind`]: we are Active and another router advertises that we outrank.
pub const EVENT_LOSING: u32 = 3;
/// [`Event::kind`]: we are Backup and the advertisement that holds us back has
/// another source, priority or interval than the one before.
pub const EVENT_CHANGED: u32 = 4;
/// [`Event::kind`]: an advertisement from a source without a row in `peers`.
pub const EVENT_NEW_PEER: u32 = 5;
/// [`Event::kind`]: we are Active and a stranger claims one of our addresses.
pub const EVENT_CLAIM: u32 = 6;

/// [`Event::kind`]: we are Backup and would preempt: the source of the last
/// advertisement that held us back now advertises one that does not.
pub const EVENT_WEAKENED: u32 = 7;
/// [`Event::kind`]: an advertisement that names one of our virtual routers was
/// refused; [`Event::reason`] says why.
pub const EVENT_REFUSED: u32 = 8;

/// [`Claim::kind`]: ARP request whose sender address is ours (gratuitous ones too).
pub const CLAIM_ARP_REQUEST: u8 = 1;
/// [`Claim::kind`]: ARP reply whose sender address is ours.
pub const CLAIM_ARP_REPLY: u8 = 2;
/// [`Claim::kind`]: IPv6 neighbour advertisement whose target is ours.
pub const CLAIM_NEIGHBOUR_ADVERTISEMENT: u8 = 3;

/// Names one virtual router on one interface.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
pub struct InstanceKey {
    /// Interface that the advertisement arrives on.
    pub ifindex: u32,
    /// Virtual router identifier.
    pub vrid: u8,
    /// 4 or 6.
    pub family: u8,
    /// Zero.
    pub reserved: [u8; 2],
}

impl InstanceKey {
    /// The bucket that the virtual router is in, less than [`BUCKETS`].
    ///
    /// Those of one interface and family are in one bucket each, and interfaces
    /// are spread.
    #[inline(always)]
    #[must_use]
    pub const fn bucket(self) -> u32 {
        // Odd, and its multiples spread well: the golden ratio's fraction.
        const SPREAD: u32 = 0x9e37_79b1;
        #[allow(clippy::cast_lossless, reason = "`From` is not const")]
        let (family, vrid) = (self.family as u32, self.vrid as u32);
        let link = (self.ifindex << 3 | family).wrapping_mul(SPREAD) >> 16;
        link.wrapping_add(vrid) & (BUCKETS - 1)
    }
}

/// Where the virtual routers of one bucket begin.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct Bucket {
    /// Slot of the first one in `instances`, plus 1; 0 if there is none.
    pub first: u32,
    /// Zero.
    pub reserved: [u8; 4],
}

/// A slot of `instances`: one virtual router, and the next in its bucket.
///
/// The daemon writes it in place, in words of eight octets. An advertisement that
/// arrives at the same moment may be judged by words of both the old value and the
/// new one, each of them valid; state and priority are in one word.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct InstanceRow {
    /// Which virtual router it is; zeros if none.
    pub key: InstanceKey,
    /// Slot of the next one in the bucket, plus 1; 0 after the last. It stays when
    /// the slot is given back, for a look-up that is just passing.
    pub next: u32,
    /// 1 if the host's stack is not to get its advertisements once they are recorded.
    pub consume: u8,
    /// 1 while somebody wants to see its advertisements: they go into `dump`.
    pub dump: u8,
    /// Zero.
    pub reserved: [u8; 2],
    /// What the kernel must know of it.
    pub instance: Instance,
}

/// What the kernel must know of one virtual router.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct Instance {
    /// [`digest`](crate::wire::vrrp::digest) of the configured address list.
    pub address_digest: u64,
    /// Least span between two events of a kind that may repeat, in nanoseconds.
    pub event_gap_ns: u64,
    /// Slot in `instances`, `actives`, `refusals` and `told`.
    pub index: u32,
    /// Our advertisement interval in centiseconds.
    pub interval_cs: u16,
    /// One of the `STATE_*` numbers.
    pub state: u8,
    /// Our priority, 1 to 255; 0 in [`STATE_ACTIVE`] while we hand over.
    pub priority: u8,
    /// 2 or 3.
    pub version: u8,
    /// 1 if a router of lower priority is to be preempted.
    pub preempt: u8,
    /// Least TTL or hop limit accepted; 255 as RFC 9568 §7.1 asks, less only
    /// for unicast.
    pub min_ttl: u8,
    /// Number of configured (advertised) addresses.
    pub address_count: u8,
    /// Version 2 only: expected authentication type (0 none, 1 simple password).
    pub auth_type: u8,
    /// 1 if advertisements come by unicast, from the sources that have a row in
    /// `unicast_peers`, and 0 if they come by multicast, from anyone.
    pub unicast: u8,
    /// 1 if the first IPv6 address of an advertisement need not be link-local.
    pub any_first_address: u8,
    /// Zero.
    pub reserved: [u8; 3],
    /// The link-layer address that our addresses are at: the interface's, or the
    /// virtual router's. Only claims of another are foreign.
    pub own_mac: [u8; 6],
    /// Our primary address on the interface.
    pub own_address: [u8; 16],
    /// Version 2 only: expected authentication data.
    pub auth_data: [u8; 8],
}

/// The last advertisement that holds back Active_Down for one virtual router:
/// who the others take for Active, as the kernel saw it.
///
/// Two CPUs may write at once. A mixed record combines two advertisements that
/// both hold back Active_Down, so no decision depends on which fields are whose.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct ActiveRouter {
    /// Arrival, nanoseconds of `CLOCK_MONOTONIC`; 0 if never.
    pub last_seen_ns: u64,
    /// Advertisements that held back Active_Down since start.
    pub adverts: u64,
    /// Interface.
    pub ifindex: u32,
    /// Advertised interval in centiseconds (version 2: seconds × 100).
    pub interval_cs: u16,
    /// Virtual router identifier.
    pub vrid: u8,
    /// 4 or 6.
    pub family: u8,
    /// Advertised priority.
    pub priority: u8,
    /// 1 if the daemon has been told of this source, priority and interval.
    pub told: u8,
    /// Source link-layer address.
    pub mac: [u8; 6],
    /// Source address.
    pub address: [u8; 16],
    /// When the source's row in `peers` was last written, nanoseconds of
    /// `CLOCK_MONOTONIC`; 0 if it has none. One that repeats itself within
    /// [`Instance::event_gap_ns`] changes this record only: finding its row takes
    /// longer than all else together.
    pub row_written_ns: u64,
    /// Advertisements since then, which its row will count when it is next written.
    pub unwritten: u32,
    /// Zero: a record is a cache line.
    pub reserved: [u8; 4],
}

/// When events of each kind were last sent for one virtual router, in
/// nanoseconds of `CLOCK_MONOTONIC` (0: never). Each kind has a limit of its own,
/// so that a flood of one does not hide another.
///
/// Two CPUs may write at once: then one event too many may be sent.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct Told {
    /// Last [`EVENT_CHANGED`], for [`Instance::event_gap_ns`].
    pub changed_ns: u64,
    /// Last [`EVENT_WEAKENED`], for the same gap.
    pub weakened_ns: u64,
    /// Last [`EVENT_LOSING`], for the same gap.
    pub losing_ns: u64,
    /// Last [`EVENT_NEW_PEER`], for the same gap.
    pub new_peer_ns: u64,
    /// Last [`EVENT_REFUSED`], for [`REFUSED_GAP_NS`].
    pub refused_ns: u64,
    /// First [`EVENT_RELEASE`] of those in `releases`.
    pub release_ns: u64,
    /// First [`EVENT_OUTRANKED`] of those in `outranks`.
    pub outranked_ns: u64,
    /// Events sent in the gap that began at `release_ns`, at most [`EVENT_BURST`].
    pub releases: u32,
    /// Events sent in the gap that began at `outranked_ns`, at most
    /// [`EVENT_BURST`].
    pub outranks: u32,
}

/// The last refused advertisement that named one of our virtual routers.
///
/// Nothing in it was verified beyond what comes before `reason` in the ladder of
/// checks (see [`vrrp::validate`](crate::wire::vrrp::validate)): who forges an
/// advertisement writes here. It is for people, and no decision reads it. Two CPUs
/// that write at once may leave a mix of two refused advertisements.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct Refused {
    /// Arrival, nanoseconds of `CLOCK_MONOTONIC`; 0 if never.
    pub last_seen_ns: u64,
    /// Refused advertisements since the instance is attached.
    pub adverts: u64,
    /// Interface.
    pub ifindex: u32,
    /// Advertised interval in centiseconds (version 2: seconds × 100).
    pub interval_cs: u16,
    /// Virtual router identifier.
    pub vrid: u8,
    /// 4 or 6.
    pub family: u8,
    /// Place of the [`Counter`] in [`Counter::ALL`]; see [`Counter::at`].
    pub reason: u8,
    /// Advertised version, 2 or 3.
    pub version: u8,
    /// Advertised priority.
    pub priority: u8,
    /// Number of advertised addresses.
    pub address_count: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Version 2 only: advertised authentication type.
    pub auth_type: u8,
    /// Source link-layer address.
    pub mac: [u8; 6],
    /// Source address.
    pub address: [u8; 16],
    /// 1 if it was sent to the multicast group.
    pub to_group: u8,
    /// Zero: a record is a cache line.
    pub reserved: [u8; 11],
}

/// Names one peer of one virtual router.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
pub struct PeerKey {
    /// Interface.
    pub ifindex: u32,
    /// Virtual router identifier.
    pub vrid: u8,
    /// 4 or 6.
    pub family: u8,
    /// Zero.
    pub reserved: [u8; 2],
    /// Source address.
    pub address: [u8; 16],
}

/// A source that may advertise to a virtual router by unicast: the row itself
/// says so.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct UnicastPeer {
    /// Zero.
    pub reserved: [u8; 4],
}

/// One peer's last valid advertisement. Of the Active router's that say the same
/// within [`Instance::event_gap_ns`], a tenth of the interval, only the first is
/// written here; see [`ActiveRouter::row_written_ns`].
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct Peer {
    /// Arrival, nanoseconds of `CLOCK_MONOTONIC`.
    pub last_seen_ns: u64,
    /// Valid advertisements since it was admitted.
    pub adverts: u64,
    /// Advertised interval in centiseconds (version 2: seconds × 100).
    pub interval_cs: u16,
    /// Advertised priority.
    pub priority: u8,
    /// 2 or 3.
    pub version: u8,
    /// 1 if its address list differs from ours.
    pub address_mismatch: u8,
    /// 1 if its version 3 IPv4 checksum leaves out the pseudo-header.
    pub message_only_checksum: u8,
    /// Source link-layer address.
    pub mac: [u8; 6],
    /// Zero.
    pub reserved: [u8; 4],
}

/// Names one watched address.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
pub struct VipKey {
    /// Interface.
    pub ifindex: u32,
    /// 4 or 6.
    pub family: u8,
    /// Zero.
    pub reserved: [u8; 3],
    /// The address.
    pub address: [u8; 16],
}

/// The virtual router that a watched address belongs to.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct Vip {
    /// Virtual router identifier.
    pub vrid: u8,
    /// Family of the virtual router (4 or 6).
    pub family: u8,
    /// Zero.
    pub reserved: [u8; 2],
}

/// Who last claimed a watched address from outside.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct Claim {
    /// Arrival, nanoseconds of `CLOCK_MONOTONIC`.
    pub last_seen_ns: u64,
    /// When an event was last sent for this address.
    pub last_event_ns: u64,
    /// Claims since the address is watched.
    pub claims: u64,
    /// Claimed link-layer address.
    pub mac: [u8; 6],
    /// One of the `CLAIM_*` numbers.
    pub kind: u8,
    /// Zero.
    pub reserved: u8,
}

/// What cannot wait for a deadline.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct Event {
    /// Arrival, nanoseconds of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// One of the `EVENT_*` numbers.
    pub kind: u32,
    /// Interface.
    pub ifindex: u32,
    /// [`Instance::index`].
    pub index: u32,
    /// Advertised interval in centiseconds; 0 in a claim.
    pub interval_cs: u16,
    /// Virtual router identifier.
    pub vrid: u8,
    /// 4 or 6.
    pub family: u8,
    /// Advertised priority; 0 in a claim.
    pub priority: u8,
    /// 2 or 3; 0 in a claim.
    pub version: u8,
    /// Source (in a claim: claimed) link-layer address.
    pub mac: [u8; 6],
    /// Source (in a claim: claimed) address.
    pub address: [u8; 16],
    /// One of the `CLAIM_*` numbers in a claim, else 0.
    pub claim_kind: u8,
    /// 1 if the advertised address list differs from ours.
    pub address_mismatch: u8,
    /// 1 if the version 3 IPv4 checksum leaves out the pseudo-header.
    pub message_only_checksum: u8,
    /// As [`Refused::reason`] in [`EVENT_REFUSED`], else 0.
    pub reason: u8,
    /// Zero.
    pub reserved: [u8; 4],
}

/// An advertisement that names one of our virtual routers, as the kernel program saw
/// it.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct Dumped {
    /// Arrival, nanoseconds of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// Interface.
    pub ifindex: u32,
    /// Advertised interval in centiseconds (version 2: seconds × 100).
    pub interval_cs: u16,
    /// Virtual router identifier.
    pub vrid: u8,
    /// 4 or 6.
    pub family: u8,
    /// Advertised version, 2 or 3.
    pub version: u8,
    /// Advertised priority.
    pub priority: u8,
    /// Number of addresses that it says it has.
    pub address_count: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// 1 if it was sent to the multicast group.
    pub to_group: u8,
    /// As [`Refused::reason`]; [`Counter::Accepted`]'s place if it is valid.
    pub reason: u8,
    /// Source link-layer address.
    pub mac: [u8; 6],
    /// Source address.
    pub address: [u8; 16],
    /// [`Instance::state`] at the time.
    pub state: u8,
    /// [`InstanceRow::consume`] at the time.
    pub consume: u8,
    /// Zero.
    pub reserved: [u8; 2],
}

const _: () = {
    assert!(size_of::<InstanceKey>() == 8);
    assert!(size_of::<Instance>() == 64);
    assert!(size_of::<Bucket>() == 8);
    assert!(size_of::<InstanceRow>() == 80);
    // One word, for `InstanceRow`.
    assert!(offset_of!(Instance, index) / 8 == offset_of!(Instance, priority) / 8);
    assert!(offset_of!(Instance, index) / 8 == offset_of!(Instance, state) / 8);
    assert!(size_of::<ActiveRouter>() == 64);
    assert!(size_of::<Told>() == 64);
    assert!(size_of::<Refused>() == 64);
    assert!(size_of::<PeerKey>() == 24);
    assert!(size_of::<UnicastPeer>() == 4);
    assert!(size_of::<Peer>() == 32);
    assert!(size_of::<VipKey>() == 24);
    assert!(size_of::<Vip>() == 4);
    assert!(size_of::<Claim>() == 32);
    assert!(size_of::<Event>() == 56);
    assert!(size_of::<Dumped>() == 48);
    assert!(size_of::<Counters>() == 8 * Counter::ALL.len());
    // `Refused::reason` has room for each.
    assert!(Counter::ALL.len() <= 256);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn map_names_fit_the_kernels_limit() {
        for name in map::ALL {
            assert!(name.len() <= 15, "{name}");
        }
    }
}
