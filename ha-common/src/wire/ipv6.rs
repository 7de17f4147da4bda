//! IPv6 (RFC 8200), as far as VRRP and neighbour discovery need it.

use super::{Frame, Refusal, Window, checksum::Sum, eth, nd, vrrp};
use crate::types::{AddressFamily, RouterAddress};

/// Offset of the header in the frame.
const START: usize = eth::HEADER_LEN;
/// Offset of the source address in the frame; the destination follows it.
pub(super) const SOURCE: usize = START + 8;
/// Offset of the destination address in the frame.
pub(super) const DESTINATION: usize = START + 24;
/// Offset of the payload in the frame: extension headers are not followed.
pub(super) const PAYLOAD: usize = START + 40;

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
