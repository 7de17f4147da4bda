//! The one file that touches packet pointers.

use core::mem::transmute_copy;

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use ha_common::wire::Window;

/// The frame between XDP's two packet pointers.
///
/// Each read compares its own end with the packet's: that comparison is what
/// the verifier looks for, so it must not be turned into one of lengths.
pub(crate) struct PacketWindow {
    ctx: *mut xdp_md,
    start: *const u8,
}

impl PacketWindow {
    /// The frame that `ctx` is about.
    #[inline(always)]
    pub(crate) fn new(ctx: &XdpContext) -> Self {
        Self {
            ctx: ctx.ctx,
            start: ctx.data() as *const u8,
        }
    }

    /// Where the packet ends, read anew each time: in a loop the optimizer would
    /// otherwise compute with it, which the verifier forbids.
    #[inline(always)]
    fn end(&self) -> *const u8 {
        // SAFETY: the context outlives the window, which lives in the entry point.
        let field = unsafe { &raw const (*self.ctx).data_end };
        // SAFETY: as above.
        let end = unsafe { field.read_volatile() };
        end as usize as *const u8
    }
}

impl Window for PacketWindow {
    #[inline(always)]
    fn bytes_at<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let at = self.start.wrapping_add(offset);
        if at.wrapping_add(N) > self.end() {
            return None;
        }
        // SAFETY: the N octets lie between the packet pointers, which stay valid
        // while the program runs (nothing here moves the packet's head or tail).
        // The verifier proves it again.
        Some(unsafe { load(at) })
    }
}

/// The `N` octets at `at`, in as few loads as may be.
///
/// The compiler reads what may be misaligned octet by octet, since the target is
/// for machines that cannot do otherwise as well. The feature
/// `allows-misaligned-mem-access` would tell it better, but then it also writes
/// misaligned words to the stack, which the verifier refuses on every machine.
///
/// # Safety
/// They have to be readable.
#[inline(always)]
#[allow(
    clippy::multiple_unsafe_ops_per_block,
    reason = "one reason holds for all of them"
)]
unsafe fn load<const N: usize>(at: *const u8) -> [u8; N] {
    const { assert!(matches!(N, 1 | 2 | 4 | 6 | 8 | 16), "add it below") };
    // SAFETY: no more octets than the caller has promised, and a word has as many
    // as the array that it is copied to.
    unsafe {
        match N {
            16 => transmute_copy(&[load_8(at), load_8(at.wrapping_add(8))]),
            8 => transmute_copy(&load_8(at)),
            6 => transmute_copy(&(load_4(at) | load_2(at.wrapping_add(4)) << 32)),
            4 => transmute_copy(&load_4(at)),
            2 => transmute_copy(&load_2(at)),
            _ => [*at; N],
        }
    }
}

macro_rules! load {
    ($name:ident, $type:literal) => {
        /// # Safety
        /// The octets have to be readable.
        #[inline(always)]
        unsafe fn $name(at: *const u8) -> u64 {
            #[cfg(target_arch = "bpf")]
            {
                let word: u64;
                // SAFETY: one load of what the caller says is readable.
                unsafe {
                    core::arch::asm!(
                        concat!("{word} = *(", $type, " *)({at} + 0)"),
                        word = lateout(reg) word,
                        at = in(reg) at,
                        options(pure, readonly, nostack, preserves_flags),
                    );
                }
                word
            }
            #[cfg(not(target_arch = "bpf"))]
            {
                let _ = at;
                0
            }
        }
    };
}

load!(load_8, "u64");
load!(load_4, "u32");
load!(load_2, "u16");

/// The interface that the frame arrived on.
#[inline(always)]
pub(crate) fn ifindex(ctx: &XdpContext) -> u32 {
    #[allow(clippy::cast_possible_truncation, reason = "read from 32 bits")]
    let ifindex = ctx.ingress_ifindex() as u32;
    ifindex
}
