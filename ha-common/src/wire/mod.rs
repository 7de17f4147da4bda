//! Wire formats: the one parser that kernel program, daemon, simulator and
//! fuzzers run, with its ordered ladder of checks, and the builders.
//!
//! The kernel runs everything from [`classify`] to [`vrrp::validate`], so that
//! code is generic over a [`Window`], reads a few octets at a time at offsets
//! with a provable upper bound, loops at most 255 times, and cannot panic.
//!
//! The ladder stops at the first rung that fails; each failure is one
//! [`Refusal`] and counts in one counter. [`classify`] climbs up to the type;
//! the caller looks up (interface, VRID, family); [`vrrp::validate`] climbs on.

pub mod arp;
pub mod checksum;
pub mod eth;
pub mod ipv4;
pub mod ipv6;
pub mod nd;
pub mod vrrp;
pub mod window;

pub use window::{SliceWindow, Window};

use crate::{
    abi::Counter,
    types::{AddressFamily, MacAddress, RouterAddress},
};

macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $variant:ident,)+) => {
        /// Why a frame that says it is VRRP is not a valid advertisement.
        ///
        /// One variant for each "refused" field of [`Counters`](crate::abi::Counters). "Not
        /// configured" is missing: only the caller, who owns the table of virtual
        /// routers, can tell.
        // The numbers are the counters', so that `counter` costs nothing.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(usize)]
        pub enum Refusal {
            $($(#[doc = $doc])+ $variant = Counter::$variant as usize,)+
        }

        impl Refusal {
            /// All of them, in the order of [`Counters`](crate::abi::Counters).
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The counter that this refusal increments.
            #[inline(always)]
            #[must_use]
            pub const fn counter(self) -> Counter {
                match self {
                    $(Self::$variant => Counter::$variant,)+
                }
            }
        }
    };
}

refusals! {
    /// The frame ends before its headers say.
    Truncated,
    /// The IP version or header length is impossible.
    BadIpHeader,
    /// Wrong IPv4 header checksum.
    BadIpChecksum,
    /// An IPv4 fragment.
    Fragment,
    /// TTL or hop limit below [`Instance::min_ttl`](crate::abi::Instance::min_ttl).
    BadTtl,
    /// Less than the 8 octets of a VRRP header.
    TooShort,
    /// Neither version 2 nor 3, or version 2 over IPv6.
    BadVersion,
    /// Type is not 1 (ADVERTISEMENT).
    BadType,
    /// Another version than the virtual router's.
    VersionMismatch,
    /// Unicast where the virtual router uses multicast, or the other way round.
    BadDestination,
    /// Unicast from a source that is not a configured peer.
    UnlistedSource,
    /// No addresses, though the virtual router has some.
    NoAddresses,
    /// The length does not fit the address count.
    BadLength,
    /// Version 3 with an interval of zero.
    ZeroInterval,
    /// Version 2 authentication type or data differs from ours.
    BadAuthentication,
    /// Version 2 interval differs from ours.
    IntervalMismatch,
    /// Wrong checksum.
    BadChecksum,
    /// The first IPv6 address is not link-local.
    NotLinkLocal,
    /// Our own address is the source.
    OwnAddress,
    /// Version 2 with another address list than ours, not from the owner.
    AddressListMismatch,
}

/// What a frame is to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame {
    /// Nothing to do with us: it passes untouched.
    Other,
    /// A VRRP advertisement, not yet validated.
    Advertisement(vrrp::Header),
    /// Its sender says that it holds an address.
    Claim(Claim),
}

/// A statement by ARP or neighbour discovery about who holds an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// Family of the address.
    pub family: AddressFamily,
    /// The claimed address.
    pub address: RouterAddress,
    /// The link-layer address that it is said to be at.
    pub mac: MacAddress,
    /// One of [`CLAIM_ARP_REQUEST`](crate::abi::CLAIM_ARP_REQUEST), [`CLAIM_ARP_REPLY`](crate::abi::CLAIM_ARP_REPLY) and
    /// [`CLAIM_NEIGHBOUR_ADVERTISEMENT`](crate::abi::CLAIM_NEIGHBOUR_ADVERTISEMENT).
    pub kind: u8,
}

/// Sorts a frame, which starts with its Ethernet header.
///
/// What is neither VRRP nor a claim leaves after two reads (IPv4, IPv6) or
/// three (ICMPv6). That includes tagged frames, IPv6 with extension headers,
/// malformed ARP and neighbour discovery: none of it is ours to judge.
///
/// # Errors
///
/// A frame of IP protocol 112 that fails one of, in this order: IP version and
/// header length, frame as long as the IP header itself, IPv4 header checksum,
/// fragment, length of at least 8 octets, frame as long as the IP header says,
/// VRRP version, type.
///
/// The protocol is read before the rest of the IP header, so only VRRP can be
/// refused here, and other traffic does not pay for the header's checksum. TTL
/// and hop limit are policy and judged by [`vrrp::validate`]: with an unknown
/// VRID such a packet counts as not configured.
#[inline(always)]
pub fn classify<W: Window>(window: &W) -> Result<Frame, Refusal> {
    let Some(ether_type) = window.bytes_at::<2>(eth::ETHER_TYPE) else {
        return Ok(Frame::Other);
    };
    match u16::from_be_bytes(ether_type) {
        eth::IPV4 => ipv4::classify(window),
        eth::IPV6 => ipv6::classify(window),
        eth::ARP => Ok(arp::claim(window).map_or(Frame::Other, Frame::Claim)),
        _ => Ok(Frame::Other),
    }
}
