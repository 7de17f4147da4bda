//! How often the daemon is told of one kind of event, by virtual router.
//!
//! What is held back has to be known by other means, or to repeat:
//!
//! - `CHANGED`: the record says that it is not told, so the next advertisement is.
//! - `WEAKENED`, `LOSING`, `NEW_PEER`, `REFUSED`: the next advertisement is told
//!   of, and a second one within the gap asks for nothing that the first did not.
//! - `OUTRANKED`: the first one ends our being Active. The others are in the
//!   record, which the daemon reads before each of its deadlines, and once they
//!   are heard as Backup they are told as `CHANGED`.
//! - `RELEASE`: as Backup the first one sets the deadline, and one that comes later
//!   sets none that is earlier. Only after an advertisement that held us back
//!   in between, and as Active, where each wants an answer, a further one matters.
//!
//! For the sake of these exceptions the last two may come in a burst
//! ([`abi::EVENT_BURST`]). They could be let through without any limit where the
//! record is newer than the last release, but then a forger who sends the two in
//! turn would fill the ring.

use ha_common::abi;

/// Whether an event that may repeat is due at `now_ns`, if one was last sent at
/// `last_ns` (0: never).
#[inline(always)]
pub(crate) fn is_due(now_ns: u64, last_ns: u64, gap_ns: u64) -> bool {
    // In unsigned arithmetic a time that another CPU took a moment later counts
    // as long ago: one event too many, not one too few.
    last_ns == 0 || now_ns.wrapping_sub(last_ns) >= gap_ns
}

/// Sends one event per gap. `last_ns` is a time in a slot of `told`; `tell` says
/// whether there was room in the ring.
#[inline(always)]
pub(crate) fn once(
    last_ns: *mut u64,
    now_ns: u64,
    gap_ns: u64,
    tell: impl FnOnce() -> bool,
) -> bool {
    // SAFETY: the slot of an array map is valid for as long as the program runs.
    let sent = is_due(now_ns, unsafe { *last_ns }, gap_ns) && tell();
    if sent {
        // SAFETY: as above.
        unsafe { *last_ns = now_ns };
    }
    sent
}

/// Sends up to [`abi::EVENT_BURST`] events per gap, the first of which came at
/// `first_ns`. Both places are in a slot of `told`; `tell` says whether there was
/// room in the ring.
#[inline(always)]
pub(crate) fn burst(
    first_ns: *mut u64,
    sent_since: *mut u32,
    now_ns: u64,
    gap_ns: u64,
    tell: impl FnOnce() -> bool,
) -> bool {
    // SAFETY: the slot of an array map is valid for as long as the program runs.
    let anew = is_due(now_ns, unsafe { *first_ns }, gap_ns);
    // SAFETY: as above.
    let before = if anew { 0 } else { unsafe { *sent_since } };
    let sent = before < abi::EVENT_BURST && tell();
    if sent {
        if anew {
            // SAFETY: as above.
            unsafe { *first_ns = now_ns };
        }
        // SAFETY: as above.
        unsafe { *sent_since = before.wrapping_add(1) };
    }
    sent
}
