//! The ladder of checks: every form that is valid, every rung violated once,
//! every length that is too short.

use std::{collections::HashSet, net::IpAddr};

use anyhow::{Context as _, Result, ensure};
use ha_common::{
    abi::{ActiveRouter, Counter, Event, Peer},
    types::RouterAddress,
    wire::{Refusal, vrrp},
};

use super::{
    bench::{
        Bench, ELSEWHERE, FOR_EVER, IFINDEX, OWN, OWN_IPV6, V2, V3, V3_NO_ADDRESSES,
        V3_NOT_OURS_FIRST, isolated, slot,
    },
    packet::{self, Checksum, Frame, PEER_MAC, parsed, v2, v2_password, v3, v3_ipv6},
};

/// Valid frames by name, and what they count beside `accepted`.
fn valid() -> Vec<(&'static str, Frame, Vec<Counter>)> {
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
    ]
}

/// Frames that fail one check each, by name, with the counter of that check.
fn refused() -> Vec<(&'static str, Frame, Counter)> {
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

#[test]
fn every_refusal_has_a_row() {
    let rows: HashSet<Counter> = refused().iter().map(|(_, _, counter)| *counter).collect();
    let mut wanted: HashSet<Counter> = Refusal::ALL
        .iter()
        .map(|refusal| refusal.counter())
        .collect();
    wanted.insert(Counter::NotConfigured);
    assert_eq!(rows, wanted);
}

#[test]
fn every_valid_form_is_accepted_and_recorded() -> Result<()> {
    isolated(|pins| {
        for (name, frame, counters) in valid() {
            // A new program each time: nothing known, nothing told.
            let mut bench = Bench::new(pins)?;
            let row = bench.admit(frame.vrid, frame.source)?;
            let outcome = bench.run(&frame.build())?;
            let mut expected = vec![Counter::Accepted];
            expected.extend(counters);
            ensure!(
                outcome.counters() == expected,
                "{name}: {:?}",
                outcome.counts
            );

            let differs = u8::from(expected.contains(&Counter::AddressListDiffers));
            let message_only = u8::from(expected.contains(&Counter::ChecksumMessageOnly));
            let peer = bench.maps.peers.read(&row)?.context("the row is gone")?;
            let expected_peer = Peer {
                last_seen_ns: peer.last_seen_ns,
                adverts: 1,
                interval_cs: 100,
                priority: frame.priority,
                version: frame.version,
                address_mismatch: differs,
                message_only_checksum: message_only,
                mac: PEER_MAC,
                reserved: [0; 4],
            };
            ensure!(peer == expected_peer, "{name}: {peer:?}");

            let family = if frame.source.is_ipv4() { 4 } else { 6 };
            let record = bench.maps.actives.read(slot(frame.vrid, family));
            let expected_record = ActiveRouter {
                last_seen_ns: peer.last_seen_ns,
                last_event_ns: peer.last_seen_ns,
                last_new_peer_ns: 0,
                adverts: 1,
                ifindex: IFINDEX,
                interval_cs: 100,
                vrid: frame.vrid,
                family,
                priority: frame.priority,
                told: 1,
                mac: PEER_MAC,
                address: RouterAddress::from(frame.source).0,
            };
            ensure!(record == expected_record, "{name}: {record:?}");
            let event = Event {
                at_ns: peer.last_seen_ns,
                kind: ha_common::abi::EVENT_CHANGED,
                ifindex: IFINDEX,
                index: slot(frame.vrid, family),
                interval_cs: 100,
                vrid: frame.vrid,
                family,
                priority: frame.priority,
                version: frame.version,
                mac: PEER_MAC,
                address: record.address,
                claim_kind: 0,
                address_mismatch: differs,
                message_only_checksum: message_only,
                reserved: [0; 5],
            };
            ensure!(outcome.events == [event], "{name}: {:?}", outcome.events);
        }
        Ok(())
    })
}

#[test]
fn every_rung_refuses_and_counts_alone() -> Result<()> {
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        for source in ["10.77.0.9", "10.77.0.5"] {
            for vrid in [V2, V3] {
                bench.admit(vrid, source.parse::<IpAddr>()?)?;
            }
        }
        let peers = bench.peers()?;
        for (name, frame, counter) in refused() {
            let outcome = bench.run(&frame.build())?;
            ensure!(
                outcome.counters() == [counter],
                "{name}: {:?}",
                outcome.counts
            );
            ensure!(outcome.events.is_empty(), "{name}: {:?}", outcome.events);
        }
        ensure!(
            bench.peers()? == peers,
            "a refused advertisement changed a peer"
        );
        for index in 0..u32::try_from(super::bench::instances().len())? {
            let record = bench.maps.actives.read(index);
            ensure!(
                record.last_seen_ns == 0 && record.adverts == 0,
                "slot {index}: {record:?}"
            );
        }
        Ok(())
    })
}

