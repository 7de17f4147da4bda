//! Frames by name: every form that is valid, every check failed once.

use ha_common::abi::Counter;

use super::{
    bench::{ELSEWHERE, OWN, OWN_IPV6, V2, V3, V3_NO_ADDRESSES, V3_NOT_OURS_FIRST},
    packet::{
        Checksum, Frame, parsed, v2, v2_password, v2_unicast, v3, v3_ipv6, v3_ipv6_unicast,
        v3_unicast,
    },
};

/// Valid frames by name, and what they count beside `accepted`.
pub(crate) fn valid() -> Vec<(&'static str, Frame, Vec<Counter>)> {
    let pseudo = vec![Counter::ChecksumWithPseudoHeader];
    vec![
        ("version 2", v2(), vec![]),
        ("version 2 with a password", v2_password(), vec![]),
        ("version 3, IPv4, pseudo-header", v3(), pseudo.clone()),
        (
            "version 3, IPv4, message only",
            v3().with(|it| it.checksum = Checksum::MessageOnly),
            vec![Counter::ChecksumMessageOnly],
        ),
        ("version 3, IPv6", v3_ipv6(), vec![]),
        (
            "IPv4 options",
            v3().with(|it| it.options = vec![0x94, 4, 0, 0, 1, 1, 1, 1]),
            pseudo.clone(),
        ),
        (
            "longest IPv4 header",
            v3().with(|it| it.options = vec![1; 40]),
            pseudo.clone(),
        ),
        (
            "padded to 60 octets",
            v3().with(|it| it.pad_to = 60),
            pseudo.clone(),
        ),
        (
            "padded to 60 octets, version 2",
            v2().with(|it| it.pad_to = 60),
            vec![],
        ),
        (
            "reserved bits before the interval",
            v3().with(|it| it.interval = [0xf0, 100]),
            pseudo.clone(),
        ),
        (
            "don't fragment",
            v3().with(|it| it.fragment = 0x4000),
            pseudo.clone(),
        ),
        (
            "no addresses where there are none",
            v3().with(|it| {
                it.vrid = V3_NO_ADDRESSES;
                it.addresses = vec![];
            }),
            pseudo.clone(),
        ),
        (
            "another address list",
            v3().with(|it| it.addresses = parsed(&["10.77.0.101"])),
            vec![
                Counter::ChecksumWithPseudoHeader,
                Counter::AddressListDiffers,
            ],
        ),
        (
            "more addresses than ours",
            v3().with(|it| it.addresses = parsed(&["10.77.0.100", "10.77.0.101"])),
            vec![
                Counter::ChecksumWithPseudoHeader,
                Counter::AddressListDiffers,
            ],
        ),
        (
            "255 addresses",
            v3().with(|it| it.addresses = vec!["10.77.0.100".parse().expect("an address"); 255]),
            vec![
                Counter::ChecksumWithPseudoHeader,
                Counter::AddressListDiffers,
            ],
        ),
        (
            "as many IPv6 addresses as a frame holds",
            v3_ipv6().with(|it| it.addresses = vec![it.addresses[0]; 90]),
            vec![Counter::AddressListDiffers],
        ),
        (
            "another address list, version 2, from the owner",
            v2().with(|it| {
                it.priority = 255;
                it.addresses = parsed(&["10.77.0.101"]);
            }),
            vec![Counter::AddressListDiffers],
        ),
        ("unicast, version 2", v2_unicast(), vec![]),
        ("unicast, version 3, IPv4", v3_unicast(), pseudo.clone()),
        ("unicast, version 3, IPv6", v3_ipv6_unicast(), vec![]),
        (
            "unicast, message only",
            v3_unicast().with(|it| it.checksum = Checksum::MessageOnly),
            vec![Counter::ChecksumMessageOnly],
        ),
        (
            "unicast, the group in the checksum",
            v3_unicast().with(|it| it.checksum = Checksum::Group),
            vec![Counter::ChecksumWithGroup],
        ),
        (
            "unicast over one router",
            v3_unicast().with(|it| it.ttl = 254),
            pseudo.clone(),
        ),
    ]
}

