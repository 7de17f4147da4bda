//! IPv4 (RFC 791), as far as VRRP needs it.

use core::net::Ipv4Addr;

use super::{Frame, Refusal, Window, checksum::Sum, eth, vrrp};
use crate::types::{AddressFamily, RouterAddress};

/// Offset of the header in the frame.
const START: usize = eth::HEADER_LEN;
/// Octets in a header without options.
const MIN_HEADER_LEN: usize = 20;

/// "Don't fragment" (flags and fragment offset, upper octet).
const DONT_FRAGMENT: u8 = 0x40;

/// "More fragments" and the fragment offset.
const FRAGMENT_MASK: u16 = 0x3fff;

/// Sorts an IPv4 frame.
///
/// Nothing but the lengths, which say where the header ends, is believed before
/// its checksum: an XDP program runs before the stack drops what was damaged.
#[inline(always)]
pub(super) fn classify<W: Window>(window: &W) -> Result<Frame, Refusal> {
    // Fragment field, TTL and protocol in one read: other traffic needs no more.
    let Some([fragment_high, fragment_low, ttl, protocol]) = window.bytes_at(START + 6) else {
        return Ok(Frame::Other);
    };
    if protocol != vrrp::PROTOCOL {
        return Ok(Frame::Other);
    }
    let Some(first) = window.bytes_at::<8>(START) else {
        return Err(Refusal::Truncated);
    };
    let word = u64::from_be_bytes(first);
    let header_len = (word >> 56 & 0x0f) as usize * 4;
    let total_len = (word >> 32 & 0xffff) as usize;
    if word >> 60 != 4 || header_len < MIN_HEADER_LEN || total_len < header_len {
        return Err(Refusal::BadIpHeader);
    }
    let (Some(ttl_to_checksum), Some(source), Some(destination), Some(source_mac)) = (
        window.bytes_at::<4>(START + 8),
        window.bytes_at::<4>(START + 12),
        window.bytes_at::<4>(START + 16),
        eth::source(window),
    ) else {
        return Err(Refusal::Truncated);
    };
    let fixed = Sum::new()
        .add_8(first)
        .add_4(ttl_to_checksum)
        .add_4(source)
        .add_4(destination);
    let sum = add_options(window, header_len, fixed).ok_or(Refusal::Truncated)?;
    if !sum.is_valid() {
        return Err(Refusal::BadIpChecksum);
    }
    if u16::from_be_bytes([fragment_high, fragment_low]) & FRAGMENT_MASK != 0 {
        return Err(Refusal::Fragment);
    }
    let carrier = vrrp::Carrier {
        family: AddressFamily::Ipv4,
        source: RouterAddress(bytemuck::cast([u32::from_ne_bytes(source), 0, 0, 0])),
        source_mac,
        to_group: u32::from_ne_bytes(destination) == u32::from_ne_bytes(vrrp::IPV4_GROUP.octets()),
        destination: Sum::new().add_4(destination),
        ttl,
        offset: START.wrapping_add(header_len),
        length: total_len.wrapping_sub(header_len),
    };
    vrrp::header(window, carrier).map(Frame::Advertisement)
}

/// Adds the options of a header of `header_len` octets, 20 to 60, to `sum`;
/// `None` if the frame ends before they do.
///
/// It counts down: of a loop that counts up, the verifier learns the header's
/// length, and then proves all that follows once for each of the 11 lengths.
#[inline(always)]
fn add_options<W: Window>(window: &W, header_len: usize, mut sum: Sum) -> Option<Sum> {
    let mut end = header_len;
    while end > MIN_HEADER_LEN {
        end = end.wrapping_sub(4);
        sum = sum.add_4(window.bytes_at(START.wrapping_add(end))?);
    }
    Some(sum)
}

/// The header of an advertisement with `length` octets behind it, at most 65 515:
/// TTL 255 (RFC 9568 §5.1.1.3), not to be fragmented, of class
/// [`TRAFFIC_CLASS`](vrrp::TRAFFIC_CLASS), without options.
#[must_use]
pub fn advert_header(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    length: u16,
    identification: u16,
) -> [u8; MIN_HEADER_LEN] {
    let [total_high, total_low] = length.saturating_add(20).to_be_bytes();
    let [id_high, id_low] = identification.to_be_bytes();
    let [s0, s1, s2, s3] = source.octets();
    let [d0, d1, d2, d3] = destination.octets();
    let mut header = [
        0x45,
        vrrp::TRAFFIC_CLASS,
        total_high,
        total_low,
        id_high,
        id_low,
        DONT_FRAGMENT,
        0,
        255,
        vrrp::PROTOCOL,
        0,
        0,
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
    ];
    let checksum = Sum::new().add_slice(&header).checksum();
    header[10..12].copy_from_slice(&checksum);
    header
}
