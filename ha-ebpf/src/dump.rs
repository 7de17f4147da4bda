//! What `harrier dump` shows: every advertisement that names one of our virtual
//! routers, while somebody looks.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use ha_common::{
    abi::{self, Counter},
    wire::vrrp::Header,
};

use crate::{maps::DUMP, verdict};

/// Puts an advertisement on `ifindex` into the ring `dump`. `reason`: why it was
/// refused, or [`Counter::Accepted`].
#[inline(always)]
pub(crate) fn show(header: &Header, row: &abi::InstanceRow, ifindex: u32, reason: Counter) {
    if row.dump == 0 {
        return;
    }
    let Some(mut entry) = DUMP.reserve_untyped::<abi::Dumped>(0) else {
        verdict::count(Counter::DumpsLost);
        return;
    };
    #[allow(
        clippy::cast_possible_truncation,
        reason = "`abi` asserts that it fits"
    )]
    let reason = reason as usize as u8;
    entry.write(abi::Dumped {
        // SAFETY: reads the clock.
        at_ns: unsafe { bpf_ktime_get_ns() },
        ifindex,
        interval_cs: header.interval().0,
        vrid: header.vrid,
        family: header.family.code(),
        version: header.version.number(),
        priority: header.priority.0,
        address_count: header.address_count,
        ttl: header.ttl,
        to_group: u8::from(header.to_group),
        reason,
        mac: header.source_mac.0,
        address: header.source.0,
        state: row.instance.state,
        consume: row.consume,
        reserved: [0; 2],
    });
    entry.submit(0);
}
