//! VRRP advertisements: version 3 (RFC 9568) and version 2 (RFC 3768).

mod digest;
mod encode;
mod validate;

pub use digest::digest;
pub use encode::{
    Authentication, ChecksumForm, EncodeError, MAX_MESSAGE_LEN, Outgoing, encode, encode_any,
};
pub use validate::{Advert, validate};

use core::net::{Ipv4Addr, Ipv6Addr};

use super::{Refusal, Window, checksum::Sum};
use crate::types::{
    AddressFamily, Centiseconds, MacAddress, Priority, RouterAddress, Version, Vrid,
};

/// IP protocol number (RFC 9568 §5.1.1.4).
pub const PROTOCOL: u8 = 112;
/// Where IPv4 advertisements go (RFC 9568 §5.1.1.2).
pub const IPV4_GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// Where IPv6 advertisements go (RFC 9568 §5.1.2.2).
pub const IPV6_GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

/// Type of service and traffic class of advertisements: CS6, network control
/// (RFC 4594 §3.1). The RFC asks for none; what keeps a network up should not queue
/// behind what it carries.
pub const TRAFFIC_CLASS: u8 = 0xc0;

/// Octets before the addresses.
const FIXED_LEN: usize = 8;
/// Octets of authentication data after the addresses of version 2.
const AUTHENTICATION_LEN: usize = 8;
/// The 12 bits of Max Advertise Interval; the 4 above are reserved and ignored
/// (RFC 9568 §5.2.6).
const INTERVAL_MASK: u16 = 0x0fff;
/// The only type there is (RFC 9568 §5.2.2).
const ADVERTISEMENT: u8 = 1;

/// The multicast group of `family`.
#[must_use]
pub fn group(family: AddressFamily) -> RouterAddress {
    match family {
        AddressFamily::Ipv4 => IPV4_GROUP.into(),
        AddressFamily::Ipv6 => IPV6_GROUP.into(),
    }
}

/// The link-layer address of the multicast group of `family` (RFC 1112 §6.4,
/// RFC 2464 §7).
#[must_use]
pub const fn group_mac(family: AddressFamily) -> MacAddress {
    match family {
        AddressFamily::Ipv4 => MacAddress([0x01, 0x00, 0x5e, 0, 0, 0x12]),
        AddressFamily::Ipv6 => MacAddress([0x33, 0x33, 0, 0, 0, 0x12]),
    }
}

/// The link-layer address of a virtual router (RFC 9568 §7.3).
#[must_use]
pub const fn virtual_mac(family: AddressFamily, vrid: Vrid) -> MacAddress {
    let block = match family {
        AddressFamily::Ipv4 => 1,
        AddressFamily::Ipv6 => 2,
    };
    MacAddress([0, 0, 0x5e, 0, block, vrid.value()])
}

/// A frame that says it is an advertisement: what the ladder has read up to the
/// type. Made by [`classify`](super::classify) only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Family of the IP header, and so of the addresses.
    pub family: AddressFamily,
    /// Version of the protocol.
    pub version: Version,
    /// Virtual router identifier, unchecked: 0 is never configured.
    pub vrid: u8,
    /// Priority.
    pub priority: Priority,
    /// Number of addresses that the message says it has.
    pub address_count: u8,
    /// IP source address.
    pub source: RouterAddress,
    /// Ethernet source address.
    pub source_mac: MacAddress,
    /// Whether it was sent to the family's multicast group.
    pub to_group: bool,
    /// TTL or hop limit.
    pub ttl: u8,
    /// The IP destination address, as its part in the pseudo-header's sum.
    destination: Sum,
    /// Offset of the message in the frame: 34 to 74.
    offset: usize,
    /// Octets in the message by the IP header, at least 8. The frame holds
    /// them all, or more than any advertisement may have.
    length: usize,
    /// The message's first 8 octets, the first one lowest.
    fixed: u64,
}

impl Header {
    /// Offset of the VRRP message in the frame, in octets: 34 to 74.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// The advertised interval in centiseconds, unchecked: 0 to 4095 in version 3,
    /// whole seconds up to 255 in version 2.
    #[inline(always)]
    #[must_use]
    pub const fn interval(&self) -> Centiseconds {
        let (high, low) = (octet(self.fixed, 4), octet(self.fixed, 5));
        Centiseconds(match self.version {
            Version::V2 => (low as u16).wrapping_mul(100),
            Version::V3 => u16::from_be_bytes([high, low]) & INTERVAL_MASK,
        })
    }