/// Frames that fail one check each, by name, with the counter of that check.
pub(crate) fn refused() -> Vec<(&'static str, Frame, Counter)> {
    use Counter as C;
    vec![
        (
            "total length beyond the frame",
            v3().with(|it| it.length = Some(33)),
            C::Truncated,
        ),
        (
            "payload length beyond the frame",
            v3_ipv6().with(|it| it.length = Some(41)),
            C::Truncated,
        ),
        (
            "IPv4 with version 5",
            v3().with(|it| it.ip_version = Some(5)),
            C::BadIpHeader,
        ),
        (
            "IPv4 header of 16 octets",
            v3().with(|it| it.ihl = Some(4)),
            C::BadIpHeader,
        ),
        (
            "total length below the header",
            v3().with(|it| it.length = Some(19)),
            C::BadIpHeader,
        ),
        (
            "IPv6 with version 4",
            v3_ipv6().with(|it| it.ip_version = Some(4)),
            C::BadIpHeader,
        ),
        (
            "IPv4 header checksum",
            v3().with(|it| it.flipped = Some(11)),
            C::BadIpChecksum,
        ),
        (
            "TTL 254 that became 255",
            v3().with(|it| {
                it.ttl = 254;
                it.flipped = Some(8);
            }),
            C::BadIpChecksum,
        ),
        (
            "another source, version 2",
            v2().with(|it| it.flipped = Some(15)),
            C::BadIpChecksum,
        ),
        (
            "whole packet that became a fragment",
            v3().with(|it| it.flipped = Some(7)),
            C::BadIpChecksum,
        ),
        (
            "last octet of the longest IPv4 header",
            v3().with(|it| {
                it.options = vec![1; 40];
                it.flipped = Some(59);
            }),
            C::BadIpChecksum,
        ),
        (
            "first fragment",
            v3().with(|it| it.fragment = 0x2000),
            C::Fragment,
        ),
        (
            "last fragment",
            v3().with(|it| it.fragment = 1),
            C::Fragment,
        ),
        ("TTL 254", v3().with(|it| it.ttl = 254), C::BadTtl),
        (
            "TTL 254, version 2",
            v2().with(|it| it.ttl = 254),
            C::BadTtl,
        ),
        (
            "hop limit 254",
            v3_ipv6().with(|it| it.ttl = 254),
            C::BadTtl,
        ),
        (
            "7 octets",
            v3().with(|it| it.length = Some(27)),
            C::TooShort,
        ),
        (
            "7 octets, IPv6",
            v3_ipv6().with(|it| it.length = Some(7)),
            C::TooShort,
        ),
        ("version 4", v3().with(|it| it.version = 4), C::BadVersion),
        ("version 1", v3().with(|it| it.version = 1), C::BadVersion),
        (
            "version 2 over IPv6",
            v3_ipv6().with(|it| it.version = 2),
            C::BadVersion,
        ),
        ("type 2", v3().with(|it| it.kind = 2), C::BadType),
        ("type 0, IPv6", v3_ipv6().with(|it| it.kind = 0), C::BadType),
        (
            "unknown VRID",
            v3().with(|it| it.vrid = 99),
            C::NotConfigured,
        ),
        ("VRID 0", v3().with(|it| it.vrid = 0), C::NotConfigured),
        (
            "VRID of another interface",
            v3().with(|it| it.vrid = ELSEWHERE),
            C::NotConfigured,
        ),
        (
            "VRID of the other family",
            v3_ipv6().with(|it| it.vrid = V2),
            C::NotConfigured,
        ),
        (
            "version 2 where 3 is configured",
            v2().with(|it| it.vrid = V3),
            C::VersionMismatch,
        ),
        (
            "version 3 where 2 is configured",
            v3().with(|it| it.vrid = V2),
            C::VersionMismatch,
        ),
        (
            "unicast",
            v3().with(|it| it.destination = OWN.into()),
            C::BadDestination,
        ),
        (
            "another group",
            v3().with(|it| it.destination = "224.0.0.1".parse().expect("an address")),
            C::BadDestination,
        ),
        (
            "another IPv6 group",
            v3_ipv6().with(|it| it.destination = "ff02::1".parse().expect("an address")),
            C::BadDestination,
        ),
        (
            "the group where unicast is configured",
            v3_unicast().with(|it| it.destination = v3().destination),
            C::BadDestination,
        ),
        (
            "the IPv6 group where unicast is configured",
            v3_ipv6_unicast().with(|it| it.destination = v3_ipv6().destination),
            C::BadDestination,
        ),
        (
            "unicast over two routers",
            v3_unicast().with(|it| it.ttl = 253),
            C::BadTtl,
        ),
        (
            "unicast from a stranger",
            v3_unicast().with(|it| it.source = "10.77.0.8".parse().expect("an address")),
            C::UnlistedSource,
        ),
        (
            "unicast from a stranger, version 2",
            v2_unicast().with(|it| it.source = "10.77.0.8".parse().expect("an address")),
            C::UnlistedSource,
        ),
        (
            "unicast from a stranger, IPv6",
            v3_ipv6_unicast().with(|it| it.source = "fe80::8".parse().expect("an address")),
            C::UnlistedSource,
        ),
        (
            "unicast from a stranger, with more that is wrong",
            v3_unicast().with(|it| {
                it.source = "10.77.0.8".parse().expect("an address");
                it.addresses = vec![];
                it.checksum = Checksum::Wrong;
            }),
            C::UnlistedSource,
        ),
        (
            "our own address, though listed",
            v3_unicast().with(|it| it.source = OWN.into()),
            C::OwnAddress,
        ),
        (
            "unicast, IPv6 without the pseudo-header",
            v3_ipv6_unicast().with(|it| it.checksum = Checksum::MessageOnly),
            C::BadChecksum,
        ),
        (
            "unicast, wrong checksum",
            v3_unicast().with(|it| it.checksum = Checksum::Wrong),
            C::BadChecksum,
        ),
        (
            "unicast, wrong checksum, version 2",
            v2_unicast().with(|it| it.checksum = Checksum::Wrong),
            C::BadChecksum,
        ),
        (
            "count 0",
            v3().with(|it| it.addresses = vec![]),
            C::NoAddresses,
        ),
        (
            "count 0, IPv6",
            v3_ipv6().with(|it| it.addresses = vec![]),
            C::NoAddresses,
        ),
        (
            "count above the length",
            v3().with(|it| it.count = Some(2)),
            C::BadLength,
        ),
        (
            "count below the length",
            v3().with(|it| {
                it.addresses = parsed(&["10.77.0.100", "10.77.0.101"]);
                it.count = Some(1);
            }),
            C::BadLength,
        ),
        (
            "count 255",
            v3_ipv6().with(|it| it.count = Some(255)),
            C::BadLength,
        ),
        (
            "version 2 without its tail",
            v2().with(|it| it.tail = vec![]),
            C::BadLength,
        ),
        (
            "version 3 with a tail",
            v3().with(|it| it.tail = vec![0; 8]),
            C::BadLength,
        ),
        (
            "interval 0",
            v3().with(|it| it.interval = [0, 0]),
            C::ZeroInterval,
        ),
        (
            "interval 0 behind reserved bits",
            v3_ipv6().with(|it| it.interval = [0xf0, 0]),
            C::ZeroInterval,
        ),
        (
            "password where none is configured",
            v2_password().with(|it| it.vrid = V2),
            C::BadAuthentication,
        ),
        (
            "another password",
            v2_password().with(|it| it.tail = b"Secret\0\0".to_vec()),
            C::BadAuthentication,
        ),
        (
            "no password",
            v2_password().with(|it| it.interval = [0, 1]),
            C::BadAuthentication,
        ),
        (
            "2 s where 1 s is configured",
            v2().with(|it| it.interval = [0, 2]),
            C::IntervalMismatch,
        ),
        (
            "wrong checksum",
            v3().with(|it| it.checksum = Checksum::Wrong),
            C::BadChecksum,
        ),
        (
            "wrong checksum, IPv6",
            v3_ipv6().with(|it| it.checksum = Checksum::Wrong),
            C::BadChecksum,
        ),
        (
            "IPv6 without the pseudo-header",
            v3_ipv6().with(|it| it.checksum = Checksum::MessageOnly),
            C::BadChecksum,
        ),
        (
            "wrong checksum, version 2",
            v2().with(|it| it.checksum = Checksum::Wrong),
            C::BadChecksum,
        ),
        (
            "first address not link-local",
            v3_ipv6().with(|it| {
                it.vrid = V3_NOT_OURS_FIRST;
                it.addresses = parsed(&["2001:db8::100"]);
            }),
            C::NotLinkLocal,
        ),
        (
            "our own address",
            v3().with(|it| it.source = OWN.into()),
            C::OwnAddress,
        ),
        (
            "our own address, IPv6",
            v3_ipv6().with(|it| it.source = OWN_IPV6.parse().expect("an address")),
            C::OwnAddress,
        ),
        (
            "another address list, version 2",
            v2().with(|it| it.addresses = parsed(&["10.77.0.101"])),
            C::AddressListMismatch,
        ),
    ]
}
