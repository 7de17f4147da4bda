//! Kernel and user space agree on every frame: the parser over XDP's packet
//! pointers counts what the parser over a slice counts.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, ensure};
use ha_common::{
    abi::{Counter, Instance, InstanceKey},
    types::{MacAddress, RouterAddress},
    wire::{self, Frame, SliceWindow, vrrp},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};

use super::{
    bench::{Bench, IFINDEX, OWN_MAC, UNICAST_PEERS, V3, VIPS, VIPS_IPV6, instances, isolated},
    packet::{
        Checksum, PEER_MAC, arp, checksum, neighbour_advertisement, v2, v2_password, v2_unicast,
        v3, v3_ipv6, v3_ipv6_unicast, v3_unicast,
    },
};

/// What the counters must show, from the parser in user space.
fn expected(frame: &[u8], instances: &HashMap<InstanceKey, Instance>) -> Vec<Counter> {
    let window = SliceWindow(frame);
    let header = match wire::classify(&window) {
        Ok(Frame::Other) => return vec![],
        Ok(Frame::Claim(claim)) => {
            let watched = VIPS.iter().chain(&VIPS_IPV6).any(|address| {
                let address: std::net::IpAddr = address.parse().expect("an address");
                RouterAddress::from(address) == claim.address
            });
            let foreign = watched && claim.mac != MacAddress(OWN_MAC);
            return if foreign {
                vec![Counter::ForeignClaims]
            } else {
                vec![]
            };
        }
        Ok(Frame::Advertisement(header)) => header,
        Err(refusal) => return vec![refusal.counter()],
    };
    let key = InstanceKey {
        ifindex: IFINDEX,
        vrid: header.vrid,
        family: header.family.code(),
        reserved: [0; 2],
    };
    let Some(instance) = instances.get(&key) else {
        return vec![Counter::NotConfigured];
    };
    match vrrp::validate(&window, &header, instance, |source| {
        UNICAST_PEERS.contains(&source.to_ip(header.family).to_string().as_str())
    }) {
        Err(refusal) => vec![refusal.counter()],
        Ok(advert) => [
            (true, Counter::Accepted),
            (advert.has_pseudo_header, Counter::ChecksumWithPseudoHeader),
            (advert.message_only_checksum, Counter::ChecksumMessageOnly),
            (advert.group_in_checksum, Counter::ChecksumWithGroup),
            (advert.address_mismatch, Counter::AddressListDiffers),
        ]
        .into_iter()
        .filter_map(|(counted, counter)| counted.then_some(counter))
        .collect(),
    }
}

/// The slot of the virtual router that `frame` names, if the ladder above the table
/// refuses it, and by which check.
fn refused_for(frame: &[u8], instances: &HashMap<InstanceKey, Instance>) -> Option<(u32, Counter)> {
    let window = SliceWindow(frame);
    let Ok(Frame::Advertisement(header)) = wire::classify(&window) else {
        return None;
    };
    let key = InstanceKey {
        ifindex: IFINDEX,
        vrid: header.vrid,
        family: header.family.code(),
        reserved: [0; 2],
    };
    match expected(frame, instances)[..] {
        [counter] if counter != Counter::Accepted => Some((instances.get(&key)?.index, counter)),
        _ => None,
    }
}

/// Makes the checksum of an IPv4 header right again, so that a change gets past
/// it.
fn repair_ip(frame: &mut [u8]) {
    if frame.get(12..14) != Some(&[0x08, 0x00]) {
        return;
    }
    let length = frame
        .get(14)
        .map_or(0, |octet| usize::from(octet & 0x0f) * 4);
    let Some(header) = frame.get_mut(14..14 + length) else {
        return;
    };
    if let Some(field) = header.get_mut(10..12) {
        field.fill(0);
        let sum = checksum(&[header]);
        header[10..12].copy_from_slice(&sum);
    }
}

/// Makes the IPv4 header's checksum and the VRRP checksum over the message right
/// again. In version 3 over IPv4 both forms of the latter are accepted.
fn repaired(mut frame: Vec<u8>) -> Vec<u8> {
    repair_ip(&mut frame);
    let ipv6 = frame.get(12) == Some(&0x86);
    let start = if ipv6 {
        54
    } else {
        14 + usize::from(frame.get(14).copied().unwrap_or(0) & 0x0f) * 4
    };
    let end = if ipv6 {
        let Some(length) = frame.get(18..20) else {
            return frame;
        };
        54 + usize::from(u16::from_be_bytes([length[0], length[1]]))
    } else {
        let Some(length) = frame.get(16..18) else {
            return frame;
        };
        14 + usize::from(u16::from_be_bytes([length[0], length[1]]))
    };
    if end > frame.len() || start + 8 > end {
        return frame;
    }
    frame[start + 6..start + 8].fill(0);
    let length = u16::try_from(end - start).unwrap_or(0).to_be_bytes();
    let sum = if ipv6 {
        let pseudo = [&frame[22..54], &length, &[0, 112]].concat();
        checksum(&[&pseudo, &frame[start..end]])
    } else {
        checksum(&[&frame[start..end]])
    };
    frame[start + 6..start + 8].copy_from_slice(&sum);
    frame
}

