//! What a claim of a watched address changes.

use aya_ebpf::{bindings::BPF_NOEXIST, helpers::bpf_ktime_get_ns};
use ha_common::{
    abi::{self, Counter},
    wire::Claim,
};

use crate::{
    limit,
    maps::{self, CLAIMS, VIPS},
    verdict,
};

/// Records a claim by another host of an address that is watched on `ifindex`;
/// while we are Active, tells the daemon.
#[inline(always)]
pub(crate) fn hear(claim: &Claim, ifindex: u32) {
    let key = abi::VipKey {
        ifindex,
        family: claim.family.code(),
        reserved: [0; 3],
        address: claim.address.0,
    };
    // SAFETY: the program only reads this map, and only while it runs.
    let Some(vip) = (unsafe { VIPS.get(key) }) else {
        return;
    };
    let Some(row) = maps::instance(ifindex, vip.vrid, vip.family) else {
        return;
    };
    let instance = &row.instance;
    // A peer with the same virtual MAC address claims nothing else than we do: for
    // the clients the address is where it was.
    if same_mac(claim.mac.0, instance.own_mac) {
        return;
    }
    verdict::count(Counter::ForeignClaims);

    // SAFETY: reads the clock.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    let record = CLAIMS.get_ptr_mut(key);
    let last_event_ns = match record {
        // SAFETY: the record is valid while the program runs.
        Some(record) => unsafe { (*record).last_event_ns },
        None => 0,
    };
    let told = instance.state == abi::STATE_ACTIVE
        && limit::is_due(now_ns, last_event_ns, instance.event_gap_ns)
        && verdict::tell(event(claim, &key, instance, vip.vrid, now_ns));
    let last_event_ns = if told { now_ns } else { last_event_ns };
    match record {
        Some(record) => update(record, claim, now_ns, last_event_ns),
        None => {
            let first = abi::Claim {
                last_seen_ns: now_ns,
                last_event_ns,
                claims: 1,
                mac: claim.mac.0,
                kind: claim.kind,
                reserved: 0,
            };
            // Another CPU may have been faster; then its record stands.
            let _ = CLAIMS.insert(key, first, u64::from(BPF_NOEXIST));
        }
    }
}

#[inline(always)]
#[allow(
    clippy::multiple_unsafe_ops_per_block,
    reason = "one reason holds for all of them"
)]
fn update(record: *mut abi::Claim, claim: &Claim, now_ns: u64, last_event_ns: u64) {
    // SAFETY: the record came from a lookup, so it is valid and aligned while
    // the program runs. Other CPUs and the daemon may look at it: it is only
    // touched by value, field by field, the time last.
    unsafe {
        (*record).claims = (*record).claims.wrapping_add(1);
        (*record).mac = claim.mac.0;
        (*record).kind = claim.kind;
        (*record).last_event_ns = last_event_ns;
        (&raw mut (*record).last_seen_ns).write_volatile(now_ns);
    }
}

#[inline(always)]
fn event(
    claim: &Claim,
    key: &abi::VipKey,
    instance: &abi::Instance,
    vrid: u8,
    now_ns: u64,
) -> abi::Event {
    abi::Event {
        at_ns: now_ns,
        kind: abi::EVENT_CLAIM,
        ifindex: key.ifindex,
        index: instance.index,
        interval_cs: 0,
        vrid,
        family: key.family,
        priority: 0,
        version: 0,
        mac: claim.mac.0,
        address: key.address,
        claim_kind: claim.kind,
        address_mismatch: 0,
        message_only_checksum: 0,
        reason: 0,
        reserved: [0; 4],
    }
}

/// Equality in one word: a comparison of arrays could become a call.
#[inline(always)]
fn same_mac(one: [u8; 6], other: [u8; 6]) -> bool {
    let word = |[a, b, c, d, e, f]: [u8; 6]| u64::from_ne_bytes([a, b, c, d, e, f, 0, 0]);
    word(one) == word(other)
}
