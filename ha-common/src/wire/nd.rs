//! Neighbour discovery (RFC 4861): claims received, unsolicited advertisements and
//! questions sent.

use core::net::Ipv6Addr;

use super::{Claim, Window, checksum::Sum, eth, ipv6, vrrp};
use crate::{
    abi,
    types::{AddressFamily, MacAddress, RouterAddress},
};

/// IPv6 next header of ICMPv6.
pub const ICMPV6: u8 = 58;
/// Octets in a frame with one of the messages sent here, without padding.
pub const FRAME_LEN: usize = ipv6::PAYLOAD + MESSAGE_LEN;

const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const SOURCE_LINK_LAYER_ADDRESS: u8 = 1;
const TARGET_LINK_LAYER_ADDRESS: u8 = 2;

/// Octets in an advertisement without options.
const FIXED_LEN: usize = 24;
/// Octets in an advertisement with the target's link-layer address.
const MESSAGE_LEN: usize = FIXED_LEN + 8;
/// The longest that fits the least IPv6 MTU of 1280; bounds the checksum loop.
const MAX_LEN: usize = 1240;

const FLAG_ROUTER: u8 = 0x80;
const FLAG_SOLICITED: u8 = 0x40;
const FLAG_OVERRIDE: u8 = 0x20;

/// The claim in a neighbour advertisement of `length` octets (the IPv6 payload
/// length): its sender says that the target is at the link-layer address in the
/// option, or else at its own.
///
/// `None` for any other message, and for one that RFC 4861 §7.1.2 tells a node
/// to discard. Options after the first are not looked at.
#[inline(always)]
pub(super) fn claim<W: Window>(window: &W, length: usize) -> Option<Claim> {
    let [NEIGHBOUR_ADVERTISEMENT, 0, _, _, flags, ..] = window.bytes_at::<8>(ipv6::PAYLOAD)? else {
        return None;
    };
    // Options are counted in units of 8 octets.
    if !(FIXED_LEN..=MAX_LEN).contains(&length) || !length.is_multiple_of(8) {
        return None;
    }
    let target: [u8; 16] = window.bytes_at(ipv6::PAYLOAD + 8)?;
    let [destination, ..] = window.bytes_at::<2>(ipv6::DESTINATION)?;
    if target[0] == 0xff || (destination == 0xff && flags & FLAG_SOLICITED != 0) {
        return None;
    }
    let mac = if length == FIXED_LEN {
        eth::source(window)?
    } else {
        match window.bytes_at(ipv6::PAYLOAD + FIXED_LEN)? {
            [TARGET_LINK_LAYER_ADDRESS, 1, a, b, c, d, e, f] => MacAddress([a, b, c, d, e, f]),
            [TARGET_LINK_LAYER_ADDRESS, ..] | [_, 0, ..] => return None,
            _ => eth::source(window)?,
        }
    };
    let mut sum = pseudo_header(length)
        .add_16(window.bytes_at(ipv6::SOURCE)?)
        .add_16(window.bytes_at(ipv6::DESTINATION)?);
    let mut position = 0;
    while position < MAX_LEN {
        if position >= length {
            break;
        }
        sum = sum.add_8(window.bytes_at(ipv6::PAYLOAD.wrapping_add(position))?);
        position = position.wrapping_add(8);
    }
    if !sum.is_valid() {
        return None;
    }
    Some(Claim {
        family: AddressFamily::Ipv6,
        address: RouterAddress(target),
        mac,
        kind: abi::CLAIM_NEIGHBOUR_ADVERTISEMENT,
    })
}

/// The pseudo-header (RFC 8200 §8.1) but for its addresses.
#[inline(always)]
fn pseudo_header(length: usize) -> Sum {
    vrrp::pseudo_header_rest(length, ICMPV6)
}

/// An unsolicited neighbour advertisement that announces `address` at `mac` to
/// all nodes, Ethernet header included.
///
/// Override is set and solicited is not (RFC 9568 §6.4.1); `router` says
/// whether we forward. The source is the announced address itself.
#[must_use]
pub fn unsolicited_advertisement(
    mac: MacAddress,
    address: Ipv6Addr,
    router: bool,
) -> [u8; FRAME_LEN] {
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let flags = FLAG_OVERRIDE | if router { FLAG_ROUTER } else { 0 };

    let mut message = [0; MESSAGE_LEN];
    message[0] = NEIGHBOUR_ADVERTISEMENT;
    message[4] = flags;
    message[8..24].copy_from_slice(&address.octets());
    message[24..26].copy_from_slice(&[TARGET_LINK_LAYER_ADDRESS, 1]);
    message[26..32].copy_from_slice(&mac.0);
    let destination = MacAddress([0x33, 0x33, 0, 0, 0, 1]);
    frame(&mut message, mac, destination, address, all_nodes)
}

/// A frame that asks whether another node of the link has `address`: a neighbour
/// solicitation from `source`, which is answered to us alone.
#[must_use]
pub fn solicitation(mac: MacAddress, source: Ipv6Addr, address: Ipv6Addr) -> [u8; FRAME_LEN] {
    let [.., a, b, c] = address.octets();
    // The solicited-node group (RFC 4291 §2.7.1) and its link-layer address
    // (RFC 2464 §7).
    let [_, _, _, _, _, _, seventh, _] = address.segments();
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (seventh & 0xff), {
        u16::from_be_bytes([b, c])
    });
    let mut message = [0; MESSAGE_LEN];
    message[0] = NEIGHBOUR_SOLICITATION;
    message[8..24].copy_from_slice(&address.octets());
    message[24..26].copy_from_slice(&[SOURCE_LINK_LAYER_ADDRESS, 1]);
    message[26..32].copy_from_slice(&mac.0);
    let routers = MacAddress([0x33, 0x33, 0xff, a, b, c]);
    frame(&mut message, mac, routers, source, group)
}

/// `message`, but for its checksum, in an Ethernet frame.
fn frame(
    message: &mut [u8; MESSAGE_LEN],
    from: MacAddress,
    to: MacAddress,
    source: Ipv6Addr,
    destination: Ipv6Addr,
) -> [u8; FRAME_LEN] {
    let checksum = pseudo_header(MESSAGE_LEN)
        .add_16(source.octets())
        .add_16(destination.octets())
        .add_slice(message)
        .checksum();
    message[2..4].copy_from_slice(&checksum);

    let mut frame = [0; FRAME_LEN];
    let (headers, payload) = frame.split_at_mut(ipv6::PAYLOAD);
    payload.copy_from_slice(message);
    let (ethernet, header) = headers.split_at_mut(eth::HEADER_LEN);
    ethernet.copy_from_slice(&eth::header(to, from, eth::IPV6));
    #[allow(clippy::cast_possible_truncation, reason = "32 octets")]
    let length = MESSAGE_LEN as u8;
    header[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, length, ICMPV6, 255]);
    header[8..24].copy_from_slice(&source.octets());
    header[24..40].copy_from_slice(&destination.octets());
    frame
}