fn originals() -> Vec<Vec<u8>> {
    vec![
        v3().build(),
        v3().with(|it| it.checksum = Checksum::MessageOnly).build(),
        v3().with(|it| it.options = vec![1; 12]).build(),
        v3().with(|it| it.pad_to = 60).build(),
        v2().build(),
        v2_password().build(),
        v2().with(|it| it.vrid = V3).build(),
        v3_ipv6().build(),
        v3_unicast().build(),
        v3_unicast()
            .with(|it| it.checksum = Checksum::Group)
            .build(),
        v3_unicast()
            .with(|it| it.source = [10, 77, 0, 8].into())
            .build(),
        v2_unicast().build(),
        v3_ipv6_unicast().build(),
        arp(1, PEER_MAC, [10, 77, 0, 100].into(), [10, 77, 0, 1].into()),
        neighbour_advertisement(PEER_MAC, "2001:db8::100".parse().expect("an address")),
    ]
}

/// Valid frames with a few octets changed, now and then cut, now and then with
/// the checksums made right again.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    (
        prop::sample::select(originals()),
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        prop::option::weighted(0.2, any::<prop::sample::Index>()),
        any::<bool>(),
    )
        .prop_map(|(mut frame, changes, cut, repair)| {
            for (place, octet) in changes {
                // What makes it ours stays: behind the addresses and the EtherType.
                let place = 14 + place.index(frame.len() - 14);
                frame[place] = octet;
            }
            if repair {
                frame = repaired(frame);
            }
            if let Some(cut) = cut {
                frame.truncate(14 + cut.index(frame.len() - 14));
            }
            frame
        })
}

/// Arbitrary octets, behind an EtherType and a protocol that are looked at, now
/// and then with a right IPv4 header checksum.
fn arbitrary() -> impl Strategy<Value = Vec<u8>> {
    (
        prop::sample::select(vec![[0x08, 0x00], [0x08, 0x06], [0x86, 0xdd], [0, 0]]),
        prop::sample::select(vec![112u8, 58, 17]),
        prop::collection::vec(any::<u8>(), 14..200),
        any::<bool>(),
    )
        .prop_map(|(ether_type, protocol, mut frame, repair)| {
            frame[12..14].copy_from_slice(&ether_type);
            let place = if ether_type == [0x08, 0x00] { 23 } else { 20 };
            if let Some(octet) = frame.get_mut(place) {
                *octet = protocol;
            }
            if ether_type == [0x08, 0x00] && frame.len() > 14 {
                frame[14] = frame[14] & 0x0f | 0x40;
            }
            if repair {
                repair_ip(&mut frame);
            }
            frame
        })
}

/// Compares on `cases` frames, which have to reach each counter of `reached`.
fn agree<S>(cases: u32, frames: fn() -> S, reached: &[Counter]) -> Result<()>
where
    S: Strategy<Value = Vec<u8>>,
{
    isolated(|pins| {
        let bench = std::cell::RefCell::new(Bench::new(pins)?);
        let instances: HashMap<InstanceKey, Instance> = instances().into_iter().collect();
        let seen = std::cell::RefCell::new(HashSet::new());
        let refusals = std::cell::RefCell::new(HashMap::<u32, u64>::new());
        let mut runner = TestRunner::new(Config {
            cases,
            failure_persistence: None,
            ..Config::default()
        });
        runner.run(&frames(), |frame| {
            let outcome = bench
                .borrow_mut()
                .run(&frame)
                .map_err(|error| TestCaseError::fail(format!("{error:#}")))?;
            prop_assert_eq!(outcome.counters(), expected(&frame, &instances));
            if let Some((index, counter)) = refused_for(&frame, &instances) {
                let record = bench
                    .borrow()
                    .maps
                    .refusals
                    .read(index)
                    .map_err(|error| TestCaseError::fail(error.to_string()))?;
                let record = record.ok_or_else(|| TestCaseError::fail("no record"))?;
                let times = refusals.borrow().get(&index).copied().unwrap_or(0) + 1;
                refusals.borrow_mut().insert(index, times);
                prop_assert_eq!(
                    (Counter::at(record.reason), record.adverts),
                    (Some(counter), times)
                );
            }
            seen.borrow_mut().extend(outcome.counters());
            Ok(())
        })?;
        let seen = seen.into_inner();
        for counter in reached {
            ensure!(
                seen.contains(counter),
                "no frame reached {}",
                counter.name()
            );
        }
        Ok(())
    })
}

#[test]
fn kernel_and_user_space_agree_on_mutated_frames() -> Result<()> {
    agree(
        20_000,
        mutated,
        &[
            Counter::Accepted,
            Counter::ForeignClaims,
            Counter::Truncated,
            Counter::BadIpChecksum,
            Counter::Fragment,
            Counter::BadLength,
            Counter::NotConfigured,
            Counter::VersionMismatch,
            Counter::UnlistedSource,
            Counter::ChecksumWithGroup,
            Counter::BadChecksum,
        ],
    )
}

#[test]
fn kernel_and_user_space_agree_on_arbitrary_octets() -> Result<()> {
    agree(
        20_000,
        arbitrary,
        &[
            Counter::Truncated,
            Counter::BadIpHeader,
            Counter::BadIpChecksum,
            Counter::Fragment,
        ],
    )
}
