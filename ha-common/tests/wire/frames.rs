//! Frames for the tests, built without the code under test wherever a test's
//! verdict depends on it: the checksum here is the textbook loop.

use ha_common::{
    abi,
    types::{AddressFamily, MacAddress, RouterAddress, Version},
    wire::{
        Frame, Refusal, SliceWindow, classify,
        vrrp::{Advert, ChecksumForm, Header, digest, validate},
    },
};

pub(crate) const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);
pub(crate) const VRID: u8 = 51;

/// Octets in the Ethernet header and an IPv4 header without options.
pub(crate) const IPV4_MESSAGE: usize = 34;
/// Octets in the Ethernet and the IPv6 header.
pub(crate) const IPV6_MESSAGE: usize = 54;

pub(crate) fn ip(text: &str) -> RouterAddress {
    text.parse::<std::net::IpAddr>().unwrap().into()
}

/// RFC 1071 as a textbook has it: big-endian words, carries folded at the end.
/// Zero over intact data.
pub(crate) fn textbook_checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

/// The pseudo-header that belongs to the VRRP message in a frame, which is long
/// enough for its IP addresses.
pub(crate) fn pseudo_header(family: AddressFamily, frame: &[u8], message_len: usize) -> Vec<u8> {
    let length = u16::try_from(message_len).unwrap().to_be_bytes();
    match family {
        AddressFamily::Ipv4 => [&frame[26..34], &[0, 112], &length[..]].concat(),
        AddressFamily::Ipv6 => [&frame[22..54], &[0, 0], &length[..], &[0, 0, 0, 112]].concat(),
    }
}

/// Makes the IPv4 header's checksum right again after a test changed the frame.
/// What is not IPv4, or ends before its header, stays as it is.
pub(crate) fn seal_ip(frame: &mut [u8]) {
    if frame.get(12..14) != Some(&[0x08, 0x00]) {
        return;
    }
    let header_len = frame.get(14).map_or(0, |octet| usize::from(octet % 16) * 4);
    let Some(header) = frame.get_mut(14..14 + header_len) else {
        return;
    };
    if let Some(field) = header.get_mut(10..12) {
        field.fill(0);
        let checksum = textbook_checksum(&[header]);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// A frame around a message. `options` are the IPv4 header's, a multiple of 4.
pub(crate) fn frame(
    family: AddressFamily,
    source: RouterAddress,
    options: &[u8],
    message: &[u8],
) -> Vec<u8> {
    let mut frame = Vec::new();
    match family {
        AddressFamily::Ipv4 => {
            let header_len = u8::try_from(20 + options.len()).unwrap();
            let total = u16::try_from(20 + options.len() + message.len()).unwrap();
            frame.extend([0x01, 0, 0x5e, 0, 0, 0x12]);
            frame.extend(MAC.0);
            frame.extend([0x08, 0x00, 0x40 | (header_len / 4), 0xc0]);
            frame.extend(total.to_be_bytes());
            frame.extend([0, 1, 0, 0, 255, 112, 0, 0]);
            frame.extend(&source.0[..4]);
            frame.extend([224, 0, 0, 18]);
            frame.extend(options);
            seal_ip(&mut frame);
        }
        AddressFamily::Ipv6 => {
            let length = u16::try_from(message.len()).unwrap();
            frame.extend([0x33, 0x33, 0, 0, 0, 0x12]);
            frame.extend(MAC.0);
            frame.extend([0x86, 0xdd, 0x6c, 0, 0, 0]);
            frame.extend(length.to_be_bytes());
            frame.extend([112, 255]);
            frame.extend(source.0);
            frame.extend(ip("ff02::12").0);
        }
    }
    frame.extend(message);
    frame
}

/// A virtual router and an advertisement for it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) family: AddressFamily,
    pub(crate) version: Version,
    pub(crate) form: ChecksumForm,
    pub(crate) priority: u8,
    /// Centiseconds; whole seconds in version 2.
    pub(crate) interval: u16,
    pub(crate) source: RouterAddress,
    pub(crate) addresses: Vec<RouterAddress>,
    pub(crate) options: Vec<u8>,
    pub(crate) auth: (u8, [u8; 8]),
}

impl Case {
    pub(crate) fn v2() -> Self {
        Self {
            version: Version::V2,
            form: ChecksumForm::MessageOnly,
            interval: 300,
            auth: (1, *b"secret\0\0"),
            ..Self::v3()
        }
    }

    pub(crate) fn v3() -> Self {
        Self {
            family: AddressFamily::Ipv4,
            version: Version::V3,
            form: ChecksumForm::PseudoHeader,
            priority: 150,
            interval: 10,
            source: ip("10.77.0.2"),
            addresses: vec![ip("10.77.0.100"), ip("10.77.0.101")],
            options: Vec::new(),
            auth: (0, [0; 8]),
        }
    }

    pub(crate) fn ipv6() -> Self {
        Self {
            family: AddressFamily::Ipv6,
            source: ip("fe80::2"),
            addresses: vec![ip("fe80::100"), ip("2001:db8::100")],
            ..Self::v3()
        }
    }

    /// Offset of the message in the frame.
    pub(crate) fn message_at(&self) -> usize {
        match self.family {
            AddressFamily::Ipv4 => IPV4_MESSAGE + self.options.len(),
            AddressFamily::Ipv6 => IPV6_MESSAGE,
        }
    }

    /// The advertisement, octet by octet from the RFC's figures.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let count = u8::try_from(self.addresses.len()).unwrap();
        let mut message = vec![self.version.number() << 4 | 1, VRID, self.priority, count];
        match self.version {
            Version::V2 => {
                message.extend([self.auth.0, u8::try_from(self.interval / 100).unwrap()]);
            }
            Version::V3 => message.extend(self.interval.to_be_bytes()),
        }
        message.extend([0, 0]);
        for address in &self.addresses {
            message.extend(&address.0[..self.family.address_len()]);
        }
        if self.version == Version::V2 {
            message.extend(self.auth.1);
        }
        let mut frame = frame(self.family, self.source, &self.options, &message);
        self.seal(&mut frame);
        frame
    }

    /// Makes both checksums right again after a test changed the frame. The
    /// message reaches to the frame's end.
    pub(crate) fn seal(&self, frame: &mut [u8]) {
        let at = self.message_at();
        frame[at + 6..at + 8].fill(0);
        let pseudo = match (self.version, self.family, self.form) {
            (Version::V2, _, _) | (_, AddressFamily::Ipv4, ChecksumForm::MessageOnly) => Vec::new(),
            _ => pseudo_header(self.family, frame, frame.len() - at),
        };
        let checksum = textbook_checksum(&[&pseudo, &frame[at..]]);
        frame[at + 6..at + 8].copy_from_slice(&checksum.to_be_bytes());
        seal_ip(frame);
    }

    /// The virtual router that the advertisement is for, as another node has it.
    pub(crate) fn instance(&self) -> abi::Instance {
        abi::Instance {
            address_digest: digest(self.addresses.iter().copied()),
            interval_cs: self.interval,
            state: abi::STATE_BACKUP,
            priority: 100,
            version: self.version.number(),
            preempt: 1,
            min_ttl: 255,
            address_count: u8::try_from(self.addresses.len()).unwrap(),
            auth_type: self.auth.0,
            own_mac: [2, 0, 0, 0, 0, 1],
            own_address: match self.family {
                AddressFamily::Ipv4 => ip("10.77.0.1").0,
                AddressFamily::Ipv6 => ip("fe80::1").0,
            },
            auth_data: self.auth.1,
            ..bytemuck::Zeroable::zeroed()
        }
    }
}

