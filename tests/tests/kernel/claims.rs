//! Claims of watched addresses by ARP and neighbour advertisement.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result, ensure};
use bytemuck::Zeroable as _;
use ha_common::{
    abi::{
        self, CLAIM_ARP_REPLY, CLAIM_ARP_REQUEST, CLAIM_NEIGHBOUR_ADVERTISEMENT, Counter,
        EVENT_CHANGED, EVENT_CLAIM, EVENT_LOSING, EVENT_OUTRANKED, EVENT_RELEASE, STATE_ACTIVE,
        STATE_BACKUP,
    },
    types::RouterAddress,
};

use super::{
    bench::{Bench, FOR_EVER, IFINDEX, OWN_MAC, V3, instances, isolated, slot, watched},
    packet::{PEER, PEER_MAC, arp, neighbour_advertisement, v3},
};

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
const VIP_IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

fn state(bench: &Bench, state: u8, event_gap_ns: u64) -> Result<()> {
    for (key, mut value) in instances() {
        value.state = state;
        value.event_gap_ns = event_gap_ns;
        bench.maps.instances.publish(&key, &value)?;
    }
    Ok(())
}

/// Claims of a watched address, by name, with address and kind.
fn claims() -> Vec<(&'static str, Vec<u8>, &'static str, u8)> {
    vec![
        (
            "request",
            arp(REQUEST, PEER_MAC, VIP, OTHER),
            "10.77.0.100",
            CLAIM_ARP_REQUEST,
        ),
        (
            "gratuitous request",
            arp(REQUEST, PEER_MAC, VIP, VIP),
            "10.77.0.100",
            CLAIM_ARP_REQUEST,
        ),
        (
            "reply",
            arp(REPLY, PEER_MAC, VIP, OTHER),
            "10.77.0.100",
            CLAIM_ARP_REPLY,
        ),
        (
            "gratuitous reply",
            arp(REPLY, PEER_MAC, VIP, VIP),
            "10.77.0.100",
            CLAIM_ARP_REPLY,
        ),
        (
            "neighbour advertisement",
            neighbour_advertisement(PEER_MAC, VIP_IPV6),
            "2001:db8::100",
            CLAIM_NEIGHBOUR_ADVERTISEMENT,
        ),
    ]
}

#[test]
fn a_strangers_claim_is_recorded_and_told_while_we_are_active() -> Result<()> {
    isolated(|pins| {
        for (name, frame, address, kind) in claims() {
            let mut bench = Bench::new(pins)?;
            let (key, _) = watched(address, V3);
            // Not Active: recorded only.
            let outcome = bench.run(&frame)?;
            ensure!(
                outcome.counters() == [Counter::ForeignClaims],
                "{name}: {outcome:?}"
            );
            ensure!(outcome.events.is_empty(), "{name}: {outcome:?}");
            let claim = bench.maps.claims.read(&key)?.context("no record")?;
            ensure!(
                (claim.claims, claim.mac, claim.kind, claim.last_event_ns)
                    == (1, PEER_MAC, kind, 0),
                "{name}: {claim:?}"
            );

            state(&bench, STATE_ACTIVE, 0)?;
            let outcome = bench.run(&frame)?;
            ensure!(
                outcome.counters() == [Counter::ForeignClaims],
                "{name}: {outcome:?}"
            );
            let claim = bench.maps.claims.read(&key)?.context("no record")?;
            ensure!(claim.claims == 2 && claim.last_event_ns == claim.last_seen_ns);
            let expected = abi::Event {
                at_ns: claim.last_seen_ns,
                kind: EVENT_CLAIM,
                ifindex: IFINDEX,
                index: slot(V3, key.family),
                vrid: V3,
                family: key.family,
                mac: PEER_MAC,
                address: key.address,
                claim_kind: kind,
                ..abi::Event::zeroed()
            };
            ensure!(outcome.events == [expected], "{name}: {:?}", outcome.events);
            ensure!(bench.maps.claims.iter().count() == 1);
        }
        Ok(())
    })
}

#[test]
fn what_claims_nothing_of_ours_is_ignored() -> Result<()> {
    let mut broken = neighbour_advertisement(PEER_MAC, VIP_IPV6);
    broken[56] ^= 1;
    let mut solicitation = neighbour_advertisement(PEER_MAC, VIP_IPV6);
    solicitation[54] = 135;
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        state(&bench, STATE_ACTIVE, 0)?;
        for (name, frame) in [
            ("our own announcement", arp(REQUEST, OWN_MAC, VIP, VIP)),
            ("our own reply", arp(REPLY, OWN_MAC, VIP, OTHER)),
            (
                "our own neighbour advertisement",
                neighbour_advertisement(OWN_MAC, VIP_IPV6),
            ),
            (
                "someone asks for our address",
                arp(REQUEST, PEER_MAC, OTHER, VIP),
            ),
            (
                "a probe",
                arp(REQUEST, PEER_MAC, Ipv4Addr::UNSPECIFIED, VIP),
            ),
            ("a reverse ARP request", arp(3, PEER_MAC, VIP, VIP)),
            (
                "half an ARP packet",
                arp(REQUEST, PEER_MAC, VIP, VIP)[..40].to_vec(),
            ),
            ("an advertisement with a wrong checksum", broken),
            ("a neighbour solicitation", solicitation),
        ] {
            let outcome = bench.run(&frame)?;
            ensure!(
                outcome.counts.is_empty() && outcome.events.is_empty(),
                "{name}: {outcome:?}"
            );
        }
        ensure!(bench.maps.claims.iter().count() == 0);
        Ok(())
    })
}

