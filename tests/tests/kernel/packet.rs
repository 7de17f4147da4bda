//! Frames made by hand. Nothing here uses the code under test: it has a checksum
//! of its own, and can break every rule.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::bench::{
    OWN, OWN_IPV6, PASSWORD, V2, V2_PASSWORD, V2_UNICAST, V3, V3_UNICAST, VIPS, VIPS_IPV6,
};

/// The usual sender.
pub(crate) const PEER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);
pub(crate) const PEER_IPV6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);
pub(crate) const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// What the checksum field holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Checksum {
    /// The usual form: with the pseudo-header in version 3.
    Usual,
    /// Over the message only.
    MessageOnly,
    /// With the IPv4 group as destination in the pseudo-header.
    Group,
    /// Something else.
    Wrong,
}

/// An advertisement and the headers before it.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) source_mac: [u8; 6],
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) ttl: u8,
    pub(crate) protocol: u8,
    /// In place of the IP version.
    pub(crate) ip_version: Option<u8>,
    /// In place of the IPv4 header length, in words.
    pub(crate) ihl: Option<u8>,
    /// IPv4 options.
    pub(crate) options: Vec<u8>,
    /// Flags and fragment offset of IPv4.
    pub(crate) fragment: u16,
    /// Offset in the IPv4 header of an octet whose last bit flips on the way.
    pub(crate) flipped: Option<usize>,
    /// In place of IPv4's total or IPv6's payload length.
    pub(crate) length: Option<u16>,
    pub(crate) version: u8,
    pub(crate) kind: u8,
    pub(crate) vrid: u8,
    pub(crate) priority: u8,
    /// In place of the number of addresses.
    pub(crate) count: Option<u8>,
    /// The fifth and sixth octet: the interval, or authentication type and interval.
    pub(crate) interval: [u8; 2],
    pub(crate) addresses: Vec<IpAddr>,
    /// What follows the addresses.
    pub(crate) tail: Vec<u8>,
    pub(crate) checksum: Checksum,
    /// Octets that the frame has at least.
    pub(crate) pad_to: usize,
}

/// A valid version 3 advertisement over IPv4.
pub(crate) fn v3() -> Frame {
    Frame {
        source_mac: PEER_MAC,
        source: PEER.into(),
        destination: Ipv4Addr::new(224, 0, 0, 18).into(),
        ttl: 255,
        protocol: 112,
        ip_version: None,
        ihl: None,
        options: vec![],
        fragment: 0,
        flipped: None,
        length: None,
        version: 3,
        kind: 1,
        vrid: V3,
        priority: 200,
        count: None,
        interval: [0, 100],
        addresses: parsed(&VIPS),
        tail: vec![],
        checksum: Checksum::Usual,
        pad_to: 0,
    }
}

/// A valid version 3 advertisement over IPv6.
pub(crate) fn v3_ipv6() -> Frame {
    Frame {
        source: PEER_IPV6.into(),
        destination: Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12).into(),
        addresses: parsed(&VIPS_IPV6),
        ..v3()
    }
}

/// A valid version 2 advertisement without authentication.
pub(crate) fn v2() -> Frame {
    Frame {
        version: 2,
        vrid: V2,
        interval: [0, 1],
        tail: vec![0; 8],
        ..v3()
    }
}

/// A valid version 2 advertisement with a password.
pub(crate) fn v2_password() -> Frame {
    Frame {
        vrid: V2_PASSWORD,
        interval: [1, 1],
        tail: PASSWORD.to_vec(),
        ..v2()
    }
}

/// A valid version 3 advertisement over IPv4 by unicast.
pub(crate) fn v3_unicast() -> Frame {
    Frame {
        destination: OWN.into(),
        vrid: V3_UNICAST,
        ..v3()
    }
}

/// A valid version 3 advertisement over IPv6 by unicast.
pub(crate) fn v3_ipv6_unicast() -> Frame {
    Frame {
        destination: OWN_IPV6.parse().expect("an address"),
        vrid: V3_UNICAST,
        ..v3_ipv6()
    }
}

/// A valid version 2 advertisement by unicast.
pub(crate) fn v2_unicast() -> Frame {
    Frame {
        destination: OWN.into(),
        vrid: V2_UNICAST,
        ..v2()
    }
}

pub(crate) fn parsed(addresses: &[&str]) -> Vec<IpAddr> {
    addresses
        .iter()
        .map(|address| address.parse().expect("an address"))
        .collect()
}