/// What the whole ladder says to a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Other,
    Claim,
    NotConfigured(Header),
    Refused(Refusal),
    Accepted(Advert),
}

/// The one source that the tests' unicast instances list, per family.
pub(crate) fn is_listed(source: RouterAddress) -> bool {
    [Case::v3().source, Case::ipv6().source].contains(&source)
}

/// Climbs the ladder as the kernel program does, with one configured instance.
pub(crate) fn judge(frame: &[u8], family: AddressFamily, instance: &abi::Instance) -> Verdict {
    let window = SliceWindow(frame);
    match classify(&window) {
        Ok(Frame::Other) => Verdict::Other,
        Ok(Frame::Claim(_)) => Verdict::Claim,
        Ok(Frame::Advertisement(header)) if header.vrid != VRID || header.family != family => {
            Verdict::NotConfigured(header)
        }
        Ok(Frame::Advertisement(header)) => match validate(&window, &header, instance, is_listed) {
            Ok(advert) => Verdict::Accepted(advert),
            Err(refusal) => Verdict::Refused(refusal),
        },
        Err(refusal) => Verdict::Refused(refusal),
    }
}

/// What becomes of the case's advertisement after `change`, with both checksums
/// made right again.
pub(crate) fn judged(case: &Case, change: impl FnOnce(&mut Vec<u8>)) -> Verdict {
    let mut frame = case.frame();
    change(&mut frame);
    case.seal(&mut frame);
    judge(&frame, case.family, &case.instance())
}

/// The same with the message's checksum left alone; the IPv4 header's is right.
pub(crate) fn judged_unsealed(case: &Case, change: impl FnOnce(&mut Vec<u8>)) -> Verdict {
    let mut frame = case.frame();
    change(&mut frame);
    seal_ip(&mut frame);
    judge(&frame, case.family, &case.instance())
}

pub(crate) fn all() -> [Case; 3] {
    [Case::v2(), Case::v3(), Case::ipv6()]
}

pub(crate) fn accepted(verdict: Verdict) -> Advert {
    match verdict {
        Verdict::Accepted(advert) => advert,
        other => panic!("not accepted: {other:?}"),
    }
}
