//! IPv6 (RFC 8200), as far as VRRP and neighbour discovery need it.

use core::net::Ipv6Addr;

use super::{Frame, Refusal, Window, checksum::Sum, eth, nd, vrrp};
use crate::types::{AddressFamily, RouterAddress};

/// Offset of the header in the frame.
const START: usize = eth::HEADER_LEN;
/// Octets in a header without extensions.
pub const HEADER_LEN: usize = 40;
/// Offset of the source address in the frame; the destination follows it.
pub(super) const SOURCE: usize = START + 8;
/// Offset of the destination address in the frame.
pub(super) const DESTINATION: usize = START + 24;
/// Offset of the payload in the frame: extension headers are not followed.
pub(super) const PAYLOAD: usize = START + HEADER_LEN;

/// Sorts an IPv6 frame.
#[inline(always)]
pub(super) fn classify<W: Window>(window: &W) -> Result<Frame, Refusal> {
    let Some(
        [
            version,
            _,
            _,
            _,
            length_high,
            length_low,
            next_header,
            hop_limit,
        ],
    ) = window.bytes_at(START)
    else {
        return Ok(Frame::Other);
    };
    let length = usize::from(u16::from_be_bytes([length_high, length_low]));
    let is_ipv6 = version >> 4 == 6;
    if next_header == nd::ICMPV6 {
        // Less than 255 means that a router passed it on (RFC 4861 §7.1.2).
        if !is_ipv6 || hop_limit != 255 {
            return Ok(Frame::Other);
        }
        return Ok(nd::claim(window, length).map_or(Frame::Other, Frame::Claim));
    }
    if next_header != vrrp::PROTOCOL {
        return Ok(Frame::Other);
    }
    if !is_ipv6 {
        return Err(Refusal::BadIpHeader);
    }
    let (Some(source), Some(destination), Some(source_mac)) = (
        window.bytes_at::<16>(SOURCE),
        window.bytes_at::<16>(DESTINATION),
        eth::source(window),
    ) else {
        return Err(Refusal::Truncated);
    };
    let carrier = vrrp::Carrier {
        family: AddressFamily::Ipv6,
        source: RouterAddress(source),
        source_mac,
        to_group: vrrp::same_address(destination, vrrp::IPV6_GROUP.octets()),
        destination: Sum::new().add_16(destination),
        ttl: hop_limit,
        offset: PAYLOAD,
        length,
    };
    vrrp::header(window, carrier).map(Frame::Advertisement)
}

/// The header of an advertisement of `length` octets: hop limit 255 (RFC 9568
/// §5.1.2.3), of class [`TRAFFIC_CLASS`](vrrp::TRAFFIC_CLASS).
#[must_use]
pub fn advert_header(source: Ipv6Addr, destination: Ipv6Addr, length: u16) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    let [length_high, length_low] = length.to_be_bytes();
    header[..8].copy_from_slice(&[
        0x60 | vrrp::TRAFFIC_CLASS >> 4,
        vrrp::TRAFFIC_CLASS << 4,
        0,
        0,
        length_high,
        length_low,
        vrrp::PROTOCOL,
        255,
    ]);
    header[8..24].copy_from_slice(&source.octets());
    header[24..].copy_from_slice(&destination.octets());
    header
}
