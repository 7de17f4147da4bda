//! The ladder of checks: every form that is valid, every rung violated once,
//! every length that is too short.

use std::{collections::HashSet, net::IpAddr};

use anyhow::{Context as _, Result, ensure};
use bytemuck::Zeroable as _;
use ha_common::{
    abi::{self, ActiveRouter, Counter, Event, Peer, Refused, Told},
    types::RouterAddress,
    wire::{self, Refusal, vrrp},
};

use super::{
    bench::{Bench, FOR_EVER, IFINDEX, V2, V3, isolated, slot},
    packet::{self, Checksum, Frame, PEER_MAC, parsed, v3, v3_ipv6},
    table::{refused, valid},
};

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
                adverts: 1,
                ifindex: IFINDEX,
                interval_cs: 100,
                vrid: frame.vrid,
                family,
                priority: frame.priority,
                told: 1,
                mac: PEER_MAC,
                address: RouterAddress::from(frame.source).0,
                row_written_ns: peer.last_seen_ns,
                unwritten: 0,
                reserved: [0; 4],
            };
            ensure!(record == expected_record, "{name}: {record:?}");
            let told = bench.maps.slots.told(slot(frame.vrid, family))?;
            let expected_told = Told {
                changed_ns: peer.last_seen_ns,
                ..Told::zeroed()
            };
            ensure!(told == expected_told, "{name}: {told:?}");
            let event = Event {
                at_ns: peer.last_seen_ns,
                kind: abi::EVENT_CHANGED,
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
                reason: 0,
                reserved: [0; 4],
            };
            ensure!(outcome.events == [event], "{name}: {:?}", outcome.events);
        }
        Ok(())
    })
}

/// Whether `frame`, refused by `counter`, came as far as to name one of our virtual
/// routers.
fn judged(frame: &Frame, counter: Counter) -> bool {
    let window = frame.build();
    matches!(
        wire::classify(&wire::SliceWindow(&window)),
        Ok(wire::Frame::Advertisement(_))
    ) && counter != Counter::NotConfigured
}

/// What is recorded of `frame`, with the fields as this suite's builder put them in.
fn expected_refusal(frame: &Frame, counter: Counter, last_seen_ns: u64) -> Refused {
    let [high, low] = frame.interval;
    let version_2 = frame.version == 2;
    let own_count = u8::try_from(frame.addresses.len()).expect("few addresses");
    Refused {
        last_seen_ns,
        adverts: 1,
        ifindex: IFINDEX,
        interval_cs: if version_2 {
            u16::from(low) * 100
        } else {
            u16::from_be_bytes([high & 0x0f, low])
        },
        vrid: frame.vrid,
        family: if frame.source.is_ipv4() { 4 } else { 6 },
        reason: u8::try_from(
            Counter::ALL
                .iter()
                .position(|it| *it == counter)
                .expect("a counter"),
        )
        .expect("few counters"),
        version: frame.version,
        priority: frame.priority,
        address_count: frame.count.unwrap_or(own_count),
        ttl: frame.ttl,
        auth_type: if version_2 { high } else { 0 },
        mac: frame.source_mac,
        address: RouterAddress::from(frame.source).0,
        to_group: u8::from(
            frame.destination == v3().destination || frame.destination == v3_ipv6().destination,
        ),
        reserved: [0; 11],
    }
}

#[test]
fn a_flood_of_refused_advertisements_is_told_once_a_second() -> Result<()> {
    const TIMES: u32 = 100_000;
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        let index = slot(V3, 4);
        let forged = v3().with(|it| it.ttl = 1).build();
        bench.repeat(&forged, TIMES)?;
        let events = bench.drain();
        ensure!(
            events.iter().all(|event| event.kind == abi::EVENT_REFUSED),
            "{events:?}"
        );
        let gaps = events
            .windows(2)
            .all(|pair| pair[1].at_ns - pair[0].at_ns >= abi::REFUSED_GAP_NS);
        ensure!(!events.is_empty() && gaps, "{events:?}");
        let record = bench.maps.refusals.read(index)?.context("no record")?;
        ensure!(record.adverts == u64::from(TIMES), "{record:?}");
        ensure!(
            Counter::at(record.reason) == Some(Counter::BadTtl),
            "{record:?}"
        );
        ensure!(bench.maps.counters.sum()?.events_lost == 0);

        // It holds back no other event, and the last one is always in the record.
        bench.repeat(&v3().with(|it| it.checksum = Checksum::Wrong).build(), 1)?;
        let record = bench.maps.refusals.read(index)?.context("no record")?;
        ensure!(
            Counter::at(record.reason) == Some(Counter::BadChecksum),
            "{record:?}"
        );
        bench.admit(V3, packet::PEER.into())?;
        ensure!(bench.run(&v3().build())?.kinds() == [abi::EVENT_CHANGED]);
        // Another virtual router has a limit of its own.
        let other = v3_ipv6().with(|it| it.ttl = 1).build();
        ensure!(bench.run(&other)?.kinds() == [abi::EVENT_REFUSED]);
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
            let family = if frame.source.is_ipv4() { 4 } else { 6 };
            let index = judged(&frame, counter).then(|| slot(frame.vrid, family));
            if let Some(index) = index {
                bench.forget(index)?;
            }
            let outcome = bench.run(&frame.build())?;
            ensure!(
                outcome.counters() == [counter],
                "{name}: {:?}",
                outcome.counts
            );
            let Some(index) = index else {
                ensure!(outcome.events.is_empty(), "{name}: {:?}", outcome.events);
                continue;
            };
            ensure!(
                bench.maps.actives.read(index) == ActiveRouter::zeroed(),
                "{name}: it holds back Active_Down"
            );
            let record = bench.maps.refusals.read(index)?.context(name)?;
            let expected = expected_refusal(&frame, counter, record.last_seen_ns);
            ensure!(record == expected, "{name}: {record:?}");
            let event = Event {
                at_ns: record.last_seen_ns,
                kind: abi::EVENT_REFUSED,
                ifindex: IFINDEX,
                index,
                interval_cs: record.interval_cs,
                vrid: frame.vrid,
                family,
                priority: frame.priority,
                version: frame.version,
                mac: PEER_MAC,
                address: record.address,
                reason: record.reason,
                ..Event::zeroed()
            };
            ensure!(outcome.events == [event], "{name}: {:?}", outcome.events);
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

            let total = u16::try_from(20 + message.len())?;
            let mut frame = v3().with(|it| it.length = Some(total)).build();
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
