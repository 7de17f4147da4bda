//! The one file that touches packet pointers.

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
        // while the program runs (nothing here moves the packet's head or tail),
        // and an array of octets has no alignment. The verifier proves it again.
        Some(unsafe { at.cast::<[u8; N]>().read() })
    }
}

/// The interface that the frame arrived on.
#[inline(always)]
pub(crate) fn ifindex(ctx: &XdpContext) -> u32 {
    #[allow(clippy::cast_possible_truncation, reason = "read from 32 bits")]
    let ifindex = ctx.ingress_ifindex() as u32;
    ifindex
}
