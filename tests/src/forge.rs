//! Advertisements that nobody's daemon sent: every field is free.
//!
//! Like [`decode`](crate::decode) it shares nothing with `ha-common`, so that a
//! mistake there cannot hide itself here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ha_common::types::MacAddress;

use crate::lab::Host;

/// Octets of an Ethernet header.
const ETHERNET: usize = 14;
/// IP protocol number of VRRP.
const PROTOCOL: u8 = 112;

/// An advertisement to be made, field by field.
#[derive(Clone, Debug)]
pub struct Forgery {
    /// Ethernet destination.
    pub to_mac: MacAddress,
    /// Ethernet source.
    pub from_mac: MacAddress,
    /// IP source; says the family too.
    pub source: IpAddr,
    /// IP destination, of the same family.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub hops: u8,
    /// IPv4: flags and fragment offset.
    pub fragment: u16,
    /// Version, 4 bits.
    pub version: u8,
    /// Type, 4 bits.
    pub kind: u8,
    /// Virtual router identifier.
    pub vrid: u8,
    /// Priority.
    pub priority: u8,
    /// Number of addresses that it says it has.
    pub count: u8,
    /// The two octets before the checksum. Version 3: reserved bits and interval
    /// in centiseconds; version 2: authentication type and interval in seconds.
    pub interval: [u8; 2],
    /// The addresses that it has.
    pub addresses: Vec<IpAddr>,
    /// What follows the addresses; version 2: authentication data.
    pub trailer: Vec<u8>,
}

impl Forgery {
    /// A valid version 3 advertisement by multicast from `host` (IPv6: from its
    /// link-local address) as of the daemon's
    /// [`Instance::new`](crate::daemon::Instance::new): VRID 51, 100 ms.
    ///
    /// # Panics
    /// If there is no address in `addresses`.
    #[must_use]
    pub fn new(host: &Host, priority: u8, addresses: &[IpAddr]) -> Self {
        let (source, destination, to_mac) = if addresses[0].is_ipv4() {
            let group = Ipv4Addr::new(224, 0, 0, 18);
            (
                host.ipv4().into(),
                group.into(),
                MacAddress([0x01, 0x00, 0x5e, 0, 0, 0x12]),
            )
        } else {
            let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
            (
                host.link_local().into(),
                group.into(),
                MacAddress([0x33, 0x33, 0, 0, 0, 0x12]),
            )
        };
        Self {
            to_mac,
            from_mac: host.mac(),
            source,
            destination,
            hops: 255,
            fragment: 0,
            version: 3,
            kind: 1,
            vrid: 51,
            priority,
            count: u8::try_from(addresses.len()).unwrap_or(u8::MAX),
            interval: [0, 10],
            addresses: addresses.to_vec(),
            trailer: Vec::new(),
        }
    }

    /// The frame, with right lengths and checksums.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let mut message = vec![
            self.version << 4 | self.kind & 0x0f,
            self.vrid,
            self.priority,
            self.count,
            self.interval[0],
            self.interval[1],
            0,
            0,
        ];
        for address in &self.addresses {
            message.extend(octets(*address));
        }
        message.extend(&self.trailer);

        let mut frame = self.to_mac.0.to_vec();
        frame.extend(self.from_mac.0);
        let length = |header: usize| {
            u16::try_from(header + message.len())
                .unwrap_or(u16::MAX)
                .to_be_bytes()
        };
        if self.source.is_ipv4() {
            frame.extend([0x08, 0x00, 0x45, 0xc0]);
            frame.extend(length(20));
            frame.extend([0, 0]);
            frame.extend(self.fragment.to_be_bytes());
            frame.extend([self.hops, PROTOCOL, 0, 0]);
        } else {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(length(0));
            frame.extend([PROTOCOL, self.hops]);
        }
        frame.extend(octets(self.source));
        frame.extend(octets(self.destination));
        frame.extend(message);
        seal(&mut frame);
        frame
    }
}

/// Makes the checksums of IPv4 header and message right, as far as the headers
/// still tell where those are.
pub fn seal(frame: &mut [u8]) {
    let word = |frame: &[u8], at: usize| {
        let octets: Option<[u8; 2]> = frame.get(at..at + 2).and_then(|two| two.try_into().ok());
        octets.map(u16::from_be_bytes)
    };
    let (start, end, addresses) = match (
        word(frame, 12),
        word(frame, ETHERNET + 2),
        word(frame, ETHERNET + 4),
    ) {
        (Some(0x0800), Some(total), _) => {
            let start = ETHERNET + usize::from(frame[ETHERNET] & 0x0f) * 4;
            if start < ETHERNET + 20 || frame.len() < start {
                return;
            }
            frame[ETHERNET + 10..ETHERNET + 12].fill(0);
            let sum = checksum(&[&frame[ETHERNET..start]]).to_be_bytes();
            frame[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&sum);
            (start, ETHERNET + usize::from(total), 26..34)
        }
        (Some(0x86dd), _, Some(length)) => (54, 54 + usize::from(length), 22..54),
        _ => return,
    };
    if end < start + 8 || end > frame.len() {
        return;
    }
    frame[start + 6..start + 8].fill(0);
    let message = &frame[start..end];
    let sum = if message[0] >> 4 == 2 {
        checksum(&[message])
    } else {
        let length = u16::try_from(end - start).unwrap_or(u16::MAX).to_be_bytes();
        checksum(&[&frame[addresses], &length, &[0, PROTOCOL], message])
    };
    frame[start + 6..start + 8].copy_from_slice(&sum.to_be_bytes());
}

/// RFC 1071, by the book; `parts` but the last have even lengths.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_a_message_made_by_hand() {
        // Recomputed by hand elsewhere: version 2, VRID 51, priority 30.
        let message = [
            0x21, 0x33, 0x1e, 0x01, 0x00, 0x01, 0xb5, 0xc5, 0x0a, 0x00, 0x01, 0x05, 0, 0, 0, 0, 0,
            0, 0, 0,
        ];
        assert_eq!(checksum(&[&message]), 0);
        let mut without = message;
        without[6..8].fill(0);
        assert_eq!(checksum(&[&without]), 0xb5c5);
    }
}
