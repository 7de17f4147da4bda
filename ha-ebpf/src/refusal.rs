//! What a refused advertisement changes, if it names one of our virtual routers.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use ha_common::{
    abi,
    wire::{Refusal, vrrp::Header},
};

use crate::{
    limit,
    maps::{REFUSALS, TOLD},
    verdict,
};

/// Records that an advertisement on `ifindex` for the virtual router `instance`
/// was refused, and now and then tells the daemon, for a warning that names who
/// sends it.
#[inline(always)]
pub(crate) fn hear(header: &Header, instance: &abi::Instance, ifindex: u32, refusal: Refusal) {
    let (Some(record), Some(told)) = (
        REFUSALS.get_ptr_mut(instance.index),
        TOLD.get_ptr_mut(instance.index),
    ) else {
        return;
    };
    #[allow(
        clippy::cast_possible_truncation,
        reason = "`abi` asserts that it fits"
    )]
    let reason = refusal as usize as u8;
    // SAFETY: reads the clock.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    store(record, header, ifindex, reason, now_ns);
    // SAFETY: the slot of an array map is valid for as long as the program runs.
    let last_ns = unsafe { &raw mut (*told).refused_ns };
    limit::once(last_ns, now_ns, abi::REFUSED_GAP_NS, || {
        verdict::tell(abi::Event {
            at_ns: now_ns,
            kind: abi::EVENT_REFUSED,
            ifindex,
            index: instance.index,
            interval_cs: header.interval().0,
            vrid: header.vrid,
            family: header.family.code(),
            priority: header.priority.0,
            version: header.version.number(),
            mac: header.source_mac.0,
            address: header.source.0,
            claim_kind: 0,
            address_mismatch: 0,
            message_only_checksum: 0,
            reason,
            reserved: [0; 4],
        })
    });
}

#[inline(always)]
#[allow(
    clippy::multiple_unsafe_ops_per_block,
    reason = "one reason holds for all of them"
)]
fn store(record: *mut abi::Refused, header: &Header, ifindex: u32, reason: u8, now_ns: u64) {
    // SAFETY: the slot of an array map is valid and aligned for as long as the
    // program runs. Other CPUs and the daemon may look at it: it is only touched by
    // value, field by field, the time last.
    unsafe {
        (*record).adverts = (*record).adverts.wrapping_add(1);
        (*record).ifindex = ifindex;
        (*record).interval_cs = header.interval().0;
        (*record).vrid = header.vrid;
        (*record).family = header.family.code();
        (*record).reason = reason;
        (*record).version = header.version.number();
        (*record).priority = header.priority.0;
        (*record).address_count = header.address_count;
        (*record).ttl = header.ttl;
        (*record).auth_type = header.auth_type().unwrap_or(0);
        (*record).mac = header.source_mac.0;
        (*record).address = header.source.0;
        (*record).to_group = u8::from(header.to_group);
        (&raw mut (*record).last_seen_ns).write_volatile(now_ns);
    }
}
