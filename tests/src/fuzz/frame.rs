//! A frame: the ladder that the kernel program climbs, against a second opinion
//! and against our own encoder.
//!
//! The first octet of an input chooses the virtual router and whether the
//! checksums are made right, without which a fuzzer would hardly ever get past
//! them. The rest is the frame.

use std::net::Ipv4Addr;

use ha_common::{
    abi::{self, Instance},
    types::{AddressFamily, RouterAddress, Version, Vrid},
    wire::{
        Claim, Frame, Refusal, SliceWindow, classify,
        vrrp::{
            Advert, Authentication, ChecksumForm, Header, MAX_MESSAGE_LEN, Outgoing, encode, group,
        },
    },
};

use super::{
    frames::{self, Case, Verdict, judge, textbook_checksum},
    oracle,
};

/// How far up the ladder a frame got.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reached {
    /// It is none of ours.
    Other,
    /// It is a claim of an address.
    Claim,
    /// Its virtual router is not configured.
    NotConfigured,
    /// It was refused.
    Refused(Refusal),
    /// It was accepted.
    Accepted,
}

/// Bits of the first octet: which [`router`].
const ROUTER: u8 = 0x07;
/// Which TTL is the least.
const LEAST_TTL: u8 = 0x18;
/// Make the checksums right.
const SEAL: u8 = 0x20;
/// Version 3 over IPv4: with the pseudo-header.
const PSEUDO_HEADER: u8 = 0x40;
/// The virtual router is reached by unicast.
const UNICAST: u8 = 0x80;

/// Judges a frame, and returns how far it got; `None` without an octet of choices.
///
/// # Panics
/// If the ladder and the oracle disagree; if padding, or where the frame is cut
/// behind the message, changes the verdict; if our encoder, told what was read,
/// makes another message.
pub fn frame(input: &[u8]) -> Option<Reached> {
    let (&choices, octets) = input.split_first()?;
    let case = router(choices & ROUTER);
    let min_ttl = [255, 64, 1, 0][usize::from((choices & LEAST_TTL) >> 3)];
    let instance = Instance {
        min_ttl,
        unicast: u8::from(choices & UNICAST != 0),
        ..case.instance()
    };
    let mut octets = octets.to_vec();
    if choices & SEAL != 0 {
        seal(&mut octets, case.version, choices & PSEUDO_HEADER != 0);
    }

    let verdict = judge(&octets, case.family, &instance);
    let ours: Vec<Vec<u8>> = case
        .addresses
        .iter()
        .map(|address| address.0[..case.family.address_len()].to_vec())
        .collect();
    assert_eq!(
        matches!(verdict, Verdict::Accepted(_)),
        oracle::accepts(&octets, case.family, &instance, &ours),
        "the oracle disagrees with {verdict:?}"
    );
    Some(match verdict {
        Verdict::Other => Reached::Other,
        Verdict::Claim => {
            stands_in_the_frame(&octets);
            Reached::Claim
        }
        Verdict::NotConfigured(header) => {
            lies_inside(&header, &octets);
            Reached::NotConfigured
        }
        Verdict::Refused(refusal) => {
            assert!(Refusal::ALL.contains(&refusal));
            Reached::Refused(refusal)
        }
        Verdict::Accepted(advert) => {
            let Ok(Frame::Advertisement(header)) = classify(&SliceWindow(&octets)) else {
                panic!("accepted, but no advertisement");
            };
            lies_inside(&header, &octets);
            ends_where_it_says(&octets, &header, &case, &instance);
            is_what_we_would_send(&octets, &header, &advert, &case);
            Reached::Accepted
        }
    })
}

/// The virtual router that an input is judged by.
fn router(choice: u8) -> Case {
    match choice {
        0 => Case::v3(),
        1 => Case::ipv6(),
        2 => Case::v2(),
        3 => Case {
            auth: (0, [0; 8]),
            ..Case::v2()
        },
        4 => Case {
            addresses: Vec::new(),
            ..Case::v3()
        },
        5 => Case {
            addresses: Vec::new(),
            ..Case::ipv6()
        },
        6 => Case {
            addresses: Vec::new(),
            ..Case::v2()
        },
        _ => Case {
            interval: 4095,
            addresses: vec![frames::ip("10.77.0.100"); 255],
            ..Case::v3()
        },
    }
}

