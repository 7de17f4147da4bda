//! Claims by ARP and neighbour advertisement: what counts as one.

use ha_common::{
    abi,
    types::{AddressFamily, MacAddress},
    wire::{Claim, Frame, SliceWindow, arp, classify, nd},
};

use crate::frames::{MAC, ip, textbook_checksum};

/// The claim in a frame, if it is one.
pub(crate) fn claim(frame: &[u8]) -> Option<Claim> {
    match classify(&SliceWindow(frame)) {
        Ok(Frame::Claim(claim)) => Some(claim),
        Ok(Frame::Other) => None,
        other => panic!("neither claim nor other: {other:?}"),
    }
}

fn gratuitous() -> Vec<u8> {
    arp::gratuitous(MAC, "10.77.0.100".parse().unwrap()).to_vec()
}

fn changed(mut frame: Vec<u8>, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    change(&mut frame);
    frame
}

/// A neighbour advertisement, changed and with the checksum made right again.
fn advertisement(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let frame = nd::unsolicited_advertisement(MAC, "2001:db8::100".parse().unwrap(), true).to_vec();
    let mut frame = changed(frame, change);
    frame[56..58].fill(0);
    let length = u8::try_from(frame.len() - 54).unwrap();
    frame[19] = length;
    let pseudo = [&frame[22..54], &[0, 0, 0, length, 0, 0, 0, 58]].concat();
    let checksum = textbook_checksum(&[&pseudo, &frame[54..]]);
    frame[56..58].copy_from_slice(&checksum.to_be_bytes());
    frame
}

/// A question claims nothing, or it would be an announcement.
#[test]
fn questions_are_no_claims_and_reach_routers_only() {
    let probe = arp::probe(MAC, "10.77.0.100".parse().unwrap());
    assert_eq!(claim(&probe), None);
    assert_eq!(probe[..6], [0x01, 0x00, 0x5e, 0, 0, 0x12]);
    assert_eq!(probe[20..22], [0, 1], "a request");
    assert_eq!(probe[28..32], [0; 4], "from nobody");
    assert_eq!(probe[38..], [10, 77, 0, 100]);

    let source = "fe80::1".parse().unwrap();
    let solicitation = nd::solicitation(MAC, source, "2001:db8::a1:b2c3".parse().unwrap());
    assert_eq!(claim(&solicitation), None);
    assert_eq!(solicitation[..6], [0x33, 0x33, 0xff, 0xa1, 0xb2, 0xc3]);
    let group: std::net::Ipv6Addr = "ff02::1:ffa1:b2c3".parse().unwrap();
    assert_eq!(solicitation[38..54], group.octets());
    assert_eq!(solicitation[54], 135);
    let pseudo = [&solicitation[22..54], &[0, 0, 0, 32, 0, 0, 0, 58]].concat();
    assert_eq!(textbook_checksum(&[&pseudo, &solicitation[54..]]), 0);
}

#[test]
fn arp_requests_and_replies_claim_their_sender_address() {
    let request = Claim {
        family: AddressFamily::Ipv4,
        address: ip("10.77.0.100"),
        mac: MAC,
        kind: abi::CLAIM_ARP_REQUEST,
    };
    assert_eq!(claim(&gratuitous()), Some(request));
    // The target is not looked at.
    let other_target = changed(gratuitous(), |f| f[41] = 1);
    assert_eq!(claim(&other_target), Some(request));
    // The hardware address is the packet's, not the frame's; padding is nothing.
    let reply = changed(gratuitous(), |f| {
        f[21] = 2;
        f[6..12].fill(9);
        f.resize(60, 0xa5);
    });
    assert_eq!(
        claim(&reply),
        Some(Claim {
            kind: abi::CLAIM_ARP_REPLY,
            ..request
        })
    );
}

#[test]
fn other_arp_claims_nothing() {
    // Hardware type, protocol type, lengths.
    for at in [14, 15, 16, 17, 18, 19] {
        assert_eq!(claim(&changed(gratuitous(), |f| f[at] ^= 0x10)), None);
    }
    // Operations: none, RARP, and one that differs in the upper octet.
    for operation in [[0, 0], [0, 3], [0, 4], [1, 1]] {
        let frame = changed(gratuitous(), |f| f[20..22].copy_from_slice(&operation));
        assert_eq!(claim(&frame), None);
    }
    // A probe.
    assert_eq!(claim(&changed(gratuitous(), |f| f[28..32].fill(0))), None);
}

