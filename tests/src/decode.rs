//! What a captured frame says.
//!
//! Deliberately not the parser of `ha-common`: what the suites see on the wire
//! must not depend on the code that they test. Checksums and formats are
//! judged by tshark (suite `judge`), not here.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use ha_common::types::MacAddress;

/// A VRRP advertisement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Advert {
    /// 2 or 3.
    pub version: u8,
    /// Sender.
    pub source: IpAddr,
    /// Virtual router identifier.
    pub vrid: u8,
    /// 0 releases.
    pub priority: u8,
    /// Advertised interval.
    pub interval: Duration,
    /// The addresses, in their order.
    pub addresses: Vec<IpAddr>,
}

/// What the suites look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Packet {
    /// IP protocol 112.
    Advert(Advert),
    /// ARP for IPv4 over Ethernet.
    Arp {
        /// 1 request, 2 reply.
        operation: u16,
        /// Sender's MAC address.
        mac: MacAddress,
        /// Sender's IPv4 address.
        sender: Ipv4Addr,
        /// Target's IPv4 address.
        target: Ipv4Addr,
    },
    /// ICMPv6 type 136.
    NeighbourAdvertisement {
        /// The address that it is about.
        target: Ipv6Addr,
        /// IPv6 destination.
        destination: Ipv6Addr,
        /// Router, solicited, override: the first octet of flags.
        flags: u8,
        /// Target link-layer address option.
        mac: Option<MacAddress>,
    },
    /// ICMP type 3: something could not be delivered.
    Unreachable {
        /// Who says so.
        source: IpAddr,
        /// 2: nobody there speaks the protocol.
        code: u8,
    },
    /// UDP.
    Udp {
        /// Sender.
        source: IpAddr,
        /// Sender's port.
        source_port: u16,
        /// Receiver.
        destination: IpAddr,
        /// Receiver's port.
        destination_port: u16,
        /// The first octets of the payload (all, if it is short).
        payload: Vec<u8>,
    },
}

impl Packet {
    /// The advertisement, if it is one.
    #[must_use]
    pub fn advert(&self) -> Option<&Advert> {
        match self {
            Self::Advert(advert) => Some(advert),
            _ => None,
        }
    }

    /// Whether it announces `address` to all: a gratuitous ARP (request or
    /// reply) or an unsolicited neighbour advertisement to all nodes.
    #[must_use]
    pub fn announces(&self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::Arp { sender, target, .. }, IpAddr::V4(address)) => {
                *sender == address && *target == address
            }
            (
                Self::NeighbourAdvertisement {
                    target,
                    destination,
                    ..
                },
                IpAddr::V6(address),
            ) => *target == address && *destination == Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
            _ => false,
        }
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

/// The packet in an Ethernet frame, if it is of a kind that the suites look at.
#[must_use]
pub fn decode(frame: &[u8]) -> Option<Packet> {
    let payload = frame.get(14..)?;
    match number(frame, 12)? {
        0x0800 => {
            let header = usize::from(payload.first()? & 0x0f) * 4;
            let total = usize::from(number(payload, 2)?);
            let source = IpAddr::from(array::<4>(payload, 12)?);
            let destination = IpAddr::from(array::<4>(payload, 16)?);
            let body = payload.get(header..total)?;
            match payload.get(9)? {
                1 if *body.first()? == 3 => Some(Packet::Unreachable {
                    source,
                    code: *body.get(1)?,
                }),
                17 => udp(source, destination, body),
                112 => advert(source, body),
                _ => None,
            }
        }
        0x86dd => {
            let length = usize::from(number(payload, 4)?);
            let source = IpAddr::from(array::<16>(payload, 8)?);
            let destination = Ipv6Addr::from(array::<16>(payload, 24)?);
            let body = payload.get(40..40 + length)?;
            match payload.get(6)? {
                17 => udp(source, destination.into(), body),
                58 if *body.first()? == 136 => Some(Packet::NeighbourAdvertisement {
                    target: array::<16>(body, 8)?.into(),
                    destination,
                    flags: *body.get(4)?,
                    mac: (body.get(24..26) == Some(&[2, 1]))
                        .then(|| array(body, 26).map(MacAddress))
                        .flatten(),
                }),
                112 => advert(source, body),
                _ => None,
            }
        }
        0x0806 => Some(Packet::Arp {
            operation: number(payload, 6)?,
            mac: MacAddress(array(payload, 8)?),
            sender: array::<4>(payload, 14)?.into(),
            target: array::<4>(payload, 24)?.into(),
        }),
        _ => None,
    }
}

fn udp(source: IpAddr, destination: IpAddr, body: &[u8]) -> Option<Packet> {
    Some(Packet::Udp {
        source,
        source_port: number(body, 0)?,
        destination,
        destination_port: number(body, 2)?,
        payload: body.get(8..)?.iter().copied().take(32).collect(),
    })
}

fn advert(source: IpAddr, body: &[u8]) -> Option<Packet> {
    let version = body.first()? >> 4;
    let interval = if version == 2 {
        Duration::from_secs((*body.get(5)?).into())
    } else {
        Duration::from_millis(10 * u64::from(number(body, 4)? & 0x0fff))
    };
    let count = usize::from(*body.get(3)?);
    let addresses = (0..count)
        .map(|index| match source {
            IpAddr::V4(_) => array::<4>(body, 8 + 4 * index).map(IpAddr::from),
            IpAddr::V6(_) => array::<16>(body, 8 + 16 * index).map(IpAddr::from),
        })
        .collect::<Option<_>>()?;
    Some(Packet::Advert(Advert {
        version,
        source,
        vrid: *body.get(1)?,
        priority: *body.get(2)?,
        interval,
        addresses,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertisement_is_read_field_by_field() {
        // Made by hand: Ethernet, IPv4 (no options), version 3, VRID 1,
        // priority 20, interval 1 s, one address.
        let mut frame = vec![1, 0, 0x5e, 0, 0, 0x12, 2, 0, 0, 0, 0, 1, 8, 0];
        frame.extend([
            0x45, 0, 0, 32, 0, 0, 0, 0, 255, 112, 0, 0, 10, 0, 1, 5, 224, 0, 0, 18,
        ]);
        frame.extend([0x31, 1, 20, 1, 0, 100, 0, 0, 10, 0, 1, 6]);
        frame.extend([0; 14]); // padding of a short frame is no part of it
        let expected = Advert {
            version: 3,
            source: IpAddr::from([10, 0, 1, 5]),
            vrid: 1,
            priority: 20,
            interval: Duration::from_secs(1),
            addresses: vec![IpAddr::from([10, 0, 1, 6])],
        };
        assert_eq!(decode(&frame), Some(Packet::Advert(expected)));
        for end in 0..frame.len() - 14 {
            assert_eq!(decode(&frame[..end]), None, "cut at {end}");
        }
    }
}
