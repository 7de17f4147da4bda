//! ARP over Ethernet for IPv4 (RFC 826): claims received, gratuitous requests
//! sent.

use core::net::Ipv4Addr;

use super::{Claim, Window, eth, vrrp};
use crate::{
    abi,
    types::{AddressFamily, MacAddress, RouterAddress},
};

/// Offset of the packet in the frame.
const START: usize = eth::HEADER_LEN;
/// Octets in a frame with one packet, without padding.
pub const FRAME_LEN: usize = START + 28;

/// Hardware type Ethernet, protocol type IPv4, their address lengths.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: u8 = 1;
const REPLY: u8 = 2;

/// The claim in an ARP frame: its sender says that the sender protocol address
/// is at the sender hardware address.
///
/// `None` unless it is a whole Ethernet/IPv4 request or reply. A probe (sender
/// 0.0.0.0, RFC 5227) claims nothing.
#[inline(always)]
pub(super) fn claim<W: Window>(window: &W) -> Option<Claim> {
    let [a, b, c, d, e, f, 0, operation] = window.bytes_at(START)? else {
        return None;
    };
    let [p, q, r, s, t, u] = ETHERNET_IPV4;
    if u64::from_ne_bytes([a, b, c, d, e, f, 0, 0]) != u64::from_ne_bytes([p, q, r, s, t, u, 0, 0])
    {
        return None;
    }
    let kind = match operation {
        REQUEST => abi::CLAIM_ARP_REQUEST,
        REPLY => abi::CLAIM_ARP_REPLY,
        _ => return None,
    };
    let mac = MacAddress(window.bytes_at(START + 8)?);
    let [a, b, c, d] = window.bytes_at(START + 14)?;
    // The last field: without it the packet is not whole.
    window.bytes_at::<4>(START + 24)?;
    if u32::from_ne_bytes([a, b, c, d]) == 0 {
        return None;
    }
    Some(Claim {
        family: AddressFamily::Ipv4,
        address: RouterAddress([a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        mac,
        kind,
    })
}

/// A gratuitous ARP frame that announces `address` at `mac`, Ethernet header
/// included and not padded.
///
/// It is a broadcast request with sender and target address the same and a zero
/// target hardware address (RFC 5227 §3, an ARP announcement).
#[must_use]
pub fn gratuitous(mac: MacAddress, address: Ipv4Addr) -> [u8; FRAME_LEN] {
    let mut frame = [0; FRAME_LEN];
    let (ethernet, packet) = frame.split_at_mut(START);
    ethernet.copy_from_slice(&eth::header(MacAddress::BROADCAST, mac, eth::ARP));
    packet[..6].copy_from_slice(&ETHERNET_IPV4);
    packet[7] = REQUEST;
    packet[8..14].copy_from_slice(&mac.0);
    packet[14..18].copy_from_slice(&address.octets());
    packet[24..28].copy_from_slice(&address.octets());
    frame
}

/// A frame that asks the other routers of the link whether one of them has
/// `address`: an ARP probe (RFC 5227 §2.1.1), which enters no ARP cache, to the
/// multicast address of VRRP, so that no other host hears of it.
#[must_use]
pub fn probe(mac: MacAddress, address: Ipv4Addr) -> [u8; FRAME_LEN] {
    let mut frame = [0; FRAME_LEN];
    let (ethernet, packet) = frame.split_at_mut(START);
    let routers = vrrp::group_mac(AddressFamily::Ipv4);
    ethernet.copy_from_slice(&eth::header(routers, mac, eth::ARP));
    packet[..6].copy_from_slice(&ETHERNET_IPV4);
    packet[7] = REQUEST;
    packet[8..14].copy_from_slice(&mac.0);
    packet[24..28].copy_from_slice(&address.octets());
    frame
}