#[test]
fn a_frame_cut_anywhere_is_truncated() -> Result<()> {
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        for (name, frame, _) in valid() {
            let whole = frame.clone().with(|it| it.pad_to = 0).build();
            // Up to here nobody can tell that it is VRRP.
            let recognizable = if frame.source.is_ipv4() { 24 } else { 22 };
            // The kernel runs no program on less than an Ethernet header.
            for length in 14..whole.len() {
                let outcome = bench.run(&whole[..length])?;
                let expected: &[Counter] = if length < recognizable {
                    &[]
                } else {
                    &[Counter::Truncated]
                };
                ensure!(
                    outcome.counters() == expected && outcome.events.is_empty(),
                    "{name} cut at {length} of {}: {outcome:?}",
                    whole.len()
                );
            }
        }
        Ok(())
    })
}

#[test]
fn other_traffic_passes_uncounted() -> Result<()> {
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        let mut tagged = v3().build();
        tagged.splice(12..12, [0x81, 0x00, 0x00, 0x05]);
        for (name, frame) in [
            ("UDP", v3().with(|it| it.protocol = 17).build()),
            (
                "UDP over IPv6",
                v3_ipv6().with(|it| it.protocol = 17).build(),
            ),
            ("LLDP", [&[0xff; 12], &[0x88, 0xcc][..], &[0; 46]].concat()),
            ("802.1Q", tagged),
            ("an Ethernet header alone", vec![0; 14]),
        ] {
            let outcome = bench.run(&frame)?;
            ensure!(
                outcome.counts.is_empty() && outcome.events.is_empty(),
                "{name}: {outcome:?}"
            );
        }
        Ok(())
    })
}

/// Messages whose checksums were computed by hand, so they share no code with
/// what is tested here.
#[test]
fn known_messages_are_accepted() -> Result<()> {
    let vectors: [(&[u8], u8, &[&str], Counter); 4] = [
        (
            b"\x21\x33\x1e\x01\x00\x01\xb5\xc5\x0a\x00\x01\x05\0\0\0\0\0\0\0\0",
            2,
            &["10.0.1.5"],
            Counter::Accepted,
        ),
        (
            b"\x21\x01\x1e\x01\x00\x01\xb5\xf7\x0a\x00\x01\x05\0\0\0\0\0\0\0\0",
            2,
            &["10.0.1.5"],
            Counter::Accepted,
        ),
        (
            b"\x31\x01\x14\x02\x00\x01\xa4\xf0\x0a\x00\x01\x05\x0a\x00\x01\x06",
            3,
            &["10.0.1.5", "10.0.1.6"],
            Counter::ChecksumMessageOnly,
        ),
        (
            b"\x31\x01\x1e\x02\x00\x01\x9a\xf0\x0a\x00\x01\x05\x0a\x00\x01\x06",
            3,
            &["10.0.1.5", "10.0.1.6"],
            Counter::ChecksumMessageOnly,
        ),
    ];
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        for (message, version, addresses, counter) in vectors {
            let addresses = parsed(addresses);
            let (mut key, mut value) = super::bench::instances()[0];
            key.vrid = message[1];
            value.version = version;
            value.event_gap_ns = FOR_EVER;
            value.address_count = u8::try_from(addresses.len())?;
            value.address_digest = vrrp::digest(addresses.iter().map(|it| (*it).into()));
            bench.maps.instances.publish(&key, &value)?;

            let mut frame = v3()
                .with(|it| it.length = Some(20 + message.len() as u16))
                .build();
            frame.truncate(34);
            frame.extend(message);
            let counters = bench.run(&frame)?.counters();
            ensure!(
                counters.contains(&Counter::Accepted),
                "{message:x?}: {counters:?}"
            );
            ensure!(counters.contains(&counter), "{message:x?}: {counters:?}");
            // And one bit off is not.
            frame[40] ^= 1;
            ensure!(bench.run(&frame)?.counters() == [Counter::BadChecksum]);
        }
        Ok(())
    })
}

#[test]
fn the_builder_computes_what_is_known() {
    // From the vectors above, so that the frames of this suite stand on them.
    let message = b"\x31\x01\x14\x02\x00\x01\0\0\x0a\x00\x01\x05\x0a\x00\x01\x06";
    assert_eq!(packet::checksum(&[message]), [0xa4, 0xf0]);
}
