//! Ethernet II.

use super::Window;
use crate::types::MacAddress;

/// Octets in the header.
pub const HEADER_LEN: usize = 14;
/// Offset of the source address.
pub const SOURCE: usize = 6;
/// Offset of the EtherType.
pub const ETHER_TYPE: usize = 12;

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;

/// The source address.
#[inline(always)]
pub fn source<W: Window>(window: &W) -> Option<MacAddress> {
    window.bytes_at(SOURCE).map(MacAddress)
}

/// A header.
#[must_use]
pub const fn header(destination: MacAddress, source: MacAddress, ether_type: u16) -> [u8; 14] {
    let d = destination.0;
    let s = source.0;
    let [high, low] = ether_type.to_be_bytes();
    [
        d[0], d[1], d[2], d[3], d[4], d[5], s[0], s[1], s[2], s[3], s[4], s[5], high, low,
    ]
}