/// Makes the checksums of IPv4 header and message right, if there are such.
fn seal(frame: &mut [u8], version: Version, pseudo_header: bool) {
    frames::seal_ip(frame);
    let word = |at: usize| {
        let octets = frame.get(at..at + 2)?;
        Some(usize::from(octets[0]) << 8 | usize::from(octets[1]))
    };
    let (family, at, end) = match (word(12), word(16), word(18)) {
        (Some(0x0800), Some(total), _) => {
            let at = 14 + usize::from(frame[14] % 16) * 4;
            (AddressFamily::Ipv4, at, 14 + total)
        }
        (Some(0x86dd), _, Some(length)) => (AddressFamily::Ipv6, 54, 54 + length),
        _ => return,
    };
    if at < 34 || end < at + 8 || end > frame.len() {
        return;
    }
    frame[at + 6..at + 8].fill(0);
    let pseudo = if family == AddressFamily::Ipv6 || (pseudo_header && version == Version::V3) {
        frames::pseudo_header(family, frame, end - at)
    } else {
        Vec::new()
    };
    let checksum = textbook_checksum(&[&pseudo, &frame[at..end]]);
    frame[at + 6..at + 8].copy_from_slice(&checksum.to_be_bytes());
}

/// What the header says lies inside the bounds that the verifier relies on, and
/// inside the frame.
fn lies_inside(header: &Header, frame: &[u8]) {
    assert!((34..=74).contains(&header.offset()), "{header:?}");
    assert!(header.length() >= 8, "{header:?}");
    let last = header.length().min(MAX_MESSAGE_LEN);
    assert!(header.offset() + last <= frame.len(), "{header:?}");
}

/// Padding is no part of the message; its last octet is.
fn ends_where_it_says(frame: &[u8], header: &Header, case: &Case, instance: &Instance) {
    let whole = judge(frame, case.family, instance);
    let end = header.offset() + header.length();
    assert_eq!(judge(&frame[..end], case.family, instance), whole);
    let padded = [&frame[..end], &[0xa5; 60]].concat();
    assert_eq!(judge(&padded, case.family, instance), whole);
    assert_eq!(
        judge(&frame[..end - 1], case.family, instance),
        Verdict::Refused(Refusal::Truncated)
    );
}

/// Our encoder makes the same message of what was read, but for what a receiver
/// ignores.
fn is_what_we_would_send(frame: &[u8], header: &Header, advert: &Advert, case: &Case) {
    let message = &frame[header.offset()..header.offset() + header.length()];
    let len = case.family.address_len();
    let (list, rest) = message[8..].split_at(usize::from(header.address_count) * len);
    let addresses: Vec<RouterAddress> = list
        .chunks_exact(len)
        .map(|octets| {
            let mut address = [0; 16];
            address[..len].copy_from_slice(octets);
            RouterAddress(address)
        })
        .collect();
    let ignored = match case.version {
        Version::V3 => message[4] & 0xf0 != 0,
        Version::V2 => case.auth.0 == 0 && rest != [0; 8],
    };
    if ignored {
        return;
    }
    // Where it went; for one form of checksum the group, wherever it went.
    let destination = match case.family {
        _ if header.to_group || advert.group_in_checksum => group(case.family),
        AddressFamily::Ipv4 => {
            let [a, b, c, d] = frame[30..34].try_into().expect("four octets");
            Ipv4Addr::new(a, b, c, d).into()
        }
        AddressFamily::Ipv6 => RouterAddress(frame[38..54].try_into().expect("sixteen octets")),
    };
    let outgoing = Outgoing {
        version: advert.version,
        family: case.family,
        vrid: Vrid::new(header.vrid).expect("a configured VRID"),
        priority: advert.priority,
        interval: advert.interval,
        addresses: &addresses,
        source: advert.source,
        destination,
        checksum: if advert.message_only_checksum {
            ChecksumForm::MessageOnly
        } else {
            ChecksumForm::PseudoHeader
        },
        auth: match case.auth {
            (0, _) => Authentication::None,
            (_, password) => Authentication::Simple(password),
        },
    };
    let mut buffer = [0; MAX_MESSAGE_LEN];
    let length = encode(&outgoing, &mut buffer).expect("what was accepted can be sent");
    let sent = &mut buffer[..length];
    // In ones' complement zero has two forms, and both check.
    if sent[6..8] == [0, 0] && message[6..8] == [0xff, 0xff] {
        sent[6..8].fill(0xff);
    }
    assert_eq!(sent, message);
}

/// What a claim says stands in the frame, where its protocol has it.
fn stands_in_the_frame(frame: &[u8]) {
    let Ok(Frame::Claim(claim)) = classify(&SliceWindow(frame)) else {
        panic!("a claim, and then none");
    };
    let Claim {
        family,
        address,
        kind,
        ..
    } = claim;
    let place = match family {
        AddressFamily::Ipv4 => {
            assert!([abi::CLAIM_ARP_REQUEST, abi::CLAIM_ARP_REPLY].contains(&kind));
            assert_ne!(address.0, [0; 16], "a probe claims nothing");
            28..32
        }
        AddressFamily::Ipv6 => {
            assert_eq!(kind, abi::CLAIM_NEIGHBOUR_ADVERTISEMENT);
            assert_ne!(address.0[0], 0xff, "nobody holds a multicast address");
            62..78
        }
    };
    assert_eq!(address.0[..place.len()], frame[place]);
}