    /// The authentication type of version 2 (RFC 2338 §5.3.6), unchecked; `None` in
    /// version 3, which has none.
    #[inline(always)]
    #[must_use]
    pub const fn auth_type(&self) -> Option<u8> {
        match self.version {
            Version::V2 => Some(octet(self.fixed, 4)),
            Version::V3 => None,
        }
    }

    /// Length of the VRRP message by the IP header, in octets: at least 8.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.length
    }
}

/// What the IP header says of the message it carries.
pub(super) struct Carrier {
    pub(super) family: AddressFamily,
    pub(super) source: RouterAddress,
    pub(super) source_mac: MacAddress,
    pub(super) to_group: bool,
    pub(super) destination: Sum,
    pub(super) ttl: u8,
    pub(super) offset: usize,
    pub(super) length: usize,
}

/// The rungs from the length to the type.
#[inline(always)]
pub(super) fn header<W: Window>(window: &W, carrier: Carrier) -> Result<Header, Refusal> {
    let Carrier {
        family,
        source,
        source_mac,
        to_group,
        destination,
        ttl,
        offset,
        length,
    } = carrier;
    if length < FIXED_LEN {
        return Err(Refusal::TooShort);
    }
    // The frame has to hold the message's last octet. A length beyond every
    // valid one cannot fit the address count, whatever the frame holds; cutting
    // it here bounds the offset.
    let last = if length < MAX_MESSAGE_LEN {
        length
    } else {
        MAX_MESSAGE_LEN
    };
    let (Some(fixed), Some(_)) = (
        window.bytes_at::<FIXED_LEN>(offset),
        window.bytes_at::<1>(offset.wrapping_add(last).wrapping_sub(1)),
    ) else {
        return Err(Refusal::Truncated);
    };
    let fixed = u64::from_le_bytes(fixed);
    let version_type = octet(fixed, 0);
    let version = match (version_type >> 4, family) {
        (2, AddressFamily::Ipv4) => Version::V2,
        (3, _) => Version::V3,
        _ => return Err(Refusal::BadVersion),
    };
    if version_type & 0x0f != ADVERTISEMENT {
        return Err(Refusal::BadType);
    }
    Ok(Header {
        family,
        version,
        vrid: octet(fixed, 1),
        priority: Priority(octet(fixed, 2)),
        address_count: octet(fixed, 3),
        source,
        source_mac,
        to_group,
        ttl,
        destination,
        offset,
        length,
        fixed,
    })
}

/// The octet in `place`, 0 to 7, of a word that has its first octet lowest. Octets
/// that are taken out of an array stay octets in the kernel program, of which it
/// then makes words again.
#[inline(always)]
const fn octet(word: u64, place: u32) -> u8 {
    #[allow(clippy::cast_possible_truncation, reason = "the lowest octet is meant")]
    let octet = (word >> (8 * place)) as u8;
    octet
}

/// The pseudo-header of RFC 9568 §5.2.8 and RFC 8200 §8.1 for a message of
/// `length` octets. IPv4 and IPv6 differ in the width of their fields only,
/// which a sum of 16-bit words does not see.
#[inline(always)]
fn pseudo_header(source: RouterAddress, destination: RouterAddress, length: usize) -> Sum {
    pseudo_header_rest(length, PROTOCOL)
        .add_16(source.0)
        .add_16(destination.0)
}

/// A pseudo-header but for its addresses: length and protocol.
#[inline(always)]
pub(super) fn pseudo_header_rest(length: usize, protocol: u8) -> Sum {
    #[allow(clippy::cast_possible_truncation, reason = "IP lengths have 16 bits")]
    let length = length as u16;
    Sum::new().add_2(length.to_be_bytes()).add_2([0, protocol])
}

/// Equality in two words: a comparison of arrays could become a call.
#[inline(always)]
pub(super) fn same_address(one: [u8; 16], other: [u8; 16]) -> bool {
    let (one, other) = (digest::halves(one), digest::halves(other));
    one.0 == other.0 && one.1 == other.1
}