impl Frame {
    /// This frame with something changed.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The octets on the wire.
    pub(crate) fn build(&self) -> Vec<u8> {
        let message = self.message();
        let mut frame = match self.destination {
            IpAddr::V4(_) => vec![0x01, 0, 0x5e, 0, 0, 0x12],
            IpAddr::V6(_) => vec![0x33, 0x33, 0, 0, 0, 0x12],
        };
        frame.extend(self.source_mac);
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let header_len = 20 + self.options.len();
                let ihl = self
                    .ihl
                    .unwrap_or(u8::try_from(header_len / 4).expect("short options"));
                let length = self.length.unwrap_or(narrow(header_len + message.len()));
                let mut header = vec![self.ip_version.unwrap_or(4) << 4 | ihl, 0xc0];
                header.extend(length.to_be_bytes());
                header.extend([0, 0]);
                header.extend(self.fragment.to_be_bytes());
                header.extend([self.ttl, self.protocol, 0, 0]);
                header.extend(source.octets());
                header.extend(destination.octets());
                header.extend(&self.options);
                let sum = checksum(&[&header]);
                header[10..12].copy_from_slice(&sum);
                if let Some(place) = self.flipped {
                    header[place] ^= 1;
                }
                frame.extend([0x08, 0x00]);
                frame.extend(header);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                frame.extend([0x86, 0xdd]);
                frame.extend([self.ip_version.unwrap_or(6) << 4, 0, 0, 0]);
                frame.extend(self.length.unwrap_or(narrow(message.len())).to_be_bytes());
                frame.extend([self.protocol, self.ttl]);
                frame.extend(source.octets());
                frame.extend(destination.octets());
            }
            _ => panic!("two families in one frame"),
        }
        frame.extend(message);
        if frame.len() < self.pad_to {
            frame.resize(self.pad_to, 0);
        }
        frame
    }

    fn message(&self) -> Vec<u8> {
        let count = self
            .count
            .unwrap_or(u8::try_from(self.addresses.len()).expect("few addresses"));
        let mut message = vec![
            self.version << 4 | self.kind,
            self.vrid,
            self.priority,
            count,
        ];
        message.extend(self.interval);
        message.extend([0, 0]);
        for address in &self.addresses {
            message.extend(octets(*address));
        }
        message.extend(&self.tail);
        let mut pseudo = octets(self.source);
        pseudo.extend(match self.checksum {
            Checksum::Group => vec![224, 0, 0, 18],
            _ => octets(self.destination),
        });
        pseudo.extend(narrow(message.len()).to_be_bytes());
        pseudo.extend([0, 112]);
        let sum = match self.checksum {
            Checksum::MessageOnly => checksum(&[&message]),
            Checksum::Usual | Checksum::Wrong if self.version == 2 => checksum(&[&message]),
            Checksum::Usual | Checksum::Group | Checksum::Wrong => checksum(&[&pseudo, &message]),
        };
        message[6..8].copy_from_slice(&sum);
        if self.checksum == Checksum::Wrong {
            message[6] ^= 0x10;
        }
        message
    }
}

/// An ARP packet whose sender says that `address` is at `mac`.
pub(crate) fn arp(operation: u8, mac: [u8; 6], address: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(mac);
    frame.extend([0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, operation]);
    frame.extend(mac);
    frame.extend(address.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame.resize(60, 0);
    frame
}

/// A neighbour advertisement that says that `target` is at `mac`.
pub(crate) fn neighbour_advertisement(mac: [u8; 6], target: Ipv6Addr) -> Vec<u8> {
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let mut message = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    message.extend(target.octets());
    message.extend([2, 1]);
    message.extend(mac);
    let mut pseudo = target.octets().to_vec();
    pseudo.extend(all_nodes.octets());
    pseudo.extend(narrow(message.len()).to_be_bytes());
    pseudo.extend([0, 58]);
    let sum = checksum(&[&pseudo, &message]);
    message[2..4].copy_from_slice(&sum);

    let mut frame = vec![0x33, 0x33, 0, 0, 0, 1];
    frame.extend(mac);
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend(narrow(message.len()).to_be_bytes());
    frame.extend([58, 255]);
    frame.extend(target.octets());
    frame.extend(all_nodes.octets());
    frame.extend(message);
    frame
}

/// The one's complement of the one's complement sum of 16-bit words (RFC 1071),
/// over parts that each have an even number of octets.
pub(crate) fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let mut sum = 0u32;
    for part in parts {
        for word in part.chunks(2) {
            sum += u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    (!u16::try_from(sum).expect("folded")).to_be_bytes()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn narrow(length: usize) -> u16 {
    u16::try_from(length).expect("a length of 16 bits")
}
