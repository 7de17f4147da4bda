//! Counters, events, and the log of refusals.

use aya_ebpf::programs::XdpContext;
use ha_common::{
    abi::{Counter, Event},
    wire::Refusal,
};

use crate::maps::{COUNTERS, EVENTS};

/// Why a VRRP packet is not heard.
#[derive(Clone, Copy)]
pub(crate) enum Denied {
    /// No such virtual router on the interface.
    NotConfigured,
    /// It failed one of the checks.
    Refused(Refusal),
}

/// Adds one to a counter of this CPU.
#[inline(always)]
pub(crate) fn count(counter: Counter) {
    count_those([(counter, true)]);
}

/// Adds one to each counter of this CPU that is due.
#[inline(always)]
pub(crate) fn count_those<const N: usize>(counters: [(Counter, bool); N]) {
    let Some(row) = COUNTERS.get_ptr_mut(0) else {
        return;
    };
    for (counter, due) in counters {
        let place = counter as usize;
        if !due || place >= Counter::ALL.len() {
            continue;
        }
        // SAFETY: `Counters` is that many `u64`s without padding, and `place` is
        // one of them.
        let slot = unsafe { row.cast::<u64>().add(place) };
        // SAFETY: the slot is valid while the program runs, and no other program
        // runs on this CPU meanwhile.
        let slot = unsafe { &mut *slot };
        *slot = slot.wrapping_add(1);
    }
}

/// Sends `event` to the daemon and says whether there was room for it.
#[inline(always)]
pub(crate) fn tell(event: Event) -> bool {
    let Some(mut entry) = EVENTS.reserve_untyped::<Event>(0) else {
        count(Counter::EventsLost);
        return false;
    };
    entry.write(event);
    entry.submit(0);
    true
}

/// Logs a refusal, in a build with the feature `log`.
#[cfg(feature = "log")]
#[inline(always)]
pub(crate) fn log(ctx: &XdpContext, refusal: Refusal) {
    aya_log_ebpf::debug!(ctx, "refused: {}", refusal.counter().name());
}

/// Does nothing: the feature `log` is off.
#[cfg(not(feature = "log"))]
#[inline(always)]
pub(crate) fn log(_ctx: &XdpContext, _refusal: Refusal) {}