#[test]
fn truncated_announcements_claim_nothing() {
    for frame in [gratuitous(), advertisement(|_| {})] {
        assert!(claim(&frame).is_some());
        for len in 0..frame.len() {
            assert_eq!(claim(&frame[..len]), None, "{len} octets");
        }
    }
}

#[test]
fn neighbour_advertisements_claim_their_target() {
    let expected = Claim {
        family: AddressFamily::Ipv6,
        address: ip("2001:db8::100"),
        mac: MAC,
        kind: abi::CLAIM_NEIGHBOUR_ADVERTISEMENT,
    };
    assert_eq!(claim(&advertisement(|_| {})), Some(expected));
    let padded = changed(advertisement(|_| {}), |f| f.resize(100, 0xa5));
    assert_eq!(claim(&padded), Some(expected));
    // The option's address counts, not the frame's.
    let relayed = advertisement(|f| f[6..12].fill(9));
    assert_eq!(claim(&relayed), Some(expected));
    // Without the option, or with another first, it is the frame's.
    let frames_mac = Some(Claim {
        mac: MacAddress([9; 6]),
        ..expected
    });
    let bare = advertisement(|f| {
        f.truncate(78);
        f[6..12].fill(9);
    });
    assert_eq!(claim(&bare), frames_mac);
    let other_option = advertisement(|f| {
        f[78] = 14;
        f[6..12].fill(9);
    });
    assert_eq!(claim(&other_option), frames_mac);
    // A solicited answer to one node, and one with more options.
    let solicited = advertisement(|f| {
        f[38] = 0x20;
        f[58] |= 0x40;
    });
    assert_eq!(claim(&solicited), Some(expected));
    let longer = advertisement(|f| f.extend([14, 1, 1, 2, 3, 4, 5, 6]));
    assert_eq!(claim(&longer), Some(expected));
}

#[test]
fn what_a_node_discards_claims_nothing() {
    let discarded: [fn(&mut Vec<u8>); 11] = [
        |f| f[14] = 0x40,                        // not IPv6
        |f| f[21] = 254,                         // passed on by a router
        |f| f[54] = 135,                         // a solicitation
        |f| f[55] = 1,                           // unknown code
        |f| f[62] = 0xff,                        // multicast target
        |f| f[58] |= 0x40,                       // solicited, yet to all nodes
        |f| f[79] = 0,                           // option of no length
        |f| f[79] = 2,                           // not an Ethernet address
        |f| f[78..80].copy_from_slice(&[14, 0]), // another of no length
        |f| f.extend([0; 4]),                    // half an option
        |f| f.truncate(f.len() - 16),            // no whole target
    ];
    for (position, change) in discarded.into_iter().enumerate() {
        assert_eq!(claim(&advertisement(change)), None, "change {position}");
    }
    // The same half with padding behind it, which adds nothing to the sum.
    let half = changed(advertisement(|f| f.extend([0; 4])), |f| f.resize(100, 0));
    assert_eq!(claim(&half), None);
    // A length that ends within the target, with a checksum to match.
    let short = changed(advertisement(|f| f.truncate(70)), |f| f.resize(100, 0));
    assert_eq!(claim(&short), None);
    // Checksum: every octet of the message and of the addresses counts.
    for at in (22..86).filter(|at| ![54, 55].contains(at)) {
        let frame = changed(advertisement(|_| {}), |f| f[at] ^= 0x04);
        assert_eq!(claim(&frame), None, "octet {at}");
    }
}

#[test]
fn an_advertisement_longer_than_the_least_mtu_claims_nothing() {
    for (options, claims) in [(152usize, true), (153, false)] {
        let mut frame = advertisement(|_| {});
        frame.truncate(78);
        for _ in 0..152 {
            frame.extend([14, 1, 0, 0, 0, 0, 0, 0]);
        }
        // Zeros, so that the checksum holds without them too.
        frame.resize(78 + options * 8, 0);
        frame[56..58].fill(0);
        let length = u16::try_from(frame.len() - 54).unwrap().to_be_bytes();
        frame[18..20].copy_from_slice(&length);
        let pseudo = [&frame[22..54], &[0, 0], &length[..], &[0, 0, 0, 58]].concat();
        let checksum = textbook_checksum(&[&pseudo, &frame[54..]]);
        frame[56..58].copy_from_slice(&checksum.to_be_bytes());
        assert_eq!(claim(&frame).is_some(), claims, "{options} options");
    }
}
