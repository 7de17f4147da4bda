//! Harrier's XDP program: it hears VRRP advertisements and claims of watched
//! addresses, keeps their arrival times in maps, and tells the daemon what
//! cannot wait.
//!
//! - [`window`]: the one file that touches packet pointers
//! - [`maps`]: the maps, as `ha_common::abi` describes them
//! - [`advert`]: what a valid advertisement changes
//! - [`refusal`]: what a refused advertisement changes
//! - [`dump`]: what people see while they look
//! - [`limit`]: how often the daemon is told
//! - [`neighbour`]: what a claim of a watched address changes
//! - [`verdict`]: counters and events
//!
//! The entry point turns the result into a verdict in one exhaustive match.
//! Every frame passes but an advertisement that is recorded and to be consumed. A
//! refused one is counted, and the stack finds no one who listens to it.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

mod advert;
mod dump;
mod limit;
mod maps;
mod neighbour;
mod refusal;
mod verdict;
mod window;

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
use ha_common::{
    abi::Counter,
    wire::{self, Frame},
};

use crate::{verdict::Denied, window::PacketWindow};

/// What a frame that was not refused turned out to be.
#[derive(Clone, Copy)]
enum Heard {
    /// Nothing to do with us.
    Other,
    /// A valid advertisement for one of our virtual routers.
    Advertisement,
    /// The same, and nobody else on this host is to hear it.
    Consumed,
    /// A claim of some address, ours or not.
    Claim,
}

/// Hears every frame that arrives on an interface with a virtual router.
// Its symbol is `abi::PROGRAM`.
#[xdp]
pub(crate) fn harrier(ctx: XdpContext) -> u32 {
    match hear(&ctx) {
        Ok(Heard::Other | Heard::Advertisement | Heard::Claim) => xdp_action::XDP_PASS,
        Ok(Heard::Consumed) => {
            verdict::count(Counter::Consumed);
            xdp_action::XDP_DROP
        }
        Err(Denied::NotConfigured) => {
            verdict::count(Counter::NotConfigured);
            xdp_action::XDP_PASS
        }
        Err(Denied::Refused(refusal)) => {
            verdict::count(refusal.counter());
            verdict::log(&ctx, refusal);
            xdp_action::XDP_PASS
        }
    }
}

#[inline(always)]
fn hear(ctx: &XdpContext) -> Result<Heard, Denied> {
    let window = PacketWindow::new(ctx);
    match wire::classify(&window).map_err(Denied::Refused)? {
        Frame::Other => Ok(Heard::Other),
        Frame::Advertisement(header) => {
            if advert::hear(&window, &header, window::ifindex(ctx))? {
                Ok(Heard::Consumed)
            } else {
                Ok(Heard::Advertisement)
            }
        }
        Frame::Claim(claim) => {
            neighbour::hear(&claim, window::ifindex(ctx));
            Ok(Heard::Claim)
        }
    }
}

/// Required by the language; the verifier rejects a program that could get here.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// For `cargo check` and `cargo clippy` on the host; the program is built for
/// `bpfel-unknown-none` by `cargo xtask build-ebpf`.
#[cfg(not(target_arch = "bpf"))]
fn main() {}

/// The helpers for time and ring buffer are for programs under a licence that
/// is compatible with the GPL.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