#[test]
fn claim_events_are_limited_per_address() -> Result<()> {
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        state(&bench, STATE_ACTIVE, FOR_EVER)?;
        let (other_key, other_vip) = watched("10.77.0.101", V3);
        bench.maps.vips.watch(&other_key, &other_vip)?;
        let other = Ipv4Addr::new(10, 77, 0, 101);
        bench.repeat(&arp(REPLY, PEER_MAC, VIP, VIP), 50)?;
        bench.repeat(&arp(REPLY, PEER_MAC, other, other), 50)?;
        let addresses: Vec<[u8; 16]> = bench.drain().iter().map(|event| event.address).collect();
        ensure!(
            addresses == [RouterAddress::from(VIP).0, RouterAddress::from(other).0],
            "{addresses:?}"
        );
        let claim = bench.maps.claims.read(&other_key)?.context("no record")?;
        ensure!(claim.claims == 50);
        Ok(())
    })
}

#[test]
fn an_address_no_longer_watched_is_forgotten() -> Result<()> {
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        state(&bench, STATE_BACKUP, 0)?;
        let (key, _) = watched("10.77.0.100", V3);
        let frame = arp(REPLY, PEER_MAC, VIP, VIP);
        bench.run(&frame)?;
        ensure!(bench.maps.claims.read(&key)?.is_some());
        bench.maps.vips.unwatch(&key)?;
        bench.maps.vips.unwatch(&key)?;
        ensure!(bench.maps.claims.read(&key)?.is_none());
        ensure!(bench.run(&frame)?.counts.is_empty());
        ensure!(bench.maps.claims.read(&key)?.is_none());
        Ok(())
    })
}

/// Two routers with a virtual MAC address have the same one: what comes from it is
/// the peer's, and is judged by what it says.
#[test]
fn a_peer_with_our_virtual_mac_is_heard_and_claims_nothing() -> Result<()> {
    let virtual_mac = [0x00, 0x00, 0x5e, 0x00, 0x01, V3];
    isolated(|pins| {
        for (state, priority, event) in [
            (STATE_BACKUP, 200, EVENT_CHANGED),
            (STATE_BACKUP, 0, EVENT_RELEASE),
            (STATE_ACTIVE, 200, EVENT_OUTRANKED),
            (STATE_ACTIVE, 50, EVENT_LOSING),
        ] {
            let mut bench = Bench::new(pins)?;
            let row = bench.admit(V3, PEER.into())?;
            for (key, mut value) in instances() {
                value.state = state;
                value.own_mac = virtual_mac;
                bench.maps.instances.publish(&key, &value)?;
            }
            let frame = v3().with(|it| {
                it.source_mac = virtual_mac;
                it.priority = priority;
            });
            let outcome = bench.run(&frame.build())?;
            ensure!(
                outcome.counters() == [Counter::Accepted, Counter::ChecksumWithPseudoHeader],
                "{outcome:?}"
            );
            ensure!(
                outcome.kinds() == [event] && outcome.events[0].mac == virtual_mac,
                "state {state}, priority {priority}: {outcome:?}"
            );
            let peer = bench.maps.peers.read(&row)?.context("no row")?;
            ensure!(peer.adverts == 1 && peer.mac == virtual_mac, "{peer:?}");

            for (name, frame) in [
                ("announcement", arp(REQUEST, virtual_mac, VIP, VIP)),
                ("reply", arp(REPLY, virtual_mac, VIP, OTHER)),
                (
                    "neighbour advertisement",
                    neighbour_advertisement(virtual_mac, VIP_IPV6),
                ),
            ] {
                let outcome = bench.run(&frame)?;
                ensure!(
                    outcome.counts.is_empty() && outcome.events.is_empty(),
                    "{name}: {outcome:?}"
                );
            }
            // Any other is a stranger's, that of our interface included.
            let outcome = bench.run(&arp(REPLY, OWN_MAC, VIP, VIP))?;
            ensure!(
                outcome.counters() == [Counter::ForeignClaims],
                "{outcome:?}"
            );
        }
        Ok(())
    })
}
