//! Messages and frames from elsewhere: `tests/vectors` says where from.

use ha_common::{
    abi,
    types::{AddressFamily, Centiseconds, Priority, Version, Vrid},
    wire::{
        arp,
        checksum::Sum,
        nd,
        vrrp::{Authentication, ChecksumForm, Outgoing, encode, group},
    },
};

use crate::frames::{Case, IPV4_MESSAGE, IPV6_MESSAGE, MAC, Verdict, frame, ip, judge};

const CHECKSUMS: &str = include_str!("../../../tests/vectors/checksums.txt");
const SCAPY: &str = include_str!("../../../tests/vectors/scapy.txt");

/// The octets of the vector called `name`.
fn vector(file: &str, name: &str) -> Vec<u8> {
    let hex = file
        .lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .unwrap_or_else(|| panic!("no vector {name}"));
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn encoded(message: &Outgoing<'_>) -> Vec<u8> {
    let mut buffer = [0; 128];
    let len = encode(message, &mut buffer).unwrap();
    buffer[..len].to_vec()
}

#[test]
fn hand_recomputed_checksums_hold() {
    for (name, version, vrid, priority, seconds, addresses) in [
        ("v2-priority-30", Version::V2, 51, 30, 1, &["10.0.1.5"][..]),
        ("v2-vrid-1", Version::V2, 1, 30, 1, &["10.0.1.5"]),
        (
            "v3-priority-20",
            Version::V3,
            1,
            20,
            0,
            &["10.0.1.5", "10.0.1.6"],
        ),
        (
            "v3-priority-30",
            Version::V3,
            1,
            30,
            0,
            &["10.0.1.5", "10.0.1.6"],
        ),
    ] {
        let message = vector(CHECKSUMS, name);
        assert!(Sum::new().add_slice(&message).is_valid(), "{name}");

        let addresses: Vec<_> = addresses.iter().map(|text| ip(text)).collect();
        let interval = Centiseconds(if seconds == 0 { 1 } else { seconds * 100 });
        let outgoing = Outgoing {
            version,
            family: AddressFamily::Ipv4,
            vrid: Vrid::new(vrid).unwrap(),
            priority: Priority(priority),
            interval,
            addresses: &addresses,
            source: ip("10.0.1.1"),
            destination: group(AddressFamily::Ipv4),
            checksum: ChecksumForm::MessageOnly,
            auth: Authentication::None,
        };
        assert_eq!(encoded(&outgoing), message, "{name}");

        // The ladder too, but for the VRID, which `judge` expects to be 51.
        if vrid == 51 {
            let case = Case {
                version,
                interval: interval.0,
                addresses,
                auth: (0, [0; 8]),
                ..Case::v2()
            };
            let frame = frame(AddressFamily::Ipv4, ip("10.0.1.1"), &[], &message);
            let verdict = judge(&frame, AddressFamily::Ipv4, &case.instance());
            assert!(
                matches!(verdict, Verdict::Accepted(_)),
                "{name}: {verdict:?}"
            );
        }
    }
}

/// The cases whose frames scapy made.
fn scapy_cases() -> [(&'static str, Case); 5] {
    let one = Case {
        addresses: vec![ip("10.77.0.100")],
        ..Case::v3()
    };
    [
        (
            "v2",
            Case {
                addresses: one.addresses.clone(),
                interval: 100,
                auth: (0, [0; 8]),
                ..Case::v2()
            },
        ),
        ("v2-password", Case::v2()),
        ("v3-ipv4", one),
        (
            "v3-ipv4-release",
            Case {
                priority: 0,
                interval: 4095,
                ..Case::v3()
            },
        ),
        ("v3-ipv6", Case::ipv6()),
    ]
}

#[test]
fn scapy_frames_are_accepted() {
    for (name, case) in scapy_cases() {
        let frame = vector(SCAPY, name);
        match judge(&frame, case.family, &case.instance()) {
            Verdict::Accepted(advert) => {
                assert_eq!(advert.source, case.source, "{name}");
                assert_eq!(advert.source_mac, MAC, "{name}");
                assert_eq!(advert.priority.0, case.priority, "{name}");
                assert_eq!(advert.interval.0, case.interval, "{name}");
                assert!(!advert.address_mismatch, "{name}");
                let v3_ipv4 = name.starts_with("v3-ipv4");
                assert_eq!(advert.has_pseudo_header, v3_ipv4, "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn our_messages_are_scapys() {
    for (name, case) in scapy_cases() {
        let outgoing = Outgoing {
            version: case.version,
            family: case.family,
            vrid: Vrid::new(51).unwrap(),
            priority: Priority(case.priority),
            interval: Centiseconds(case.interval),
            addresses: &case.addresses,
            source: case.source,
            destination: group(case.family),
            checksum: ChecksumForm::PseudoHeader,
            auth: match case.auth {
                (0, _) => Authentication::None,
                (_, password) => Authentication::Simple(password),
            },
        };
        let at = match case.family {
            AddressFamily::Ipv4 => IPV4_MESSAGE,
            AddressFamily::Ipv6 => IPV6_MESSAGE,
        };
        assert_eq!(encoded(&outgoing), vector(SCAPY, name)[at..], "{name}");
    }
}

#[test]
fn our_announcements_are_scapys() {
    assert_eq!(
        arp::gratuitous(MAC, "10.77.0.100".parse().unwrap())[..],
        vector(SCAPY, "gratuitous-arp")
    );
    for (name, router) in [
        ("advertisement-router", true),
        ("advertisement-host", false),
    ] {
        assert_eq!(
            nd::unsolicited_advertisement(MAC, "2001:db8::100".parse().unwrap(), router)[..],
            vector(SCAPY, name),
            "{name}"
        );
    }
}

#[test]
fn scapy_announcements_are_claims() {
    for (name, address, kind) in [
        ("gratuitous-arp", "10.77.0.100", abi::CLAIM_ARP_REQUEST),
        (
            "advertisement-router",
            "2001:db8::100",
            abi::CLAIM_NEIGHBOUR_ADVERTISEMENT,
        ),
    ] {
        let claim = crate::announcements::claim(&vector(SCAPY, name)).expect(name);
        assert_eq!(claim.address, ip(address), "{name}");
        assert_eq!(claim.mac, MAC, "{name}");
        assert_eq!(claim.kind, kind, "{name}");
    }
}
